#!/usr/bin/env python3
"""Random weights in the formats of engines in C, for measuring them beside this one (rival_model.py has the others).

    pip install numpy gguf
    tools/bench/rival_c.py i2_s 2b4t-i2s.gguf           # BitNet b1.58 2B4T for bitnet.c: f16 embedding, invented tokens
    tools/bench/rival_c.py folder 2b4t                  # ... for Project Zero's converter, with a tokenizer.bin
    tools/bench/rival_c.py llama2c 15m.bin              # llama2.c's 15M shape in f32
    tools/bench/rival_c.py llama2c-int8 15m-q80.bin     # ... in int8, for runq

Speed does not depend on the values of weights, so all layers share one matrix of each shape.
"""
import json
import pathlib
import struct
import sys

import numpy as np

import bitnet_2b4t
from bitnet_2b4t import CONTEXT, FFN, HEADS, KV, KV_HEADS, LAYERS, VOCABULARY, WIDTH

I2_S = 36  # bitnet.cpp's number of the type
random = np.random.default_rng(1)


def ternary(rows, columns):
    return random.integers(0, 3, (rows, columns), np.uint8)  # weight + 1


def noise(*shape):
    return (random.standard_normal(shape, np.float32) * 0.02).astype(np.float32)


def i2_s(codes):
    """128 weights in 32 bytes, the first 32 in the highest bits; then the scale."""
    runs = codes.reshape(-1, 4, 32)
    packed = runs[:, 0] << 6 | runs[:, 1] << 4 | runs[:, 2] << 2 | runs[:, 3]
    return np.concatenate([packed.reshape(-1), np.frombuffer(struct.pack("<f28x", 0.02), np.uint8)]).view(np.int8)


def bitnet_layer():
    q, kv, up, down = ternary(WIDTH, WIDTH), ternary(KV, WIDTH), ternary(FFN, WIDTH), ternary(WIDTH, FFN)
    return {"attn_q": q, "attn_k": kv, "attn_v": kv, "attn_output": q, "ffn_gate": up, "ffn_up": up, "ffn_down": down}


def token_names():
    return [f"<0x{i:02X}>" if i < 256 else f"<{i}>" for i in range(VOCABULARY)]


def write_i2_s(path):
    import gguf
    out = gguf.GGUFWriter(path, "bitnet-b1.58")
    bitnet_2b4t.describe(out)
    out.add_tokenizer_model("gpt2")
    out.add_token_list(token_names())
    out.add_tensor("token_embd.weight", noise(VOCABULARY, WIDTH).astype(np.float16))
    out.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    norms = {"attn_norm": WIDTH, "attn_sub_norm": WIDTH, "ffn_norm": WIDTH, "ffn_sub_norm": FFN}
    matrices = bitnet_layer()
    for layer in range(LAYERS):
        for name, width in norms.items():
            out.add_tensor(f"blk.{layer}.{name}.weight", np.ones(width, np.float32))
        for name, codes in matrices.items():
            out.add_tensor(f"blk.{layer}.{name}.weight", i2_s(codes), raw_shape=codes.shape, raw_dtype=I2_S)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file(progress=True)
    out.close()


def write_folder(path):
    """Like the published folder: four rows to a byte, row r beside r + rows / 4, and a scale."""
    folder = pathlib.Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["BitNetForCausalLM"], "hidden_size": WIDTH, "intermediate_size": FFN, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "vocab_size": VOCABULARY,
        "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "tie_word_embeddings": True}))
    names = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
             "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
             "ffn_down": "mlp.down_proj"}
    norms = {"input_layernorm": WIDTH, "post_attention_layernorm": WIDTH, "self_attn.attn_sub_norm": WIDTH,
             "mlp.ffn_sub_norm": FFN}
    packed = {}
    for name, codes in bitnet_layer().items():
        part = codes.reshape(4, -1, codes.shape[1])
        packed[names[name]] = part[0] | part[1] << 2 | part[2] << 4 | part[3] << 6
    tensors = [("model.embed_tokens.weight", noise(VOCABULARY, WIDTH).astype(np.float16)),
               ("model.norm.weight", np.ones(WIDTH, np.float32))]
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        tensors += [(f"{at}{name}.weight", np.ones(width, np.float32)) for name, width in norms.items()]
        for name, values in packed.items():
            tensors += [(f"{at}{name}.weight", values), (f"{at}{name}.weight_scale", np.ones(1, np.float32))]
    header, end = {}, 0
    for name, values in tensors:
        kind = {"uint8": "U8", "float16": "F16", "float32": "F32"}[values.dtype.name]
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [end, end + values.nbytes]}
        end += values.nbytes
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for _, values in tensors:
            out.write(values.tobytes())
    names = [name.encode() for name in token_names()]
    with open(folder / "tokenizer.bin", "wb") as out:
        out.write(struct.pack("<ii", len(names), max(map(len, names))))
        for i, name in enumerate(names):
            out.write(struct.pack("<fi", -i, len(name)) + name)


def write_llama2c(path, int8):
    dim, ffn, layers, heads, vocabulary, context, group = 288, 768, 6, 6, 32000, 256, 32
    head = struct.pack("<7i", dim, ffn, layers, heads, heads, vocabulary, context)
    shapes = {"wq": (dim, dim), "wk": (dim, dim), "wv": (dim, dim), "wo": (dim, dim), "w1": (ffn, dim), "w2": (dim, ffn),
              "w3": (ffn, dim)}
    embedding = noise(vocabulary, dim)
    weights = {name: noise(*shape) for name, shape in shapes.items()}
    ones = np.ones((layers, dim), np.float32).tobytes()
    with open(path, "wb") as out:
        if not int8:
            out.write(head + embedding.tobytes() + ones)
            for name in ("wq", "wk", "wv", "wo"):
                out.write(weights[name].tobytes() * layers)
            out.write(ones)
            for name in ("w1", "w2", "w3"):
                out.write(weights[name].tobytes() * layers)
            out.write(ones[:4 * dim] + bytes(4 * context * dim // heads))  # the last norm; what once were angles
        else:
            out.write((b"24ka" + struct.pack("<i", 2) + head + struct.pack("<Bi", 1, group)).ljust(256, b"\0"))
            out.write(ones + ones + ones[:4 * dim])
            for values, times in [(embedding, 1)] + [(weights[name], layers) for name in shapes]:
                runs = values.reshape(-1, group)
                scales = np.abs(runs).max(1) / 127
                codes = np.rint(runs / scales[:, None]).astype(np.int8)
                out.write((codes.tobytes() + scales.astype(np.float32).tobytes()) * times)


def main():
    form, path = sys.argv[1:3]
    if form == "i2_s":
        write_i2_s(path)
    elif form == "folder":
        write_folder(path)
    elif form in ("llama2c", "llama2c-int8"):
        write_llama2c(path, form == "llama2c-int8")
    else:
        sys.exit(f"unknown form {form}: i2_s, folder, llama2c or llama2c-int8")


main()
