#!/usr/bin/env python3
"""A GGUF file of random ternary weights in the shape of BitNet b1.58 2B4T, for measuring other engines beside this one.

    pip install numpy gguf
    tools/bench/rival_model.py bitnet-25 2b4t-f16.gguf      # ik_llama.cpp knows this name of the architecture
    tools/bench/rival_model.py bitnet 2b4t-f16.gguf         # llama.cpp knows this one

The file holds f16 (4.8 GB); the engine's own llama-quantize makes IQ2_BN, TQ2_0, ... of it. Speed does not depend on the values
of weights, so all layers share one matrix of each shape.
"""
import sys

import gguf
import numpy as np

WIDTH, FFN, LAYERS, HEADS, KV_HEADS, VOCABULARY, CONTEXT = 2560, 6912, 30, 20, 5, 128256, 4096


def main():
    architecture, path = sys.argv[1:3]
    random = np.random.default_rng(1)

    def ternary(rows, columns):
        return (random.integers(-1, 2, (rows, columns)) * 0.02).astype(np.float16)

    ones, wide_ones = np.ones(WIDTH, np.float32), np.ones(FFN, np.float32)
    heads = HEADS, KV_HEADS
    q, kv = ternary(WIDTH, WIDTH), ternary(WIDTH * KV_HEADS // HEADS, WIDTH)
    up, down = ternary(FFN, WIDTH), ternary(WIDTH, FFN)
    embedding = (random.standard_normal((VOCABULARY, WIDTH)) * 0.02).astype(np.float16)

    out = gguf.GGUFWriter(path, architecture)
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(FFN)
    out.add_head_count(heads[0])
    out.add_head_count_kv(heads[1])
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_rope_freq_base(500000.0)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(VOCABULARY)
    out.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    out.add_tokenizer_model("no_vocab")
    out.add_tensor("token_embd.weight", embedding)
    out.add_tensor("output_norm.weight", ones)
    for layer in range(LAYERS):
        for name, values in (("attn_norm", ones), ("attn_q", q), ("attn_k", kv), ("attn_v", kv), ("attn_sub_norm", ones),
                             ("attn_output", q), ("ffn_norm", ones), ("ffn_gate", up), ("ffn_up", up),
                             ("ffn_sub_norm", wide_ones), ("ffn_down", down)):
            out.add_tensor(f"blk.{layer}.{name}.weight", values)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file(progress=True)
    out.close()


main()
