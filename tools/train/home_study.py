"""Is it better to have few weights, or many of which most are zero? Trains `home` in several sizes with one budget and
measures each with the engine.

    python3 home_study.py --work DIR --edgellm FILE --convert FILE --out DIR [-- options for home.py]

For each size: WORK/NAME/ as home.py leaves it, the model file, and WORK/NAME.json: share of exact answers on the three test
splits, multiply-accumulates a token, bytes. What is there already is not done again, so that several of these may run side by
side with different --sizes. Then, one thread, all in turn, the microseconds of a token; and OUT receives study.md, a table
and what dense models need for the accuracy of sparse ones, and a plot for each of the three costs.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import numpy
from safetensors.numpy import load_file

from home_eval import evaluate

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (after the choice of a backend that needs no screen)

HERE = os.path.dirname(os.path.abspath(__file__))
WRITTEN = os.path.join(HERE, "../../tests/data/home_written.tsv")

# Name, family, width, share of the weights that is kept, of what.
SIZES = [(f"dense-{dim}", "rwkv7", dim, 1.0, "layers") for dim in (64, 96, 128, 192)]
SIZES += [(f"sparse80-{dim}", "rwkv7", dim, 0.2, "layers") for dim in (96, 128, 192)]
SIZES += [(f"sparse90-{dim}", "rwkv7", dim, 0.1, "layers") for dim in (96, 128, 192, 256)]
SIZES += [(f"sparse95-{dim}", "rwkv7", dim, 0.05, "layers") for dim in (192, 256)]
SIZES += [("all90-192", "rwkv7", 192, 0.1, "all")]
SIZES += [("ternary-128", "transformer", 128, 1.0, "layers")]
NAMES = [name for name, *_ in SIZES]
STYLES = {"dense": ("o-", "RWKV-7, dense"), "sparse80": ("s-", "RWKV-7, 80 % zeros"),
          "sparse90": ("D-", "RWKV-7, 90 % zeros"), "sparse95": ("v-", "RWKV-7, 95 % zeros"),
          "all90": ("x", "RWKV-7, 90 % zeros, in head and low rank too"),
          "ternary": ("^--", "ternary transformer")}
COSTS = {"multiplications": "multiply-accumulates a token", "bytes": "bytes of the file",
         "us_per_token": "microseconds a token, one thread"}
ROUNDS = 5  # of timing


def kind_of(name):
    return name.split("-")[0]


def multiplications(folder):
    """Multiply-accumulates a token: of matrices, of zeros in pruned ones none; five for each cell of a state. Without a head
    of its own the embedding is multiplied with. The attention of a transformer, which grows with the text, is left out."""
    count, tensors = 0, load_file(f"{folder}/model.safetensors")
    for name, tensor in tensors.items():
        if name.endswith(".r_k"):
            count += 5 * tensor.size * tensor.shape[1]
        elif tensor.ndim == 2 and not (name == "emb.weight" and "head.weight" in tensors):
            count += numpy.count_nonzero(tensor) if name.startswith(("blocks.", "head.")) else tensor.size
    return int(count)


def model_file(args, name):
    return f"{args.work}/{name}.{'srnn' if kind_of(name)[-2:].isdigit() else 'tm2'}"


def train(args, name, family, dim, density, pruned):
    work = f"{args.work}/{name}"
    os.makedirs(work, exist_ok=True)
    if not os.path.exists(f"{work}/data"):
        os.symlink(os.path.abspath(args.data), f"{work}/data")
    command = [sys.executable, f"{HERE}/home.py", "--work", work, "--arch", family, "--dim", str(dim), "--density",
               str(density), "--prune", pruned, "--convert", args.convert, "--file", model_file(args, name), *args.options]
    if family == "rwkv7":
        command.append("--convert-options=--weights i8")
    subprocess.run(command, check=True)


def answers(args, name):
    """What the engine's answers are worth, and what they cost."""
    result = {"multiplications": multiplications(f"{args.work}/{name}/model"),
              "bytes": os.path.getsize(model_file(args, name))}
    for split, data in (("heldin", f"{args.data}/heldin.tsv"), ("heldout", f"{args.data}/heldout.tsv"),
                        ("written", WRITTEN)):
        found = evaluate(SimpleNamespace(edgellm=args.edgellm, model=model_file(args, name), data=data, count=args.count,
                                         jobs=args.jobs, errors=None))
        result[split], result[split + "_valid"] = found["exact"], found["valid"]
    return result


def microseconds(args, names):
    """Of a token: the median of ROUNDS rounds over all models in turn, each the median of a run."""
    runs = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            bench = subprocess.run([args.edgellm, "bench", model_file(args, name), "--threads", "1", "--json"], check=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
            runs[name].append(1000 * json.loads(bench)["ms_per_token"]["p50"])
    return {name: statistics.median(run) for name, run in runs.items()}


def curve(results, kind, cost):
    """(cost, share of held-out mistakes) of the sizes of a kind, the cheapest first."""
    return sorted((r[cost], 1 - r["heldout"]) for name, r in results.items() if kind_of(name) == kind)


def cost_of_accuracy(points, mistakes):
    """What a kind needs to make so few mistakes: along straight lines between its sizes, both axes logarithmic; None where
    its sizes do not reach that far."""
    for (cost, more), (next_cost, fewer) in zip(points, points[1:]):
        if more >= mistakes >= fewer and more > fewer:
            along = (math.log(more) - math.log(mistakes)) / (math.log(more) - math.log(fewer))
            return math.exp(math.log(cost) + along * (math.log(next_cost) - math.log(cost)))
    return None


def table(results):
    lines = ["| size | exact: held-in | held-out | written | valid | multiply-accumulates | bytes | us a token |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for name, r in results.items():
        valid = min(r[split + "_valid"] for split in ("heldin", "heldout", "written"))
        lines.append(f"| {name} | {r['heldin']:.1%} | {r['heldout']:.1%} | {r['written']:.1%} | {valid:.2%} | "
                     f"{r['multiplications']:,} | {r['bytes']:,} | {r['us_per_token']:.1f} |")
    lines += ["", "What a dense model needs to make as few held-out mistakes, over what the sparse one needs:", "",
              "| size | " + " | ".join(COSTS.values()) + " |", "| --- | --- | --- | --- |"]
    for name, r in results.items():
        if kind_of(name) in ("dense", "ternary"):
            continue
        dense = [cost_of_accuracy(curve(results, "dense", cost), 1 - r["heldout"]) for cost in COSTS]
        if None not in dense:
            lines.append(f"| {name} | " + " | ".join(f"{d / r[cost]:.2f}" for cost, d in zip(COSTS, dense)) + " |")
    return "\n".join(lines) + "\n"


def plot(results, cost, path):
    figure, axes = plt.subplots(figsize=(8, 5))
    for kind, (style, title) in STYLES.items():
        points = curve(results, kind, cost)
        if not points:
            continue
        axes.plot([x for x, _ in points], [100 * y for _, y in points], style, label=title)
        for name, r in results.items():
            if kind_of(name) == kind:
                axes.annotate(name.split("-")[1], (r[cost], 100 * (1 - r["heldout"])), textcoords="offset points",
                              xytext=(5, 5), fontsize=8)
    axes.set(xlabel=COSTS[cost], ylabel="held-out answers that are not exact, %", xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 1.2, 1.5, 2, 3, 4, 5, 7)))
        axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda x, _: f"{x:,.10g}"))
        axis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", required=True)
    parser.add_argument("--data", help="folder of the splits (WORK/data; home_grammar.py makes it)")
    parser.add_argument("--edgellm", required=True)
    parser.add_argument("--convert", required=True)
    parser.add_argument("--out", help="folder of the table and the plots; without it there is only training")
    parser.add_argument("--sizes", default=",".join(NAMES), help="which of the sizes")
    parser.add_argument("--count", type=int, default=2000, help="sentences of each split")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("options", nargs="*", help="for home.py")
    args = parser.parse_args()
    args.data = args.data or f"{args.work}/data"
    wanted = args.sizes.split(",")
    if unknown := set(wanted) - set(NAMES):
        parser.error(f"--sizes: {', '.join(sorted(unknown))} is none of {', '.join(NAMES)}")
    if not os.path.exists(f"{args.data}/train.tsv"):
        subprocess.run([sys.executable, f"{HERE}/home_grammar.py", "--out", args.data], check=True)
    results = {}
    for size in SIZES:
        name, known = size[0], f"{args.work}/{size[0]}.json"
        if name not in wanted:
            continue
        if not os.path.exists(known):
            train(args, *size)
            found = answers(args, name)
            with open(known, "w") as f:
                json.dump(found, f, indent=1)
        with open(known) as f:
            results[name] = json.load(f)
        print(name, json.dumps(results[name]), flush=True)
    if not args.out:
        return
    for name, time in microseconds(args, list(results)).items():
        results[name]["us_per_token"] = time
    os.makedirs(args.out, exist_ok=True)
    with open(f"{args.out}/study.md", "w") as f:
        f.write(table(results))
    for cost in COSTS:
        plot(results, cost, f"{args.out}/study_{cost}.png")


if __name__ == "__main__":
    main()
