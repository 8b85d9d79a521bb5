"""RWKV-7 "Goose" as the engine runs it (src/arch/rwkv7.cpp), to be pruned and quantised while it is trained.

    x      = ln(embed[ids])
    per layer:
      h    = ln(x); d = (h of the token before) - h
      r, k, v = R(h + d x_r), K(h + d x_k), V(h + d x_v)
      w    = exp(-e^-1/2 sigmoid(w0 + W2 tanh(W1 (h + d x_w))))
      a    = sigmoid(a0 + A2 A1 (h + d x_a)),  g = G2 sigmoid(G1 (h + d x_g))
      v   += (v of layer 0 - v) sigmoid(v0 + V2 V1 (h + d x_v))                        layers after the first
      removal = k k_k / |k k_k|,  key = k (1 + (a - 1) k_a)                            by head
      S    = S diag(w) - (S removal) (removal a)^T + v key^T,  y = S r
      x   += O((ln(y) + (sum of r key r_k) v) g)
      h    = ln(x);  x += F_v relu(F_k (h + d x_k))^2
    logits = embed . ln(x)

The recurrence is computed for chunks of tokens at once (`recur`). Weights of matrices are multiplied by a mask; once
`quantised` they are int8 with a scale a row, and so is what they are multiplied with, with a scale a token, as the engine's
sparse formats have it. Matrices of low rank stay dense and the embedding is the head, unless all is to be pruned.
Gradients pass through masks and roundings unchanged (straight-through estimator).

    python3 rwkv7.py --edgellm FILE --convert FILE      compares `recur` with single steps, and the logits with the engine's

Sources: Peng et al., arXiv:2503.14456; the density of each matrix: Evci et al., arXiv:1911.11134 (Erdos-Renyi-Kernel); the
schedule of pruning: Zhu and Gupta, arXiv:1710.01878; sparse linear recurrent networks: arXiv:2502.01330.
"""

import argparse
import json
import math
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from training import int8_codes, on_int8_grid, quantise_activations, replaced, straight_through

CHUNK = 16  # tokens: a decay is at least exp(-e^-1/2), so that a product of so many and its inverse are harmless in f32
DECAY = -math.exp(-0.5)
NORM_EPS, HEAD_NORM_EPS = 1e-5, 64e-5  # what the converter assumes
END = "<|eos|>"


@dataclass(frozen=True)
class Config:
    vocab_size: int = 768
    dim: int = 192
    layers: int = 4
    head_dim: int = 32
    ffn: int = 576
    rank: int = 16  # of w, a, v and g
    prune_all: bool = False  # the matrices of low rank too, and a head that is not the embedding


def recur(r, w, k, v, removal, back):
    """All are (batch, heads, length, head_dim); w is the decay's logarithm, back = -removal a.

    In a chunk let c_t be the product of the decays up to t, and S_t = Z_t diag(c_t). Then with u_t = S_{t-1} removal_t
        Z_t = S_0 + sum over s <= t of u_s (back_s / c_s)^T + v_s (k_s / c_s)^T
        u_t = Z_{t-1} (c_{t-1} removal_t),   y_t = Z_t (c_t r_t)
    so that u is the solution of a triangular system, and all is affine in S_0: chunks are worked out side by side, and
    one after the other only their states."""
    length, n = r.shape[2:]
    r, w, k, v, removal, back = (F.pad(x, (0, 0, 0, -length % CHUNK)).unflatten(2, (-1, CHUNK))
                                 for x in (r, w, k, v, removal, back))
    total = w.cumsum(3)
    grown = (-total).exp()
    removal, r, back, k = removal * (total - w).exp(), r * total.exp(), back * grown, k * grown
    known = torch.cat((removal, (removal @ k.mT).tril(-1) @ v), -1)
    u = torch.linalg.solve_triangular(-(removal @ back.mT).tril(-1), known, upper=False, unitriangular=True)
    u_of_state, u_alone = u.split(n, -1)
    last = total[..., -1, :, None].exp()  # states are (key, value)
    carried, added = last * (torch.eye(n, dtype=r.dtype) + back.mT @ u_of_state), last * (back.mT @ u_alone + k.mT @ v)
    states = [torch.zeros_like(added[:, :, 0])]
    for carry, add in zip(carried.unbind(2)[:-1], added.unbind(2)):
        states.append(add + carry @ states[-1])
    seen = (r @ back.mT).tril()
    y = (r + seen @ u_of_state) @ torch.stack(states, 2) + seen @ u_alone + (r @ k.mT).tril() @ v
    return y.flatten(2, 3)[:, :, :length]


def recur_by_token(r, w, k, v, removal, back):
    """The same as the equation says it, to check `recur` against."""
    state, outputs = torch.zeros(*r.shape[:2], r.shape[3], r.shape[3], dtype=r.dtype), []  # (value, key)
    for t in range(r.shape[2]):
        r_, w_, k_, v_, removal_, back_ = (x[:, :, t, :, None] for x in (r, w, k, v, removal, back))  # columns
        state = state * w_.exp().mT + state @ removal_ @ back_.mT + v_ @ k_.mT
        outputs.append((state @ r_)[..., 0])
    return torch.stack(outputs, 2)


class Linear(nn.Module):
    """A matrix; its int8 products have a scale for 32 channels in the engine, too fine to matter here."""

    def __init__(self, inputs, outputs, std):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * std)
        self.quantised = False

    def effective(self):
        return on_int8_grid(self.weight) if self.quantised else self.weight

    def forward(self, x):
        return F.linear(x, self.effective())


class SparseLinear(Linear):
    """A matrix whose weights are masked, and in the end quantised with what it multiplies."""

    def __init__(self, inputs, outputs, std):
        super().__init__(inputs, outputs, std)
        self.register_buffer("mask", torch.ones(outputs, inputs, dtype=torch.bool))

    def masked(self):
        return straight_through(self.weight * self.mask, self.weight)

    def effective(self):
        return on_int8_grid(self.masked()) if self.quantised else self.masked()

    def forward(self, x):
        if not self.quantised:
            return F.linear(x, self.masked())
        (codes, steps), (x, scale) = int8_codes(self.masked()), quantise_activations(x)
        return F.linear(x, codes) * (steps.mT / scale)  # of integers, which bf16 has too


class LowRank(nn.Module):
    def __init__(self, c, bias=None):
        super().__init__()
        kind = SparseLinear if c.prune_all else Linear
        self.first = kind(c.dim, c.rank, 0.1 / math.sqrt(c.dim))
        self.second = kind(c.rank, c.dim, 0.1 / math.sqrt(c.rank))
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, x, between=None):
        middle = self.first(x)
        y = self.second(between(middle) if between else middle)
        return y if self.bias is None else y + self.bias


def shares(dim, power):
    """Start of mixing weights: the share of the token before falls from channel to channel."""
    return nn.Parameter(1 - (torch.arange(dim) / dim) ** power)


def before(h):
    """Each token's predecessor, zero for the first."""
    return F.pad(h, (0, 0, 1, -1))


class Attention(nn.Module):
    USES = "rwkvag"

    def __init__(self, c, layer):
        super().__init__()
        self.heads = c.dim // c.head_dim
        depth = 1 - layer / c.layers
        powers = zip(self.USES, (0.2, 0.9, 0.7, 0.7, 0.9, 0.2))
        self.mix = nn.ParameterDict({use: shares(c.dim, power * depth) for use, power in powers})
        std = 1 / math.sqrt(c.dim)
        self.r, self.k, self.v = (SparseLinear(c.dim, c.dim, std * gain) for gain in (0.5, 0.3, 0.5))
        self.o = SparseLinear(c.dim, c.dim, 0.3 * std)
        slow_to_fast = torch.arange(c.head_dim) / max(c.head_dim - 1, 1)
        self.w = LowRank(c, (-5.5 + 5 * slow_to_fast).repeat(self.heads))
        self.a = LowRank(c, torch.zeros(c.dim))
        self.g = LowRank(c)
        nn.init.normal_(self.g.second.weight, std=1 / math.sqrt(c.rank))
        self.residual = LowRank(c, torch.ones(c.dim)) if layer else None
        self.k_k = nn.Parameter(torch.full((c.dim,), 0.85))
        self.k_a = nn.Parameter(torch.ones(c.dim))
        self.r_k = nn.Parameter(torch.zeros(self.heads, c.head_dim))
        self.norm = nn.GroupNorm(self.heads, c.dim, eps=HEAD_NORM_EPS)

    def forward(self, h, first_v, step):
        d = before(h) - h
        r, w, k, v, a, g = (torch.addcmul(h, d, self.mix[use]) for use in self.USES)
        gate = self.g(g, torch.sigmoid)
        w, a = DECAY * torch.sigmoid(self.w(w, torch.tanh)), torch.sigmoid(self.a(a))
        share = torch.sigmoid(self.residual(v)) if self.residual else None
        r, k, v = self.r(r), self.k(k), self.v(v)
        if share is None:
            first_v = v
        else:
            v = v + (first_v - v) * share

        def by_head(x):
            return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        removal = F.normalize(by_head(k * self.k_k), dim=-1)
        key = k * (1 + (a - 1) * self.k_a)
        r_, key_, v_ = map(by_head, (r, key, v))
        with torch.autocast("cpu", enabled=False):
            y = step(*(x.to(h.dtype) for x in (r_, by_head(w), key_, v_, removal, -removal * by_head(a))))
        y = self.norm(y.transpose(1, 2).flatten(0, 1).flatten(1)).view_as(h)
        bonus = (r_ * key_ * self.r_k[:, None]).sum(-1, keepdim=True) * v_
        return self.o((y + bonus.transpose(1, 2).flatten(2)) * gate), first_v


class Layer(nn.Module):
    def __init__(self, c, layer):
        super().__init__()
        self.att_norm, self.ffn_norm = nn.LayerNorm(c.dim, eps=NORM_EPS), nn.LayerNorm(c.dim, eps=NORM_EPS)
        self.att = Attention(c, layer)
        self.ffn_mix = shares(c.dim, (1 - layer / c.layers) ** 4)
        self.ffn_k = SparseLinear(c.dim, c.ffn, 1 / math.sqrt(c.dim))
        self.ffn_v = SparseLinear(c.ffn, c.dim, 0.3 / math.sqrt(c.ffn))

    def forward(self, x, first_v, step):
        y, first_v = self.att(self.att_norm(x), first_v, step)
        x = x + y
        h = self.ffn_norm(x)
        return x + self.ffn_v(self.ffn_k(h + (before(h) - h) * self.ffn_mix).relu().square()), first_v


class Rwkv7(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embed = nn.Parameter(torch.randn(config.vocab_size, config.dim) * 0.05)
        self.embed_norm, self.norm = nn.LayerNorm(config.dim, eps=NORM_EPS), nn.LayerNorm(config.dim, eps=NORM_EPS)
        self.layers = nn.ModuleList(Layer(config, i) for i in range(config.layers))
        self.head = SparseLinear(config.dim, config.vocab_size, 0.05) if config.prune_all else None
        self.quantised = False

    def matrices(self):
        """Those that are pruned."""
        return [m for m in self.modules() if isinstance(m, SparseLinear)]

    def embedding(self):
        return on_int8_grid(self.embed) if self.quantised else self.embed

    def forward(self, ids, step=recur):
        """ids (batch, length) -> logits (batch, length, vocab)"""
        embedding = self.embedding()
        x = self.embed_norm(F.embedding(ids, embedding))
        first_v = None
        for layer in self.layers:
            x, first_v = layer(x, first_v, step)
        return self.head(self.norm(x)) if self.head else F.linear(self.norm(x), embedding)

    # Pruning and quantisation

    def densities(self, density):
        """Of each matrix, for one of all: proportional to (rows + columns) / (rows * columns), and at most 1."""
        sizes = [m.weight.numel() for m in self.matrices()]
        raw = [sum(m.weight.shape) / m.weight.numel() for m in self.matrices()]
        full = set()
        while True:
            rest = density * sum(sizes) - sum(sizes[i] for i in full)
            factor = rest / sum(sizes[i] * raw[i] for i in range(len(raw)) if i not in full)
            more = {i for i in range(len(raw)) if i not in full and factor * raw[i] >= 1}
            if not more:
                return [1.0 if i in full else factor * raw[i] for i in range(len(raw))]
            full |= more

    @torch.no_grad()
    def prune(self, density):
        """Keeps the largest weights of each matrix."""
        for matrix, share in zip(self.matrices(), self.densities(density) if density < 1 else [1.0] * len(self.matrices())):
            kept = max(1, round(share * matrix.weight.numel()))
            least = matrix.weight.abs().flatten().kthvalue(matrix.weight.numel() - kept + 1).values
            matrix.mask.copy_(matrix.weight.abs() >= least)

    def quantise(self, on):
        self.quantised = on
        for module in self.modules():
            if isinstance(module, Linear):
                module.quantised = on

    @torch.no_grad()
    def density(self):
        return sum(m.mask.sum().item() for m in self.matrices()) / sum(m.mask.numel() for m in self.matrices())

    @torch.no_grad()
    def tensors(self):
        """With the author's names and shapes; his low-rank matrices multiply from the right."""
        out = {"emb.weight": self.embedding()}
        if self.head:
            out["head.weight"] = self.head.effective()

        def norm(name, module):
            out[name + ".weight"], out[name + ".bias"] = module.weight, module.bias

        norm("blocks.0.ln0", self.embed_norm)
        norm("ln_out", self.norm)
        for i, layer in enumerate(self.layers):
            at, att = f"blocks.{i}.", layer.att
            norm(at + "ln1", layer.att_norm)
            norm(at + "ln2", layer.ffn_norm)
            norm(at + "att.ln_x", att.norm)
            for use, mix in att.mix.items():
                out[f"{at}att.x_{use}"] = mix.view(1, 1, -1)
            for name, matrix in (("att.receptance", att.r), ("att.key", att.k), ("att.value", att.v), ("att.output", att.o),
                                 ("ffn.key", layer.ffn_k), ("ffn.value", layer.ffn_v)):
                out[f"{at}{name}.weight"] = matrix.effective()
            for letter, pair in (("w", att.w), ("a", att.a), ("g", att.g), ("v", att.residual)):
                if pair is None:
                    continue
                out[f"{at}att.{letter}1"], out[f"{at}att.{letter}2"] = pair.first.effective().T, pair.second.effective().T
                if pair.bias is not None:
                    out[f"{at}att.{letter}0"] = pair.bias.view(1, 1, -1)
            out[at + "att.k_k"], out[at + "att.k_a"] = att.k_k.view(1, 1, -1), att.k_a.view(1, 1, -1)
            out[at + "att.r_k"], out[at + "ffn.x_k"] = att.r_k, layer.ffn_mix.view(1, 1, -1)
        return {name: tensor.detach().float().contiguous().clone() for name, tensor in out.items()}

    def export(self, folder, tokenizer, begins=None):
        """A folder that edgellm-convert reads; `begins` is the token that every text begins with."""
        with replaced(folder) as fresh:
            save_file(self.tensors(), f"{fresh}/model.safetensors")
            if tokenizer:
                shutil.copy(tokenizer, f"{fresh}/tokenizer.json")
                with open(f"{fresh}/tokenizer_config.json", "w") as f:
                    json.dump({"eos_token": END, "bos_token": begins, "add_bos_token": begins is not None}, f)


@torch.no_grad()
def compare(edgellm, convert, prune_all):
    """Random weights with every parameter away from its start; the engine in f32."""
    torch.manual_seed(1)
    model = Rwkv7(Config(vocab_size=61, dim=48, layers=3, head_dim=16, ffn=80, rank=8, prune_all=prune_all))
    for parameter in model.parameters():
        parameter += torch.randn_like(parameter) * (0.2 if parameter.dim() == 1 else 0.1)
    model.prune(0.4)
    ids = [(31 * i * i + 7 * i + 1) % 61 for i in range(50)]
    exact = model.double()(torch.tensor([ids]), recur_by_token)[0]
    chunked = model(torch.tensor([ids]))[0]
    model.float()
    with tempfile.TemporaryDirectory() as work:
        model.export(f"{work}/model", None)
        subprocess.run([convert, f"{work}/model", f"{work}/model.tm2", "--weights", "f32", "--tokenizer", "none"],
                       check=True, stdout=subprocess.DEVNULL)
        subprocess.run([edgellm, "eval", f"{work}/model.tm2", "--ids", ",".join(map(str, ids)), "--activations", "f32",
                        "--logits",
                        f"{work}/logits"], check=True, stdout=subprocess.DEVNULL)
        with open(f"{work}/logits", "rb") as f:
            engine = torch.frombuffer(bytearray(f.read()), dtype=torch.float32)
    scale = exact.abs().max().item()
    differences = {"chunks and single steps": (chunked - exact).abs().max().item() / scale,
                   "the engine and single steps": (engine - exact[-1]).abs().max().item() / scale}
    for what, difference in differences.items():
        print(f"{what}: largest difference {difference:.1e} of the largest logit")
    if max(differences.values()) > 2e-5:
        raise SystemExit("more than 2e-5")


def main():
    parser = argparse.ArgumentParser(description="Compares this RWKV-7 with the engine's.")
    parser.add_argument("--edgellm", required=True)
    parser.add_argument("--convert", required=True)
    args = parser.parse_args()
    for prune_all in (False, True):
        compare(args.edgellm, args.convert, prune_all)


if __name__ == "__main__":
    main()
