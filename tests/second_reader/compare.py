#!/usr/bin/env python3
"""A second reader of model files, written from docs/FILE.md alone and sharing no code with the program: the document's test.
It opens files, checks them, unpacks their weights, turns text into ids and back, and compares with what the program does.

  compare.py EDGELLM EDGELLM_CONVERT        (commands, an emulator included; run in the source folder)"""
import itertools
import json
import math
import pathlib
import random
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import unicodedata

from model_file import UNITS, ModelFile, Refused, xxh64
from tokenizer import Tokenizer

EDGELLM, CONVERT = (shlex.split(command) for command in sys.argv[1:3])
GOLDEN = pathlib.Path("tests/golden/tokenizer")
checks = failures = 0


def check(condition, what):
    global checks, failures
    checks += 1
    if not condition:
        failures += 1
        print("FAIL", what)


def run(command, *arguments):
    return subprocess.run([*command, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True)


def convert(destination, source, *options):
    made = run(CONVERT, source, destination, *options)
    check(made.returncode == 0, f"{source} {options}: {made.stderr.decode()}")
    return destination


def number(value):
    return f"{value:.9f}" if isinstance(value, float) else str(value)


def facts(model):
    """Of each tensor: its weights, its bytes with scales, its bytes if a sparse format were i8, and its zeros (None: not counted)."""
    out = {}
    for name, (fmt, scale, shape, data, _) in model.tensors.items():
        rows, units = -(-shape[0] // 16) * 16, -(-shape[-1] // 32)
        scales = 4 * (shape[0] if len(shape) == 3 else 1) * [0, 1, -(-shape[-2 if len(shape) > 1 else 0] // 16) * 16][scale]
        dense = rows // 16 * units * 512 + 4 * rows if fmt not in UNITS else len(data) + scales
        counted = len(shape) == 2 and fmt not in ("f32", "f16")
        zeros = sum(row.count(0) for row in model.matrix(name)) if counted else None
        out[name] = math.prod(shape), len(data) + scales, dense, zeros
    return out


FAMILIES = {"transformer": "Llama-like transformer", "rwkv7": "RWKV-7", "rwkv4": "RWKV-4", "mamba": "Mamba", "mamba2": "Mamba-2", "retnet": "RetNet"}
FORMATS = ["f32", "f16", "i8", "i4", "t2", "t2_group", "i8_mask", "i8_group", "t5"]
KINDS = {1: "byte-level BPE", 2: "SentencePiece BPE", 3: "the longest piece that fits, as RWKV's"}


def sums_of(tensors):
    """Weights, bytes, bytes if sparse formats were i8; and of the tensors of integers weights and zeros."""
    counted = [(t[0], t[3]) for t in tensors.values() if t[3] is not None]
    return *(sum(t[i] for t in tensors.values()) for i in range(3)), sum(w for w, _ in counted), sum(z for _, z in counted)


def text(model, key, otherwise=""):
    return model.metadata[key].decode("latin-1") if key in model.metadata else otherwise


def summary(model, tensors, path):
    """What `info` says of a file before it says how it would run here: patterns of the lines that depend on this machine."""
    weights, size, _, integers, zeros = sums_of(tensors)
    arch, recurrent = text(model, "arch"), text(model, "arch") != "transformer"
    formats = [t[0] for t in model.tensors.values()]
    used = ", ".join(f"{n} tensor{' is' if n == 1 else 's are'} {f}" for f in FORMATS if (n := formats.count(f)))
    context, grammar, chat = model.metadata["context"], model.metadata.get("grammar"), text(model, "chat")
    lines = [f"name           {text(model, 'name', str(path))}",
             f"family         {FAMILIES[arch]}{', recurrent' if recurrent else ''}; {model.metadata['layers']} layers, {model.metadata['dim']} wide",
             f"parameters     {weights / 1e6:.2f} million" if weights >= 1e6 else f"parameters     {weights}",
             f"file           {len(model.data) / 1e6:.2f} MB",
             f"weights        {8 * size / weights:.2f} bits each; {used}",
             f"zeros          {100 * zeros / integers:.1f} % of the integer weights" if integers else "zeros          not counted in weights that are no integers"]
    lines = [re.escape(line) for line in lines]
    if recurrent:
        lines += [f"context        without an end; trained on {context} positions", r"memory needed  \d+\.\d\d MB, however long the text is"]
    else:
        held, small = min(context, 2048), "" if min(context, 2048) == 512 else r", \d+\.\d\d MB with --ctx 512"
        lines += [f"context        {context} positions" + ("" if held == context else f", of which a run holds {held} unless --ctx says otherwise"),
                  rf"memory needed  \d+\.\d\d MB for {held} positions{small}; the file is in it"]
    kind = KINDS[struct.unpack_from("<I", model.section, 8)[0]] if model.section else "none: it takes and gives ids"
    place = "" if text(model, "chat.system") else ", without a place for a system text"
    plain = "each line is a request of its own" if grammar else "a conversation is written as plain text"
    lines += [f"vocabulary     {model.metadata['vocab']} ids", f"tokenizer      {kind}",
              "chat           " + (f"template {re.escape(chat)}{place}" if chat else f"no template: {plain}"),
              rf"grammar        answers can only be what it allows \({grammar[0]} states\)" if grammar else "grammar        none: any text"]
    if "temperature" in model.metadata:
        t = model.metadata["temperature"]
        lines.append(rf"temperature    {t:.2f}{'' if t else ' .greedy.'} unless -t says otherwise")
    return lines


def listing(model, tensors):
    lines = [""]
    for key, value in model.metadata.items():
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        elif isinstance(value, list):
            value = ", ".join(map(number, value)) if len(value) <= 64 else f"{len(value)} numbers"
        else:
            value = number(value)
        lines.append(f"{key:24}{value}")
    lines += [f"tokenizer               {len(model.section)} bytes", ""]
    for name, (weights, size, _, zeros) in tensors.items():
        fmt, scale, shape, _, _ = model.tensors[name]
        kinds = ["", " tensor scale", " row scales"][scale] + ["", " token", " group32"][model.activations[name]]
        share = "" if zeros is None else f"  {100 * zeros / weights:.1f} % zeros"
        lines.append(f"{name:28}{' x '.join(map(str, shape))}  {fmt}{kinds}  {8 * size / weights:.2f} bits{share}")
    weights, size, dense, integers, zeros = sums_of(tensors)
    line = f"{len(tensors)} tensors, {weights / 1e6:.2f} M weights, {size / 1e6:.2f} MB, {8 * size / weights:.2f} bits a weight"
    if integers:
        line += f", {100 * zeros / integers:.1f} % zeros in the matrices of integers"
    return [re.escape(line) for line in [*lines, "", line + (f"; dense in i8: {dense / 1e6:.2f} MB" if dense != size else "")]]


def info_json(model, tensors, path):
    """All of it but what depends on this machine, numbers as the program writes them."""
    def said(value):
        return value.decode("latin-1") if isinstance(value, bytes) else [number(v) for v in value] if isinstance(value, list) else number(value)

    weights, size, dense, integers, zeros = sums_of(tensors)
    formats = {}
    for name, (count, bytes_of, _, _) in tensors.items():
        old = formats.get(model.tensors[name][0], (0, 0, 0))
        formats[model.tensors[name][0]] = old[0] + 1, old[1] + count, old[2] + bytes_of
    table = []
    for name, (count, bytes_of, _, none) in tensors.items():
        fmt, scale, shape, _, _ = model.tensors[name]
        kinds = {"scale": [None, "tensor", "row"][scale], "activations": [None, "token", "group32"][model.activations[name]]}
        row = {"name": name, "shape": [str(n) for n in shape], "format": fmt, **{key: kind for key, kind in kinds.items() if kind},
               "bytes": str(bytes_of), "bits": f"{8 * bytes_of / count:.2f}"}
        table.append(row if none is None else row | {"zeros": str(none)})
    return {"model": str(path), "name": text(model, "name", str(path)), "family": FAMILIES[text(model, "arch")],
            "metadata": {key: said(value) for key, value in model.metadata.items()},
            "file_bytes": str(len(model.data)), "tokenizer_bytes": str(len(model.section)), "tensors": str(len(tensors)), "weights": str(weights),
            "weight_bytes": str(size), "dense_weight_bytes": str(dense), "bits": f"{8 * size / weights:.2f}", "zeros": f"{zeros / max(integers, 1):.4f}",
            "formats": {fmt: dict(zip(("tensors", "weights", "bytes"), map(str, formats[fmt]))) for fmt in FORMATS if fmt in formats},
            "sparsity": {name: f"{t[3] / t[0]:.4f}" for name, t in tensors.items() if t[3] is not None},
            "recurrent": text(model, "arch") != "transformer", "context": str(model.metadata["context"]), "vocab": str(model.metadata["vocab"]),
            "grammar_states": str(model.metadata.get("grammar", [0])[0]), "table": table}


def check_info(model, path):
    tensors = facts(model)
    expected = summary(model, tensors, path) + listing(model, tensors)
    said = run(EDGELLM, "info", path, "--tensors").stdout.decode("latin-1").splitlines()
    for ours, theirs in itertools.zip_longest(expected, said, fillvalue="(no line)"):
        check(re.fullmatch(ours, theirs), f"info {path} --tensors: expected {ours}, got {theirs}")
    theirs = json.loads(run(EDGELLM, "info", path, "--json").stdout.decode("latin-1"), parse_float=str, parse_int=str)
    ours = info_json(model, tensors, path)
    here = {"default_context", "memory_bytes", "memory_bytes_512", "tokenizer", "isa", "kernel_sets"}
    check(set(theirs) - here == set(ours), f"info {path} --json has {set(theirs) - here ^ set(ours)}")
    for key, value in ours.items():
        check(theirs.get(key) == value, f"info {path} --json: {key} should be {value}, is {theirs.get(key)}")


def open_model(path):
    """The file, compared with what `info` says of it, number by number."""
    model = ModelFile(path.read_bytes())
    check(xxh64(model.data[model.table_end:]) == model.data_checksum, f"{path}: data_checksum")
    check_info(model, path)
    return model


def compare_texts(path, model, texts, scratch):
    tokenizer = Tokenizer(model.section, model.metadata["vocab"])
    for text in texts:
        scratch.write_bytes(text)
        ids = tokenizer.encode(text)
        theirs = run(EDGELLM, "tokenize", path, "-f", scratch).stdout.decode().strip()
        check(",".join(map(str, ids)) == theirs, f"{path}: ids of {text}: {ids}, {theirs}")
        if ids:
            decoded = run(EDGELLM, "detokenize", path, "--ids", theirs).stdout.decode()
            check(tokenizer.decode(ids) + "\n" == decoded, f"{path}: text of {ids}: {tokenizer.decode(ids)!r}, {decoded!r}")


def random_texts(rng, count):
    parts = ["a", "the ", " of", "I'm", "'LL", "12", "3", " ", "  ", "\t", "\n", "\r\n", "\u00e9", "e\u0301", "\u4e16\u754c", "\u00bd", "\u2581", "\u2603",
             "\u3000", "\U0001f44d", "<|a|>", "<sep>", "[x]", "::", "<pad>", "caf\u00e9", "!?", b"\xff", b"\xe4\xb8", b"\xf0\x9f", b"\0"]
    for _ in range(count):
        yield b"".join(p if isinstance(p, bytes) else p.encode() for p in (rng.choice(parts) for _ in range(rng.randrange(12))))


def compare_formats(folder):
    """One model in every format: its ternary matrices are the same weights, the others near them."""
    plain = open_model(convert(folder / "f32.tm2", "synthetic:tiny", "--weights", "f32"))
    for weights in ("f16", "i8", "i4", "t2", "t5"):
        model = open_model(convert(folder / "dense.tm2", "synthetic:tiny", "--weights", weights))
        for name, tensor in plain.tensors.items():
            if len(tensor[2]) == 1:
                continue
            pairs = [(a, b) for ours, exact in zip(model.matrix(name), plain.matrix(name)) for a, b in zip(ours, exact)]
            most = max(abs(b) for _, b in pairs)
            error = max(abs(a - b) for a, b in pairs)
            exact = weights in ("t2", "t5") and name != "embed"
            check(len(pairs) == math.prod(tensor[2]) and (error == 0 if exact else error <= most / 100), f"{weights}: {name} is {error} of {most} away")
    dense = open_model(convert(folder / "dense.tm2", "synthetic:tiny", "--weights", "i8", "--sparsity", "0.7", "--sparse", "dense"))
    for form in ("compact", "fast"):
        model = open_model(convert(folder / "sparse.srnn", "synthetic:tiny", "--weights", "i8", "--sparsity", "0.7", "--sparse", form))
        for name in (n for n, t in dense.tensors.items() if len(t[2]) == 2):
            check(model.matrix(name) == dense.matrix(name), f"{form}: {name} is not what i8 has")


def write_carrier(folder):
    """A model of zeros with 1000 ids, to carry tokenizers."""
    shapes = {"model.embed_tokens.weight": (1000, 16), "model.norm.weight": (16,)}
    layer = {"self_attn.q_proj": (16, 16), "self_attn.k_proj": (16, 16), "self_attn.v_proj": (16, 16), "self_attn.o_proj": (16, 16),
             "mlp.gate_proj": (16, 16), "mlp.up_proj": (16, 16), "mlp.down_proj": (16, 16), "input_layernorm": (16,), "post_attention_layernorm": (16,)}
    shapes |= {f"model.layers.0.{name}.weight": shape for name, shape in layer.items()}
    header, at = {}, 0
    for name, shape in shapes.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at := at + 4 * math.prod(shape)]}
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
              "num_attention_heads": 1, "num_key_value_heads": 1, "vocab_size": 1000, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
              "rope_theta": 10000.0, "tie_word_embeddings": True, "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2}
    (folder / "config.json").write_text(json.dumps(config))


def compare_tokenizers(folder, rng):
    write_carrier(folder)
    names = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer.bin", "rwkv_vocab.txt")
    sources = sorted(path for path in GOLDEN.rglob("*") if path.name in names)
    check(len(sources) >= 18, "golden tokenizers")
    for source in sources:
        texts = json.loads((source.parent.parent / "texts.json").read_text())
        texts = [text for text in texts if all(unicodedata.category(c) != "Cn" for c in text)]  # Python's Unicode may be older
        some = [text.encode() for text in rng.sample(texts, 12)] + list(random_texts(rng, 12)) + [b""]
        path = convert(folder / "carrier.tm2", folder, "--tokenizer", source, "--chat", "none")
        compare_texts(path, open_model(path), [text for text in some if len(text) < 1000], folder / "text")


def write_damaged(path, model, data):
    """`data`, which are those of `model` with something changed, and a checksum that is right."""
    struct.pack_into("<Q", data, 48, xxh64(model.covered(data)))
    path.write_bytes(data)


def compare_damage(folder, rng):
    """Of a file with one wrong byte and a right checksum, both readers say that it can be used, or both that it cannot."""
    whole = ModelFile(convert(folder / "whole.srnn", "synthetic:tiny", "--weights", "i8", "--sparsity", "0.7").read_bytes())
    path, section, verdicts = folder / "damaged.srnn", whole.table_end, []
    for i in range(300):
        places = range(48), range(whole.metadata_at, whole.table_at), range(whole.table_at, whole.table_end), range(section, section + 176)
        at, tokenizes, damaged = rng.choice(places[i % 4]), i % 4 == 3, bytearray(whole.data)
        damaged[at] = rng.choice((damaged[at] ^ 1 << rng.randrange(8), rng.randrange(256), 0, 255))
        write_damaged(path, whole, damaged)
        try:
            model = ModelFile(bytes(damaged))
            ours = 0
            if tokenizes:
                ids = Tokenizer(model.section, model.metadata["vocab"]).encode(b"some text")
        except Refused as refused:
            ours, why = 3, refused
        theirs = run(EDGELLM, "tokenize", path, "-i", "some text") if tokenizes else run(EDGELLM, "info", path)
        check(ours == theirs.returncode, f"byte {at} of a damaged file: {ours and why}, {theirs.returncode} {theirs.stderr}")
        if tokenizes and ours == theirs.returncode == 0:
            check(",".join(map(str, ids)) == theirs.stdout.decode().strip(), f"byte {at} of a damaged section: {ids}, {theirs.stdout}")
        verdicts.append(ours)
    check(0 < sum(map(bool, verdicts)) < len(verdicts), "damage of both kinds")


def required_keys(family):
    text = pathlib.Path("docs/FILE.md").read_text()
    block = text[text.index(f"Keys of `{family}`"):].split("Tensors of" if family == "transformer" else "\n\n")[0]
    if family != "transformer":
        return {"arch", "context", *re.findall(r"`(\w+)`", block.split(":", 1)[1])}
    return {"arch", "context", *(key for row in re.findall(r"^\|(.*?)\|.*\| \|$", block, re.M) for key in re.findall(r"`(\w+)`", row))}


def compare_required(folder):
    """A model without one of its keys runs if the document has a default for it."""
    for name in ("models/stories.tm2", "models/home.srnn"):
        model = ModelFile(pathlib.Path(name).read_bytes())
        required = required_keys(model.metadata["arch"].decode())
        check(required <= set(model.metadata), f"{name} lacks {required - set(model.metadata)}")
        for key in model.metadata:
            damaged = bytearray(model.data)
            damaged[model.key_at[key]] = ord("?")
            write_damaged(folder / "lacking.tm2", model, damaged)
            code = run(EDGELLM, folder / "lacking.tm2", "-i", "play", "-t", 0).returncode
            check(code == (3 if key in required else 0), f"{name} without {key} ends with {code}")


def compare_limits():
    """The table of limits and the constants of the sources: each row says what its constants are, and each constant has a row."""
    headers = ("src/file/limits.h", "src/file/layout.h", "kernels/kernels.h", "src/text/chat_template.h", "src/text/section.h")
    source = "\n".join(pathlib.Path(header).read_text() for header in headers)
    found = re.findall(r"\b((?:[A-Z]+_)?(?:MAX|MIN)_\w+) = ([^;,]+)[;,]", source)
    limits = {name: eval(value.replace("f", "")) for name, value in found if name != "MAX_RANK"}  # which is how long an array is
    check(len(limits) == len(found) - 1 >= 20, "constants of the limits")
    text, named = pathlib.Path("docs/FILE.md").read_text().split("## Limits")[1].split("\n## ")[0], set()
    for least, most, constants in re.findall(r"^\|[^|]*\| ([\d,.]+) \| ([\d,.]+) \| (`.*`) \|$", text, re.M):
        for constant in re.findall(r"`(.*?)`", constants):  # a name, or a sum such as MAX_ROPES - 1
            actual = eval(constant, {}, limits) if re.match(r"\w+", constant)[0] in limits else None
            value = least if constant.startswith("MIN_") else most
            check(actual == float(value.replace(",", "")), f"the limit {constant} is {value}, in the source {actual}")
            named |= {constant}
    check(set(limits) <= named, f"no row of the table of limits has {set(limits) - named}")


def main():
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for path in sorted(pathlib.Path("models").glob("*.[ts][mr]*")):
            compare_texts(path, open_model(path), list(random_texts(rng, 20)), folder / "text")
        for source in ("synthetic:rwkv4-tiny", "synthetic:rwkv7-tiny", "synthetic:mamba-tiny", "synthetic:mamba2-tiny", "synthetic:retnet-tiny", "tests/golden/gguf/llama.gguf"):
            open_model(convert(folder / "other.tm2", source, "--tokenizer", "none"))
        compare_formats(folder)
        compare_tokenizers(folder, rng)
        compare_damage(folder, rng)
        compare_required(folder)
        compare_limits()
    print(f"{checks} checks, {failures} failed")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
