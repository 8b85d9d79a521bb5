"""BitNet b1.58 (BitNetForCausalLM of Hugging Face transformers), trained quantised from the first step.

    x = embed[ids]                                                      (dim), rows on an int8 grid
    per layer:
      q, k, v = linear(norm(x)); q, k = rope(q, k, position)            heads x head_dim, kv_heads x head_dim
      x += linear(attn_sub_norm(attention(q, k, v)))
      g, u = linear(norm(x))                                            (ffn)
      x += linear(ffn_sub_norm(relu(g)^2 * u))
    logits = embed . norm(x)

    linear(x) = codes . quantise(x) * weight_scale / activation_scale
      weight_scale = mean |w| of the tensor, codes = clamp(round(w / weight_scale), -1, 1)
      activation_scale = 127 / max(max |x| of the token, 1e-5), quantise(x) = clamp(round(x * activation_scale), -128, 127)

Both factors are small integers, which bf16 holds exactly: the fast forward of training differs from the f32
one only where a sum is rounded. Gradients pass through every rounding unchanged (straight-through estimator).
"""

import json
import math
import shutil
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from training import on_int8_grid, quantise_activations, replaced, straight_through


@dataclass(frozen=True)
class Config:
    vocab_size: int = 2048
    dim: int = 256
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    ffn: int = 640
    context: int = 512
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    bos_id: int = 0
    eos_id: int = 1


def ternary_codes(weight):
    """Per tensor: codes in {-1, 0, 1} and the multiplier that brings them back to the weights' size."""
    scale = weight.detach().abs().mean().clamp(min=1e-5)
    scaled = weight / scale
    return straight_through(scaled.round().clamp(-1, 1), scaled), scale


class RMSNorm(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


class BitLinear(nn.Module):
    def __init__(self, inputs, outputs, std):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * std)

    def forward(self, x, x_scale, dtype):
        codes, scale = ternary_codes(self.weight)
        return F.linear(x.to(dtype), codes.to(dtype)).float() * (scale / x_scale)


def rope_tables(config, length):
    half = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    angle = torch.outer(torch.arange(length, dtype=torch.float32), config.rope_theta ** -half)
    angle = torch.cat((angle, angle), -1)
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


class Attention(nn.Module):
    def __init__(self, c, out_std):
        super().__init__()
        self.c = c
        self.q_proj = BitLinear(c.dim, c.heads * c.head_dim, 0.02)
        self.k_proj = BitLinear(c.dim, c.kv_heads * c.head_dim, 0.02)
        self.v_proj = BitLinear(c.dim, c.kv_heads * c.head_dim, 0.02)
        self.o_proj = BitLinear(c.heads * c.head_dim, c.dim, out_std)
        self.attn_sub_norm = RMSNorm(c.heads * c.head_dim, c.norm_eps)

    def forward(self, x, cos, sin, dtype):
        c = self.c
        batch, length, _ = x.shape
        x, scale = quantise_activations(x)
        q = self.q_proj(x, scale, dtype).view(batch, length, c.heads, c.head_dim).transpose(1, 2)
        k = self.k_proj(x, scale, dtype).view(batch, length, c.kv_heads, c.head_dim).transpose(1, 2)
        v = self.v_proj(x, scale, dtype).view(batch, length, c.kv_heads, c.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = (t.repeat_interleave(c.heads // c.kv_heads, 1) for t in (k, v))
        out = F.scaled_dot_product_attention(q.to(dtype), k.to(dtype), v.to(dtype), is_causal=True)
        out = out.transpose(1, 2).reshape(batch, length, -1).float()
        return self.o_proj(*quantise_activations(self.attn_sub_norm(out)), dtype)


class FeedForward(nn.Module):
    def __init__(self, c, out_std):
        super().__init__()
        self.gate_proj = BitLinear(c.dim, c.ffn, 0.02)
        self.up_proj = BitLinear(c.dim, c.ffn, 0.02)
        self.down_proj = BitLinear(c.ffn, c.dim, out_std)
        self.ffn_sub_norm = RMSNorm(c.ffn, c.norm_eps)

    def forward(self, x, dtype):
        x, scale = quantise_activations(x)
        hidden = self.gate_proj(x, scale, dtype).relu().square() * self.up_proj(x, scale, dtype)
        return self.down_proj(*quantise_activations(self.ffn_sub_norm(hidden)), dtype)


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        out_std = 0.02 / math.sqrt(2 * c.layers)
        self.input_layernorm = RMSNorm(c.dim, c.norm_eps)
        self.self_attn = Attention(c, out_std)
        self.post_attention_layernorm = RMSNorm(c.dim, c.norm_eps)
        self.mlp = FeedForward(c, out_std)

    def forward(self, x, cos, sin, dtype):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, dtype)
        return x + self.mlp(self.post_attention_layernorm(x), dtype)


class BitNet(nn.Module):
    """Parameter names are those of transformers without the leading `model.`."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.dim)
        nn.init.normal_(self.embed_tokens.weight, std=0.02)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.dim, config.norm_eps)
        cos, sin = rope_tables(config, config.context)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, ids, dtype=torch.float32):
        """ids (batch, length) -> logits (batch, length, vocab); dtype is what the products are computed in."""
        length = ids.shape[1]
        embedding = on_int8_grid(self.embed_tokens.weight)
        cos, sin = self.cos[:length], self.sin[:length]
        x = F.embedding(ids, embedding)
        for layer in self.layers:
            x = layer(x, cos, sin, dtype)
        return F.linear(self.norm(x).to(dtype), embedding.to(dtype)).float()


def config_json(c):
    return {
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "hidden_act": "relu2",
        "vocab_size": c.vocab_size,
        "hidden_size": c.dim,
        "intermediate_size": c.ffn,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads,
        "head_dim": c.head_dim,
        "max_position_embeddings": c.context,
        "rms_norm_eps": c.norm_eps,
        "rope_theta": c.rope_theta,
        "tie_word_embeddings": True,
        "bos_token_id": c.bos_id,
        "eos_token_id": c.eos_id,
        "torch_dtype": "float32",
    }


def tokenizer_config_json():
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|bos|>",
        "eos_token": "<|eos|>",
        "add_bos_token": True,
    }


@torch.no_grad()
def hf_tensors(model):
    """Tensors as transformers names them: every ternary weight as scale * {-1, 0, 1} beside its scale."""
    tensors = {"model.embed_tokens.weight": on_int8_grid(model.embed_tokens.weight).clone()}
    for name, module in model.named_modules():
        if isinstance(module, BitLinear):
            codes, scale = ternary_codes(module.weight)
            tensors[f"model.{name}.weight"] = codes * scale
            tensors[f"model.{name}.weight_scale"] = scale.reshape(1)
        elif isinstance(module, RMSNorm):
            tensors[f"model.{name}.weight"] = module.weight.detach().clone()
    return tensors


def export(model, tokenizer_path, expected, folder):
    files = {"config": config_json(model.config), "tokenizer_config": tokenizer_config_json(), "expected": expected}
    with replaced(folder) as fresh:
        for name, value in files.items():
            with open(f"{fresh}/{name}.json", "w") as f:
                json.dump(value, f, indent=None if name == "expected" else 2)
        shutil.copy(tokenizer_path, f"{fresh}/tokenizer.json")
        save_file(hf_tensors(model), f"{fresh}/model.safetensors", metadata={"format": "pt"})
