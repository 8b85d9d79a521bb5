#!/usr/bin/env python3
"""Times rwkv.cpp: ms a token, each computed from the state of the one before; or quantises a file for it.

    tools/bench/rival_rwkv.py librwkv.so 0.4b-f16.bin quantise Q8_0 0.4b-q8.bin
    tools/bench/rival_rwkv.py librwkv.so 0.4b-q8.bin THREADS TOKENS
"""
import ctypes
import statistics
import sys
import time

library, model = ctypes.CDLL(sys.argv[1]), sys.argv[2].encode()
if sys.argv[3] == "quantise":
    library.rwkv_quantize_model_file.restype = ctypes.c_bool
    sys.exit(not library.rwkv_quantize_model_file(model, sys.argv[5].encode(), sys.argv[4].encode()))

library.rwkv_init_from_file.restype = ctypes.c_void_p
for name in ("rwkv_get_state_len", "rwkv_get_logits_len"):
    getattr(library, name).argtypes, getattr(library, name).restype = [ctypes.c_void_p], ctypes.c_size_t
floats = ctypes.POINTER(ctypes.c_float)
library.rwkv_eval.argtypes = [ctypes.c_void_p, ctypes.c_uint32, floats, floats, floats]
library.rwkv_eval.restype = ctypes.c_bool

threads, tokens = int(sys.argv[3]), int(sys.argv[4])
context = library.rwkv_init_from_file(model, ctypes.c_uint32(threads), ctypes.c_uint32(0))
if not context:
    sys.exit(f"{sys.argv[2]}: not loaded")
state = (ctypes.c_float * library.rwkv_get_state_len(context))()
logits = (ctypes.c_float * library.rwkv_get_logits_len(context))()
times = []
for token in range(tokens + 2):
    start = time.perf_counter()
    if not library.rwkv_eval(context, 100 + token, state if token else None, state, logits):
        sys.exit("a token failed")
    times.append(time.perf_counter() - start)
middle = statistics.median(times[2:])
print(f"{1 / middle:.2f} tok/s, {middle * 1e3:.3f} ms a token (median of {tokens}), {threads} threads")
