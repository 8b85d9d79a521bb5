#!/usr/bin/env python3
"""GGUF files and what they mean:

  python3 tools/golden/gguf_golden.py        -> tests/golden/gguf/

types.gguf      a tensor (3, 256) of random blocks in every type that the `gguf` package dequantises, and types.f32, their values in
                the order of their names
more_types.gguf tensors of the types that it does not know (I2_S, Q2_0 in both sizes, PQ2_0, PTQ1_0), and more_types.f32, decoded
                here as the formats are described; I2_S twice, as x86 and as ARM
NAME.gguf       models of random weights with odd shapes, and NAME.f32: the logits (POSITIONS, vocabulary) that `transformers`
                computes from them in float32, but for keys and values rounded to f16 as in the engine's cache, after each of the
                ids (31 i^2 + 7 i + 1) mod vocabulary
and tests/fuzz/corpus/gguf/: a small model with either kind of tokenizer"""
import pathlib
import struct

import gguf
import numpy as np
import torch
from transformers import (BitNetConfig, BitNetForCausalLM, LlamaConfig, LlamaForCausalLM, PhiConfig, PhiForCausalLM, Qwen2Config,
                          Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import eager_attention_forward

TESTS = pathlib.Path(__file__).resolve().parents[2] / "tests"
OUT = TESTS / "golden/gguf"
CORPUS = TESTS / "fuzz/corpus/gguf"
POSITIONS = 32
TYPE = gguf.GGMLQuantizationType


# --- Types ---------------------------------------------------------------------------------------------------------------------

PACKAGE_TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "TQ1_0",
                 "TQ2_0"]
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "TQ1_0": [52], "TQ2_0": [64]}  # where f16 scales lie


def random_blocks(random, rows, row_bytes, block_bytes, halves):
    """Random bytes with finite scales, some of them denormal, zero or negative."""
    blocks = random.integers(0, 256, (rows * row_bytes // block_bytes, block_bytes), dtype=np.uint8)
    for at in halves:
        scales = np.ldexp(random.uniform(-1, 1, len(blocks)), random.integers(-22, 4, len(blocks))).astype("<f2")
        scales[0] = 0
        blocks[:, at:at + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, row_bytes)


def make_types(random):
    writer = gguf.GGUFWriter(OUT / "types.gguf", "llama")
    expected = {}
    for name in PACKAGE_TYPES:
        kind = TYPE[name]
        weights, size = gguf.GGML_QUANT_SIZES[kind]
        if name == "F32":
            data = random.standard_normal((3, 256)).astype("<f4")
            writer.add_tensor(name, data)
            expected[name] = data
            continue
        data = random_blocks(random, 3, 256 // weights * size, size, HALVES.get(name, []))
        if name in ("F16", "BF16"):  # random bits must not make infinities
            data[:, 1::2] &= 0xbf
        if name == "F16":
            writer.add_tensor(name, data.view("<f2"))
            expected[name] = data.view("<f2").astype("<f4")
            continue
        writer.add_tensor(name, data, raw_dtype=kind)
        expected[name] = gguf.quants.dequantize(data, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (OUT / "types.f32").write_bytes(b"".join(expected[name].astype("<f4").tobytes() for name in sorted(expected)))


def decode_i2_s(data, count, strand):
    """Blocks of four strands, the first in the highest bits; codes 0, 1, 2 are -1, 0, 1; the scale follows the weights."""
    scale = np.frombuffer(data[count // 4:count // 4 + 4].tobytes(), "<f4")[0]
    out = []
    for block in data[:count // 4].reshape(-1, strand):
        for shift in (6, 4, 2, 0):
            out += [(int(byte) >> shift & 3) - 1 for byte in block]
    return np.array(out, "<f4") * scale


def decode_q2_0(data, group):
    """f16 scale, then two bits a weight, the lowest first; codes 0 to 3 are -1 to 2."""
    out = []
    for block in data.reshape(-1, 2 + group // 4):
        scale = block[:2].view("<f2").astype("<f4")[0]
        out += [np.float32((int(block[2 + i // 4]) >> 2 * (i % 4) & 3) - 1) * scale for i in range(group)]
    return np.array(out, "<f4")


def decode_ptq1_0(data):
    """16 and 8 bytes of five trits, 2 of four, f16 scale. A byte is a fraction of 256 in base 3: trit t of strand i is
    digit t."""
    out = []
    for block in data.reshape(-1, 28):
        scale = block[26:].view("<f2").astype("<f4")[0]
        for begin, end, digits in ((0, 16, 5), (16, 24, 5), (24, 26, 4)):
            for digit in range(digits):
                for byte in block[begin:end]:
                    fraction = int(byte) * 3 ** digit % 256
                    out.append(np.float32(fraction * 3 // 256 - 1) * scale)
    return np.array(out, "<f4")


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def make_more_types(random):
    """Written by hand: the package does not know these types."""
    rows, cols = 8, 256
    codes = random.integers(0, 3, rows * cols, dtype=np.uint8).reshape(-1, 4)
    i2_s = np.concatenate([codes[:, 0] << 6 | codes[:, 1] << 4 | codes[:, 2] << 2 | codes[:, 3],
                           np.frombuffer(np.full(8, 0.37, "<f4").tobytes(), np.uint8)])
    blocks = {"Q2_0_64": random_blocks(random, rows, cols // 64 * 18, 18, [0]),
              "Q2_0_128": random_blocks(random, rows, cols // 128 * 34, 34, [0]),
              "PQ2_0": random_blocks(random, rows, cols // 128 * 34, 34, [0]),
              "PTQ1_0": random_blocks(random, rows, cols // 128 * 28, 28, [26])}
    tensors = [("I2_S", 36, i2_s, [decode_i2_s(i2_s, rows * cols, 32), decode_i2_s(i2_s, rows * cols, 16)]),
               ("PQ2_0", 142, blocks["PQ2_0"], [decode_q2_0(blocks["PQ2_0"], 128)]),
               ("PTQ1_0", 143, blocks["PTQ1_0"], [decode_ptq1_0(blocks["PTQ1_0"])]),
               ("Q2_0_128", 42, blocks["Q2_0_128"], [decode_q2_0(blocks["Q2_0_128"], 128)]),
               ("Q2_0_64", 42, blocks["Q2_0_64"], [decode_q2_0(blocks["Q2_0_64"], 64)])]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 0)
    data = b""
    for name, kind, values, _ in tensors:
        head += string(name) + struct.pack("<IQQIQ", 2, cols, rows, kind, len(data))
        data += values.tobytes()
        data += bytes(-len(data) % 32)
    head += bytes(-len(head) % 32)
    (OUT / "more_types.gguf").write_bytes(head + data)
    (OUT / "more_types.f32").write_bytes(b"".join(e.astype("<f4").tobytes() for *_, all in tensors for e in all))


# --- Models --------------------------------------------------------------------------------------------------------------------

SHAPE = dict(vocab_size=61, hidden_size=40, intermediate_size=72, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
             pad_token_id=0)
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=64)
PHI = dict(vocab_size=61, hidden_size=48, intermediate_size=72, num_hidden_layers=2, num_attention_heads=4,
           max_position_embeddings=256, partial_rotary_factor=0.5, layer_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
           tie_word_embeddings=False)
LINEAR = dict(rope_type="linear", rope_theta=20000.0, factor=2.5)

MODELS = {
    "llama": ("llama", lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=True, rope_parameters=LLAMA3))),
    "llama_untied": ("llama", lambda: LlamaForCausalLM(LlamaConfig(
        **SHAPE, head_dim=14, attention_bias=True, tie_word_embeddings=False, rope_parameters=LINEAR))),
    "qwen2": ("qwen2", lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE, tie_word_embeddings=True, rope_parameters=YARN))),
    "qwen3": ("qwen3", lambda: Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=12, tie_word_embeddings=False))),
    "bitnet": ("bitnet-b1.58", lambda: BitNetForCausalLM(BitNetConfig(
        **{**SHAPE, "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 1, "vocab_size": 37},
        tie_word_embeddings=True))),
    "phi2": ("phi2", lambda: PhiForCausalLM(PhiConfig(**PHI))),
    "phi2_fused": ("phi2", lambda: PhiForCausalLM(PhiConfig(**PHI))),
}
FUSED = "phi2_fused"  # queries, keys and values in one tensor, as in older files

NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
         "self_attn.k_norm": "attn_k_norm", "self_attn.attn_sub_norm": "attn_sub_norm",
         "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "mlp.ffn_sub_norm": "ffn_sub_norm", "self_attn.dense": "attn_output",
         "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down"}
TERNARY_TYPES = {"attn_q": "TQ1_0", "attn_k": "TQ2_0", "attn_v": "F16", "attn_output": "TQ1_0", "ffn_gate": "TQ2_0",
                 "ffn_up": "TQ1_0", "ffn_down": "TQ2_0"}


def gguf_name(name):
    if not name.startswith("model.layers."):
        stem, kind = name.rsplit(".", 1)
        return {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "model.final_layernorm": "output_norm",
                "lm_head": "output"}[stem] + "." + kind
    _, _, layer, rest = name.split(".", 3)
    stem, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[stem]}.{kind}"


def interleaved(tensor, heads):
    """Rows i and i + half of a head become rows 2i and 2i + 1."""
    parts = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, -1)
    return parts.swapaxes(1, 2).reshape(tensor.shape)


def f16_cache_attention(module, query, key, value, mask, **options):
    return eager_attention_forward(module, query, key.half().float(), value.half().float(), mask, **options)


def randomise(model, ternary):
    """Random weights that f16 holds exactly; ternary matrices with one scale each."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
            elif ternary and "proj" in name:
                scale = torch.rand(()).mul(0.1).add(0.05).half().float()
                parameter.copy_(torch.randint(-1, 2, parameter.shape) * scale)
            else:
                parameter.copy_((torch.randn_like(parameter) * 0.25).half().float())


def add_rope(writer, config):
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])


def make_model(name):
    architecture, make = MODELS[name]
    torch.manual_seed(len(name))
    ALL_ATTENTION_FUNCTIONS.register("f16_cache", f16_cache_attention)
    model = make().float().eval()
    model.config._attn_implementation = "f16_cache"
    config = model.config
    ternary = architecture.startswith("bitnet")
    randomise(model, ternary)
    ids = torch.tensor([[(i * i * 31 + 7 * i + 1) % config.vocab_size for i in range(POSITIONS)]])
    mask = torch.full((1, 1, POSITIONS, POSITIONS), float("-inf")).triu(1)
    with torch.no_grad():
        logits = model(ids, attention_mask=mask).logits[0].float()
    (OUT / f"{name}.f32").write_bytes(logits.contiguous().numpy().astype("<f4").tobytes())

    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer = gguf.GGUFWriter(OUT / f"{name}.gguf", architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    if architecture == "phi2":
        writer.add_layer_norm_eps(config.layer_norm_eps)
    else:
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if head_dim != config.hidden_size // heads:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(int(head_dim * config.rope_parameters.get("partial_rotary_factor", 1)))
    add_rope(writer, config)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    weights = {gguf_name(name): tensor.numpy() for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        weights.pop("output.weight", None)
    if name == FUSED:
        for layer in range(config.num_hidden_layers):
            for kind in ("weight", "bias"):
                weights[f"blk.{layer}.attn_qkv.{kind}"] = np.concatenate([weights.pop(f"blk.{layer}.attn_{part}.{kind}") for part in "qkv"])
    for ours, values in weights.items():
        if architecture == "llama" and ".attn_q." in ours:
            values = interleaved(values, heads)
        if architecture == "llama" and ".attn_k." in ours:
            values = interleaved(values, kv_heads)
        kind = TERNARY_TYPES.get(ours.split(".")[2], "F16") if ternary and ours.startswith("blk.") else "F16"
        if values.ndim == 1:
            writer.add_tensor(ours, values.astype("<f4"))
        elif kind == "F16":
            writer.add_tensor(ours, values.astype("<f2"))
        else:
            packed = gguf.quants.quantize(values, TYPE[kind])
            assert (gguf.quants.dequantize(packed, TYPE[kind]) == values).all()
            writer.add_tensor(ours, packed, raw_dtype=TYPE[kind])
    if config.rope_parameters["rope_type"] == "llama3":
        plain = 10000.0 ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
        writer.add_tensor("rope_freqs.weight", (plain / model.model.rotary_emb.inv_freq.double()).numpy().astype("<f4"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    size = (OUT / f"{name}.gguf").stat().st_size
    print(f"{name}: {size} bytes, logits {logits.min():.3f} to {logits.max():.3f}")


# --- Seeds ---------------------------------------------------------------------------------------------------------------------

def make_seed(random, architecture, kind, tokenizer):
    dim, vocab = 32, 6
    weights, size = gguf.GGML_QUANT_SIZES[TYPE[kind]]
    writer = gguf.GGUFWriter(CORPUS / architecture, architecture)
    writer.add_context_length(8)
    writer.add_embedding_length(dim)
    writer.add_block_count(1)
    writer.add_feed_forward_length(dim)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model(tokenizer)
    if tokenizer == "gpt2":
        writer.add_tokenizer_pre("qwen2")
        writer.add_token_list(["a", "b", "ab", "<|im_end|>", "c", "[PAD]"])
        writer.add_token_types([1, 1, 1, 3, 4, 5])
        writer.add_token_merges(["a b"])
    else:
        writer.add_token_list(["<unk>", "<s>", "</s>", "\u2581", "\u2581a", "<0x0A>"])
        writer.add_token_scores([0.0, 0.0, 0.0, -1.0, -2.0, 0.0])
        writer.add_token_types([2, 3, 3, 1, 1, 6])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{{ messages }}")
    layer = {f"blk.0.{name}.weight": dim for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")}
    for name, rows in {"token_embd.weight": vocab, **layer}.items():
        writer.add_tensor(name, random_blocks(random, rows, dim // weights * size, size, HALVES[kind]), raw_dtype=TYPE[kind])
    for name in ("output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"):
        writer.add_tensor(name, np.ones(dim, "<f4"))
    if architecture == "llama":
        writer.add_tensor("rope_freqs.weight", np.full(dim // 4, 2, "<f4"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    CORPUS.mkdir(parents=True, exist_ok=True)
    make_seed(np.random.default_rng(3), "llama", "Q4_0", "llama")
    make_seed(np.random.default_rng(4), "qwen2", "Q8_0", "gpt2")
    random = np.random.default_rng(2)
    make_types(random)
    make_more_types(random)
    for name in MODELS:
        make_model(name)


if __name__ == "__main__":
    main()
