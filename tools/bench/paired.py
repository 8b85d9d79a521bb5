#!/usr/bin/env python3
"""Two programs in turn on one model: tokens a second of both, and the ratio of their medians.

    tools/bench/paired.py PROGRAM_A PROGRAM_B MODEL [ROUNDS [options of bench]]

20 rounds and --threads 1 -n 16 unless told otherwise; every other round B is first. The answers must have the same bits. Run it
on a machine that does nothing else.
"""
import json
import statistics
import subprocess
import sys

if len(sys.argv) < 4:
    sys.exit(__doc__)
programs, model = sys.argv[1:3], sys.argv[3]
rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 20
options = sys.argv[5:] or ["--threads", "1", "-n", "16"]
figures = ("decode_tok_s", "prefill_tok_s")
speeds = {name: ([], []) for name in figures}
hashes = set()
for number in range(rounds):
    for which in (0, 1) if number % 2 == 0 else (1, 0):
        run = subprocess.run([programs[which], "bench", model, "--json", "--repeat", "1", *options], stdout=subprocess.PIPE)
        if run.returncode:
            sys.exit(f"{programs[which]} ended with exit code {run.returncode}")
        said = json.loads(run.stdout)
        hashes.add(said["logits_hash"])
        for name in figures:
            speeds[name][which].append(said[name])
if len(hashes) > 1:
    sys.exit(f"the logits differ: {' '.join(sorted(hashes))}")
for name, (a, b) in speeds.items():
    pairs = sorted(y / x for x, y in zip(a, b))
    print(f"{name:14} A {min(a):9.2f} {statistics.median(a):9.2f} {max(a):9.2f}   B {min(b):9.2f} {statistics.median(b):9.2f} {max(b):9.2f}"
          f"   medians B / A {statistics.median(b) / statistics.median(a):.4f}   pairs {pairs[0]:.3f} {statistics.median(pairs):.3f} {pairs[-1]:.3f}")
