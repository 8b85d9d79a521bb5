"""The tokenizer section (docs/FILE.md, \"Tokenizer section\")."""
import re
import struct
import unicodedata

from model_file import M64, require

NONE = 0xFFFFFFFF
SPACES = {*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?L+| ?N+| ?[^\sLN]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\nLN]?L+|N{1,3}| ?[^\sLN]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Over characters as `plain` writes them: every letter is one of ASCII's or U+017F, every number 0, every other space a tab.
EXPRESSIONS = [re.compile(e.replace("LN]", "A-Za-z\u017f0-9]").replace("L+", "[A-Za-z\u017f]+").replace("N", "[0-9]")) for e in
               (GPT2, LLAMA3, LLAMA3.replace("N{1,3}", "N"))]


def characters(data):
    """The characters of bytes that need not be UTF-8; None stands beside a byte that is none."""
    out, at = [], 0
    while at < len(data):
        for n in (1, 2, 3, 4):
            try:
                out.append((data[at:at + n], data[at:at + n].decode()))
                break
            except UnicodeDecodeError:
                pass
        else:
            n = 1
            out.append((data[at:at + 1], None))
        at += n
    return out


def plain(c):
    if c is None:
        return "!"
    if c.isascii() or c == "\u017f":
        return "0" if c.isdigit() else "\t" if ord(c) in SPACES and c not in " \r\n" else c
    kind = unicodedata.category(c)[0]
    return "\t" if ord(c) in SPACES else "x" if kind == "L" else "0" if kind == "N" else "!"


def cut(step, word):
    chars = characters(word)
    if step < 4:
        text = "".join(plain(c) for _, c in chars)
        ends = [m.end() for m in EXPRESSIONS[step - 1].finditer(text)]
    else:
        number = [c is not None and unicodedata.category(c)[0] == "N" for _, c in chars]
        space = [b == b" " for b, _ in chars]
        starts = {4: lambda i: number[i] or number[i - 1], 5: lambda i: space[i], 6: lambda i: space[i] and not space[i - 1]}[step]
        ends = [i for i in range(1, len(chars)) if starts(i)] + [len(chars)] * bool(chars)
    return [b"".join(b for b, _ in chars[a:e]) for a, e in zip([0] + ends, ends)]


class Tokenizer:
    """Lookups walk the stored hash tables as the document says, so that these are tested too."""

    def __init__(self, section, model_vocab):
        require(len(section) >= 1200, "section")
        (magic, header, self.kind, self.flags, splits, self.vocab, self.bos, self.eos, self.unknown, self.pair_probes, self.word_probes,
         self.max_word, raw) = struct.unpack_from("<4sIII8sIiiiIIII", section)
        require(magic == b"TOK\1" and header == 1200 and 1 <= self.kind <= 3 and self.flags < 1 << 12, "header")
        self.splits = splits.rstrip(b"\0")
        require(0 not in self.splits and len(self.splits) <= 4 and all(s <= 6 for s in self.splits), "splits")
        require(1 <= self.vocab <= model_vocab and all(-1 <= i < self.vocab for i in (self.bos, self.eos, self.unknown)), "ids")
        require(max(self.pair_probes, self.word_probes) <= 64 and not (self.kind == 3 and self.max_word > 1024), "probes")
        require(not (self.bit(0) and (self.bit(1) or self.bit(3) or (self.bit(4) and not self.bit(6)))), "flags")
        tables = []
        for at, code in zip(range(56, 112, 8), ("<I", "<B", "<B", "<4I", "<2I", "<IHHI", "<B")):
            offset, count = struct.unpack_from("<II", section, at)
            size = struct.calcsize(code)
            require(offset % 8 == 0 and offset >= 1200 and offset + size * count <= len(section), "table")
            tables.append((section[offset:offset + size * count], code))
        get = lambda t: [x if len(x) > 1 else x[0] for x in struct.iter_unpack(t[1], t[0])]
        offsets, self.attributes, self.pairs, self.words, added = (get(tables[i]) for i in (0, 2, 3, 4, 5))
        require(len(offsets) > self.vocab and len(self.attributes) >= self.vocab and raw <= len(added), "counts")
        pieces, texts = tables[1][0], tables[6][0]
        self.pieces = [pieces[a:b] if a <= b <= len(pieces) else b"" for a, b in zip(offsets, offsets[1:])]
        entries = [(texts[o:o + n], flags, i) for o, n, flags, i in added]
        first = struct.unpack_from("<16I", section, 112)
        self.added = []
        for group, some in enumerate((entries[:raw], entries[raw:])):
            begins = lambda c: first[8 * group + c // 32] >> c % 32 & 1
            self.added.append(sorted((e for e in some if e[0] and begins(e[0][0])), key=lambda e: -len(e[0])))
        self.byte_ids = struct.unpack_from("<256i", section, 176)

    def bit(self, n):
        return self.flags >> n & 1

    def probe(self, table, h, probes, match, empty):
        at = h * len(table) >> 32
        for _ in range(probes if table else 0):
            if match(table[at]):
                return table[at]
            if empty(table[at]):
                return None
            at = (at + 1) % len(table)

    def pair(self, left, right):
        h = (left << 32 | right) * 0x9E3779B97F4A7C15 & M64
        h = ((h ^ h >> 32) * 0xD6E8FEB86659FD93 & M64) >> 32
        return self.probe(self.pairs, h, self.pair_probes, lambda s: s[:2] == (left, right) and s[3] != NONE, lambda s: s[3] == NONE)

    def word(self, data):
        if len(data) > self.max_word:
            return None
        h = 0xCBF29CE484222325
        for b in data:
            h = (h ^ b) * 0x100000001B3 & M64
        h = ((h ^ h >> 32) * 0xD6E8FEB86659FD93 & M64) >> 32
        slot = self.probe(self.words, h, self.word_probes, lambda s: s[0] == h and s[1] < len(self.pieces) and self.pieces[s[1]] == data,
                          lambda s: s[1] == NONE)
        return slot[1] if slot else None

    def encode(self, data, specials=False):
        """With `bos` in front if there is one."""
        self.ids = [self.bos] if self.bos >= 0 else []
        for stretch, at in self.without_added(data, 0, specials):
            for inner, inner_at in self.without_added(self.normalise(stretch, at == 0), 1, specials):
                self.encode_stretch(inner, at == 0 and inner_at == 0)
        require(all(0 <= i < self.vocab for i in self.ids), "an id outside the vocabulary")
        return self.ids

    def without_added(self, data, group, specials):
        """The stretches between added tokens, whose ids are given out on the way."""
        done = at = 0
        while at < len(data):
            token = next((e for e in self.added[group] if data.startswith(e[0], at)), None)
            start, at = at, at + (len(token[0]) if token else 1)
            if not token or (token[1] & 1 and not specials):
                continue
            end = at
            is_space = lambda c: c[1] is not None and ord(c[1]) in SPACES
            for c in reversed(characters(data[done:start])) if token[1] & 2 else ():
                if not is_space(c):
                    break
                start -= len(c[0])
            for c in characters(data[end:]) if token[1] & 4 else ():
                if not is_space(c):
                    break
                end += len(c[0])
            if done < start:
                yield data[done:start], done
            self.ids.append(token[2])
            done = at = end
        if done < len(data):
            yield data[done:], done

    def prefixed(self, at_start):
        return self.bit(4) and (at_start or not self.bit(5))

    def normalise(self, data, at_start):
        if self.bit(0):
            parts = "".join(c if c is not None else chr(0xDC00 + b[0]) for b, c in characters(data))
            data = unicodedata.normalize("NFC", parts).encode("utf-8", "surrogateescape")
        if self.bit(3):
            data = re.sub(b" +", b" ", data.lstrip(b" "))
        if self.prefixed(at_start) and not self.bit(6) and data:
            data = b" " + data
        if self.bit(1):
            data = data.replace("\u2581".encode(), b" ")
        return data.rstrip(b" ") if self.bit(3) else data

    def encode_stretch(self, data, at_start):
        if self.prefixed(at_start) and self.bit(6) and not data.startswith(b" "):
            data = b" " + data
        words = [(data, False)]  # and whether step 6 alone cut before it
        for step in self.splits:
            words = [(w, step == 6 if i else joined) for word, joined in words for i, w in enumerate(cut(step, word))]
        self.waiting = False
        for word, joined in words:
            if not joined:
                self.end_run()
            self.encode_word(word)
        self.end_run()

    def encode_word(self, word):
        whole = self.word(word) if self.bit(7) else None
        if whole is not None:
            return self.known(whole)
        if self.kind == 3:
            return self.encode_trie(word)
        symbols = []
        for b, c in [(word[i:i + 1], None) for i in range(len(word))] if self.kind == 1 else characters(word):
            if self.kind == 2 and c is None and self.bit(2):
                b = "\ufffd".encode()
            index = self.word(b) if self.kind == 2 else self.byte_ids[b[0]] if self.byte_ids[b[0]] >= 0 else None
            if index is not None:
                symbols.append(index)
            elif self.unknown >= 0 or self.spelled(b):
                self.merge(symbols)
                self.missing(b)
                symbols = []
        self.merge(symbols)

    def merge(self, symbols):
        while True:
            found = [(slot[2], i, slot[3]) for i in range(len(symbols) - 1) if (slot := self.pair(*symbols[i:i + 2]))]
            if not found:
                break
            _, i, merged = min(found)
            symbols[i:i + 2] = [merged]
        for s in symbols:
            piece = self.pieces[s] if self.kind == 2 and self.vocab <= s < len(self.pieces) else b""
            self.missing(piece) if 0 < len(piece) <= 4 else self.known(s)

    def spelled(self, b):
        return self.kind == 2 and self.bit(8) and all(self.byte_ids[x] >= 0 for x in b)

    def missing(self, b):
        if self.spelled(b):
            self.ids += [self.byte_ids[x] for x in b]
            return
        if not self.bit(9):
            self.end_run()
        self.waiting = True

    def known(self, index):
        self.end_run()
        self.ids.append(index)

    def end_run(self):
        if self.waiting and self.unknown >= 0:
            self.ids.append(self.unknown)
        self.waiting = False

    def encode_trie(self, word):
        while word:
            node, found, length = 0, self.unknown, 1
            for i, b in enumerate(word[:self.max_word]):
                slot = self.pair(node, b)
                if not slot:
                    break
                node = slot[3]
                if slot[2] != NONE:
                    found, length = slot[2], i + 1
            if found >= 0:
                self.ids.append(found)
            word = word[length:]

    def decode(self, ids):
        text, held, start = "", b"", True
        one_each = self.kind == 2

        def shown(data, last):
            """Whole characters of `data`, and the start of one at its end."""
            out = ""
            while data:
                try:
                    return out + data.decode(), b""
                except UnicodeDecodeError as e:
                    if e.reason == "unexpected end of data" and not last:
                        return out + data[:e.start].decode(), data[e.start:]
                    out += data[:e.start].decode() + "\ufffd" * (e.end - e.start if one_each else 1)
                    data = data[e.end:]
            return out, b""

        for i in ids:
            if self.attributes[i] & 1:
                if self.kind == 2:
                    text, held = text + shown(held, True)[0], b""
                continue
            piece = self.pieces[i]
            if start and piece:
                start = False
                if piece[0] == 32 and i not in (self.byte_ids[32], self.unknown):
                    if self.bit(11):
                        piece = piece.lstrip(b" ")
                        start = not piece and bool(self.bit(3))
                    elif self.bit(10):
                        piece = piece[1:]
            part, held = shown(held + piece, False)
            text += part
        return text + shown(held, True)[0]
