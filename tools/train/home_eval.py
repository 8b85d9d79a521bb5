"""Runs `edgellm` on sentences of a split, greedily, and counts the answers that are exact and those that are valid.

    python3 home_eval.py --edgellm FILE --model home.srnn --data DIR/heldin.tsv [--count N] [--errors FILE]

Prints one line of JSON; --errors receives the sentences whose answer is not exact: sentence, right answer, answer.
"""

import argparse
import collections
import concurrent.futures
import json
import subprocess

from home_grammar import fault_of, read_split


def answer_of(args, sentence):
    command = [args.edgellm, args.model, "-i", sentence, "-t", "0", "-n", "160", "--threads", "1"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.decode()}")
    return done.stdout.decode(errors="replace").removesuffix("\n")


def evaluate(args):
    rows = read_split(args.data)
    rows = rows[: args.count or len(rows)]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        answers = list(pool.map(lambda row: answer_of(args, row[0]), rows))
    kinds, wrong = collections.defaultdict(lambda: [0, 0]), []
    for row, answer in zip(rows, answers):
        kind = kinds[row[2] if len(row) > 2 else "all"]
        kind[0] += 1
        kind[1] += answer == row[1]
        if answer != row[1]:
            wrong.append((row[0], row[1], answer))
    result = {"split": args.data, "sentences": len(rows), "exact": (len(rows) - len(wrong)) / len(rows),
              "valid": sum(not fault_of(answer) for answer in answers) / len(rows),
              "weakest": {kind: right / count for kind, (count, right) in sorted(kinds.items(),
                                                                                 key=lambda k: k[1][1] / k[1][0])[:5]}}
    if args.errors:
        with open(args.errors, "w", encoding="utf-8") as f:
            f.writelines("\t".join(row) + "\n" for row in wrong)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--edgellm", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, help="sentences and answers, separated by a tab")
    parser.add_argument("--count", type=int, default=0, help="sentences from the start (all)")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--errors", help="file for what was not exact")
    print(json.dumps(evaluate(parser.parse_args())))


if __name__ == "__main__":
    main()
