"""What the trainings of both bundled models share: roundings that gradients pass unchanged (straight-through estimator), the
learning rate, and files that appear as a whole."""

import contextlib
import os
import shutil

import torch


def straight_through(rounded, x):
    """The value of `rounded` with the gradient of `x`."""
    return x + (rounded - x).detach()


def quantise_activations(x):
    """Per token: integers in [-128, 127] and the multiplier that made them."""
    scale = 127 / x.detach().abs().amax(-1, keepdim=True).clamp(min=1e-5)
    scaled = x * scale
    return straight_through(scaled.round().clamp(-128, 127), scaled), scale


def int8_codes(matrix):
    """Per row: integers in [-127, 127] and the size of one."""
    step = matrix.detach().abs().amax(-1, keepdim=True).clamp(min=1e-8) / 127
    scaled = matrix / step
    return straight_through(scaled.round(), scaled), step


def on_int8_grid(matrix):
    """Rows rounded to the 255 levels they will be stored in."""
    codes, step = int8_codes(matrix)
    return codes * step


def learning_rate(step, args):
    """Warm up, hold, fall linearly to zero over the last part: the share of the peak rate at a step."""
    return min(1.0, (step + 1) / args.warmup, (args.steps - step) / (args.decay * args.steps))


def save_checkpoint(path, **state):
    torch.save(state, path + ".new")
    os.replace(path + ".new", path)


@contextlib.contextmanager
def replaced(folder):
    """A folder to fill, which then takes its place: a reader sees the old one or the new one."""
    fresh, old = f"{folder}.new", f"{folder}.old"
    shutil.rmtree(fresh, ignore_errors=True)
    os.makedirs(fresh)
    yield fresh
    if os.path.exists(folder):
        os.rename(folder, old)
    os.rename(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)
