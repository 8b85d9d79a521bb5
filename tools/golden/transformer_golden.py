#!/usr/bin/env python3
"""Small transformers with odd shapes, and what `transformers` computes of them in float32:

  python3 tools/golden/transformer_golden.py [NAME...]        -> tests/golden/transformers/

NAME/ has the config.json that transformers saves; weights.txt: what the tensors of model.safetensors are, one a line, so that
tests write that file themselves; and logits.f32: (positions, vocabulary) little endian, after each of the ids
(31 i^2 + 7 i + 1) mod vocabulary, i = 0 to 63, or as far as LONG says. Models with int8 activations also have input.txt, codes.i8 and outputs.f32:
layers.0.mlp.down_proj alone, see write_layer.

A line of weights.txt is "name dtype shape kind number...". Element i of line n is made of 64 bits b, src/base/random's
random_bits(n, i):
  uniform OFFSET STEP    OFFSET + STEP * (the highest byte of b as a signed number)
  fine OFFSET STEP       the same with the highest 20 bits, so that quantised products of them are not halves by accident
  ternary SCALE          SCALE * (the lowest byte of b mod 3 - 1)
  packed                 U8: the sum over j < 4 of (byte j of b mod 3) * 4^j
  value VALUE            VALUE
"""
import json
import math
import os
import pathlib
import sys
import tempfile

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # transformers marks the parts of its BitLinear for compilation
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import (AutoModelForCausalLM, BitNetConfig, BitNetQuantConfig, LlamaConfig, MistralConfig, PhiConfig,
                          Qwen2Config, Qwen3Config)
from transformers.integrations.bitnet import BitLinear
from transformers.utils import logging

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/transformers"
POSITIONS = 64
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "U8": torch.uint8}


def random_bits(seed, count):
    """src/base/random.cpp: Philox4x32-10 with the index as counter."""
    low = np.uint64(0xFFFFFFFF)
    index = np.arange(count, dtype=np.uint64)
    c = [index & low, index >> np.uint64(32), np.zeros(count, np.uint64), np.zeros(count, np.uint64)]
    key0, key1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        product0, product1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(product1 >> np.uint64(32)) ^ c[1] ^ np.uint64(key0), product1 & low,
             (product0 >> np.uint64(32)) ^ c[3] ^ np.uint64(key1), product0 & low]
        key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
    return c[1] << np.uint64(32) | c[0]


def values_of(line, number):
    name, dtype, shape, kind, *numbers = line.split()
    shape = [int(size) for size in shape.split("x")]
    numbers = [float.fromhex(value) for value in numbers]
    bits = random_bits(number, math.prod(shape))
    if kind == "uniform":
        values = numbers[0] + numbers[1] * (bits >> np.uint64(56)).astype(np.uint8).astype(np.int8).astype(np.float64)
    elif kind == "fine":
        values = numbers[0] + numbers[1] * (bits.view(np.int64) >> 44).astype(np.float64)
    elif kind == "ternary":
        values = numbers[0] * ((bits & np.uint64(255)).astype(np.float64) % 3 - 1)
    elif kind == "packed":
        values = sum(((bits >> np.uint64(8 * j)) & np.uint64(255)) % np.uint64(3) << np.uint64(2 * j) for j in range(4))
    else:
        values = np.full(len(bits), numbers[0])
    exact = torch.from_numpy(values.astype(np.uint8 if kind == "packed" else np.float64)).reshape(shape)
    tensor = exact.to(DTYPES[dtype])
    assert (tensor.double() == exact.double()).all(), f"{line}: not exact in its dtype"
    return name, tensor


def power_of_two(value):
    return 2.0 ** round(math.log2(value))


def short(value):
    """Five significant bits, which any dtype holds."""
    step = 2.0 ** (math.floor(math.log2(value)) - 4)
    return round(value / step) * step


def describe(name, shape, dtype, matrices, calm):
    """The line of one tensor of a model. Norms have weights of 0 to 2; queries, keys and the head are large enough that
    attention picks and logits spread; less so in a calm model, where a code that falls to the other side of a half should not
    change all that follows."""
    if name.endswith("weight_scale"):
        return None
    if len(shape) == 1:
        offset, step = 2 if "q_norm" in name or "k_norm" in name else 1, 2**-19
        if name.endswith("bias"):
            offset, step = 0, 2**-21
        return f"F32 {shape[0]} fine {float(offset).hex()} {float(step).hex()}"
    gain = 3 if "lm_head" in name else 2 if "q_proj" in name or "k_proj" in name else 1.4
    if calm:
        gain = 1
    size = f"{shape[0]}x{shape[1]}"
    if "embed_tokens" in name:
        return f"{dtype} {size} uniform {0.0.hex()} {(2**-10 if calm else 2**-7).hex()}"
    if matrices == "floats" or "lm_head" in name:
        return f"{dtype} {size} uniform {0.0.hex()} {power_of_two(gain * math.sqrt(3 / shape[1]) / 128).hex()}"
    scale = short(gain * math.sqrt(1.5 / shape[1]))
    if matrices == "ternary":
        return f"{dtype} {size} ternary {scale.hex()}"
    stored = short(1 / scale) if matrices == "divides" else scale
    codes = f"{dtype} {size} ternary {1.0.hex()}" if matrices == "codes" else f"U8 {shape[0] // 4}x{shape[1]} packed"
    return f"{codes}\n{name}_scale F32 1 value {stored.hex()}"


def rope(kind, **more):
    return {"rope_type": kind, "rope_theta": 10000.0, **more}


OLD_NAMES = {"attn_sub_norm": "inner_attn_ln", "ffn_sub_norm": "ffn_layernorm"}  # of BitnetForCausalLM

# name: configuration, dtype of the floats, what the matrices of the layers are, names if not those of transformers
MODELS = {
    "llama": (LlamaConfig(
        vocab_size=61, hidden_size=75, intermediate_size=131, num_hidden_layers=3, num_attention_heads=5,
        num_key_value_heads=1, head_dim=20, max_position_embeddings=128, tie_word_embeddings=True, rms_norm_eps=1e-5,
        rope_parameters=rope("llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
                             original_max_position_embeddings=32)), "BF16", "floats"),
    "llama_bias": (LlamaConfig(
        vocab_size=45, hidden_size=50, intermediate_size=77, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=100, max_position_embeddings=96, attention_bias=True, mlp_bias=True,
        rope_parameters=rope("linear", factor=2.5)), "F16", "floats"),
    "mistral": (MistralConfig(
        vocab_size=61, hidden_size=90, intermediate_size=70, num_hidden_layers=3, num_attention_heads=3,
        num_key_value_heads=1, head_dim=80, max_position_embeddings=128, sliding_window=17), "BF16", "floats"),
    "mistral_yarn": (MistralConfig(
        vocab_size=53, hidden_size=44, intermediate_size=99, num_hidden_layers=2, num_attention_heads=10,
        num_key_value_heads=2, head_dim=12, max_position_embeddings=128, sliding_window=None, tie_word_embeddings=True,
        rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=24)), "F32", "floats"),
    "qwen2": (Qwen2Config(
        vocab_size=61, hidden_size=60, intermediate_size=83, num_hidden_layers=3, num_attention_heads=5,
        num_key_value_heads=1, max_position_embeddings=128, tie_word_embeddings=True,
        rope_parameters=rope("yarn", factor=3.0, original_max_position_embeddings=40, attention_factor=1.25,
                             beta_fast=16.0, beta_slow=2.0)), "BF16", "floats"),
    "qwen2_window": (Qwen2Config(
        vocab_size=39, hidden_size=160, intermediate_size=66, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=128, use_sliding_window=True, sliding_window=9,
        max_window_layers=0, rope_parameters=rope("dynamic", factor=2.0)), "F16", "floats"),
    "qwen3": (Qwen3Config(
        vocab_size=61, hidden_size=70, intermediate_size=91, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=1, head_dim=100, max_position_embeddings=128, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6}), "BF16", "floats"),
    "qwen3_tied": (Qwen3Config(
        vocab_size=51, hidden_size=52, intermediate_size=37, num_hidden_layers=2, num_attention_heads=5,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=128, tie_word_embeddings=True, attention_bias=True,
        rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=32, truncate=False)), "F32", "floats"),
    "phi": (PhiConfig(
        vocab_size=61, hidden_size=160, intermediate_size=101, num_hidden_layers=3, num_attention_heads=2,
        max_position_embeddings=128, rope_parameters=rope("default", partial_rotary_factor=0.4)), "F16", "floats"),
    "phi_tied": (PhiConfig(
        vocab_size=47, hidden_size=60, intermediate_size=75, num_hidden_layers=2, num_attention_heads=5,
        num_key_value_heads=1, max_position_embeddings=128, tie_word_embeddings=True, hidden_act="gelu_pytorch_tanh",
        layer_norm_eps=1e-3, rope_parameters=rope("linear", factor=2.0, partial_rotary_factor=0.5)), "BF16", "floats"),
    "bitnet": (BitNetConfig(
        vocab_size=61, hidden_size=60, intermediate_size=132, num_hidden_layers=3, num_attention_heads=5,
        num_key_value_heads=1, max_position_embeddings=128, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0}), "BF16", "ternary"),
    "bitnet_untied": (BitNetConfig(
        vocab_size=45, hidden_size=200, intermediate_size=53, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=128, attention_bias=True, bos_token_id=1, eos_token_id=2,
        rope_parameters=rope("linear", factor=1.5)), "F32", "ternary"),
    "bitnet_old": (BitNetConfig(
        vocab_size=61, hidden_size=100, intermediate_size=66, num_hidden_layers=3, num_attention_heads=1,
        num_key_value_heads=1, max_position_embeddings=128, hidden_act="silu", tie_word_embeddings=True, bos_token_id=1,
        eos_token_id=2, rope_parameters=rope("default")), "F16", "ternary", OLD_NAMES),
    "bitnet_old_untied": (BitNetConfig(
        vocab_size=45, hidden_size=80, intermediate_size=99, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, hidden_act="silu", rms_norm_eps=1e-6, bos_token_id=1,
        eos_token_id=2, rope_parameters=rope("default")), "F32", "ternary", OLD_NAMES),
}

# More of what a configuration can say: further positions than a window has, tensors that the class does not have or need not
# have, with what transformers says of them.
SPECIAL_MODELS = {
    "qwen2_some_windows": (Qwen2Config(
        vocab_size=41, hidden_size=48, intermediate_size=52, num_hidden_layers=4, num_attention_heads=3,
        num_key_value_heads=1, max_position_embeddings=512, use_sliding_window=True, sliding_window=37,
        max_window_layers=2), "BF16", "floats"),
    "qwen3_some_windows": (Qwen3Config(
        vocab_size=41, hidden_size=44, intermediate_size=50, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=1, head_dim=28, max_position_embeddings=512, use_sliding_window=True, sliding_window=61,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"]), "F16", "floats"),
    "mistral_far": (MistralConfig(
        vocab_size=41, hidden_size=40, intermediate_size=56, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, sliding_window=64), "BF16", "floats"),
    "llama_dynamic": (LlamaConfig(
        vocab_size=41, hidden_size=40, intermediate_size=56, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=160, rope_parameters=rope("dynamic", factor=4.0)), "F32", "floats"),
    "llama_own_head": (LlamaConfig(
        vocab_size=41, hidden_size=40, intermediate_size=56, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=True,
        rope_parameters=rope("default", partial_rotary_factor=0.5)), "F16", "floats"),
    "bitnet_floats": (BitNetConfig(
        vocab_size=41, hidden_size=48, intermediate_size=52, num_hidden_layers=2, num_attention_heads=3,
        num_key_value_heads=1, max_position_embeddings=128, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
        rope_parameters=rope("default")), "BF16", "floats"),
}
LONG = {"qwen2_some_windows": 300, "qwen3_some_windows": 300, "mistral_far": 200, "llama_dynamic": 160}
ADDED = {"llama_own_head": {"lm_head.weight": (41, 40), "model.layers.0.self_attn.q_proj.bias": (40,),
                            "model.layers.1.mlp.down_proj.bias": (40,)}}
SURPLUS = {"llama_own_head": ["model.layers.0.self_attn.q_proj.bias", "model.layers.1.mlp.down_proj.bias"]}

# The same with int8 activations: transformers' BitLinear and AutoBitLinear.
TERNARY_MODELS = {
    "ternary_bitnet": (BitNetConfig(
        vocab_size=61, hidden_size=320, intermediate_size=692, num_hidden_layers=3, num_attention_heads=5,
        num_key_value_heads=1, max_position_embeddings=128, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        quantization_config=BitNetQuantConfig(linear_class="autobitlinear", quantization_mode="offline")),
        "BF16", "multiplies"),
    "ternary_falcon": (LlamaConfig(
        vocab_size=61, hidden_size=240, intermediate_size=516, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128,
        quantization_config=BitNetQuantConfig(linear_class="bitlinear", quantization_mode="offline")), "BF16", "divides"),
    "ternary_codes": (Qwen3Config(
        vocab_size=53, hidden_size=300, intermediate_size=404, num_hidden_layers=2, num_attention_heads=5,
        num_key_value_heads=1, head_dim=20, max_position_embeddings=128, tie_word_embeddings=True,
        quantization_config=BitNetQuantConfig(linear_class="autobitlinear", quantization_mode="offline")), "F16", "codes"),
    "ternary_master": (BitNetConfig(
        vocab_size=45, hidden_size=200, intermediate_size=332, num_hidden_layers=2, num_attention_heads=1,
        num_key_value_heads=1, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, rope_parameters=rope("default"),
        quantization_config=BitNetQuantConfig(linear_class="autobitlinear", quantization_mode="online")),
        "BF16", "floats"),
}


def write_weights(path, lines):
    path.write_text("".join(line + "\n" for line in lines))
    return dict(values_of(line, number) for number, line in enumerate(lines, 1))


def in_float32(model):
    """What a quantised model leaves in the dtype of its file."""
    for module in model.modules():
        for tensor in [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
            if tensor.is_floating_point():
                tensor.data = tensor.data.float()
        if isinstance(module, BitLinear):
            module.dtype = torch.float32


def make_model(name, config, dtype, matrices, renamed={}):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    plain = type(config)(**{key: value for key, value in config.to_dict().items() if key != "quantization_config"})
    lines, quantised = [], hasattr(config, "quantization_config")
    for key, tensor in AutoModelForCausalLM.from_config(plain).state_dict().items():
        if plain.tie_word_embeddings and key == "lm_head.weight":
            continue
        lines += f"{key} {describe(key, tuple(tensor.shape), dtype, matrices, quantised)}".split("\n")
    lines += [f"{key} {describe(key, shape, dtype, matrices, quantised)}" for key, shape in ADDED.get(name, {}).items()]
    tensors = write_weights(folder / "weights.txt", lines)
    config.architectures = [type(AutoModelForCausalLM.from_config(plain)).__name__]
    config.dtype = torch.float32
    with tempfile.TemporaryDirectory() as temporary:
        config.save_pretrained(temporary)
        save_file(tensors, temporary + "/model.safetensors", metadata={"format": "pt"})
        saved = json.loads(pathlib.Path(temporary, "config.json").read_text())
        model, info = AutoModelForCausalLM.from_pretrained(temporary, dtype=torch.float32, attn_implementation="eager",
                                                           output_loading_info=True)
    assert {key: sorted(found) for key, found in info.items() if found} == (
        {"unexpected_keys": SURPLUS[name]} if name in SURPLUS else {}), info
    in_float32(model)
    if renamed:  # only the names differ from BitNetForCausalLM
        saved["architectures"] = ["BitnetForCausalLM"]
        text = (folder / "weights.txt").read_text()
        for ours, theirs in renamed.items():
            text = text.replace(ours, theirs)
        (folder / "weights.txt").write_text(text)
    (folder / "config.json").write_text(json.dumps(saved, indent=1) + "\n")
    vocabulary = config.vocab_size
    positions = LONG.get(name, POSITIONS)
    ids = torch.tensor([[(i * i * 31 + 7 * i + 1) % vocabulary for i in range(positions)]])
    with torch.no_grad():
        out = model.eval()(ids, output_attentions=True)
    logits = out.logits[0].float()
    (folder / "logits.f32").write_bytes(logits.contiguous().numpy().astype("<f4").tobytes())
    if quantised:
        write_layer(folder, model.model.layers[0].mlp.down_proj)
    peak = torch.stack(out.attentions)[..., positions // 2:, :].max(-1).values.mean().item()
    print(f"{name}: logits {logits.min():.2f} to {logits.max():.2f}, mean largest attention {peak:.2f}")
    assert logits.max() - logits.min() > 4 and 0.05 < peak < 0.95


def write_layer(folder, layer):
    """What a ternary layer makes of 9 inputs: the int8 codes, and its outputs."""
    inputs = write_weights(folder / "input.txt", [f"input F32 9x{layer.in_features} fine 0x1p-2 0x3p-21"])["input"]
    inputs *= 2.0 ** (-2 * torch.arange(9))[:, None]  # the last are below the floor of the scale
    with torch.no_grad():
        codes, _ = BitLinear.activation_quant(None, inputs)
        outputs = layer(inputs)
    (folder / "codes.i8").write_bytes(codes.contiguous().numpy().tobytes())
    (folder / "outputs.f32").write_bytes(outputs.contiguous().numpy().astype("<f4").tobytes())


def main():
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    wanted = sys.argv[1:]
    for name, model in {**MODELS, **SPECIAL_MODELS, **TERNARY_MODELS}.items():
        if not wanted or name in wanted:
            make_model(name, *model)


if __name__ == "__main__":
    main()
