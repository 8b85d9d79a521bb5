#!/usr/bin/env python3
"""Files of random weights in the shapes that other engines are measured with beside this one.

    pip install numpy gguf
    tools/bench/rival_model.py bitnet-25 2b4t-f16.gguf      # BitNet b1.58 2B4T; ik_llama.cpp knows this name of the architecture
    tools/bench/rival_model.py bitnet 2b4t-f16.gguf         # llama.cpp knows this one
    tools/bench/rival_model.py rwkv7 0.4b-f16.gguf          # RWKV-7 0.4B for llama.cpp
    tools/bench/rival_model.py rwkv.cpp 0.4b-f16.bin        # for rwkv.cpp (its docs/FILE_FORMAT.md)

The files hold f16; the engines' own quantisers make IQ2_BN, TQ2_0, Q8_0, ... of them. Speed does not depend on the values of
weights, so all layers share one matrix of each shape.
"""
import struct
import sys

import gguf
import numpy as np

import bitnet_2b4t

random = np.random.default_rng(1)


def normal(rows, columns):
    return (random.standard_normal((rows, columns)) * 0.02).astype(np.float16)


def bitnet(architecture, path):
    width, ffn, vocabulary = bitnet_2b4t.WIDTH, bitnet_2b4t.FFN, bitnet_2b4t.VOCABULARY

    def ternary(rows, columns):
        return (random.integers(-1, 2, (rows, columns)) * 0.02).astype(np.float16)

    ones, wide_ones = np.ones(width, np.float32), np.ones(ffn, np.float32)
    q, kv = ternary(width, width), ternary(bitnet_2b4t.KV, width)
    up, down = ternary(ffn, width), ternary(width, ffn)

    out = gguf.GGUFWriter(path, architecture)
    bitnet_2b4t.describe(out)
    out.add_vocab_size(vocabulary)
    out.add_tensor("token_embd.weight", normal(vocabulary, width))
    out.add_tensor("output_norm.weight", ones)
    for layer in range(bitnet_2b4t.LAYERS):
        for name, values in (("attn_norm", ones), ("attn_q", q), ("attn_k", kv), ("attn_v", kv), ("attn_sub_norm", ones),
                             ("attn_output", q), ("ffn_norm", ones), ("ffn_gate", up), ("ffn_up", up),
                             ("ffn_sub_norm", wide_ones), ("ffn_down", down)):
            out.add_tensor(f"blk.{layer}.{name}.weight", values)
    write(out)


def write(out):
    out.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    out.add_tokenizer_model("no_vocab")
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file(progress=True)
    out.close()


# RWKV-7 0.4B, as synthetic:rwkv7-0.4b has it.
WIDTH, FFN, LAYERS, HEAD, VOCABULARY = 1024, 4096, 24, 64, 65536
RANKS = {"w": 64, "a": 64, "v": 32, "g": 128}


def rwkv7_layer():
    """What all layers have, by the author's names; low-rank matrices as (outputs, inputs)."""
    square, one, half = normal(WIDTH, WIDTH), np.ones(WIDTH, np.float32), np.full(WIDTH, 0.5, np.float32)
    zero = np.zeros(WIDTH, np.float32)
    layer = {"ln1.weight": one, "ln1.bias": zero, "ln2.weight": one, "ln2.bias": zero,
             "att.x_rwkvag": np.full((6, 1, 1, WIDTH), 0.5, np.float32), "att.k_k": one, "att.k_a": one,
             "att.r_k": np.full((WIDTH // HEAD, HEAD), 0.1, np.float32), "att.ln_x.weight": one, "att.ln_x.bias": zero,
             "ffn.x_k": half, "ffn.key.weight": normal(FFN, WIDTH), "ffn.value.weight": normal(WIDTH, FFN)}
    for name in ("receptance", "key", "value", "output"):
        layer[f"att.{name}.weight"] = square
    for letter, rank in RANKS.items():
        if letter != "g":
            layer[f"att.{letter}0"] = zero
        layer[f"att.{letter}1"], layer[f"att.{letter}2"] = normal(rank, WIDTH), normal(WIDTH, rank)
    return layer


def rwkv7_gguf(path):
    names = {"ln1": "attn_norm", "ln2": "attn_norm_2", "att.ln_x": "time_mix_ln", "att.x_rwkvag": "time_mix_lerp_fused",
             "ffn.x_k": "channel_mix_lerp_k", "ffn": "channel_mix", "att": "time_mix"}
    out = gguf.GGUFWriter(path, "rwkv7")
    out.add_context_length(4096)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(FFN)
    out.add_head_count(0)
    out.add_layer_norm_eps(1e-5)
    out.add_token_shift_count(2)
    out.add_wkv_head_size(HEAD)
    out.add_decay_lora_rank(RANKS["w"])
    out.add_iclr_lora_rank(RANKS["a"])
    out.add_value_residual_mix_lora_rank(RANKS["v"])
    out.add_gate_lora_rank(RANKS["g"])
    out.add_vocab_size(VOCABULARY)
    one, zero = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    for name in ("token_embd_norm", "output_norm"):
        out.add_tensor(f"{name}.weight", one)
        out.add_tensor(f"{name}.bias", zero)
    matrix = normal(VOCABULARY, WIDTH)
    out.add_tensor("token_embd.weight", matrix)
    out.add_tensor("output.weight", matrix)
    layer = rwkv7_layer()
    for index in range(LAYERS):
        for name, values in layer.items():
            if index == 0 and name in ("att.v1", "att.v2"):  # has them without using them, as wide as those of `a`
                values = layer[name.replace("v", "a")]
            stem, suffix = (name.rsplit(".", 1) + [""])[:2] if name.endswith((".weight", ".bias")) else (name, "weight")
            if stem in names:
                stem = names[stem]
            else:
                block, rest = stem.split(".", 1)
                stem = f"{names[block]}_{rest}"
            shaped = values.reshape(-1) if name == "att.r_k" else values
            out.add_tensor(f"blk.{index}.{stem}.{suffix}", shaped)
    write(out)


def rwkv_cpp(path):
    with open(path, "wb") as out:
        out.write(struct.pack("=6i", 0x67676D66, 101, VOCABULARY, WIDTH, LAYERS, 1))

        def add(name, values):
            out.write(struct.pack("=3i", values.ndim, len(name), values.dtype == np.float16))
            out.write(struct.pack(f"={values.ndim}i", *reversed(values.shape)) + name.encode() + values.tobytes())

        one, zero, matrix = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32), normal(VOCABULARY, WIDTH)
        for name, values in (("emb.weight", matrix), ("blocks.0.ln0.weight", one), ("blocks.0.ln0.bias", zero),
                             ("ln_out.weight", one), ("ln_out.bias", zero), ("head.weight", matrix)):
            add(name, values)
        layer = rwkv7_layer()
        layer["att.x_rwkvag"] = layer["att.x_rwkvag"].reshape(6, 1, WIDTH)
        for index in range(LAYERS):
            for name, values in layer.items():
                if index > 0 or not name.startswith("att.v") or name == "att.value.weight":
                    add(f"blocks.{index}.{name}", values)


kind, path = sys.argv[1:3]
if kind == "rwkv7":
    rwkv7_gguf(path)
elif kind == "rwkv.cpp":
    rwkv_cpp(path)
else:
    bitnet(kind, path)
