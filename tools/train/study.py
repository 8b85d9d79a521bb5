"""Is it better to have few weights, or many of which most are zero? Trains a task in several sizes with one budget and
measures each with the engine.

    python3 study.py --task home --work DIR --edgellm FILE --convert FILE --out DIR [-- options for home.py]
    python3 study.py --task stories --text FILE --heldout FILE --work DIR --edgellm FILE --convert FILE --out DIR
                     [-- options for stories_rwkv7.py]

For each size: WORK/NAME/ as the training leaves it, the model file, and WORK/NAME.json: how good it is, multiply-accumulates
a token, bytes. What is there already is not done again, so that several of these may run side by side with different
--sizes. Then, one thread, all in turn, the microseconds of a token; and OUT receives TASK.md, a table and what dense models
need to be as good as sparse ones, and a plot for each of the three costs.
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy
from matplotlib import ticker
from safetensors.numpy import load_file

from home_eval import evaluate
from plots import plt, save_plot

HERE = os.path.dirname(os.path.abspath(__file__))
WRITTEN = os.path.join(HERE, "../../tests/data/home_written.tsv")
STYLES = {"dense": ("o-", "RWKV-7, dense"), "sparse80": ("s-", "RWKV-7, 80 % zeros"),
          "sparse90": ("D-", "RWKV-7, 90 % zeros"), "sparse95": ("v-", "RWKV-7, 95 % zeros"),
          "all90": ("x", "RWKV-7, 90 % zeros, in head and low rank too"),
          "ternary": ("^--", "ternary transformer")}
COSTS = {"multiplications": "multiply-accumulates per token", "bytes": "bytes of the file",
         "us_per_token": "microseconds per token, one thread"}
ROUNDS = 15  # of timing


def kind_of(name):
    return name.split("-")[0]


def sizes(kind, widths, density, pruned="layers", family="rwkv7"):
    """Name to what home.py and stories_rwkv7.py call it."""
    return {f"{kind}-{dim}": SimpleNamespace(dim=dim, density=density, pruned=pruned, family=family) for dim in widths}


class Home:
    """How many answers are wrong. A transformer is part of it, to compare."""
    SIZES = {**sizes("dense", (64, 96, 128, 192), 1.0), **sizes("sparse80", (128, 192), 0.2),
             **sizes("sparse90", (96, 128, 192, 256), 0.1), **sizes("sparse95", (256,), 0.05),
             **sizes("all90", (192,), 0.1, pruned="all"), **sizes("ternary", (128,), 1.0, family="transformer")}
    WORSE, SCALE, HEADER = "held-out answers that are not exact, %", "log", "exact: held-in | held-out | written | valid"
    SPLITS = ("heldin", "heldout", "written")

    @staticmethod
    def command(args, size):
        return [f"{HERE}/home.py", "--arch", size.family]

    @classmethod
    def measure(cls, args, model):
        result, files = {}, (f"{args.work}/data/heldin.tsv", f"{args.work}/data/heldout.tsv", WRITTEN)
        for split, data in zip(cls.SPLITS, files):
            found = evaluate(SimpleNamespace(edgellm=args.edgellm, model=model, data=data, count=args.count, jobs=args.jobs,
                                             errors=None))
            result[split], result[split + "_valid"] = found["exact"], found["valid"]
        return result

    @staticmethod
    def loss(result):
        return 100 * (1 - result["heldout"])

    @classmethod
    def row(cls, result):
        valid = min(result[split + "_valid"] for split in cls.SPLITS)
        return " | ".join(f"{result[split]:.1%}" for split in cls.SPLITS) + f" | {valid:.2%}"


class Stories:
    """How well a held-out text is predicted."""
    SIZES = {**sizes("dense", (64, 96, 128, 160), 1.0), **sizes("sparse80", (128,), 0.2),
             **sizes("sparse90", (128, 192), 0.1), **sizes("sparse95", (192,), 0.05)}
    WORSE, SCALE, HEADER = "nats per byte of the held-out text", "linear", "nats per byte"

    @staticmethod
    def command(args, size):
        return [f"{HERE}/stories_rwkv7.py", "--text", args.text]

    @staticmethod
    def measure(args, model):
        scored = subprocess.run([args.edgellm, "eval", model, "--text", args.heldout, "--ctx", "512"], check=True,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        return {"nats_per_byte": float(re.search(r"([\d.]+) nats a byte", scored)[1])}

    @staticmethod
    def loss(result):
        return result["nats_per_byte"]

    @staticmethod
    def row(result):
        return f"{result['nats_per_byte']:.4f}"


TASKS = {"home": Home, "stories": Stories}


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


def train(args, name, size):
    work = f"{args.work}/{name}"
    os.makedirs(work, exist_ok=True)
    if not os.path.exists(f"{work}/data"):
        os.symlink(os.path.abspath(f"{args.work}/data"), f"{work}/data")
    command = [sys.executable, *args.task.command(args, size), "--work", work, "--dim", str(size.dim), "--density",
               str(size.density), "--prune", size.pruned, "--convert", args.convert, "--file", model_file(args, name),
               *args.options]
    if size.family == "rwkv7":
        command.append("--convert-options=--weights i8")
    subprocess.run(command, check=True)


def quality_and_cost(args, name):
    return {"multiplications": multiplications(f"{args.work}/{name}/model"),
            "bytes": os.path.getsize(model_file(args, name)), **args.task.measure(args, model_file(args, name))}


def microseconds(args, names):
    """Of a token: the median in the fastest of ROUNDS runs, all models in turn; a machine's clock comes and goes."""
    runs = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            bench = subprocess.run([args.edgellm, "bench", model_file(args, name), "--threads", "1", "--json"], check=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
            runs[name].append(1000 * json.loads(bench)["ms_per_token"]["p50"])
    return {name: min(run) for name, run in runs.items()}


def curve(task, results, kind, cost):
    """(cost, loss) of the sizes of a kind, the cheapest first."""
    return sorted((r[cost], task.loss(r)) for name, r in results.items() if kind_of(name) == kind)


def cost_of_loss(points, loss):
    """What a kind needs for a loss so small: along straight lines between its sizes, both axes logarithmic; None where its
    sizes do not reach that far."""
    for (cost, more), (next_cost, less) in zip(points, points[1:]):
        if more >= loss >= less and more > less:
            along = (math.log(more) - math.log(loss)) / (math.log(more) - math.log(less))
            return math.exp(math.log(cost) + along * (math.log(next_cost) - math.log(cost)))
    return None


def table(task, results):
    header = f"| size | {task.HEADER} | multiply-accumulates | bytes | us per token |"
    lines = [header, "| --- " * (header.count("|") - 1) + "|"]
    for name, r in results.items():
        lines.append(f"| {name} | {task.row(r)} | {r['multiplications']:,} | {r['bytes']:,} | {r['us_per_token']:.1f} |")
    lines += ["", "What a dense model needs to be as good, divided by what the sparse one needs:", "",
              "| size | " + " | ".join(COSTS.values()) + " |", "| --- | --- | --- | --- |"]
    for name, r in results.items():
        if kind_of(name) in ("dense", "ternary"):
            continue
        dense = [cost_of_loss(curve(task, results, "dense", cost), task.loss(r)) for cost in COSTS]
        if None not in dense:
            lines.append(f"| {name} | " + " | ".join(f"{d / r[cost]:.2f}" for cost, d in zip(COSTS, dense)) + " |")
    return "\n".join(lines) + "\n"


def plot(task, results, cost, path):
    figure, axes = plt.subplots(figsize=(8, 5))
    for kind, (style, title) in STYLES.items():
        points = curve(task, results, kind, cost)
        if not points:
            continue
        axes.plot(*zip(*points), style, label=title)
        for name, r in results.items():
            if kind_of(name) == kind:
                axes.annotate(name.split("-")[1], (r[cost], task.loss(r)), textcoords="offset points", xytext=(5, 5),
                              fontsize=8)
    axes.set(xlabel=COSTS[cost], ylabel=task.WORSE, xscale="log", yscale=task.SCALE)
    for axis in (axes.xaxis, axes.yaxis)[: 2 if task.SCALE == "log" else 1]:
        axis.set_major_locator(ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:,.10g}"))
        axis.set_minor_locator(ticker.NullLocator())
    axes.legend()
    save_plot(figure, path)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--work", required=True, help="WORK/data/ has the data of `home` and the tokenizer, or receives them")
    parser.add_argument("--edgellm", required=True)
    parser.add_argument("--convert", required=True)
    parser.add_argument("--out", help="folder of the table and the plots; without it there is only training")
    parser.add_argument("--sizes", help="which of the sizes, with commas between (all)")
    parser.add_argument("--count", type=int, default=2000, help="home: sentences of each split")
    parser.add_argument("--jobs", type=int, default=2, help="home: processes that answer")
    parser.add_argument("--text", help="stories: the text to learn")
    parser.add_argument("--heldout", help="stories: the text to score")
    parser.add_argument("options", nargs="*", help="for the training")
    args = parser.parse_args()
    if args.task == "stories" and not (args.text and args.heldout):
        parser.error("stories needs --text and --heldout")
    args.task = TASKS[args.task]
    known = args.task.SIZES
    args.sizes = args.sizes.split(",") if args.sizes else list(known)
    if unknown := set(args.sizes) - set(known):
        parser.error(f"--sizes: {', '.join(sorted(unknown))} is none of {', '.join(known)}")
    return args


def main():
    args = arguments()
    os.makedirs(f"{args.work}/data", exist_ok=True)
    results = {}
    for name in args.sizes:
        known = f"{args.work}/{name}.json"
        if not os.path.exists(known):
            train(args, name, args.task.SIZES[name])
            found = quality_and_cost(args, name)
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
    prefix = args.task.__name__.lower()
    with open(f"{args.out}/{prefix}.md", "w") as f:
        f.write(table(args.task, results))
    for cost in COSTS:
        plot(args.task, results, cost, f"{args.out}/study_{prefix}_{cost}.png")


if __name__ == "__main__":
    main()
