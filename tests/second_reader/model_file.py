"""Headers, metadata, tensors and the values of weights (docs/FILE.md, up to \"Panels\")."""
import struct

M64 = (1 << 64) - 1  # arithmetic of 64 bits wraps
FORMATS = ["f32", "f16", "i8", "i4", "t2", "t2_group", "i8_mask", "i8_group", "t5"]
UNITS = {"f32": (4, 256), "f16": (4, 128), "i8": (32, 512), "i4": (64, 576), "t2": (32, 128), "t2_group": (256, 1088), "t5": (20, 64)}
ALLOWED = {"f32": ["00"], "f16": ["00"], "i8": ["21", "22"], "i8_mask": ["21"], "i8_group": ["21"], "i4": ["02"],
           "t2": ["11", "12", "21", "22"], "t2_group": ["02"], "t5": ["11", "21"]}  # scale and activations


class Refused(Exception):
    """The file is one that a reader must refuse."""


def require(condition, what):
    if not condition:
        raise Refused(what)


def xxh64(data):
    """XXH64 with seed 0, by its specification (github.com/Cyan4973/xxHash)."""
    p1, p2, p3, p4, p5 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
    turn = lambda x, n: (x << n | x >> 64 - n) & M64
    mix = lambda a, x: turn(a + x * p2 & M64, 31) * p1 & M64
    lanes, whole = [p1 + p2 & M64, p2, 0, -p1 & M64], len(data) // 32 * 32
    for words in struct.iter_unpack("<4Q", data[:whole]):
        lanes = [mix(a, x) for a, x in zip(lanes, words)]
    h = p5
    if whole:
        h = sum(turn(a, n) for a, n in zip(lanes, (1, 7, 12, 18))) & M64
        for a in lanes:
            h = ((h ^ mix(0, a)) * p1 + p4) & M64
    h, at = h + len(data) & M64, whole
    for size, code in ((8, "<Q"), (4, "<I"), (1, "<B")):
        while at + size <= len(data):
            x = struct.unpack_from(code, data, at)[0]
            h ^= mix(0, x) if size == 8 else x * (p1 if size == 4 else p5) & M64
            h = (turn(h, {8: 27, 4: 23, 1: 11}[size]) * {8: p1, 4: p2, 1: p1}[size] + {8: p4, 4: p3, 1: 0}[size]) & M64
            at += size
    h = (h ^ h >> 33) * p2 & M64
    h = (h ^ h >> 29) * p3 & M64
    return h ^ h >> 32


class ModelFile:
    """`metadata` by key, texts as bytes; `tensors` by name: format, scale, shape, data and the place of the scales."""

    def __init__(self, data):
        self.data, size = data, len(data)
        require(size >= 64, "shorter than a header")
        (magic, header, file_bytes, meta, meta_bytes, table, count, text, text_bytes, checksum,
         self.data_checksum) = struct.unpack_from("<4sIQIIIIQQQQ", data)
        require(magic in (b"TM2\2", b"SRN\2") and header == 64 and file_bytes == size, "header")
        inside = lambda at, n, start: at % 64 == 0 and start <= at <= size and n <= size - at
        require(inside(meta, meta_bytes, 64), "metadata")
        require(count <= 65536 and inside(table, 128 * count, meta + meta_bytes), "tensor table")
        self.table_end = table + 128 * count
        require(inside(text, text_bytes, self.table_end) if text else text_bytes == 0, "tokenizer")
        self.table_at, self.metadata_at, self.metadata_end = table, meta, meta + meta_bytes
        require(xxh64(self.covered(data)) == checksum, "table_checksum")
        self.section = data[text:text + text_bytes]
        self.read_metadata()
        self.inside, self.tensors, self.activations, before = inside, {}, {}, b""
        for i in range(count):
            name, tensor = self.read_tensor(data[table + 128 * i:table + 128 * i + 128])
            require(before < name, "names ascend")
            self.tensors[name.decode("latin-1")], before = tensor, name
            self.activations[name.decode("latin-1")] = data[table + 128 * i + 66]
        require(not self.metadata.get("requires"), "requires")

    def covered(self, data):
        """What table_checksum is taken of."""
        return data[:48] + data[self.metadata_at:self.metadata_end] + data[self.table_at:self.table_end]

    def read_metadata(self):
        self.metadata, self.key_at, data, at, entries = {}, {}, self.data, self.metadata_at, 0
        while at < self.metadata_end:
            entries += 1
            require(entries <= 4096 and self.metadata_end - at >= 8, "left over")
            kind, key_bytes, _, size = struct.unpack_from("<BBHI", data, at)
            value_at = at + (8 + key_bytes + 7) // 8 * 8
            end = (value_at + size + 7) // 8 * 8
            require(1 <= key_bytes <= 63 and end <= self.metadata_end, "metadata entry")
            sizes = {1: size == 4, 2: size == 4, 3: True, 4: size % 4 == 0, 5: size % 4 == 0}
            require(sizes.get(kind), "metadata value")
            value = data[value_at:value_at + size]
            if kind != 3:
                value = list(struct.unpack(f"<{size // 4}{'f' if kind in (2, 5) else 'I'}", value))
            key = data[at + 8:at + 8 + key_bytes].decode("latin-1")
            self.metadata.setdefault(key, value if kind > 2 else value[0])
            self.key_at.setdefault(key, at + 8)
            at = end

    def read_tensor(self, entry):
        name, fmt, scale, activations, rank, order, *rest = struct.unpack("<64sBBBBI4IQQQQQ", entry)
        shape, (offset, size, scale_offset, stride, _) = rest[:4], rest[4:]
        require(name[0] and not name[63] and fmt < len(FORMATS) and 1 <= rank <= 3 and order == 0, "tensor")
        require(all(1 <= n <= 2**31 - 17 for n in shape[:rank]) and not any(shape[rank:]), "shape")
        fmt, shape, sparse = FORMATS[fmt], shape[:rank], FORMATS[fmt] not in UNITS
        if rank == 1:
            require((fmt, scale, activations, scale_offset, size) == ("f32", 0, 0, 0, 4 * shape[0]), "vector")
        else:
            rows, cols, number = *shape[-2:], shape[0] if rank == 3 else 1
            require(cols <= 131072 and f"{scale}{activations}" in ALLOWED[fmt] and not (sparse and rank == 3), "matrix")
            panels = size
            if not sparse:
                panels = -(-rows // 16) * -(-cols // UNITS[fmt][0]) * UNITS[fmt][1]
            step = panels if number == 1 and stride == 0 else stride
            require(stride == 0 if rank == 2 else step % 64 == 0 and panels <= step <= len(self.data), "stride")
            require(size == step * (number - 1) + panels, "bytes")
            scales = 4 * number * [0, 1, -(-rows // 16) * 16][scale]
            require(self.inside(scale_offset, scales, self.table_end) if scales else scale_offset == 0, "scales")
        require(self.inside(offset, size, self.table_end), "data")
        data = self.data[offset:offset + size]
        if sparse:
            count = -(-shape[0] // 16) + 1
            begin = -(-4 * count // 64) * 64
            require(size >= begin + 576, "sparse matrix")
            places = [64 * n for n in struct.unpack_from(f"<{count}I", data)]
            require(places[0] == begin and places == sorted(places) and places[-1] + 576 == size, "sparse table")
        return name[:name.index(0)], (fmt, scale, shape, data, scale_offset)

    def matrix(self, name):
        """Rows of values of a tensor of rank 2."""
        fmt, scale, (rows, cols), data, scale_offset = self.tensors[name]
        scales = struct.unpack_from(f"<{-(-rows // 16) * 16 if scale == 2 else scale}f", self.data, scale_offset)
        out = [[] for _ in range(-(-rows // 16) * 16)]
        at = 0
        for panel in range(len(out) // 16):
            for unit in range(-(-cols // UNITS.get(fmt, (32,))[0])):
                if fmt in UNITS:
                    lines, at = unpack_unit(fmt, data[at:at + UNITS[fmt][1]]), at + UNITS[fmt][1]
                else:
                    if unit == 0:
                        at = 64 * struct.unpack_from("<I", data, 4 * panel)[0]
                    lines, at = unpack_sparse(fmt, data, min(at, len(data) - 576))
                for r, values in enumerate(lines):
                    row = 16 * panel + r
                    out[row] += [v * scales[row if scale == 2 else 0] for v in values] if scale else values
        return [row[:cols] for row in out[:rows]]


def unpack_unit(fmt, unit):
    """16 rows of a unit's values, without the scales that lie beside the panels."""
    if fmt in ("f32", "f16"):
        values = struct.unpack("<64" + {"f32": "f", "f16": "e"}[fmt], unit)
        return [values[r::16] for r in range(16)]
    if fmt == "t5":
        digit = lambda b, i: min(b, 242) // 3**i % 3 - 1
        return [[digit(unit[4 * r + c], i) for i in range(5) for c in range(4)] for r in range(16)]
    if fmt in ("i4", "t2_group"):
        scales, lines = struct.unpack("<32e", unit[:64]), unit[64:]
        bits, group = (4, 32) if fmt == "i4" else (2, 128)
        offset = 8 if fmt == "i4" else 1
    else:
        scales, lines, bits, group, offset = None, unit, {"i8": 8, "t2": 2}[fmt], 1, {"i8": 0, "t2": 1}[fmt]
    out = []
    for r in range(16):
        row = []
        for j in range(0, len(lines), 64):
            four = lines[j + 4 * r:j + 4 * r + 4]
            row += [(b >> i & (1 << bits) - 1) - offset for i in range(0, 8, bits) for b in four]
        if fmt == "i8":
            row = [v - 256 if v > 127 else v for v in row]
        out.append([v * scales[16 * (i // group) + r] for i, v in enumerate(row)] if scales else row)
    return out


def unpack_sparse(fmt, data, at):
    size, item = (8, 1) if fmt == "i8_mask" else (2, 4)
    masks = [int.from_bytes(data[at + size * j:at + size * j + size], "little") for j in range(8)]
    at += 8 * size
    dense = bytearray(512)
    for j, mask in enumerate(masks):
        for b in range(8 * size):
            if mask >> b & 1:
                dense[64 * j + item * b:64 * j + item * b + item] = data[at:at + item]
                at += item
    return unpack_unit("i8", bytes(dense)), at
