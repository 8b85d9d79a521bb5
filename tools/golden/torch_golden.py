#!/usr/bin/env python3
"""A file that torch.save writes, of views, shared storages, parameters and types; tests/test_pth.cpp says what is in it.

  python3 tools/golden/torch_golden.py      -> tests/golden/torch/views.pth, protocol4.pth, transposed.pth"""
import pathlib

import torch

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/torch"

if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    base = torch.arange(24, dtype=torch.float32) / 4 - 2
    half = (torch.arange(6) - 3).half()
    model = torch.nn.Module()
    model.whole = torch.nn.Parameter(base.view(4, 6))
    model.register_buffer("tail", base[18:])
    model.register_buffer("rows", base.view(4, 6)[1:3])
    model.register_buffer("one", base[7:8].view(1, 1, 1))
    model.register_buffer("scalar", base[5])
    model.register_buffer("none", base[24:])
    model.register_buffer("odd_stride", base.view(4, 6)[2:3, :])
    model.register_buffer("halves", half)
    model.register_buffer("halves_tail", half[4:])
    model.register_buffer("brain", half.bfloat16().view(2, 3))
    model.register_buffer("u8", torch.arange(250, 256).byte())
    model.register_buffer("i8", (torch.arange(3) - 1).char())
    model.register_buffer("i64", torch.arange(2))
    torch.save(model.state_dict(), OUT / "views.pth")
    torch.save(model.state_dict(), OUT / "protocol4.pth", pickle_protocol=4)
    torch.save({"t": base.view(4, 6).T}, OUT / "transposed.pth")
