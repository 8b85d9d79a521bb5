"""Train the bundled model `stories`: a BitNet b1.58 of four million weights that tells TinyStories.

From the text of the stories to an exported folder in one command; run it again and it goes on where it stopped.

    python3 stories.py --text TRAIN.txt --heldout HELDOUT.txt --work DIR --out DIR

--work keeps tokenizer.json, checkpoint.pt, log.json and loss.png; --out is the Hugging Face style folder that
edgellm-convert reads. The learning rate warms up, stays, and falls to zero over the last steps, so a run that was
stopped before the fall can be resumed with another --steps and is the same as if it had been planned so.
"""

import argparse
import json
import os
import time

import torch
import torch.distributed as dist
import torch.multiprocessing
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from tqdm import tqdm

from bitnet import BitLinear, BitNet, Config, export
from plots import plt, save_plot
from training import learning_rate, save_checkpoint

SEPARATOR = "<|endoftext|>"
DEV_STORIES = 100  # the last ones of the training text, to watch over-fitting without looking at the held-out file

# UTF-8 that was once read as cp1252, and typographic quotes: the stories are to be plain ASCII on any terminal.
REPAIRS = {
    "\u00e2\u20ac\u0153": '"', "\u00e2\u20ac\u2122": "'", "\u00e2\u20ac\u201c": "-", "\u00e2\u20ac": '"',
    "\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'", "\u2013": "-", "\u2014": "-", "\u2026": "...",
}

PROMPTS = [
    "Once upon a time",
    "One day, a little girl named Lily",
    "Tom and his dog went to the park.",
    '"Can I help you?" asked the',
]
SCORED_TEXTS = [
    "Once upon a time there was a small robot who lived in a blue house by the sea. Every morning the robot "
    "watered the flowers and said hello to the birds. One day a big wave came and took his red hat away. The "
    'robot was sad. "Do not cry," said a kind old fish. "I will bring it back to you." The fish swam far and '
    "found the hat on a rock. The robot was so happy that he gave the fish a shiny shell. They were friends from then on.",
    "A kernel that reads 64 bytes at a time needs its rows padded to 16; the tail (3 rows, 5 columns) is where "
    "most mistakes live. Version 2.1 costs $0.99, caf\u00e9 na\u00efve \u00fcber, x = y*z + 1;\n\tindent\r\n   three spaces  end.",
]


def read_stories(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for broken, plain in REPAIRS.items():
        text = text.replace(broken, plain)
    return [story.strip() for story in text.split(SEPARATOR) if story.strip()]


def train_tokenizer(stories, size, path):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|bos|>", "<|eos|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(stories, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A", special_tokens=[("<|bos|>", tokenizer.token_to_id("<|bos|>"))]
    )
    tokenizer.save(path)


def encode(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


class Rows:
    """Batches of (input, target) rows cut from a stream of shuffled stories, a function of the step alone."""

    def __init__(self, stories, length, batch, seed):
        self.stories, self.length, self.batch, self.seed = stories, length, batch, seed
        self.per_epoch = (sum(len(s) for s in stories) - 1) // length // batch
        self.epoch = None

    def at(self, step):
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            order = torch.randperm(len(self.stories), generator=torch.Generator().manual_seed(self.seed + epoch))
            self.stream = torch.cat([self.stories[i] for i in order])
            self.epoch = epoch
        starts = [(index * self.batch + row) * self.length for row in range(self.batch)]
        rows = torch.stack([self.stream[s : s + self.length + 1] for s in starts])
        return rows[:, :-1], rows[:, 1:]


def make_optimizers(model, args):
    """Muon turns the latent matrices, AdamW the embedding and the norms. No decay on the latter."""
    matrices = [m.weight for m in model.modules() if isinstance(m, BitLinear)]
    known = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in known]
    return [
        torch.optim.Muon(matrices, lr=args.lr, weight_decay=args.weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=args.lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]


@torch.no_grad()
def nll_of_windows(model, ids):
    """Sum of -log p over all ids, in windows that fill the context and start with <|bos|>."""
    config, total = model.config, 0.0
    width = config.context - 1
    for start in range(0, len(ids), 8 * width):
        windows = [ids[i : i + width] for i in range(start, min(start + 8 * width, len(ids)), width)]
        inputs = torch.full((len(windows), config.context), config.eos_id)
        targets = torch.full((len(windows), config.context), -100)
        for row, window in enumerate(windows):
            inputs[row, 0] = config.bos_id
            inputs[row, 1 : len(window) + 1] = window
            targets[row, : len(window)] = window
        total += F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), reduction="sum").item()
    return total


@torch.no_grad()
def nll_of_stories(model, stories, longest):
    """Mean -log p per token, every story alone and at most so many tokens of it."""
    stories = [s[: longest + 1] for s in stories]
    total = sum(F.cross_entropy(model(s[None, :-1])[0], s[1:], reduction="sum").item() for s in stories)
    return total / sum(len(s) - 1 for s in stories)


@torch.no_grad()
def generate(model, ids, count, temperature=0.0, seed=0, stop=True):
    """Continue ids; returns the new ids and how far ahead of the second each greedy choice was."""
    config, generator = model.config, torch.Generator().manual_seed(seed)
    ids, new, margins = list(ids), [], []
    for _ in range(count):
        logits = model(torch.tensor([ids[-config.context :]]))[0, -1]
        best = logits.topk(2).values
        margins.append(round((best[0] - best[1]).item(), 5))
        if temperature:
            choice = torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator).item()
        else:
            choice = logits.argmax().item()
        ids.append(choice)
        new.append(choice)
        if stop and choice == config.eos_id:
            break
    return new, margins


def expected_values(model, tokenizer):
    """What any other implementation of the exported folder must find."""
    prompts, nll = [], []
    for text in PROMPTS:
        ids = [model.config.bos_id] + encode(tokenizer, text)
        greedy, margins = generate(model, ids, 64, stop=False)
        prompts.append({"text": text, "prompt_ids": ids, "greedy_ids": greedy, "margins": margins})
    for text in SCORED_TEXTS:
        ids = [model.config.bos_id] + encode(tokenizer, text)[:255]
        row = torch.tensor(ids)
        nll.append({"text": text, "ids": ids, "mean_nll": nll_of_stories(model, [row], model.config.context)})
    return {"prompts": prompts, "nll": nll}


def report(model, tokenizer, heldout_path):
    """Quality on the held-out text as it is, and two samples to read."""
    with open(heldout_path, "rb") as f:
        data = f.read()
    ids = encode(tokenizer, data.decode("utf-8"))
    nll = nll_of_windows(model, torch.tensor(ids))
    print(f"held-out: {nll / len(data):.4f} nats/byte, {nll / len(ids):.4f} nats/token, {len(ids)} tokens, {len(data)} bytes")
    prompt = [model.config.bos_id] + encode(tokenizer, PROMPTS[0])
    for temperature in (0.0, 0.7):
        text = tokenizer.decode(generate(model, prompt, 300, temperature)[0])
        print(f"--- temperature {temperature}\n{PROMPTS[0]}{text}", flush=True)


def plot(log, path):
    figure, axes = plt.subplots(figsize=(8, 4.5))
    axes.plot([r["step"] for r in log], [r["loss"] for r in log], label="training")
    axes.plot([r["step"] for r in log], [r["dev"] for r in log], label=f"{DEV_STORIES} stories kept aside")
    axes.set(xlabel="step", ylabel="nats per token", ylim=(1.0, 3.5))
    axes.legend()
    save_plot(figure, path)


def share_gradients(model):
    """Mean of the workers' gradients, in every worker."""
    gradients = [p.grad for p in model.parameters()]
    vector = parameters_to_vector(gradients) / dist.get_world_size()
    dist.all_reduce(vector)
    vector_to_parameters(vector, gradients)


def train(model, rows, dev, tokenizer, args):
    """One worker's part; the first worker also evaluates, saves and exports."""
    rank, checkpoint = dist.get_rank(), f"{args.work}/checkpoint.pt"
    optimizers, log, first = make_optimizers(model, args), [], 0
    if os.path.exists(checkpoint):
        state = torch.load(checkpoint, weights_only=False)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        log, first = state["log"], state["step"]
    dist.barrier()

    def loss_of(inputs, targets):
        return F.cross_entropy(model(inputs, torch.bfloat16).flatten(0, 1), targets.flatten())

    compiled, losses, began = torch.compile(loss_of), [], time.time()
    bar = tqdm(range(first, args.steps), initial=first, total=args.steps, mininterval=10, disable=rank > 0)
    for step in bar:
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = args.lr * learning_rate(step, args)
        inputs, targets = rows.at(step)
        loss = compiled(inputs[rank :: args.workers], targets[rank :: args.workers])
        loss.backward()
        share_gradients(model)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
        done = step + 1
        if rank > 0 or (done % args.every and done != args.steps):
            continue
        train_loss, dev_loss = sum(losses) / len(losses), nll_of_stories(model, dev, model.config.context)
        log.append({"step": done, "loss": train_loss, "dev": dev_loss, "seconds": time.time() - began})
        bar.set_postfix_str(f"train {train_loss:.3f} dev {dev_loss:.3f}")
        losses, began = [], time.time()
        save_checkpoint(
            checkpoint, model=model.state_dict(), optimizers=[o.state_dict() for o in optimizers], log=log, step=done
        )
        with open(f"{args.work}/log.json", "w") as f:
            json.dump(log, f, indent=1)
        plot(log, f"{args.work}/loss.png")
        if done % args.export_every == 0:
            export(model, f"{args.work}/tokenizer.json", expected_values(model, tokenizer), args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", required=True, help="stories, separated by lines of " + SEPARATOR)
    parser.add_argument("--heldout", required=True, help="text that is only scored")
    parser.add_argument("--work", required=True, help="folder of checkpoint, log and curve")
    parser.add_argument("--out", required=True, help="folder to export the model to")
    parser.add_argument("--steps", type=int, default=1700)
    parser.add_argument("--batch", type=int, default=8, help="rows of 512 tokens a step")
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--warmup", type=int, default=100, help="steps")
    parser.add_argument("--decay", type=float, default=0.294, help="share of the steps in which the rate falls")
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--every", type=int, default=200, help="steps between evaluations and checkpoints")
    parser.add_argument("--export-every", type=int, default=500, help="steps between exports")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread; must divide --batch")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def work(rank, args):
    """A process with one thread: beside busy neighbours a step waits for the slower one once, not at every product."""
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    dist.init_process_group("gloo", init_method=f"file://{meeting_place(args)}", rank=rank, world_size=args.workers)
    config = Config()
    tokenizer = Tokenizer.from_file(f"{args.work}/tokenizer.json")
    coded = [torch.tensor([config.bos_id] + encode(tokenizer, s) + [config.eos_id]) for s in read_stories(args.text)]
    rows = Rows(coded[:-DEV_STORIES], config.context, args.batch, args.seed)
    model = BitNet(config)
    if rank == 0:
        print(f"{sum(p.numel() for p in model.parameters())} parameters, {sum(map(len, coded))} tokens, "
              f"{rows.per_epoch} steps an epoch", flush=True)
    train(model, rows, coded[-DEV_STORIES:], tokenizer, args)
    if rank == 0:
        export(model, f"{args.work}/tokenizer.json", expected_values(model, tokenizer), args.out)
        report(model, tokenizer, args.heldout)


def meeting_place(args):
    return os.path.abspath(f"{args.work}/workers")


def main():
    args = arguments()
    os.makedirs(args.work, exist_ok=True)
    if not os.path.exists(f"{args.work}/tokenizer.json"):
        train_tokenizer(read_stories(args.text), Config().vocab_size, f"{args.work}/tokenizer.json")
    if os.path.exists(meeting_place(args)):
        os.remove(meeting_place(args))  # left by a run that was stopped
    torch.multiprocessing.spawn(work, (args,), nprocs=args.workers)


if __name__ == "__main__":
    main()
