"""Train a small RWKV-7 on the stories, dense or pruned while it learns (loop.py), for docs/STUDY.md.

    python3 stories_rwkv7.py --text TRAIN.txt --work DIR --convert EDGELLM_CONVERT --file FILE

Run it again and it goes on where it stopped. --work receives data/tokenizer.json (byte-level BPE of the stories, small so
that the head weighs little), checkpoint.pt, log.json, loss.png and the folder model/ for edgellm-convert.
"""

import argparse
import os
import subprocess

import torch
from tokenizers import Tokenizer

import loop
from rwkv7 import END
from stories import DEV_STORIES, Rows, encode, nll_of_stories, plot, read_stories, train_tokenizer

BEGIN = "<|bos|>"
LONGEST = 512  # tokens of a story that an evaluation looks at


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    loop.add_options(parser)
    parser.add_argument("--text", required=True, help="stories, separated by lines of <|endoftext|>")
    parser.add_argument("--length", type=int, default=128, help="tokens of a row")
    parser.set_defaults(vocab=512, batch=32, warmup=50)
    return loop.parse(parser)


def main():
    args = arguments()
    tokenizer_file, stories = f"{args.work}/data/tokenizer.json", read_stories(args.text)
    if not os.path.exists(tokenizer_file):
        os.makedirs(f"{args.work}/data", exist_ok=True)
        train_tokenizer(stories, args.vocab, tokenizer_file)
    tokenizer = Tokenizer.from_file(tokenizer_file)
    begin, end = tokenizer.token_to_id(BEGIN), tokenizer.token_to_id(END)
    coded = [torch.tensor([begin, *encode(tokenizer, story), end]) for story in stories]
    rows, dev = Rows(coded[:-DEV_STORIES], args.length, args.batch, args.seed), coded[-DEV_STORIES:]
    model = loop.make_rwkv7(args)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {sum(map(len, coded))} tokens, "
          f"{rows.per_epoch} steps an epoch", flush=True)

    def measure(average):
        return {"dev": nll_of_stories(average, dev, LONGEST)}

    average = loop.train(model, rows.at, measure, plot, args)
    average.export(f"{args.work}/model", tokenizer_file, BEGIN)
    if args.file:
        subprocess.run([args.convert, f"{args.work}/model", args.file, *args.convert_options.split()], check=True)


if __name__ == "__main__":
    main()
