"""Train the bundled model `home`: requests to a home become one line of JSON (home_schema.md).

From nothing to the file in one command; run it again and it goes on where it stopped.

    python3 home.py --work DIR --convert EDGELLM_CONVERT --file home.srnn

--work receives data/ (home_grammar.py; tokenizer.json), checkpoint.pt, log.json, loss.png, and for edgellm-convert the
folder model/ and grammar.json, which lets the file answer by the schema alone. A row is sentence, answer, <|eos|>; half of
the sentences end with a line feed, as they do when they come from a terminal. Only the answer is learned.

    --arch rwkv7         pruned while it learns: all weights at first, then ever fewer of the largest (cubic schedule),
                         in the last part of the steps quantised as the engine will run it
    --arch transformer   the ternary transformer of bitnet.py
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time

import matplotlib
import numpy
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tqdm import tqdm

import bitnet
from home_grammar import answer_pattern, make_splits, read_split, write_splits
from rwkv7 import END, Config, Rwkv7
from token_grammar import token_grammar
from training import learning_rate, save_checkpoint

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (after the choice of a backend that needs no screen)

WRITTEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/data/home_written.tsv")
IGNORED = -100  # a target that is not learned
WINDOW = 50     # batches whose rows are sorted by length among each other
ENDED = 0       # id of END
# What a token of an answer is. The longest answer, of two commands, has 31: what `edgellm` makes unasked suffices.
FIELD = re.compile(r"""[\[,]?{"device":"\w+"|{"error":"unknown"}|,"\w+":"[a-z_]+"|,"\w+":"?|\d\d:|\.5|"?}\]?|.""")


def train_tokenizer(rows, size, path):
    """Byte-level BPE of sentences, in which each digit is a token, and behind it what answers are made of: no merge makes
    these, so that sentences have none of them."""
    fields = sorted({field for row in rows for field in FIELD.findall(row[1]) if len(field) > 1})
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size - len(fields), special_tokens=[END],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    tokenizer.train_from_iterator((re.sub(r" ?\d\S*", "", row[0]) for row in rows[:100000]), trainer)
    whole = json.loads(tokenizer.to_str())
    for field in fields:
        whole["model"]["vocab"][field] = len(whole["model"]["vocab"])
    with open(path, "w", encoding="utf-8") as f:
        json.dump(whole, f, ensure_ascii=False, indent=1)


class Rows:
    """Encoded sentences and answers; a batch is a function of the step alone."""

    def __init__(self, rows, tokenizer, batch, seed):
        vocabulary = tokenizer.get_vocab()
        self.sentences = [numpy.array(e.ids, dtype=numpy.int16) for at in range(0, len(rows), 1000)
                          for e in tokenizer.encode_batch_fast([row[0] for row in rows[at : at + 1000]])]
        self.answers = [numpy.array([vocabulary[field] for field in FIELD.findall(row[1])], dtype=numpy.int16)
                        for row in rows]
        self.lengths = numpy.array([len(s) + len(a) for s, a in zip(self.sentences, self.answers)])
        self.line_feed = numpy.array([vocabulary["\u010a"]], dtype=numpy.int16)
        self.batch, self.seed, self.per_epoch, self.epoch = batch, seed, len(rows) // batch, None

    def at(self, step):
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            random = numpy.random.default_rng((self.seed, epoch))
            order = random.permutation(len(self.lengths))[: self.per_epoch * self.batch]
            windows = numpy.array_split(order, -(-self.per_epoch // WINDOW))
            batches = [batch for window in windows
                       for batch in random.permutation(self.sorted_batches(window))]
            self.order, self.feeds, self.epoch = numpy.concatenate(batches), random.random(len(order)) < 0.5, epoch
        part = slice(index * self.batch, (index + 1) * self.batch)
        return self.padded(self.order[part], self.feeds[part])

    def sorted_batches(self, window):
        whole = len(window) // self.batch * self.batch
        return window[:whole][numpy.argsort(self.lengths[window[:whole]], kind="stable")].reshape(-1, self.batch)

    def padded(self, indices, feeds):
        """(inputs, targets), each (rows, length)."""
        rows = [numpy.concatenate((self.sentences[i], self.line_feed[: int(feed)], self.answers[i], [ENDED]))
                for i, feed in zip(indices, feeds)]
        inputs = numpy.zeros((len(rows), max(map(len, rows)) - 1), dtype=numpy.int64)
        targets = numpy.full_like(inputs, IGNORED)
        for at, (i, row) in enumerate(zip(indices, rows)):
            inputs[at, : len(row) - 1] = row[:-1]
            learned = len(self.answers[i]) + 1
            targets[at, len(row) - 1 - learned : len(row) - 1] = row[-learned:]
        return torch.from_numpy(inputs), torch.from_numpy(targets)


@torch.no_grad()
def exact(model, rows, count):
    """Share of rows whose answer is the greedy one: every token of it is the best after those before."""
    right = 0
    order = numpy.argsort(rows.lengths[:count], kind="stable")
    for part in numpy.array_split(order, -(-len(order) // 100)):
        inputs, targets = rows.padded(part, part % 2 == 0)
        right += ((model(inputs).argmax(-1) == targets) | (targets == IGNORED)).all(1).sum().item()
    return right / len(order)


def density_at(step, args):
    """Share of the weights that are kept: all, then falling as the cube, then the final one."""
    along = (step / args.steps - args.prune_from) / (args.prune_to - args.prune_from)
    return args.density + (1 - args.density) * (1 - min(max(along, 0.0), 1.0)) ** 3


def make_model(args):
    if args.arch == "transformer":
        return bitnet.BitNet(bitnet.Config(vocab_size=args.vocab, dim=args.dim, layers=args.layers,
                                           heads=args.dim // args.head_dim, kv_heads=args.dim // args.head_dim,
                                           head_dim=args.head_dim, ffn=args.ffn, context=256,
                                           bos_id=ENDED, eos_id=ENDED))
    return Rwkv7(Config(vocab_size=args.vocab, dim=args.dim, layers=args.layers, head_dim=args.head_dim, ffn=args.ffn,
                        rank=args.rank, prune_all=args.prune == "all"))


def make_optimizer(model, args):
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() != 2]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": args.weight_decay},
                              {"params": vectors, "weight_decay": 0.0}],
                             lr=args.lr, betas=(0.9, 0.98), foreach=True)


@torch.no_grad()
def follow(average, model, step, decay):
    """The average of the weights over the steps, of which a file is made; its masks are the model's."""
    share = 1 - min(decay, (step + 1) / (step + 10))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), share)
    for ours, theirs in zip(average.buffers(), model.buffers()):
        ours.copy_(theirs)


def export(model, args):
    tokenizer, folder = f"{args.work}/data/tokenizer.json", f"{args.work}/model"
    if args.arch == "transformer":
        bitnet.export(model, tokenizer, {}, folder)
    else:
        model.export(folder, tokenizer)


@torch.no_grad()
def write_expected(model, rows, texts, path):
    """What an engine must find: sentences, their ids followed by the answer's, -log p of the answer in nats."""
    expected = []
    for i, text in enumerate(texts):
        inputs, targets = rows.padded([i], [False])
        nats = F.cross_entropy(model(inputs)[0], targets[0], ignore_index=IGNORED, reduction="sum").item()
        expected.append({"sentence": text, "ids": [*inputs[0].tolist(), targets[0, -1].item()], "nats": round(nats, 5)})
    with open(path, "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(row) for row in expected) + "\n]\n")


def plot(log, path):
    figure, (loss, share) = plt.subplots(2, 1, sharex=True, figsize=(8, 7))
    steps = [r["step"] for r in log]
    loss.plot(steps, [r["loss"] for r in log])
    loss.set(ylabel="training: nats per token of an answer", yscale="log")
    for split in ("heldin", "heldout", "written"):
        share.plot(steps, [r[split] for r in log], label=split)
    share.plot(steps, [r["density"] for r in log], "k:", label="weights kept")
    share.set(xlabel="step", ylabel="share of answers that are exact", ylim=(0, 1))
    share.legend()
    for axes in (loss, share):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def train(model, average, splits, args):
    """Returns the averaged model; saves, evaluates and plots every so many steps."""
    checkpoint, optimizer, log, first = f"{args.work}/checkpoint.pt", make_optimizer(model, args), [], 0
    if os.path.exists(checkpoint):
        state = torch.load(checkpoint, weights_only=False)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        log, first = state["log"], state["step"]
    sparse, losses, began = args.arch == "rwkv7", [], time.time()
    bar = tqdm(range(first, args.steps), initial=first, total=args.steps, mininterval=10)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = args.lr * learning_rate(step, args)
        quantised = step >= args.quantise_from * args.steps
        if sparse:
            model.quantise(quantised)
            if step % args.prune_every == 0 and density_at(step, args) < density_at(step - args.prune_every, args):
                model.prune(density_at(step, args))
        inputs, targets = splits["train"].at(step)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            logits = model(inputs)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        follow(average, model, step, args.average)
        losses.append(loss.item())
        done = step + 1
        if done % args.every and done != args.steps:
            continue
        if sparse:
            average.quantise(model.quantised)
        log.append({"step": done, "loss": sum(losses) / len(losses), "density": model.density() if sparse else 1.0,
                    **{split: exact(average, splits[split], args.watched) for split in ("heldin", "heldout", "written")},
                    "seconds": time.time() - began})
        bar.set_postfix({key: f"{value:.3f}" for key, value in log[-1].items() if key not in ("step", "seconds")})
        losses, began = [], time.time()
        save_checkpoint(checkpoint, model=model.state_dict(), average=average.state_dict(),
                        optimizer=optimizer.state_dict(), log=log, step=done)
        with open(f"{args.work}/log.json", "w") as f:
            json.dump(log, f, indent=1)
        plot(log, f"{args.work}/loss.png")
    if sparse:
        average.quantise(args.quantise_from < 1)
    return average


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", required=True, help="folder of everything but the file")
    parser.add_argument("--convert", help="path of edgellm-convert, to make --file")
    parser.add_argument("--file", help="the model file to make in the end")
    parser.add_argument("--convert-options", default="", help="options for edgellm-convert, in one argument")
    parser.add_argument("--sentences", type=int, default=400000, help="of the training split, if data/ is still to be made")
    parser.add_argument("--arch", choices=("rwkv7", "transformer"), default="rwkv7")
    parser.add_argument("--vocab", type=int, default=1024)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--head-dim", type=int, default=32)
    parser.add_argument("--ffn", type=int, help="(three times --dim)")
    parser.add_argument("--rank", type=int, default=16, help="of the low-rank matrices")
    parser.add_argument("--density", type=float, default=0.1,
                        help="share of the weights of matrices that is kept; 1 prunes nothing")
    parser.add_argument("--prune", choices=("layers", "all"), default="layers",
                        help="all: the matrices of low rank too, and a head of its own in place of the embedding")
    parser.add_argument("--prune-from", type=float, default=0.1, help="share of the steps after which pruning begins ...")
    parser.add_argument("--prune-to", type=float, default=0.55, help="... and ends")
    parser.add_argument("--prune-every", type=int, default=25, help="steps between prunings")
    parser.add_argument("--quantise-from", type=float, default=0.7,
                        help="share of the steps after which matrices are int8; 1: never")
    parser.add_argument("--steps", type=int, default=7000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--warmup", type=int, default=200, help="steps")
    parser.add_argument("--decay", type=float, default=0.4, help="share of the steps in which the rate falls")
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--average", type=float, default=0.998, help="what the average of the weights keeps at each step")
    parser.add_argument("--every", type=int, default=500, help="steps between evaluations and checkpoints")
    parser.add_argument("--watched", type=int, default=500, help="sentences of each test split that an evaluation uses")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True,
                        help="products of matrices in bf16; for processors that have it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.ffn = args.ffn or 3 * args.dim
    if args.file and not args.convert:
        parser.error("--file needs --convert")
    return args


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    data = f"{args.work}/data"
    tokenizer_file = f"{data}/tokenizer.json"
    if not os.path.exists(f"{data}/train.tsv"):
        print(f"making {args.sentences} sentences", flush=True)
        write_splits(make_splits(args.seed, args.sentences, 20000), data)
    read = {split: read_split(f"{data}/{split}.tsv") for split in ("train", "heldin", "heldout")}
    read["written"] = read_split(WRITTEN)
    if not os.path.exists(tokenizer_file):
        train_tokenizer(read["train"], args.vocab, tokenizer_file)
    tokenizer = Tokenizer.from_file(tokenizer_file)
    if tokenizer.get_vocab_size() != args.vocab:
        sys.exit(f"{tokenizer_file} has {tokenizer.get_vocab_size()} tokens, --vocab is {args.vocab}")
    splits = {name: Rows(rows, tokenizer, args.batch, args.seed) for name, rows in read.items()}
    model, average = make_model(args), make_model(args)
    average.load_state_dict(model.state_dict())
    rows = splits["train"]
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {rows.lengths.mean():.1f} tokens a row, at most "
          f"{rows.lengths.max()}, {rows.per_epoch} steps an epoch", flush=True)
    average = train(model, average, splits, args)
    export(average, args)
    write_expected(average, splits["heldout"], [row[0] for row in read["heldout"][:50]], f"{args.work}/expected.json")
    vocabulary, fields = tokenizer.get_vocab(), {field for row in read["train"] for field in FIELD.findall(row[1])}
    grammar = f"{args.work}/grammar.json"
    with open(grammar, "w") as f:
        json.dump(token_grammar(answer_pattern(), {vocabulary[field]: field for field in fields}, ENDED), f)
    if args.file:
        subprocess.run([args.convert, f"{args.work}/model", args.file, "--grammar", grammar, *args.convert_options.split()],
                       check=True)


if __name__ == "__main__":
    main()
