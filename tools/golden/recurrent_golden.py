#!/usr/bin/env python3
"""Small models of random weights with odd shapes, and the logits that `transformers` computes from them in float32:

  python3 tools/golden/recurrent_golden.py        -> tests/golden/recurrent/

NAME/ is the folder that transformers saves, with logits.f32: (64, vocabulary) little endian, after each of the ids
(31 i^2 + 7 i + 1) mod vocabulary, i = 0 to 63."""
import pathlib

import torch
from transformers import (Mamba2Config, Mamba2ForCausalLM, MambaConfig, MambaForCausalLM, RwkvConfig, RwkvForCausalLM)

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/recurrent"
POSITIONS = 64

MODELS = {
    "mamba": lambda: MambaForCausalLM(MambaConfig(
        vocab_size=61, hidden_size=37, intermediate_size=74, state_size=5, num_hidden_layers=3, conv_kernel=4,
        time_step_rank=3, expand=2, use_conv_bias=True, eos_token_id=0, bos_token_id=0, pad_token_id=0)),
    "mamba_untied": lambda: MambaForCausalLM(MambaConfig(
        vocab_size=45, hidden_size=24, intermediate_size=72, state_size=16, num_hidden_layers=2, conv_kernel=3,
        time_step_rank=7, expand=3, use_conv_bias=False, tie_word_embeddings=False, eos_token_id=0, bos_token_id=0,
        pad_token_id=0)),
    "mamba2": lambda: Mamba2ForCausalLM(Mamba2Config(
        vocab_size=61, hidden_size=36, num_heads=6, head_dim=12, state_size=9, num_hidden_layers=3, n_groups=2, expand=2,
        conv_kernel=4, chunk_size=16, tie_word_embeddings=True, eos_token_id=0, bos_token_id=0, pad_token_id=0)),
    "rwkv4": lambda: RwkvForCausalLM(RwkvConfig(
        vocab_size=61, hidden_size=36, attention_hidden_size=36, intermediate_size=75, num_hidden_layers=3,
        context_length=96, rescale_every=2, eos_token_id=0, bos_token_id=0)),
}


def main():
    for name, make in MODELS.items():
        torch.manual_seed(len(name))
        model = make().float().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.15)
            folder = OUT / name
            folder.mkdir(parents=True, exist_ok=True)
            model.save_pretrained(folder)  # before the first pass: RWKV-4 rescales its weights in place
            vocabulary = model.config.vocab_size
            ids = torch.tensor([[(i * i * 31 + 7 * i + 1) % vocabulary for i in range(POSITIONS)]])
            logits = model(ids).logits[0].float()
            token_by_token = torch.cat([model(ids[:, :i + 1]).logits[0, -1:] for i in (0, 5, POSITIONS - 1)])
            difference = (logits[[0, 5, POSITIONS - 1]] - token_by_token).abs().max().item()
        (folder / "generation_config.json").unlink(missing_ok=True)
        (folder / "logits.f32").write_bytes(logits.contiguous().numpy().astype("<f4").tobytes())
        size = sum(file.stat().st_size for file in folder.iterdir())
        print(f"{name}: {size} bytes, logits {logits.min():.3f} to {logits.max():.3f}, own difference {difference:.2g}")


if __name__ == "__main__":
    main()
