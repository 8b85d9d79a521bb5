"""Train the bundled model `home`: requests to a home become one line of JSON (home_schema.md).

From nothing to the file in one command; run it again and it goes on where it stopped.

    python3 home.py --work DIR --convert EDGELLM_CONVERT --file home.srnn

--work receives data/ (home_grammar.py; tokenizer.json), checkpoint.pt, log.json, loss.png, and for edgellm-convert the
folder model/ and grammar.json, which lets the file answer by the schema alone. A row is sentence, answer, <|eos|>; half of
the sentences end with a line feed, as they do when they come from a terminal. Only the answer is learned.

    --arch rwkv7         pruned and quantised while it learns, as loop.py says
    --arch transformer   the ternary transformer of bitnet.py
"""

import argparse
import json
import os
import re
import subprocess
import sys

import numpy
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import bitnet
import loop
from home_grammar import answer_pattern, make_splits, read_split, write_splits
from loop import IGNORED
from plots import plt, save_plot
from rwkv7 import END
from token_grammar import token_grammar

WRITTEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/data/home_written.tsv")
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


def make_model(args):
    if args.arch == "transformer":
        return bitnet.BitNet(bitnet.Config(vocab_size=args.vocab, dim=args.dim, layers=args.layers,
                                           heads=args.dim // args.head_dim, kv_heads=args.dim // args.head_dim,
                                           head_dim=args.head_dim, ffn=args.ffn, context=256,
                                           bos_id=ENDED, eos_id=ENDED))
    return loop.make_rwkv7(args)


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
    save_plot(figure, path)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    loop.add_options(parser)
    parser.add_argument("--sentences", type=int, default=400000, help="of the training split, if data/ is still to be made")
    parser.add_argument("--arch", choices=("rwkv7", "transformer"), default="rwkv7")
    parser.add_argument("--watched", type=int, default=500, help="sentences of each test split that an evaluation uses")
    return loop.parse(parser)


def main():
    args = arguments()
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
    model, rows = make_model(args), splits["train"]
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {rows.lengths.mean():.1f} tokens a row, at most "
          f"{rows.lengths.max()}, {rows.per_epoch} steps an epoch", flush=True)

    def measure(average):
        return {split: exact(average, splits[split], args.watched) for split in ("heldin", "heldout", "written")}

    average = loop.train(model, rows.at, measure, plot, args)
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
