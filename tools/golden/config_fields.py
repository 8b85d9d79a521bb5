#!/usr/bin/env python3
"""The fields of transformers' configuration classes, and what a missing one stands for; and the keys of GGUF that an
architecture can have, by the package gguf:

  python3 tools/golden/config_fields.py        -> tests/golden/config_fields.txt

A line is "class field default", the default as JSON; it is the one before the class fills in what follows from other fields.
`rope_theta` is no field of transformers 5, but what stands for one that is nowhere."""
import dataclasses
import inspect
import json
import pathlib

import gguf
import transformers
from transformers import (BitNetConfig, BitNetQuantConfig, LlamaConfig, Mamba2Config, MambaConfig, MistralConfig, PhiConfig,
                          Qwen2Config, Qwen3Config, RwkvConfig)
from transformers.modeling_rope_utils import RopeParameters

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/config_fields.txt"
CLASSES = [LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config, PhiConfig, BitNetConfig, MambaConfig, Mamba2Config, RwkvConfig]


def default_of(field):
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else None


def fields_of(config):
    yield "model_type", config.model_type
    for field in dataclasses.fields(config):
        yield field.name, default_of(field)
    if "rope_parameters" in {field.name for field in dataclasses.fields(config)}:
        yield "rope_theta", config.default_theta


# Of other families: state spaces, experts, RWKV, several modalities.
ELSEWHERE = ("ssm.", "wkv.", "kda.", "shortconv.", "convnext.", "posnet.", "altup.", "expert", "moe_", "{dense}", "time_",
             "attention.group", "attention.decay_", "attention.iclr_", "attention.value_residual_", "attention.gate_",
             "decoder_block", "features_", "router_", "token_shift", "rescale_every", "swiglu_clamp_shexp")


def gguf_keys():
    for group in vars(gguf.constants.Keys).values():
        for key in vars(group).values() if isinstance(group, type) else ():
            if isinstance(key, str) and key.startswith("{arch}.") and not key[7:].startswith(ELSEWHERE):
                yield key[7:]


def main():
    lines = [f"{config.__name__} {name} {json.dumps(value)}" for config in CLASSES for name, value in fields_of(config)]
    lines += [f"RopeParameters {name} null" for name in RopeParameters.__annotations__]
    lines += [f"BitNetQuantConfig {name} {json.dumps(parameter.default)}"
              for name, parameter in inspect.signature(BitNetQuantConfig).parameters.items()
              if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    lines += [f"GGUF {key} null" for key in gguf_keys()]
    OUT.write_text(f"# transformers {transformers.__version__}\n" + "".join(line + "\n" for line in lines))
    print(f"{len(lines)} fields")


if __name__ == "__main__":
    main()
