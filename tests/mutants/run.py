#!/usr/bin/env python3
"""Whether the tests notice small mistakes.

Mutants are drawn from the seed over src/ and tools/convert as they are committed, each folder by its share of the lines (at least
eight), each kind of mistake as often as another. One at a time is put into a copy of the tree in build/mutants, built, and the
tests are run, those first that noticed mutants of the same folder, until one fails. A mutant that does not compile, or compiles to
the same code, is replaced by the next of its folder. House rules are not run: they look at the text, not at what it does.

What came of each is kept in build/mutants/seed-N.jsonl, where a run that was stopped goes on; --again tries once more those that
nothing noticed. At the end come the survivors, without those that tests/mutants/equivalent.txt says make no difference, and a
table by folder. Exit code 1 when there are survivors.
"""
import argparse
import collections
import hashlib
import io
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from places import mutants

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "build/mutants"
EQUIVALENT = pathlib.Path(__file__).with_name("equivalent.txt")
GENERATED = {"src/text/unicode_tables.cpp"}  # by its script, and compared by a test
AT_ONCE = 6  # tests built and run together
NOTICED, SURVIVED, NOT_COMPILED, SAME_CODE = "noticed", "survived", "not compiled", "same code"


def room(path):
    """The folder that a mutant is counted under."""
    return str(pathlib.PurePath(path).parent)


def key(mutant, text):
    """What a mutant is called where lines may have moved: its file and its lines before and after."""
    return (mutant.path, *mutant.lines(text))


class Draw:
    """The mutants of a seed, in an order that does not depend on how fast they are tried."""

    def __init__(self, sources, seed, count, only):
        self.sources = sources
        lines, of_room = collections.Counter(), collections.defaultdict(lambda: collections.defaultdict(list))
        for path, text in sorted(sources.items()):
            lines[room(path)] += text.count("\n")
            if path.startswith(only) and path not in GENERATED:
                for kind, found in mutants(path, text).items():
                    of_room[room(path)][kind] += found
        total = sum(lines[r] for r in of_room)
        self.wanted = {r: max(8, round(count * lines[r] / total)) for r in sorted(of_room)}
        self.streams = {r: self.stream(kinds, random.Random(f"{seed} {r}")) for r, kinds in of_room.items()}

    @staticmethod
    def stream(kinds, rng):
        left = {kind: rng.sample(found, len(found)) for kind, found in sorted(kinds.items()) if found}
        while left:
            kind = rng.choice(list(left))
            yield left[kind].pop()
            if not left[kind]:
                del left[kind]


class Tree:
    """A copy of the sources with a build of its own."""

    def __init__(self, number, sources, archive):
        self.folder = WORK / f"tree-{number}"
        self.build = self.folder / "build"
        self.sources = sources
        for path, data in archive.items():
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists() or file.read_bytes() != data[0]:
                file.write_bytes(data[0])
                file.chmod(data[1])
        for top in ("src", "kernels", "tests", "tools"):
            for file in (self.folder / top).rglob("*"):
                if file.is_file() and file.relative_to(self.folder).as_posix() not in archive and "__pycache__" not in file.parts:
                    file.unlink()
        self.scratch = self.build / "scratch"
        self.environment = dict(os.environ, TMPDIR=str(self.scratch))
        if shutil.which("ccache"):  # a file that is put back need not be compiled again
            self.environment.update(CCACHE_BASEDIR=str(self.folder), CCACHE_NOHASHDIR="1")
            for language in ("C", "CXX"):
                self.environment.setdefault(f"CMAKE_{language}_COMPILER_LAUNCHER", "ccache")
        self.clean()
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        self.run(["cmake", *generator, "-S", self.folder, "-B", self.build], check=True)

    def run(self, command, **options):
        # A mutant may ask for all the memory or disk that there is.
        def limits():
            resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
            resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 30, 4 << 30))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        return subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", cwd=self.folder, env=self.environment, preexec_fn=limits, **options)

    def compiled(self, *targets):
        return self.run(["cmake", "--build", self.build, "--target", *targets])

    def code(self):
        """What all objects of the programs hold."""
        out = hashlib.sha256()
        for name in ("edgellm_core", "convert_core", "edgellm", "edgellm-convert"):
            for file in sorted((self.build / f"CMakeFiles/{name}.dir").rglob("*.o")):
                out.update(str(file).encode() + hashlib.sha256(file.read_bytes()).digest())
        return out.digest()

    def tests(self):
        """{name: seconds} of the tests that pass unchanged, and the names of those that do not."""
        self.tools = ["edgellm", "edgellm-convert", "libedgellm"]
        if (made := self.compiled(*self.tools, "tests")).returncode:
            sys.exit(f"the tree does not build:\n{made.stdout}")
        self.unchanged = self.code()
        listed = json.loads(self.run(["ctest", "--test-dir", self.build, "--show-only=json-v1"]).stdout)["tests"]
        label = {t["name"]: next(p["value"][0] for p in t["properties"] if p["name"] == "LABELS") for t in listed}
        self.programs = {name for name in label if label[name] in ("unit", "kernels")}
        self.run(["ctest", "--test-dir", self.build, "-LE", "house"])
        seconds, failed = {}, []
        for line in (self.build / "Testing/Temporary/CTestCostData.txt").read_text().splitlines():
            if len(words := line.split()) == 3:
                seconds[words[0]] = float(words[2])
        log = self.build / "Testing/Temporary/LastTestsFailed.log"
        if log.exists():
            failed = [line.split(":")[1] for line in log.read_text().split()]
        return {t: seconds.get(t, 1.0) for t in label if label[t] != "house" and t not in failed}, failed

    def failing(self, tests, seconds):
        """The first of the tests that fails, or None."""
        if self.compiled(*self.tools, *(t for t in tests if t in self.programs)).returncode:
            return "the compiler"
        try:
            self.run(["ctest", "--test-dir", self.build, "--stop-on-failure", "-R", f"^({'|'.join(tests)})$"],
                     timeout=30 + 5 * sum(seconds[t] for t in tests))
        except subprocess.TimeoutExpired:
            return "a test without an end"
        log = self.build / "Testing/Temporary/LastTestsFailed.log"
        return log.read_text().split(":")[1].strip() if log.exists() else None

    def tried(self, mutant, order, seconds):
        """(what came of it, the test that noticed)"""
        file, text = self.folder / mutant.path, self.sources[mutant.path]
        file.write_text(mutant.apply(text))
        try:
            if self.compiled(*self.tools).returncode:
                return NOT_COMPILED, None
            if self.code() == self.unchanged:
                return SAME_CODE, None
            for i in range(0, len(order), AT_ONCE):
                (self.build / "Testing/Temporary/LastTestsFailed.log").unlink(missing_ok=True)
                if test := self.failing(order[i:i + AT_ONCE], seconds):
                    return NOTICED, test
            return SURVIVED, None
        finally:
            file.write_text(text)
            self.clean()

    def clean(self):
        """Ends what a test left running, and removes what it left behind."""
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cwd").resolve() == self.folder:
                    os.kill(int(process.name), signal.SIGKILL)
            except OSError:
                pass  # it has ended
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)


class Run:
    def __init__(self, options, archive):
        self.sources = {p: d[0].decode() for p, d in archive.items()
                        if p.startswith(("src/", "tools/convert/")) and p.endswith((".cpp", ".h"))}
        self.draw = Draw(self.sources, options.seed, options.count, options.only)
        self.again = options.again
        self.lock = threading.Lock()
        self.kills = collections.Counter()  # (room, test)
        self.done = {}
        self.log = WORK / f"seed-{options.seed}.jsonl"
        if self.log.exists():
            for line in self.log.read_text().splitlines():
                self.keep(json.loads(line))
        if options.again:
            self.retried = [m for path, text in self.sources.items() for found in mutants(path, text).values() for m in found
                            if self.done.get(key(m, text), {}).get("verdict") == SURVIVED]
        # Rooms in turn, so that a run that is stopped has tried some of each.
        self.queue = collections.deque(sorted(((i + 0.5) / n, r) for r, n in self.draw.wanted.items() for i in range(n)))

    def keep(self, result):
        self.done[result["path"], result["before"], result["after"]] = result
        if result["test"]:
            self.kills[room(result["path"]), result["test"]] += 1

    def next(self):
        """A mutant and its place in the queue, or None at the end."""
        with self.lock:
            if self.again:
                return (self.retried.pop(), None) if self.retried else None
            while self.queue:
                place = self.queue.popleft()
                mutant = next(self.draw.streams[place[1]], None)
                if not mutant:
                    continue
                known = self.done.get(key(mutant, self.sources[mutant.path]))
                if not known:
                    return mutant, place
                if known["verdict"] in (NOT_COMPILED, SAME_CODE):
                    self.queue.appendleft(place)

    def order(self, of, seconds):
        total = collections.Counter()
        for (_, test), n in self.kills.items():
            total[test] += n
        return sorted(seconds, key=lambda t: (-self.kills[of, t], -total[t] / seconds[t] if total[t] else 0, seconds[t]))

    def work(self, tree, seconds):
        while found := self.next():
            mutant, place = found
            text = self.sources[mutant.path]
            with self.lock:
                order = self.order(room(mutant.path), seconds)
            verdict, test = tree.tried(mutant, order, seconds)
            path, before, after = key(mutant, text)
            result = dict(path=path, line=mutant.line(text), kind=mutant.kind, before=before, after=after, verdict=verdict, test=test)
            with self.lock:
                self.keep(result)
                if verdict in (NOT_COMPILED, SAME_CODE) and place:
                    self.queue.appendleft(place)
                with open(self.log, "a") as log:
                    log.write(json.dumps(result) + "\n")
                print(f"{verdict}{' by ' + test if test else ''}: {path}:{result['line']}: {mutant.kind}", flush=True)


def equivalents():
    """{(path, before, after): reason}"""
    out = {}
    if EQUIVALENT.exists():
        for entry in EQUIVALENT.read_text().split("\n\n"):
            lines = [line for line in entry.splitlines() if line and not line.startswith("#")]
            if lines:
                path, before, after, *reason = lines
                out[path, before[2:], after[2:]] = " ".join(reason)
    return out


def report(results):
    """Prints the survivors and the table; whether there are survivors."""
    same, survivors = equivalents(), []
    table = collections.defaultdict(collections.Counter)
    for result in sorted(results, key=lambda r: (r["path"], r["line"])):
        of = table[room(result["path"])]
        if result["verdict"] == NOTICED:
            of[NOTICED] += 1
        elif (result["path"], result["before"], result["after"]) in same:
            of["equivalent"] += 1
        else:
            of[SURVIVED] += 1
            survivors.append(result)
    for r in survivors:
        print(f"\n{r['path']}\n- {r['before']}\n+ {r['after']}")
    print(f"\n{'':28}noticed  survived  equivalent")
    for name, of in [*sorted(table.items()), ("all", sum(table.values(), collections.Counter()))]:
        share = of[NOTICED] / max(1, of[NOTICED] + of[SURVIVED])
        print(f"{name:28}{of[NOTICED]:7}{of[SURVIVED]:10}{of['equivalent']:12}  {100 * share:5.1f} %")
    return bool(survivors)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="another draws others (default: 1)")
    parser.add_argument("--count", type=int, default=200, help="mutants that are tried, about (default: 200)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="at a time (default: one for each processor)")
    parser.add_argument("--only", default="", metavar="PATH", help="draw only from what is below this path")
    parser.add_argument("--again", action="store_true", help="try only those of the seed that survived before")
    options = parser.parse_args()
    archive = subprocess.run(["git", "-C", ROOT, "archive", "--format=tar", "HEAD"], stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        archive = {m.name: (tar.extractfile(m).read(), m.mode) for m in tar if m.isfile()}
    run = Run(options, archive)
    trees = [Tree(i, run.sources, archive) for i in range(options.jobs)]
    for tree in trees:
        seconds, failed = tree.tests()
        for name in failed:
            print(f"{name} fails without a mistake, and is left out")
    workers = [threading.Thread(target=run.work, args=(tree, seconds)) for tree in trees]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return report([r for r in run.done.values() if r["verdict"] in (NOTICED, SURVIVED)])


if __name__ == "__main__":
    sys.exit(main())
