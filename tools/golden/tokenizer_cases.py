#!/usr/bin/env python3
"""Compares the tokenizers with their references, Hugging Face `tokenizers`, `sentencepiece` and `tiktoken`, id for id, and
checks that text comes back from its ids.

  python3 tools/golden/tokenizer_cases.py DATA [--count N] [--seed S] [--only NAME]
  python3 tools/golden/tokenizer_cases.py --added N [--seed S]

DATA holds tokenizers/, checkpoints/ and text/ (EDGELLM_DATA). The second form gives the small tokenizers of tests/golden/tokenizer
added tokens with all kinds of flags, N times each. Needs a C++ compiler (CXX). Exit code 1 when anything differs."""
import argparse
import base64
import heapq
import itertools
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ["src/text/*.cpp", "src/base/format.cpp", "src/base/status.cpp", "src/platform/signals.cpp", "tools/convert/tokenizer/*.cpp", "tools/convert/base/json.cpp",
           "tools/convert/base/mapped_file.cpp", "tools/convert/source/gguf.cpp", "tools/convert/source/gguf_blocks.cpp", "tools/golden/tokenizer_driver.cpp"]

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def build(folder):
    binary = os.path.join(folder, "tokenizer_driver")
    sources = [str(p) for pattern in SOURCES for p in sorted(ROOT.glob(pattern))]
    includes = ["-I" + str(ROOT / d) for d in ("src", "kernels", "tools")]
    command = [os.environ.get("CXX", "c++"), "-std=c++20", "-O2", "-g", *os.environ.get("CXXFLAGS", "").split(), *includes, *sources]
    subprocess.run([*command, "-o", binary], check=True)
    return binary


class Driver:
    def __init__(self, binary, path, vocab, quiet=False):
        self.process = subprocess.Popen([binary, str(path), str(vocab)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL if quiet else None)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def call(self, what, data):
        self.process.stdin.write(struct.pack("<II", what, len(data)) + data)
        self.process.stdin.flush()
        size = struct.unpack("<I", self.process.stdout.read(4))[0]
        return self.process.stdout.read(size)

    def encode(self, text, special=False):
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        out = self.call(1 if special else 0, data)
        return list(struct.unpack(f"<{len(out) // 4}i", out))

    def decode(self, ids, specials=False):
        return self.call(12 if specials else 4, struct.pack(f"<{len(ids)}i", *ids)).decode("utf-8")


# References: encode(text, special), decode(ids, specials), and returned(text): what is to come back from the ids of a text,
# None where the vocabulary cannot say it.
class HuggingFace:
    decodes = True

    def __init__(self, tokenizer, lacks=b""):
        self.t = tokenizer
        self.lacks = set(lacks)
        self.nfc = '"normalizer":{"type":"NFC"}' in tokenizer.to_str()
        self.marks = '"type":"Replace"' in tokenizer.to_str()

    def encode(self, text, special):
        self.t.encode_special_tokens = not special
        return self.t.encode(text, add_special_tokens=False).ids

    def decode(self, ids, specials):
        return self.t.decode(ids, skip_special_tokens=not specials)

    def returned(self, text):
        if not self.lacks.isdisjoint(text.encode()):
            return None
        text = self.t.normalizer.normalize_str(text) if self.nfc else text
        return text.replace("\u2581", " ") if self.marks else text


class SentencePiece:
    takes_bytes = True
    decodes = True

    def __init__(self, path, trims=False):
        import sentencepiece
        self.t = sentencepiece.SentencePieceProcessor(str(path))
        self.trims = trims

    def encode(self, text, special):
        return self.t.encode(text)

    def decode(self, ids, specials):
        return self.t.decode(ids)

    def returned(self, text):
        return self.t.decode(self.t.encode(text)) if self.trims else text.replace("\u2581", " ")


class Tiktoken:
    decodes = True

    def __init__(self, path, specials):
        import tiktoken
        ranks = {base64.b64decode(t): int(r) for t, r in (line.split() for line in open(path, "rb"))}
        self.specials = specials
        self.t = tiktoken.Encoding("ranks", pat_str=LLAMA3, mergeable_ranks=ranks, special_tokens=specials)

    def encode(self, text, special):
        return self.t.encode(text, allowed_special="all" if special else set(), disallowed_special=())

    def decode(self, ids, specials):
        skipped = set() if specials else set(self.specials.values())
        return self.t.decode([i for i in ids if i not in skipped])

    def returned(self, text):
        return text


class Llama2c:
    """The encoder of llama2.c's run.c, from its description: characters or their bytes, then the best score, leftmost first.
    (In broken UTF-8 it also spells out the character before a stray byte; ours keeps that one.)"""
    decodes = False

    def returned(self, text):
        return text

    def __init__(self, path):
        data = open(path, "rb").read()
        at, self.pieces, self.scores = 4, [], []
        while at < len(data):
            score, size = struct.unpack_from("<fi", data, at)
            self.pieces.append(data[at + 8:at + 8 + size])
            self.scores.append(score)
            at += 8 + size
        self.ids = {}
        for i, piece in enumerate(self.pieces):
            self.ids.setdefault(piece, i)

    def encode(self, text, special):
        data = text if isinstance(text, bytes) else text.encode()
        if not data:
            return []
        out, chunk = [self.ids[b" "]], b""
        for i, c in enumerate(data):
            if c & 0xC0 != 0x80:
                chunk = b""
            chunk += bytes([c])
            if i + 1 < len(data) and data[i + 1] & 0xC0 == 0x80 and len(chunk) < 4:
                continue
            out += [self.ids[chunk]] if chunk in self.ids else [b + 3 for b in chunk]
            chunk = b""
        # Of candidates (score, place, both ids) those are stale that no longer stand there.
        before, after, candidates = list(range(-1, len(out) - 1)), list(range(1, len(out) + 1)), []

        def consider(left, right):
            if left >= 0 and right < len(out):
                joined = self.ids.get(self.pieces[out[left]] + self.pieces[out[right]])
                if joined is not None:
                    heapq.heappush(candidates, (-self.scores[joined], left, out[left], out[right], joined))

        for i in range(len(out) - 1):
            consider(i, i + 1)
        while candidates:
            _, left, first, second, joined = heapq.heappop(candidates)
            right = after[left]
            if out[left] != first or right >= len(out) or out[right] != second:
                continue
            out[left], out[right], after[left] = joined, None, after[right]
            if after[left] < len(out):
                before[after[left]] = left
            consider(before[left], left)
            consider(left, after[left])
        return [i for i in out if i is not None]


class World:
    """RWKV's world vocabulary: the longest piece each time."""
    takes_bytes = True
    decodes = True

    def __init__(self, path):
        import ast
        self.pieces, self.ids = {}, {}
        for line in open(path, encoding="utf-8"):
            piece = ast.literal_eval(line[line.index(" "):line.rindex(" ")].strip())
            piece = piece.encode() if isinstance(piece, str) else piece
            assert len(piece) == int(line[line.rindex(" "):])
            self.pieces[int(line[:line.index(" ")])] = piece
        self.ids = {piece: i for i, piece in self.pieces.items()}
        self.lengths = {}  # of pieces, longest first, by their first two bytes
        for piece in sorted(self.ids, key=len, reverse=True):
            lengths = self.lengths.setdefault(piece[:2], [])
            if lengths[-1:] != [len(piece)]:
                lengths.append(len(piece))

    def encode(self, text, special):
        data = text if isinstance(text, bytes) else text.encode()
        out, at = [], 0
        while at < len(data):
            size = next((n for n in self.lengths.get(data[at:at + 2], ()) if data[at:at + n] in self.ids), 1)
            out.append(self.ids[data[at:at + size]])
            at += size
        return out

    def decode(self, ids, specials):
        return b"".join(self.pieces.get(i, b"") for i in ids).decode("utf-8", errors="replace")

    def returned(self, text):
        return text


def byte_characters():
    """GPT-2's printable character for each byte."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = itertools.count(0x100)
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def from_tables(folder, splits, nfc, specials):
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    t = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    steps = [pre_tokenizers.Digits(individual_digits=True)] if splits == "digits" else []
    if splits == "qwen2":
        steps.append(pre_tokenizers.Split(Regex(QWEN2), "isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=splits != "qwen2"))
    t.pre_tokenizer = pre_tokenizers.Sequence(steps)
    if nfc:
        t.normalizer = normalizers.NFC()
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in specials])
    return HuggingFace(t, lacks=[byte for byte, c in enumerate(byte_characters()) if t.token_to_id(c) is None])


def references(data, scratch):
    """name, path, ids, reference"""
    from tokenizers import Tokenizer
    folder = data / "tokenizers"
    for name in ("gpt-neox-20b", "olmo", "tinyllama"):
        yield name, folder / name, 50432 if name != "tinyllama" else 32000, HuggingFace(Tokenizer.from_file(str(folder / name / "tokenizer.json")))
    yield "smollm", folder / "smollm", 49152, from_tables(folder / "smollm", "digits", False, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    yield "qwen2", folder / "qwen2", 151936, from_tables(folder / "qwen2", "qwen2", True, [])
    yield "llama2", folder / "llama2/tokenizer.model", 32000, SentencePiece(folder / "llama2/tokenizer.model")
    yield "mistral", folder / "mistral-v0.1", 32000, SentencePiece(folder / "mistral-v0.1/tokenizer.model")
    bitllama = data / "checkpoints/bitllama-3M"
    yield "bitllama", bitllama / "tokenizer.model", 512, SentencePiece(bitllama / "tokenizer.model", trims=True)
    config = folder / "llama3/bitnet-2b.tokenizer_config.json"
    llama3 = pathlib.Path(scratch) / "llama3"
    llama3.mkdir()
    shutil.copy(folder / "llama3/tokenizer.model", llama3)
    shutil.copy(config, llama3 / "tokenizer_config.json")
    specials = {t["content"]: int(i) for i, t in json.load(open(config))["added_tokens_decoder"].items()}
    yield "llama3", llama3, 128256, Tiktoken(llama3 / "tokenizer.model", specials)
    world = folder / "rwkv-world/rwkv_vocab_v20230424.txt"
    yield "rwkv-world", world, 65536, World(world)
    for name, path, ids in (("llama2.bin", folder / "llama2/tokenizer.bin", 32000),
                            ("bitllama.bin", bitllama / "tokenizer.bin", 512),
                            ("stories260K", data / "checkpoints/stories260K/tok512.bin", 512)):
        yield name, path, ids, Llama2c(path)


GOLDEN = ROOT / "tests/golden/tokenizer"
ADDED = ["foo bar", "foo", "bar", "ab", "a", "a b", " x", "x ", "y", "\u2581y", "\u2581", "z\u2581z", "\u00e9", "e\u0301", "caf\u00e9 z", "\u212b", "\n", "  ", "    ",
         "\u00a0", "\u2000q", "<|im|>", "<q>", "the"]
AROUND = [" ", "  ", "   ", "\t", "\n", " \n ", "\u3000", "\x85", "\u2581", "q", "w", "x", "1", ".", " a ", "the cat", "\u00c5", "A\u030a"]


def added_bases():
    """name, changes: how a small tokenizer is to be changed, by paths in its tokenizer.json"""
    for name in ("gpt2", "llama3", "qwen2", "partial", "llama", "metaspace"):
        yield name, {}
    yield "llama", {"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}}
    for scheme in ("always", "never"):
        yield "metaspace", {"pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": True}}
    yield "metaspace", {"pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False}}


def with_added(rng, name, changes):
    """Such a tokenizer, and its new tokens."""
    from tokenizers import AddedToken, Tokenizer
    t = Tokenizer.from_str(json.dumps({**json.loads((GOLDEN / name / "tokenizer.json").read_text()), **changes}))
    tokens = [AddedToken(text, normalized=rng.random() < 0.6, **{flag: rng.random() < 0.4 for flag in ("lstrip", "rstrip", "special")})
              for text in rng.sample(ADDED, rng.randrange(1, 7))]
    t.add_tokens(tokens)
    return t, tokens


def added_text(rng, tokens):
    pool = [t.content for t in tokens] * 2
    return "".join(rng.choice(pool if rng.random() < 0.4 else AROUND if rng.random() < 0.7 else ADDED) for _ in range(rng.randrange(1, 9)))


def added_ids(t, text, special):
    """None where the reference gives up: a token that lies in white space that the one before took along."""
    try:
        return HuggingFace(t).encode(text, special)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return None


def compare_added(binary, rounds, rng, scratch):
    compared = wrong = 0
    for name, changes in list(added_bases()) * rounds:
        t, tokens = with_added(rng, name, changes)
        path = pathlib.Path(scratch) / "tokenizer.json"
        t.save(str(path))
        driver = Driver(binary, path, 1000, quiet=True)
        for _ in range(60):
            text = added_text(rng, tokens)
            for special in (False, True):
                ours, theirs = driver.encode(text, special), added_ids(t, text, special)
                if theirs is None:
                    continue
                compared += 1
                wrong += ours != theirs
                if ours != theirs and wrong <= 5:
                    print(f"{name} {changes}: {tokens}, special tokens {special}: {text!r}\n  ours   {ours}\n  theirs {theirs}")
        driver.close()
    print(f"added tokens: {compared} comparisons, {wrong} differ")
    return wrong


WORDS = ("the of and I'm we'll DON'T it's 'sS 'ſt ’s foo_bar 3.14159 2024-01-01 0x1F https://example.org/a?b=c don't "
         "naïve café Ångström 北京 東京都 こんにちは 안녕하세요 привет мир שלום مرحبا हिन्दी ไทย ภาษา 👩‍👩‍👧‍👦 👍🏽 🇩🇪 e\u0301 a\u0323\u0307 ﬁ ½ ² ⅷ ٣ "
         "for(int i=0;i<n;++i){x[i]+=1;} \\n \\t <br/> &amp; $100 100% #tag @user --- ... *** ==> ￿").split(" ")
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n ", "\u00a0", "\u2003", "\u3000", "\u2028", "\x85", "\x0b", "\x0c",
          "\u200b", "\ufeff", " " * 24, " " * 25, "\u2581", "\u2581\u2581"]
MARKS = [c for c in map(chr, range(0x110000)) if unicodedata.combining(c)]


def any_character(rng):
    while True:
        c = rng.choice((rng.randrange(0x80), rng.randrange(0x250), rng.randrange(0x3000), rng.randrange(0x10000), rng.randrange(0x20000),
                        rng.randrange(0x110000)))
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def by_category():
    out = {}
    for c in range(0x110000):
        if not 0xD800 <= c < 0xE000:
            out.setdefault(unicodedata.category(chr(c)), []).append(chr(c))
    return list(out.values())


def cases(rng, count, lines, specials):
    """Strings of every kind that ever told tokenizers apart."""
    categories = by_category()
    alphabet = "abcdeghilmnorstuw ABC'\n\t 012.,-_"

    def mixed():
        parts = []
        for _ in range(rng.randrange(1, 12)):
            kind = rng.randrange(11)
            if kind < 3:
                parts.append(rng.choice(WORDS))
            elif kind < 5:
                parts.append(rng.choice(SPACES))
            elif kind == 5:
                parts.append(any_character(rng) * rng.choice((1, 1, 2, 5)))
            elif kind == 6:
                parts.append(rng.choice(rng.choice(categories)))
            elif kind == 7:
                parts.append("".join(rng.choice(alphabet) for _ in range(rng.randrange(20))))
            elif kind == 8:
                parts.append(rng.choice("aeouAO\u1100\uac00\u09c7") + "".join(rng.choice(MARKS) for _ in range(rng.randrange(1, 6))))
            elif kind == 9:
                parts.append(str(rng.randrange(10 ** rng.randrange(1, 12))))
            elif specials:
                parts.append(rng.choice(specials))
        return "".join(parts)

    yield from ("", " ", "  ", "\n", "a", " a", "a ", "\0", "a\0b", "\u2581", "'", "''s", "'S", "' s", "\u017f", "'\u017f", "'LL", "\r\n\r\n a",
                "a" * 3000, " " * 1000, "ab" * 1000, "\n" * 500, "1" * 999, "é" * 500, "\u0301" * 300, "世" * 500)
    for _ in range(count // 2):
        yield mixed()
    for _ in range(count // 4):
        line = rng.choice(lines)
        start = rng.randrange(len(line) + 1)
        yield line[start:start + rng.randrange(1, 200)]
    for _ in range(count // 8):
        yield "".join(any_character(rng) for _ in range(rng.randrange(1, 30)))
    for _ in range(count // 8):
        yield "".join(rng.choice(rng.choice(categories)) for _ in range(rng.randrange(1, 30)))


def long_words(rng, count):
    """Words of hundreds of characters of one script."""
    scripts = ["abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", "aA1", "\u0430\u0431\u0432\u0433\u0434\u0435\u043e\u043d\u0442", "\u4e00\u4eba\u5927\u65e5\u672c\u6771\u4eac",
               "\u0e01\u0e32\u0e23\u0e48", "-=*#", "\U0001f44d\U0001f3fd\u200d", "e\u0301"]
    for _ in range(count):
        script = rng.choice(scripts)
        yield rng.choice(("", " ", "\n", "'")) + "".join(rng.choice(script) for _ in range(rng.randrange(100, 1000)))


def every_character():
    """Each code point in a few surroundings, many in one string."""
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for i in range(0, len(points), 97):
        part = points[i:i + 97]
        yield " ".join(part)
        yield "".join("x" + c + "1" + c for c in part)
        yield "a\u0301".join(part)


def byte_cases(rng, count):
    good = "aé世👍 \n▁".encode()
    for _ in range(count):
        data = bytearray(rng.choice(WORDS).encode() + good * rng.randrange(3))
        for _ in range(rng.randrange(1, 6)):
            data.insert(rng.randrange(len(data) + 1), rng.choice((0x80, 0xBF, 0xC0, 0xC3, 0xE2, 0xED, 0xA0, 0xF0, 0xF4, 0x90, 0xFF, rng.randrange(256))))
        yield bytes(data)


def compare(name, driver, reference, arguments, lines):
    rng = random.Random(arguments.seed)
    specials = []
    if isinstance(reference, HuggingFace):
        specials = [t.content for t in reference.t.get_added_tokens_decoder().values()]
    if isinstance(reference, Tiktoken):
        specials = list(reference.specials)
    strings = checked = wrong = 0

    def check(what, text, ours, theirs):
        nonlocal checked, wrong
        checked += 1
        if ours == theirs:
            return
        wrong += 1
        if wrong <= 5:
            print(f"{name}: {what} {text!r:.300}\n  ours   {ours!r:.300}\n  theirs {theirs!r:.300}")

    # Generated strings, each code point, and the whole text.
    generated = itertools.chain(cases(rng, arguments.count, lines, specials), long_words(rng, arguments.count // 100), every_character(),
                                ["".join(lines)])
    for text in generated:
        strings += 1
        for special in (False, True) if specials else (False,):
            ids = driver.encode(text, special)
            check(f"encode{' special' if special else ''}", text, ids, reference.encode(text, special))
            returned = None if special else reference.returned(text)
            if returned is not None:
                check("and back", text, driver.decode(ids, True), returned)
        if reference.decodes:
            for shown in (False, True) if specials else (False,):
                check("decode", ids, driver.decode(ids, shown), reference.decode(ids, shown))
    if getattr(reference, "takes_bytes", False):
        for text in byte_cases(rng, arguments.count):
            strings += 1
            check("bytes", text, driver.encode(text), reference.encode(text, False))
    # Any ids: half characters, pieces that never follow each other. Runs of byte pieces are left to sentencepiece: `tokenizers`
    # gives up a whole run for one bad byte in it, which cannot be done while ids stream in.
    if reference.decodes:
        for _ in range(arguments.count // 4):
            limit = {"tinyllama": (300, 32000)}.get(name, (0, 500))
            ids = [rng.randrange(*limit) if rng.randrange(3) else rng.randrange(limit[0], KNOWN[name]) for _ in range(rng.randrange(1, 20))]
            check("decode", ids, driver.decode(ids, bool(specials)), reference.decode(ids, bool(specials)))
    print(f"{name}: {strings} strings, {checked} comparisons, {wrong} differ", flush=True)
    return wrong


KNOWN = {"gpt-neox-20b": 50277, "olmo": 50280, "tinyllama": 32000, "smollm": 49152, "qwen2": 151643, "llama2": 32000, "mistral": 32000,
         "bitllama": 512, "llama3": 128256, "rwkv-world": 65530}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path, nargs="?", default=os.environ.get("EDGELLM_DATA"))
    parser.add_argument("--count", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only")
    parser.add_argument("--added", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.added:
        with tempfile.TemporaryDirectory() as scratch:
            sys.exit(1 if compare_added(build(scratch), arguments.added, random.Random(arguments.seed), scratch) else 0)
    if not arguments.data:
        parser.error("DATA or EDGELLM_DATA is needed")
    arguments.data = pathlib.Path(arguments.data)
    lines = open(arguments.data / "text/wikitext2.test.raw", encoding="utf-8", newline="").read().splitlines(keepends=True)
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        binary = build(scratch)
        for name, path, ids, reference in references(arguments.data, scratch):
            if not arguments.only or arguments.only == name:
                wrong += compare(name, Driver(binary, path, ids), reference, arguments, lines)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
