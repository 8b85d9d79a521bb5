#!/usr/bin/env python3
"""Whether what the results are held to is the same in two trees: tests/same_digests.py OLD NEW, each a folder or a revision of
this repository.

Every committed digest of OLD, which is 16 hexadecimal digits in a .def file or a test, and every golden file, must be found in
NEW, unedited, wherever it is now: a row of a .def file under its name, a digest of a test's own, a file by its bytes. What is
missing is listed; exit code 1 when anything is, 2 when a tree cannot be read.
"""
import hashlib
import io
import pathlib
import re
import subprocess
import sys
import tarfile

GOLDEN = re.compile(r"(tests/(golden|data)/|models/.*\.(tm2|srnn)$)")
TEST = re.compile(r"tests/test_[^/]*$")
SOURCE = re.compile(r"(src|kernels|tests|tools)/.*\.(def|cpp|h|c|py|sh|json|txt)$")
# In a row: its digests, and its name, which is a string or the first argument of a macro.
TOKEN = re.compile(r'"?\b(?:0[xX])?([0-9a-fA-F]{16})[uU]?[lL]*\b"?|"((?:[^"\\\n]|\\.)*)"|\b[A-Z][A-Z0-9_]*\(\s*([A-Za-z_]\w*)')


def read_tree(tree):
    """{path: bytes} of what may hold digests."""
    wanted = lambda path: GOLDEN.match(path) or SOURCE.match(path)
    folder = pathlib.Path(tree)
    if folder.is_dir():
        found = (p for top in ("src", "kernels", "tests", "tools", "models") for p in (folder / top).rglob("*") if p.is_file())
        return {path: p.read_bytes() for p in found if wanted(path := p.relative_to(folder).as_posix())}
    archive = subprocess.run(["git", "archive", "--format=tar", tree], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if archive.returncode:
        print(f"{tree} is neither a folder nor a revision of this repository: {archive.stderr.decode().strip()}", file=sys.stderr)
        sys.exit(2)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isfile() and wanted(m.name)}


def rows(text):
    """Every digest with the names since the digest before; digests that follow each other have the same names."""
    names, after_digest = [], True
    code = re.sub(r"^\s*(//|#).*$", "", text, flags=re.MULTILINE)
    for digest, string, argument in TOKEN.findall(code):
        if digest:
            yield names, digest.lower()
            after_digest = True
            continue
        if after_digest:
            names, after_digest = [], False
        names.append(string or argument)


def texts(tree, pattern):
    for path, data in sorted(tree.items()):
        if pattern.search(path):
            yield path, data.decode("utf-8", "replace")


def report(what, wanted, missing):
    print(f"{what}: {len(wanted) - len(missing)} of {len(wanted)} found")
    for line in missing:
        print(f"  missing: {line}")
    return len(missing)


def main(old, new):
    old, new = read_tree(old), read_tree(new)
    named, digests = {}, set()  # of the new tree: the digests under each name, and all there are
    for _, text in texts(new, SOURCE):
        for names, digest in rows(text):
            digests.add(digest)
            for name in names:
                named.setdefault(name, set()).add(digest)
    missing, total = 0, 0
    for path, text in texts(old, re.compile(r"\.def$")):
        wanted = [(names[0] if names else "", digest) for names, digest in rows(text)]
        if not wanted:
            continue
        lost = [f"{name} 0x{digest}; under this name now: {' '.join(sorted(named.get(name, ['nothing'])))}"
                for name, digest in wanted if digest not in named.get(name, ())]
        missing += report(path, wanted, lost)
        total += len(wanted)
    for path, text in texts(old, TEST):
        wanted = [digest for _, digest in rows(text)]
        if not wanted:
            continue
        missing += report(path, wanted, [f"0x{digest}" for digest in wanted if digest not in digests])
        total += len(wanted)
    kept = {hashlib.sha256(data).digest() for data in new.values()}
    golden = {path: data for path, data in sorted(old.items()) if GOLDEN.match(path)}
    missing += report("golden files", golden, [path for path, data in golden.items() if hashlib.sha256(data).digest() not in kept])
    total += len(golden)
    if total == 0:
        print(f"there is nothing to compare in {sys.argv[1]}", file=sys.stderr)
        return 2
    print(f"{total - missing} found, {missing} missing")
    return 1 if missing else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(*sys.argv[1:]))
