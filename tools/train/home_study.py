"""Is it better to have few weights, or many of which most are zero? Trains `home` in several sizes with one budget and
measures each with the engine.

    python3 home_study.py --work DIR --edgellm FILE --convert FILE --plots DIR [-- options for home.py]

For each size: DIR/NAME/ as home.py leaves it, the model file, and in DIR/study.json accuracy on the three test splits,
multiply-accumulates a token, bytes, and microseconds a token (median of decoding, one thread). What is there already is not
done again.
"""

import argparse
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import numpy
from safetensors.numpy import load_file

from home_eval import evaluate

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "home"
import matplotlib.pyplot as plt  # noqa: E402  (after the choice of a backend that needs no screen)

HERE = os.path.dirname(os.path.abspath(__file__))
WRITTEN = os.path.join(HERE, "../../tests/data/home_written.tsv")

# Name, family, width, share of the weights that is kept.
SIZES = [(f"dense-{dim}", "rwkv7", dim, 1.0) for dim in (64, 96, 128, 192)]
SIZES += [(f"sparse{zeros}-{dim}", "rwkv7", dim, 1 - zeros / 100) for zeros in (90, 80, 95) for dim in (96, 128, 192, 256)]
SIZES += [("ternary-128", "transformer", 128, 1.0), ("ternary-192", "transformer", 192, 1.0)]
STYLES = {"dense": ("o-", "dense int8 RWKV-7"), "sparse80": ("s-", "RWKV-7, 80 % zeros"),
          "sparse90": ("D-", "RWKV-7, 90 % zeros"), "sparse95": ("v-", "RWKV-7, 95 % zeros"),
          "ternary": ("^--", "ternary transformer")}


def multiplications(folder):
    """Multiply-accumulates a token: of matrices (the embedding is the head), of zeros in pruned ones none; five for each
    cell of a state. The attention of a transformer, which grows with the text, is left out."""
    count = 0
    for name, tensor in load_file(f"{folder}/model.safetensors").items():
        if name.endswith(".r_k"):
            count += 5 * tensor.size * tensor.shape[1]
        elif tensor.ndim == 2:
            count += numpy.count_nonzero(tensor) if name.startswith("blocks.") else tensor.size
    return int(count)


def train(args, name, family, dim, density):
    work, model = f"{args.work}/{name}", f"{args.work}/{name}.{'srnn' if density < 1 else 'tm2'}"
    if os.path.exists(model):
        return model
    os.makedirs(work, exist_ok=True)
    data = os.path.abspath(args.data)
    if not os.path.exists(f"{work}/data"):
        os.symlink(data, f"{work}/data")
    command = [sys.executable, f"{HERE}/home.py", "--work", work, "--arch", family, "--dim", str(dim), "--ffn", str(3 * dim),
               "--density",
               str(density), "--convert", args.convert, "--file", model, *args.options]
    if family == "rwkv7":
        command.append("--convert-options=--weights i8")
    subprocess.run(command, check=True)
    return model


def measure(args, name, model):
    accuracy = {}
    for split, data in (("heldin", f"{args.data}/heldin.tsv"), ("heldout", f"{args.data}/heldout.tsv"),
                        ("written", WRITTEN)):
        found = evaluate(SimpleNamespace(edgellm=args.edgellm, model=model, data=data, count=args.count, jobs=args.jobs,
                                         errors=None))
        accuracy[split], accuracy[split + "_valid"] = found["exact"], found["valid"]
    bench = subprocess.run([args.edgellm, "bench", model, "--threads", "1", "--json"], check=True,
                           stdout=subprocess.PIPE).stdout
    return {"name": name, **accuracy, "multiplications": multiplications(f"{args.work}/{name}/model"),
            "bytes": os.path.getsize(model),
            "us_per_token": 1000 * json.loads(bench)["ms_per_token"]["p50"]}


def plot(results, folder):
    for x, label in (("multiplications", "multiply-accumulates a token"), ("bytes", "bytes of the file"),
                     ("us_per_token", "microseconds a token, one thread")):
        figure, axes = plt.subplots(figsize=(7, 4.5))
        for kind, (style, title) in STYLES.items():
            rows = sorted((r for r in results if r["name"].startswith(kind)), key=lambda r: r[x])
            axes.plot([r[x] for r in rows], [100 * (1 - r["heldout"]) for r in rows], style, label=title)
            for r in rows:
                axes.annotate(r["name"].split("-")[1], (r[x], 100 * (1 - r["heldout"])), textcoords="offset points",
                              xytext=(4, 4))
        axes.set(xlabel=label, ylabel="held-out answers that are not exact, %", xscale="log", yscale="log")
        axes.grid(alpha=0.3, which="both")
        axes.legend()
        figure.tight_layout()
        figure.savefig(f"{folder}/home_{x}.svg", metadata={"Date": None})
        plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", required=True)
    parser.add_argument("--data", help="folder of the splits (WORK/data; home_grammar.py makes it)")
    parser.add_argument("--edgellm", required=True)
    parser.add_argument("--convert", required=True)
    parser.add_argument("--plots", required=True, help="folder of the plots")
    parser.add_argument("--sizes", default=",".join(s[0] for s in SIZES), help="which of the sizes")
    parser.add_argument("--count", type=int, default=2000, help="sentences of each split")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("options", nargs="*", help="for home.py")
    args = parser.parse_args()
    args.data = args.data or f"{args.work}/data"
    unknown = set(args.sizes.split(",")) - {s[0] for s in SIZES}
    if unknown:
        parser.error(f"--sizes: {', '.join(sorted(unknown))} is none of {', '.join(s[0] for s in SIZES)}")
    if not os.path.exists(f"{args.data}/train.tsv"):
        subprocess.run([sys.executable, f"{HERE}/home_grammar.py", "--out", args.data], check=True)
    known, path = {}, f"{args.work}/study.json"
    if os.path.exists(path):
        with open(path) as f:
            known = {r["name"]: r for r in json.load(f)}
    for name, family, dim, density in SIZES:
        if name not in args.sizes.split(",") or name in known:
            continue
        known[name] = measure(args, name, train(args, name, family, dim, density))
        print(json.dumps(known[name]), flush=True)
        with open(path, "w") as f:
            json.dump(list(known.values()), f, indent=1)
    plot(list(known.values()), args.plots)


if __name__ == "__main__":
    main()
