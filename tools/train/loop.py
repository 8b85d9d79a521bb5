"""The loop that `home` and the models of docs/STUDY.md are trained in: AdamW, an average of the weights over the steps, of
which a file is made, a checkpoint to go on from, a log and its plot.

An RWKV-7 is pruned while it learns: all weights at first, then ever fewer of the largest (cubic schedule), in the last part
of the steps quantised as the engine will run it.
"""

import argparse
import copy
import json
import os
import time

import torch
import torch.nn.functional as F
from tqdm import tqdm

from rwkv7 import Config, Rwkv7
from training import learning_rate, save_checkpoint

IGNORED = -100  # a target that is not learned


def add_options(parser):
    parser.add_argument("--work", required=True, help="folder of everything but the file")
    parser.add_argument("--convert", help="path of edgellm-convert, to make --file")
    parser.add_argument("--file", help="the model file to make in the end")
    parser.add_argument("--convert-options", default="", help="options for edgellm-convert, in one argument")
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
    parser.add_argument("--batch", type=int, default=64, help="rows of a step")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--warmup", type=int, default=200, help="steps")
    parser.add_argument("--decay", type=float, default=0.4, help="share of the steps in which the rate falls")
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--average", type=float, default=0.998, help="what the average of the weights keeps at each step")
    parser.add_argument("--every", type=int, default=500, help="steps between evaluations and checkpoints")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True,
                        help="products of matrices in bf16; for processors that have it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)


def parse(parser):
    """Arguments, and the state of torch that they ask for."""
    args = parser.parse_args()
    args.ffn = args.ffn or 3 * args.dim
    if args.file and not args.convert:
        parser.error("--file needs --convert")
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    return args


def make_rwkv7(args):
    return Rwkv7(Config(vocab_size=args.vocab, dim=args.dim, layers=args.layers, head_dim=args.head_dim, ffn=args.ffn,
                        rank=args.rank, prune_all=args.prune == "all"))


def make_optimizer(model, args):
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() != 2]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": args.weight_decay},
                              {"params": vectors, "weight_decay": 0.0}],
                             lr=args.lr, betas=(0.9, 0.98), foreach=True)


def density_at(step, args):
    """Share of the weights that are kept: all, then falling as the cube, then the final one."""
    along = (step / args.steps - args.prune_from) / (args.prune_to - args.prune_from)
    return args.density + (1 - args.density) * (1 - min(max(along, 0.0), 1.0)) ** 3


@torch.no_grad()
def follow(average, model, step, decay):
    """The average's step; its masks are the model's."""
    share = 1 - min(decay, (step + 1) / (step + 10))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), share)
    for ours, theirs in zip(average.buffers(), model.buffers()):
        ours.copy_(theirs)


def train(model, batch_at, measure, plot, args):
    """Returns the average. A batch is (inputs, targets), each (rows, length), a function of the step alone; every so many
    steps `measure` looks at the average, for the log that `plot` draws."""
    average = copy.deepcopy(model)
    checkpoint, optimizer, log, first = f"{args.work}/checkpoint.pt", make_optimizer(model, args), [], 0
    if os.path.exists(checkpoint):
        state = torch.load(checkpoint, weights_only=False)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        log, first = state["log"], state["step"]
    sparse, losses, began = isinstance(model, Rwkv7), [], time.time()
    bar = tqdm(range(first, args.steps), initial=first, total=args.steps, mininterval=10)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = args.lr * learning_rate(step, args)
        quantised = step >= args.quantise_from * args.steps
        if sparse:
            model.quantise(quantised)
            if step % args.prune_every == 0 and density_at(step, args) < density_at(step - args.prune_every, args):
                model.prune(density_at(step, args))
        inputs, targets = batch_at(step)
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
                    **measure(average), "seconds": time.time() - began})
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
