#!/usr/bin/env python3
"""Trains small tokenizers of every kind with Hugging Face `tokenizers` and `sentencepiece` on generated text, and writes them with
the ids that those libraries give for a set of strings:

  python3 tools/golden/tokenizer_golden.py        -> tests/golden/tokenizer/

texts.json is a list of strings; NAME/ holds the tokenizer and expected.json: "ids", for each text, "special", the ids with special
tokens parsed where they differ, and "decoded", the text of the ids where it is not the string itself, both by number of the text.
added.json holds added tokens with all kinds of flags for these tokenizers, and the ids of texts with them."""
import io
import json
import pathlib
import random
import struct
import tempfile

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tokenizer_cases import (LLAMA3, QWEN2, WORDS, HuggingFace, Llama2c, SentencePiece, World, added_bases, added_ids, added_text,
                             cases, with_added)

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/tokenizer"
VOCAB = 600


def corpus(rng):
    syllables = [c + v + e for c in "bcdfghklmnprstvw" for v in "aeiou" for e in ("", "", "n", "r", "s")]
    words = ["".join(rng.choice(syllables) for _ in range(rng.randrange(1, 4))) for _ in range(150)]
    for _ in range(3000):
        line = [rng.choice(words) if rng.randrange(4) else rng.choice(WORDS) for _ in range(rng.randrange(3, 15))]
        if not rng.randrange(3):
            line.append(str(rng.randrange(3000)))
        yield (" " * rng.choice((0, 0, 0, 2, 4))) + " ".join(line) + rng.choice((".", "!", " ...", "\t", "  "))


def train(lines, cutter, normalizer=None, specials=(), alphabet=True, vocab=VOCAB, **model):
    t = Tokenizer(models.BPE(**model))
    t.pre_tokenizer = cutter
    if normalizer:
        t.normalizer = normalizer
    start = pre_tokenizers.ByteLevel.alphabet() if alphabet else []
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=vocab, special_tokens=list(specials), initial_alphabet=start, show_progress=False))
    t.decoder = decoders.ByteLevel()
    return t


def gpt2(lines):
    t = train(lines, pre_tokenizers.ByteLevel(add_prefix_space=True), specials=["<|bos|>", "<|eos|>"])
    t.post_processor = processors.TemplateProcessing(single="<|bos|> $A", special_tokens=[("<|bos|>", 0)])
    return t


def llama3(lines):
    split = pre_tokenizers.Split(Regex(LLAMA3), "isolated")
    t = train(lines, pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), ignore_merges=True)
    t.add_special_tokens([AddedToken("<|a|>"), AddedToken("<|a|>b", lstrip=True), AddedToken("<|end|>", rstrip=True), "<|bos|>"])
    t.add_tokens([AddedToken("    ", normalized=False)])
    return t


def qwen2(lines):
    split = pre_tokenizers.Split(Regex(QWEN2), "isolated")
    steps = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t = train(lines, steps, normalizers.NFC())
    t.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    t.add_tokens([AddedToken("caf\u00e9", normalized=True), AddedToken("::", normalized=False)])
    return t


def partial(lines):
    """An alphabet with holes."""
    return train([line for line in lines if line.isascii()], pre_tokenizers.ByteLevel(add_prefix_space=False), specials=["<unk>"], alphabet=False,
                 vocab=300, unk_token="<unk>", fuse_unk=True)


def marked(lines, **metaspace):
    """A vocabulary such as SentencePiece's in tokenizer.json."""
    t = train(lines, pre_tokenizers.Metaspace(**metaspace), alphabet=False)
    trained = json.loads(t.to_str())["model"]
    vocab = {token: i for i, token in enumerate(["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)])}
    for token in trained["vocab"]:
        if len(token) > 1 or token.isascii() or token == "\u2581":
            vocab[token] = len(vocab)
    merges = [tuple(m) for m in trained["merges"] if m[0] in vocab and m[1] in vocab and "".join(m) in vocab]
    t = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.add_special_tokens([AddedToken(s, normalized=False) for s in ("<unk>", "<s>", "</s>")])
    return t


def metaspace(lines):
    scheme = {"replacement": "\u2581", "prepend_scheme": "first", "split": True}
    t = marked(lines, **scheme)
    t.pre_tokenizer = pre_tokenizers.Metaspace(**scheme)
    t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(replacement="\u2581", prepend_scheme="first", split=True)])
    return t


def llama(lines):
    t = marked(lines, replacement="\u2581", prepend_scheme="always", split=True)
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    t.add_tokens([AddedToken("<pad>", normalized=True)])
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t


def sentencepiece_model(lines, path, **options):
    model = io.BytesIO()  # a file's name would become part of the model
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, model_type="bpe", vocab_size=VOCAB, minloglevel=2,
                                             normalization_rule_name="identity", character_coverage=0.98, num_threads=1, **options)
    path.write_bytes(model.getvalue())


def write_llama2c(model, path):
    p = sentencepiece.SentencePieceProcessor(str(model))
    pieces = [(p.get_score(i), p.id_to_piece(i).replace("\u2581", " ").encode()) for i in range(p.get_piece_size())]
    pieces[1:3] = [(0, b"\n<s>\n"), (0, b"\n</s>\n")]
    data = struct.pack("<I", max(len(t) for _, t in pieces))
    path.write_bytes(data + b"".join(struct.pack("<fi", s, len(t)) + t for s, t in pieces))


def write_world(lines, path):
    """Every byte, and whatever starts with letters of a few words."""
    pieces = {bytes([b]): None for b in range(256)}
    for word in sorted(set(" ".join(lines).split()))[:400:2] + WORDS + ["  ", "\n\n", "'\"\\"]:
        pieces[word.encode()] = pieces[(" " + word).encode()[:7]] = None
    pieces.pop(b"", None)
    with open(path, "w", encoding="utf-8") as out:
        for i, piece in enumerate(pieces, 1):
            try:
                literal = repr(piece.decode())
            except UnicodeDecodeError:
                literal = repr(piece)
            out.write(f"{i} {literal} {len(piece)}\n")


def write_expected(folder, reference, texts):
    expected = {"ids": [], "special": {}, "decoded": {}}
    for i, text in enumerate(texts):
        ids = reference.encode(text, False)
        expected["ids"].append(ids)
        special = reference.encode(text, True)
        if special != ids:
            expected["special"][str(i)] = special
        decoded = reference.decode(ids, True) if reference.decodes else text
        if decoded != text:
            expected["decoded"][str(i)] = decoded
    (folder / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")


def write_added(path, rng):
    cases = []
    for name, changes in list(added_bases()) * 2:
        t, tokens = with_added(rng, name, changes)
        texts = [text for text in (added_text(rng, tokens) for _ in range(12)) if None not in (added_ids(t, text, False), added_ids(t, text, True))]
        added = json.loads(t.to_str())["added_tokens"]
        cases.append({"tokenizer": name, "changes": {"added_tokens": added, **changes}, "texts": texts,
                      "ids": [added_ids(t, text, False) for text in texts],
                      "special": [added_ids(t, text, True) for text in texts]})
    path.write_text("[" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "]\n")


def main():
    lines = list(corpus(random.Random(1)))
    specials = ["<|bos|>", "<|eos|>", "<|a|>", "<|a|>b", "<|end|>", "<|im_end|>", "<s>", "</s>", "<pad>", "<unk>", "<sep>", "::", "cafe\u0301", "    "]
    texts = [t for t in cases(random.Random(2), 200, lines, specials) if len(t) < 80]
    texts = texts[:25] + sorted(texts[25:], key=len)[40:110]
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "texts.json").write_text(json.dumps(texts, separators=(",\n", ":")) + "\n")

    def folder(name):
        (OUT / name).mkdir(exist_ok=True)
        return OUT / name

    for make in (gpt2, llama3, qwen2, partial, metaspace, llama):
        t = make(lines)
        where = folder(make.__name__)
        (where / "tokenizer.json").write_text(json.dumps(json.loads(t.to_str()), separators=(",", ":")) + "\n")
        write_expected(where, HuggingFace(t), texts)

    write_added(OUT / "added.json", random.Random(3))

    where = folder("digits")
    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    t = train(lines, pre_tokenizers.Sequence(steps))
    model = json.loads(t.to_str())["model"]
    (where / "vocab.json").write_text(json.dumps(model["vocab"], separators=(",", ":")) + "\n")
    (where / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"]))
    write_expected(where, HuggingFace(t), texts)

    for name, options in (("sentencepiece", {"byte_fallback": True, "remove_extra_whitespaces": False, "user_defined_symbols": ["<sep>", "    "],
                                             "allow_whitespace_only_pieces": True}),
                          ("trimmed", {"split_digits": True})):
        where = folder(name)
        sentencepiece_model(lines, where / "tokenizer.model", **options)
        write_expected(where, SentencePiece(where / "tokenizer.model"), texts)

    where = folder("world")
    write_world(lines, where / "rwkv_vocab.txt")
    write_expected(where, World(where / "rwkv_vocab.txt"), texts)

    where = folder("llama2c")
    with tempfile.TemporaryDirectory() as scratch:
        model = pathlib.Path(scratch) / "model"
        sentencepiece_model(lines, model, byte_fallback=True)
        write_llama2c(model, where / "tokenizer.bin")
    write_expected(where, Llama2c(where / "tokenizer.bin"), [t.replace("\0", "") for t in texts])


if __name__ == "__main__":
    main()
