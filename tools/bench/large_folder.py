#!/usr/bin/env python3
"""A Hugging Face folder of the shape of Llama 3 8B with random bf16 weights in safetensors shards, to measure the converter:

  python3 tools/bench/large_folder.py FOLDER [LAYERS]

32 layers take 16 GB of disk. Written front to back; no more than one tensor is in memory."""
import json
import pathlib
import random
import struct
import sys

DIM, FFN, KV, VOCAB = 4096, 14336, 1024, 128256
LAYERS_OF_A_SHARD = 4
BLOCK = 16 << 20

folder = pathlib.Path(sys.argv[1])
layers = int(sys.argv[2]) if len(sys.argv) > 2 else 32
folder.mkdir(parents=True, exist_ok=True)
(folder / "config.json").write_text(json.dumps({
    "architectures": ["LlamaForCausalLM"], "hidden_size": DIM, "intermediate_size": FFN, "num_hidden_layers": layers,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": VOCAB, "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5, "rope_theta": 500000.0}))

# Half of the values have magnitudes of 2^-7 to 2^-5, the others are smaller by 2^-2 each.
random.seed(1)
high = bytes(128 * (b & 1) + (0x3c if b & 2 else 0x3b if b & 4 else 0x3a) for b in range(256))
block = bytearray(random.randbytes(BLOCK))
block[1::2] = block[1::2].translate(high)


def layer(i):
    at = f"model.layers.{i}."
    yield from ((at + "input_layernorm.weight", [DIM]), (at + "post_attention_layernorm.weight", [DIM]),
                (at + "self_attn.q_proj.weight", [DIM, DIM]), (at + "self_attn.k_proj.weight", [KV, DIM]),
                (at + "self_attn.v_proj.weight", [KV, DIM]), (at + "self_attn.o_proj.weight", [DIM, DIM]),
                (at + "mlp.gate_proj.weight", [FFN, DIM]), (at + "mlp.up_proj.weight", [FFN, DIM]),
                (at + "mlp.down_proj.weight", [DIM, FFN]))


def size(shape):
    return 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)


shards = [[entry for i in range(first, min(first + LAYERS_OF_A_SHARD, layers)) for entry in layer(i)]
          for first in range(0, layers, LAYERS_OF_A_SHARD)]
shards.insert(0, [("model.embed_tokens.weight", [VOCAB, DIM])])
shards.append([("model.norm.weight", [DIM]), ("lm_head.weight", [VOCAB, DIM])])
index = {}
for number, tensors in enumerate(shards, 1):
    name = f"model-{number:05}-of-{len(shards):05}.safetensors"
    header, end = {}, 0
    for tensor, shape in tensors:
        header[tensor] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size(shape)]}
        index[tensor] = name
        end += size(shape)
    text = json.dumps(header).encode()
    with open(folder / name, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for tensor, shape in tensors:
            left, start = size(shape), 2 * random.randrange(BLOCK // 4)
            while left > 0:
                piece = memoryview(block)[start:start + left]
                out.write(piece)
                left, start = left - len(piece), 0
(folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
