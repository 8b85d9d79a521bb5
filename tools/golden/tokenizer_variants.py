#!/usr/bin/env python3
"""Small tokenizers of the `tokenizers` library, one for each setting that the converter reads, and what the library makes of texts.

  python3 tools/golden/tokenizer_variants.py      -> tests/golden/tokenizer/variants.json
A list of [name, tokenizer.json, [[ids, decoded] for each text]]."""
import json
import pathlib

from tokenizers import Tokenizer

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/tokenizer/variants.json"
MARK = "\u2581"
TEXTS = ["", "a", "ab", " ab", "a b", "ab  ab ", "aab12b345", "it's a'll ab's", "a\nb\n\n ab", "a<x>b", "a <x> b", "<s>ab<x>", "\u00e9a e\u0301b",
         "ab\u2581b", "z?za", "abab abAB", "  <x>", "1234567 a"]
LLAMA3 = ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"


LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


def printable():
    """GPT-2's characters for bytes."""
    kept = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    other = [b for b in range(256) if b not in kept]
    return {**{b: chr(b) for b in kept}, **{b: chr(256 + i) for i, b in enumerate(other)}}


def added(content, **flags):
    return {"id": flags.pop("id"), "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": False, **flags}


def byte_level(tokens=None, pre=None, **more):
    letters = printable()
    tokens = tokens if tokens is not None else [letters[b] for b in range(256)]
    tokens = tokens + ["ab", "\u0120a", "\u0120ab", "12", "123", "'s", "\u0120\u0120", "\u010a\u010a"]
    merges = ["a b", "\u0120 a", "\u0120a b", "1 2", "12 3", "' s", "\u0120 \u0120", "\u010a \u010a"]
    model = {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens)}, "merges": merges, **more.pop("model", {})}
    pre = pre if pre is not None else LEVEL
    return {"version": "1.0", "added_tokens": [added("<x>", id=len(tokens)), added("<s>", id=len(tokens) + 1, special=True)],
            "normalizer": None, "pre_tokenizer": pre, "post_processor": None, "decoder": LEVEL, "model": model,
            **more}


def split(regex, invert=False, behavior="Isolated"):
    return {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}, {**LEVEL, "use_regex": False}]}


def marked(**more):
    tokens = ["<unk>", MARK, "a", "b", "1", "2", "ab", MARK + "a", MARK + "ab", MARK + MARK, "'", "s", "i", "t", "l", "\n"]
    if more.pop("bytes", True):
        tokens += [f"<0x{b:02X}>" for b in range(256)]
    merges = ["a b", MARK + " a", MARK + "a b", MARK + " " + MARK]
    model = {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True,
             "vocab": {t: i for i, t in enumerate(tokens)}, "merges": merges, **more.pop("model", {})}
    return {"version": "1.0", "added_tokens": [added("<x>", id=len(tokens)), added("<s>", id=len(tokens) + 1, special=True)],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": MARK},
                                                               {"type": "Replace", "pattern": {"String": " "}, "content": MARK}]},
            "pre_tokenizer": None, "post_processor": None,
            "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": MARK}, "content": " "},
                                                         {"type": "ByteFallback"}, {"type": "Fuse"},
                                                         {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
            "model": model, **more}


def metaspace(**settings):
    pre = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always", "split": True, **settings}
    decoder = {"type": "Sequence", "decoders": [pre, {"type": "ByteFallback"}, {"type": "Fuse"}]}
    return marked(normalizer=None, pre_tokenizer=pre, decoder=decoder)


def tokens_with(make, **flags):
    one = make()
    one["added_tokens"][0].update(flags)
    return one


REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
VARIANTS = {
    "byte level": byte_level(),
    "byte level, a space in front": byte_level(pre={**LEVEL, "add_prefix_space": True}),
    "byte level, no words": byte_level(pre={**LEVEL, "use_regex": False}),
    "byte level, NFC": byte_level(normalizer={"type": "NFC"}),
    "byte level, whole words": byte_level(model={"ignore_merges": True}),
    "byte level, digits": byte_level(pre={"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True}, LEVEL]}),
    "llama3's words": byte_level(pre=split(LLAMA3)),
    "qwen2's words": byte_level(pre=split(QWEN2)),
    "gpt2's words": byte_level(pre=split(GPT2)),
    "removed between": byte_level(pre=split(QWEN2, True, "Removed")),
    "stripped left": tokens_with(byte_level, lstrip=True),
    "stripped right": tokens_with(byte_level, rstrip=True),
    "stripped on both sides": tokens_with(marked, lstrip=True, rstrip=True),
    "normalised": tokens_with(marked, normalized=True),
    "special": tokens_with(byte_level, special=True),
    "marked": marked(),
    "marked, not fused": marked(bytes=False, model={"byte_fallback": False, "fuse_unk": False}),
    "marked, fused": marked(bytes=False, model={"byte_fallback": False, "fuse_unk": True}),
    "marked, no space in front": marked(normalizer=REPLACE),
    "marked, nothing stripped": marked(decoder={"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": MARK}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]}),
    "marked, whole words": marked(model={"ignore_merges": True}),
    "metaspace": metaspace(),
    "metaspace, never": metaspace(prepend_scheme="never"),
    "metaspace, first": metaspace(prepend_scheme="first"),
    "metaspace, not split": metaspace(prepend_scheme="always", split=False),
    "metaspace, never, not split": metaspace(prepend_scheme="never", split=False),
}

if __name__ == "__main__":
    out = []
    for name, one in VARIANTS.items():
        text = json.dumps(one)
        tokenizer = Tokenizer.from_str(text)
        cases = []
        for words in TEXTS:
            ids = tokenizer.encode(words, add_special_tokens=False).ids
            decoded = tokenizer.decode(ids, skip_special_tokens=False)
            cases.append([ids, None if name == "normalised" else decoded])  # there the library shows the text after normalisation
        out.append([name, text, cases])
    OUT.write_text(json.dumps({"texts": TEXTS, "variants": out}, separators=(",", ":")).replace('],["', '],\n["') + "\n")
