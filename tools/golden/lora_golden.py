#!/usr/bin/env python3
"""Small Llamas of random weights, adapters of `peft` for them, and the logits with each, in float32:

  python3 tools/golden/lora_golden.py [base] [NAME...]        -> tests/golden/lora/

base/ holds a model in two parts saved by torch, with two adapters; its logits are those after each has been merged. tied/ holds one
whose head is its embedding; its adapters' logits are those of PeftModel.from_pretrained, without a merge. Each adapter's folder has
logits.f32: (48 or 40, vocabulary) little endian, after each of the ids (31 i^2 + 7 i + 1) mod vocabulary, i = 0, 1, ..."""
import copy
import json
import os
import pathlib
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.save_and_load import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/lora"
POSITIONS = 48
EVERY = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

ADAPTERS = {
    "patterns": LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"], modules_to_save=["lm_head"],
                           rank_pattern={"layers.1.self_attn.q_proj": 2}, alpha_pattern={"down_proj": 3}),
    "stabilised": LoraConfig(r=3, lora_alpha=2, use_rslora=True, target_modules=EVERY + ["embed_tokens", "lm_head"]),
}


ATTENTION = ["q_proj", "v_proj"]

# Of the tied model: what is trained, and what is changed in the saved files, which PEFT then reads as they are.
TIED = {
    "tied_saved": (dict(target_modules=ATTENTION, modules_to_save=["embed_tokens"]), {}),
    "tied_factors": (dict(target_modules=[*ATTENTION, "embed_tokens"]), {}),
    "tied_head": (dict(target_modules=[*ATTENTION, "lm_head"], fan_in_fan_out=True, init_lora_weights="gaussian",
                       lora_dropout=0.5), {}),
    "tied_both": (dict(target_modules=["k_proj", "embed_tokens"], modules_to_save=["lm_head"]), {}),
    "kept_saved": (dict(target_modules=ATTENTION, modules_to_save=["embed_tokens"], ensure_weight_tying=True), {}),
    "kept_factors": (dict(target_modules=[*ATTENTION, "lm_head"], ensure_weight_tying=True), {}),
    "kept_scales": (dict(target_modules=[*ATTENTION, "embed_tokens"], ensure_weight_tying=True,
                         alpha_pattern={"lm_head": 3}, rank_pattern={"lm_.*": 5}), {}),
    # The file has factors of both layers and of more modules than these fields name.
    "layers": (dict(target_modules=EVERY), dict(layers_to_transform=[1], target_modules=EVERY + ["embed_tokens"])),
    "layers_pattern": (dict(target_modules=EVERY), dict(layers_to_transform=0, layers_pattern=["h", "lay.rs"],
                                                        target_modules=["model.layers.1.mlp.up_proj", "down_proj", "1.mlp.gate_proj"])),
    "expressions": (dict(target_modules=EVERY, rank_pattern={"^model.layers.1.self_attn.q_proj": 3, "v_pro.": 1, "_proj": 9},
                         alpha_pattern={r".*\.0\.self_attn\.(q|k)_proj": 5, "1.mlp.[a-e]\\w+": 7, "self_attn.o_proj": 2}),
                    dict(target_modules=r"^(?!.*\.up_proj$).*layers\.\d+\.(?:self_attn|mlp)\.[a-z]{1,4}_proj",
                         exclude_modules=["0.mlp.down_proj", "gate_proj"])),
    "excluded": (dict(target_modules=EVERY, use_rslora=True), dict(exclude_modules=r".*\.(q|down)_proj")),
    "all_linear": (dict(target_modules="all-linear", modules_to_save=["norm"]), dict(target_modules="all-linear")),
    "default_targets": (dict(target_modules=EVERY), dict(target_modules=None, init_lora_weights=False)),
}


def add_tensors(name, weights, base):
    """What PEFT puts in the place of the model's own, and what it has no place for."""
    prefix = "base_model.model."
    if name == "tied_factors":  # of the table there are two versions: the one loaded last stays
        weights[prefix + "lm_head.weight"] = torch.randn(31, 16) * 0.3
        weights[prefix + "model.embed_tokens.base_layer.weight"] = torch.randn(31, 16) * 0.3
    if name == "layers":
        weights[prefix + "model.norm.weight"] = torch.randn(16)
        weights[prefix + "model.layers.1.self_attn.q_proj.weight"] = torch.randn(16, 16)  # of a module with factors: no place
        weights[prefix + "model.layers.0.self_attn.q_proj.base_layer.weight"] = torch.randn(16, 16)  # of one without: no place
        weights[prefix + "model.layers.1.self_attn.o_proj.base_layer.weight"] = torch.randn(16, 16) * 0.3
        for half in "AB":  # left as they begin
            del weights[f"{prefix}model.layers.1.mlp.up_proj.lora_{half}.weight"]


def make_tied(wanted):
    folder = OUT / "tied"
    torch.manual_seed(7)
    config = LlamaConfig(vocab_size=31, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2,
                         num_key_value_heads=1, head_dim=8, max_position_embeddings=64, tie_word_embeddings=True,
                         bos_token_id=1, eos_token_id=2, initializer_range=0.3, architectures=["LlamaForCausalLM"])
    if not (folder / "config.json").exists():
        LlamaForCausalLM(config).float().save_pretrained(folder)
        (folder / "generation_config.json").unlink()
    ids = torch.tensor([[(31 * i * i + 7 * i + 1) % 31 for i in range(40)]])

    def load():
        return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()

    with torch.no_grad():
        plain = load()(ids).logits[0]
    for number, (name, (trained, edited)) in enumerate(TIED.items()):
        if wanted and name not in wanted:
            continue
        torch.manual_seed(100 + number)
        saved = OUT / name
        model = get_peft_model(load(), LoraConfig(r=2, lora_alpha=4, **trained))
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if "lora_" in parameter_name or "modules_to_save" in parameter_name:
                    parameter.copy_(torch.randn_like(parameter) * 0.3)
        model.save_pretrained(saved)
        (saved / "README.md").unlink(missing_ok=True)
        file = json.loads((saved / "adapter_config.json").read_text())
        file["base_model_name_or_path"] = "tied"
        (saved / "adapter_config.json").write_text(json.dumps({**file, **edited}, indent=1, sort_keys=True) + "\n")
        weights = load_file(saved / "adapter_model.safetensors")
        add_tensors(name, weights, model)
        save_file(weights, saved / "adapter_model.safetensors", metadata={"format": "pt"})
        os.chmod(saved / "adapter_model.safetensors", 0o644)
        model = PeftModel.from_pretrained(load(), saved).eval()
        with torch.no_grad():
            logits = model(ids).logits[0].float()
        (saved / "logits.f32").write_bytes(logits.numpy().astype("<f4").tobytes())
        change = ((logits - plain).norm() / logits.norm()).item()
        print(f"{name}: {sum(file.stat().st_size for file in saved.iterdir())} bytes, logits differ from the model's by {change:.2g}")
        assert change > 0.1


def make_base():
    torch.manual_seed(5)
    config = LlamaConfig(vocab_size=61, hidden_size=24, intermediate_size=42, num_hidden_layers=2, num_attention_heads=3,
                         num_key_value_heads=1, head_dim=8, max_position_embeddings=64, tie_word_embeddings=False,
                         bos_token_id=1, eos_token_id=2, initializer_range=0.2, architectures=["LlamaForCausalLM"])
    base = LlamaForCausalLM(config).float().eval()
    folder = OUT / "base"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(json.loads(config.to_json_string()), indent=1) + "\n")
    weights = base.state_dict()
    names = list(weights)
    index = {}
    for part, chosen in (("pytorch_model-1.bin", names[::2]), ("pytorch_model-2.bin", names[1::2])):
        torch.save({name: weights[name].clone() for name in chosen}, folder / part)
        index.update({name: part for name in chosen})
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}, indent=1) + "\n")
    ids = torch.tensor([[(31 * i * i + 7 * i + 1) % config.vocab_size for i in range(POSITIONS)]])
    for name, adapter in ADAPTERS.items():
        model = get_peft_model(copy.deepcopy(base), adapter)
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if "lora_" in parameter_name or "modules_to_save" in parameter_name:
                    parameter.copy_(torch.randn_like(parameter) * 0.2)
        saved = OUT / name
        model.save_pretrained(saved)
        (saved / "README.md").unlink(missing_ok=True)
        if name == "stabilised":  # as older versions save it
            (saved / "adapter_model.safetensors").unlink()
            torch.save(get_peft_model_state_dict(model), saved / "adapter_model.bin")
        with torch.no_grad():
            logits = model.merge_and_unload()(ids).logits[0]
        (saved / "logits.f32").write_bytes(logits.float().numpy().tobytes())


def main():
    wanted = sys.argv[1:]
    if not wanted or "base" in wanted:
        make_base()
    make_tied([name for name in wanted if name != "base"])


main()
