#!/usr/bin/env python3
"""Writes src/text/unicode_tables.cpp.

  python3 tools/golden/unicode_tables.py > src/text/unicode_tables.cpp

Categories L and N are those of Unicode 16.0, which the reference regular expression engines use (Oniguruma in Hugging Face
`tokenizers` 0.23, regex-syntax in tiktoken). Their normaliser is older: NFC of Unicode 9.0, in which later characters neither
combine nor reorder. Widths on a terminal are those of Unicode 16.0. Needs Python 3.14 or the package unicodedata2 16.0.0."""
import unicodedata

if unicodedata.unidata_version != "16.0.0":
    import unicodedata2 as unicodedata
assert unicodedata.unidata_version == "16.0.0", unicodedata.unidata_version

# Characters with a combining class or a decomposition that came after Unicode 9.0.
AFTER_9 = """7fd 897-89f 8ca-8d3 9fe c3c d3b-d3c eba 1715 1abf-1ace 1df6-1dfa a82c 105c9 105e4 10d24-10d27 10d69-10d6d
10eab-10eac 10efd-10eff 10f46-10f50 10f82-10f85 11070 1133b 11383 11385 1138e 11391 113c5 113c7-113c8 113ce-113d0 1145e
11839-1183a 11938 1193d-1193e 11943 119e0 11a34 11a47 11a99 11d42 11d44-11d45 11d97 11f41-11f42 16121-16128 1612f 16d68-16d6a
16ff0-16ff1 1e08f 1e130-1e136 1e2ae 1e2ec-1e2ef 1e4ec-1e4ef 1e5ee-1e5ef"""


def parse_ranges(text):
    out = set()
    for part in text.split():
        first, _, last = part.partition("-")
        out.update(range(int(first, 16), int(last or first, 16) + 1))
    return out


# Numbers that came with Unicode 17.0, which the reference's `Digits` step knows already.
NUMBERS_17 = "11de0-11de9 16ff4-16ff6"

LATER = parse_ranges(AFTER_9)
LATER_NUMBERS = parse_ranges(NUMBERS_17)
POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


# On a terminal: of category Cf and seen all the same (soft hyphen, signs before Arabic and Syriac numbers); of no width without being
# marks (vowels and final consonants of Hangul, which join the syllable); wide whether they are assigned yet or not.
SEEN_FORMATS = parse_ranges("ad 600-605 6dd 70f 890-891 8e2 110bd 110cd")
JOINING = parse_ranges("1160-11ff d7b0-d7c6 d7cb-d7fb")
WIDE_PLANES = parse_ranges("3400-4dbf 4e00-9fff f900-faff 20000-2fffd 30000-3fffd")

CATEGORY_BITS, COMBINING_BITS, WIDTH_BITS = 2, 6, 2  # of a value
BLOCK = 64  # bytes of a table of runs that are decoded together, as in unicode_tables.h


def runs(value_of):
    """(first point, value) of all runs of equal values."""
    out = []
    for c in range(0x110000):
        value = 0 if 0xD800 <= c < 0xE000 else value_of(c)
        if not out or value != out[-1][1]:
            out.append((c, value))
    return out


def varint(number):
    """Seven bits a byte, low ones first; all but the last have the high bit."""
    out = [number & 0x7F]
    while number := number >> 7:
        out = out[:-1] + [out[-1] | 0x80, number & 0x7F]
    return out


def pack(runs, value_bits):
    """Where each block starts, as point << 8 | value, and the blocks: for each further run the distance from the one before
    and its value in one varint. A block is filled up with runs of no distance."""
    starts, stream, room = [], [], 0
    for point, value in runs:
        code = varint((point - at) << value_bits | value) if starts else []
        if starts and len(code) <= room:
            stream += code
            room -= len(code)
        else:
            stream += [before] * room if starts else []
            starts.append(point << 8 | value)
            room = BLOCK
        at, before = point, value
        assert value < 1 << value_bits <= 128
    return starts, stream + [before] * room


def category(c):
    return 3 if c in LATER_NUMBERS else {"L": 1, "N": 2}.get(unicodedata.category(chr(c))[0], 0)


def combining(c):
    return 0 if c in LATER else unicodedata.combining(chr(c))


def width(c):
    """Columns on a terminal; of control characters, which are not drawn, no matter."""
    category = unicodedata.category(chr(c))
    if category in ("Mn", "Me") or (category == "Cf" and c not in SEEN_FORMATS) or c in JOINING:
        return 0
    return 2 if c in WIDE_PLANES or unicodedata.east_asian_width(chr(c)) in "WF" else 1


def decompositions():
    out = []
    for c in POINTS:
        text = unicodedata.decomposition(chr(c))
        if text and not text.startswith("<") and c not in LATER:
            parts = [int(x, 16) for x in text.split()]
            out.append((c, parts[0], parts[1] if len(parts) == 2 else 0))
    return out


def emit(kind, name, values):
    print(f"\nconst {kind} {name}[{len(values)}] = {{")
    line = "   "
    for v in values:
        word = f" {v},"
        if len(line) + len(word) > 124:
            print(line)
            line = "   "
        line += word
    print(line)
    print("};")


def emit_runs(name, runs, value_bits):
    starts, stream = pack(runs, value_bits)
    emit("u32", name + "_STARTS", starts)
    print(f"const i32 {name}_BLOCKS = {len(starts)};")
    emit("u8", name, stream)


def main():
    table = decompositions()
    # A pair is composed unless the standard excludes it: then the composed form is no NFC.
    pairs = [i for i, (c, a, b) in enumerate(table) if b and unicodedata.normalize("NFC", chr(c)) == chr(c)]
    pairs.sort(key=lambda i: table[i][1:])
    classes = sorted({combining(c) for c in POINTS})
    seconds = sorted({b << 8 | a >> 16 for _, a, b in table})
    first_of_run = [i for i, (c, _, _) in enumerate(table) if i == 0 or table[i - 1][0] != c - 1]
    assert len(table) < 1 << 12 and len(seconds) <= 256

    print("// Generated by tools/golden/unicode_tables.py; not for reading.")
    print('#include "text/unicode_tables.h"')
    print("\n// clang-format off\nnamespace edgellm {")
    emit_runs("CATEGORY", runs(category), CATEGORY_BITS)
    emit_runs("COMBINING", runs(lambda c: classes.index(combining(c))), COMBINING_BITS)
    emit("u8", "COMBINING_CLASS", classes)
    emit_runs("WIDTH", runs(width), WIDTH_BITS)
    emit("u32", "DECOMPOSED", [table[i][0] << 12 | i for i in first_of_run] + [len(table)])
    print(f"const i32 DECOMPOSED_RUNS = {len(first_of_run)};")
    emit("u16", "DECOMPOSED_FIRST", [a & 0xFFFF for _, a, _ in table])
    emit("u8", "DECOMPOSED_REST", [seconds.index(b << 8 | a >> 16) for _, a, b in table])
    emit("u32", "REST", seconds)
    emit("u16", "COMPOSED", pairs)
    print(f"const i32 COMPOSED_COUNT = {len(pairs)};")
    print("\n}  // namespace edgellm")


main()
