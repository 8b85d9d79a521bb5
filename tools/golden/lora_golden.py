#!/usr/bin/env python3
"""A small Llama of random weights, two adapters of `peft` for it, and the logits after each has been merged, in float32:

  python3 tools/golden/lora_golden.py        -> tests/golden/lora/

base/ holds the model in two parts saved by torch; each adapter's folder has logits.f32: (48, vocabulary) little endian, after each
of the ids (31 i^2 + 7 i + 1) mod vocabulary, i = 0 to 47."""
import copy
import json
import pathlib

import torch
from peft import LoraConfig, get_peft_model
from peft.utils.save_and_load import get_peft_model_state_dict
from transformers import LlamaConfig, LlamaForCausalLM

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/lora"
POSITIONS = 48
EVERY = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

ADAPTERS = {
    "patterns": LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"], modules_to_save=["lm_head"],
                           rank_pattern={"layers.1.self_attn.q_proj": 2}, alpha_pattern={"down_proj": 3}),
    "stabilised": LoraConfig(r=3, lora_alpha=2, use_rslora=True, target_modules=EVERY + ["embed_tokens", "lm_head"]),
}


def main():
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


main()
