#!/usr/bin/env python3
"""Small models of random weights with odd shapes, and the logits that `transformers` computes from them in float32, or for RetNet
its parallel form as written down here, in float64:

  python3 tools/golden/recurrent_golden.py [NAME...]        -> tests/golden/recurrent/

NAME/ is the folder that transformers saves (rwkv4/ has the same model as the author saves his: rwkv4.pth), with logits.f32: (64, vocabulary) little endian, after each of the ids
(31 i^2 + 7 i + 1) mod vocabulary, i = 0 to 63."""
import json
import math
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForCausalLM, Mamba2Config, Mamba2ForCausalLM, MambaConfig, MambaForCausalLM, RwkvConfig,
                          RwkvForCausalLM)

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/recurrent"
POSITIONS = 64

def bounded_mamba2(limit):
    """Step sizes from about 0.002 to 0.5, so that both bounds are met often."""
    model = Mamba2ForCausalLM(Mamba2Config(
        vocab_size=31, hidden_size=16, num_heads=4, head_dim=8, state_size=7, num_hidden_layers=3, n_groups=2, expand=2,
        conv_kernel=4, chunk_size=16, tie_word_embeddings=True, time_step_limit=limit, eos_token_id=0, bos_token_id=0,
        pad_token_id=0))
    for layer in model.backbone.layers:
        layer.mixer.dt_bias.data = torch.linspace(-6, -0.5, 4)
    return model


def check_bounds(model, ids, logits):
    """Each of the bounds decides something. (A step with a cache leaves them out in transformers 5.24; what it computes of all
    positions at once, as in training, is the model.)"""
    low, high = model.config.time_step_limit
    for others in {(0.0, high), (low, float("inf"))} - {(low, high)}:
        for layer in model.backbone.layers:
            layer.mixer.time_step_limit = others
        change = ((logits - model(ids).logits[0]).abs().max() / (logits.max() - logits.min())).item()
        print(f"  with bounds of {others} logits differ by {change:.2g} of their range")
        assert change > 0.01


MODELS = {
    "mamba": lambda: MambaForCausalLM(MambaConfig(
        vocab_size=61, hidden_size=37, intermediate_size=74, state_size=5, num_hidden_layers=3, conv_kernel=4,
        time_step_rank=3, expand=2, use_conv_bias=True, eos_token_id=0, bos_token_id=0, pad_token_id=0)),
    "mamba_untied": lambda: MambaForCausalLM(MambaConfig(
        vocab_size=45, hidden_size=24, intermediate_size=72, state_size=16, num_hidden_layers=2, conv_kernel=3,
        time_step_rank=7, expand=3, use_conv_bias=False, tie_word_embeddings=False, eos_token_id=0, bos_token_id=0,
        pad_token_id=0)),
    "mamba2": lambda: Mamba2ForCausalLM(Mamba2Config(
        vocab_size=61, hidden_size=36, num_heads=6, head_dim=12, state_size=9, num_hidden_layers=3, n_groups=2, expand=2,
        conv_kernel=4, chunk_size=16, tie_word_embeddings=True, eos_token_id=0, bos_token_id=0, pad_token_id=0)),
    "mamba_own_head": lambda: MambaForCausalLM(MambaConfig(
        vocab_size=45, hidden_size=20, state_size=6, num_hidden_layers=2, eos_token_id=0, bos_token_id=0, pad_token_id=0)),
    "mamba2_limits": lambda: Mamba2ForCausalLM(Mamba2Config(
        vocab_size=45, hidden_size=24, num_heads=4, head_dim=12, state_size=8, num_hidden_layers=2, n_groups=2,
        chunk_size=16, time_step_limit=(0.02, 0.1), tie_word_embeddings=False, eos_token_id=0, bos_token_id=0,
        pad_token_id=0)),
    "mamba2_upper": lambda: bounded_mamba2((0.0, 0.1)),
    "mamba2_bounds": lambda: bounded_mamba2((0.01, 0.1)),
    "rwkv4": lambda: RwkvForCausalLM(RwkvConfig(
        vocab_size=61, hidden_size=36, attention_hidden_size=36, intermediate_size=75, num_hidden_layers=3,
        context_length=96, rescale_every=2, eos_token_id=0, bos_token_id=0)),
}


RETNETS = {
    "retnet": dict(vocab_size=61, decoder_embed_dim=24, decoder_value_embed_dim=42, decoder_layers=3,
                   decoder_retention_heads=3, decoder_ffn_embed_dim=35, layernorm_eps=1e-6, layernorm_embedding=True,
                   no_scale_embedding=False, use_lm_decay=False, tie_word_embeddings=False),
    "retnet_tied": dict(vocab_size=45, decoder_embed_dim=20, decoder_value_embed_dim=26, decoder_layers=2,
                        decoder_retention_heads=2, decoder_ffn_embed_dim=31, layernorm_eps=1e-5,
                        layernorm_embedding=False, no_scale_embedding=False, use_lm_decay=True,
                        tie_word_embeddings=True),
}


def retnet_weights(config):
    dim, value_dim, ffn = (config[f"decoder_{key}embed_dim"] for key in ("", "value_", "ffn_"))
    weights = {"model.embed_tokens.weight": torch.randn(config["vocab_size"], dim) * 0.5,
               "model.layer_norm.weight": 1 + torch.randn(dim) * 0.1}
    if config["layernorm_embedding"]:
        weights["model.layernorm_embedding.weight"] = 1 + torch.randn(dim) * 0.1
    if not config["tie_word_embeddings"]:
        weights["lm_head.weight"] = torch.randn(config["vocab_size"], dim) * 0.3
    for layer in range(config["decoder_layers"]):
        at = f"model.layers.{layer}."
        for norm in ("retention_layer_norm", "final_layer_norm"):
            weights[f"{at}{norm}.weight"] = 1 + torch.randn(dim) * 0.1
        for name, rows, cols in (("retention.q_proj", dim, dim), ("retention.k_proj", dim, dim),
                                 ("retention.v_proj", value_dim, dim), ("retention.g_proj", value_dim, dim),
                                 ("retention.out_proj", dim, value_dim), ("ffn.fc1", ffn, dim), ("ffn.gate", ffn, dim),
                                 ("ffn.fc2", dim, ffn)):
            weights[f"{at}{name}.weight"] = torch.randn(rows, cols) / math.sqrt(cols)
    return weights


def retnet_parallel(config, weights, ids):
    """All positions at once (arXiv:2307.08621, equations 5 to 8): the decay matrix divided by the root of its rows' sums, the
    norm of each head's output without a weight. Logits (positions, vocabulary)."""
    weights = {name: value.double() for name, value in weights.items()}
    heads, eps, n = config["decoder_retention_heads"], config["layernorm_eps"], len(ids)

    def rms(x, name=None):
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
        return x * weights[name + ".weight"] if name else x

    def rotate(x, angles):  # (heads, positions, key dim)
        even, odd = x[..., ::2], x[..., 1::2]
        turned = torch.stack((even * angles.cos() - odd * angles.sin(), even * angles.sin() + odd * angles.cos()), -1)
        return turned.flatten(-2)

    if config["use_lm_decay"]:
        gamma = 1 - torch.linspace(math.log(1 / 32), math.log(1 / 512), heads, dtype=torch.float64).exp()
    else:
        gamma = 1 - 2.0 ** (-5 - torch.arange(heads, dtype=torch.float64))
    distance = torch.arange(n)[:, None] - torch.arange(n)[None, :]
    decay = torch.where(distance >= 0, gamma[:, None, None] ** distance.clamp(min=0), 0.0)
    decay = decay / decay.sum(-1, keepdim=True).sqrt()
    pairs = config["decoder_embed_dim"] // heads // 2
    frequencies = 10000.0 ** -torch.linspace(0, 1, pairs, dtype=torch.float64)
    angles = torch.arange(n)[:, None] * frequencies[None, :]

    x = weights["model.embed_tokens.weight"][ids]
    if not config["no_scale_embedding"]:
        x = x * math.sqrt(config["decoder_embed_dim"])
    if config["layernorm_embedding"]:
        x = rms(x, "model.layernorm_embedding")
    for layer in range(config["decoder_layers"]):
        at = f"model.layers.{layer}."
        h = rms(x, at + "retention_layer_norm")
        q, k, v = ((h @ weights[f"{at}retention.{name}_proj.weight"].T).view(n, heads, -1).transpose(0, 1) for name in "qkv")
        g = h @ weights[at + "retention.g_proj.weight"].T
        scores = rotate(q, angles) @ rotate(k, angles).transpose(1, 2) / math.sqrt(2 * pairs) * decay
        y = rms(scores @ v).transpose(0, 1).reshape(n, -1)
        x = x + (torch.nn.functional.silu(g) * y) @ weights[at + "retention.out_proj.weight"].T
        f = rms(x, at + "final_layer_norm")
        gated = torch.nn.functional.silu(f @ weights[at + "ffn.fc1.weight"].T) * (f @ weights[at + "ffn.gate.weight"].T)
        x = x + gated @ weights[at + "ffn.fc2.weight"].T
    head = weights["model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"]
    return rms(x, "model.layer_norm") @ head.T


def author_name(name):
    for theirs, author in (("rwkv.", ""), ("embeddings.", "emb."), (".pre_ln.", ".ln0."), (".attention.", ".att."),
                           (".feed_forward.", ".ffn."), ("time_mix_key", "time_mix_k"), ("time_mix_value", "time_mix_v"),
                           ("time_mix_receptance", "time_mix_r")):
        name = name.replace(theirs, author)
    return name


def make_retnets():
    for name, config in RETNETS.items():
        torch.manual_seed(len(name))
        weights = retnet_weights(config)
        vocabulary = config["vocab_size"]
        ids = [(i * i * 31 + 7 * i + 1) % vocabulary for i in range(POSITIONS)]
        logits = retnet_parallel(config, weights, ids)
        folder = OUT / name
        folder.mkdir(parents=True, exist_ok=True)
        save_file(weights, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps({"model_type": "retnet", **config}, indent=1) + "\n")
        (folder / "logits.f32").write_bytes(logits.float().contiguous().numpy().astype("<f4").tobytes())
        print(f"{name}: logits {logits.min():.3f} to {logits.max():.3f}")


def give_own_head(folder):
    """A head that differs from the embedding, though the configuration says that it is tied; transformers 5 uses it."""
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = torch.randn_like(weights["backbone.embeddings.weight"]) * 0.3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def main():
    wanted = sys.argv[1:]
    if not wanted:
        make_retnets()
    for name, make in MODELS.items():
        if wanted and name not in wanted:
            continue
        torch.manual_seed(len(name))
        model = make().float().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.15)
            folder = OUT / name
            folder.mkdir(parents=True, exist_ok=True)
            model.save_pretrained(folder)  # before the first pass: RWKV-4 rescales its weights in place
            if name == "mamba_own_head":
                model = give_own_head(folder)
            if name == "rwkv4":
                torch.save({author_name(key): value.clone() for key, value in model.state_dict().items()},
                           folder / "rwkv4.pth")
            vocabulary = model.config.vocab_size
            ids = torch.tensor([[(i * i * 31 + 7 * i + 1) % vocabulary for i in range(POSITIONS)]])
            logits = model(ids).logits[0].float()
            token_by_token = torch.cat([model(ids[:, :i + 1]).logits[0, -1:] for i in (0, 5, POSITIONS - 1)])
            difference = (logits[[0, 5, POSITIONS - 1]] - token_by_token).abs().max().item()
            if name in ("mamba2_upper", "mamba2_bounds"):
                check_bounds(model, ids, logits)
        (folder / "generation_config.json").unlink(missing_ok=True)
        (folder / "logits.f32").write_bytes(logits.contiguous().numpy().astype("<f4").tobytes())
        size = sum(file.stat().st_size for file in folder.iterdir())
        print(f"{name}: {size} bytes, logits {logits.min():.3f} to {logits.max():.3f}, own difference {difference:.2g}")


if __name__ == "__main__":
    main()
