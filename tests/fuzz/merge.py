#!/usr/bin/env python3
"""Takes into tests/fuzz/corpus what a fuzzer has found, as long as it reaches code that nothing else there does:

  tests/fuzz/merge.py build/fuzz/fuzz_json FOLDER...

Files with a name of their own stay; those that libFuzzer named are chosen anew, from there and from the folders: first those that
reach the most new edges for their size, up to 100 files and 100 KB for a target, since git keeps them for ever."""
import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile

MOST_FILES, MOST_BYTES = 100, 100_000
OF_A_FUZZER = re.compile("[0-9a-f]{40}")
CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"


def edges(fuzzer, folder):
    """The code that each file reaches, as libFuzzer's merge notes it."""
    with tempfile.TemporaryDirectory() as scratch:
        control = pathlib.Path(scratch, "control")
        empty = pathlib.Path(scratch, "empty")
        empty.mkdir()
        subprocess.run([fuzzer, "-merge=1", "-use_counters=0", "-use_cmp=0", f"-merge_control_file={control}", empty, folder],
                       check=True, stderr=subprocess.DEVNULL)
        lines = control.read_text().splitlines()
    files, first = int(lines[0]), 2
    names = lines[first:first + files]
    reached = {}
    for line in lines[first + files:]:
        words = line.split()
        if words[0] == "COV":
            reached[pathlib.Path(names[int(words[1])])] = set(words[2:])
    return reached


def choose(reached, named):
    size = {path: path.stat().st_size for path in reached}
    seen = set().union(*(reached[path] for path in named))
    chosen, count, total = [], len(named), sum(size[path] for path in named)
    left = [path for path in reached if path not in named]
    while left and count < MOST_FILES:
        gain = {path: len(reached[path] - seen) for path in left}
        left = [path for path in left if gain[path] and total + size[path] <= MOST_BYTES]
        if not left:
            break
        best = min(left, key=lambda path: (-gain[path] / (size[path] + 64), path.name))
        chosen.append(best)
        seen |= reached[best]
        count, total = count + 1, total + size[best]
    return chosen, len(seen), count, total


def main():
    fuzzer, *folders = sys.argv[1:]
    name = pathlib.Path(fuzzer).name.removeprefix("fuzz_")
    corpus = CORPUS / name
    with tempfile.TemporaryDirectory() as scratch:
        for folder in [corpus, *map(pathlib.Path, folders)]:
            for path in folder.iterdir():
                data = path.read_bytes()
                own = folder == corpus and not OF_A_FUZZER.fullmatch(path.name)
                pathlib.Path(scratch, path.name if own else hashlib.sha1(data).hexdigest()).write_bytes(data)
        reached = edges(fuzzer, scratch)
        chosen, seen, count, total = choose(reached, [path for path in reached if not OF_A_FUZZER.fullmatch(path.name)])
        every = len(set().union(*reached.values()))
        for path in corpus.iterdir():
            if OF_A_FUZZER.fullmatch(path.name):
                path.unlink()
        for path in chosen:
            (corpus / path.name).write_bytes(path.read_bytes())
    print(f"{name}: {seen} of {every} edges in {count} files, {total} bytes")


main()
