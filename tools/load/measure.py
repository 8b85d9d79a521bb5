#!/usr/bin/env python3
"""What the server does under load, measured. Run it on a machine that does nothing else and has two cores or more.

    tools/load/measure.py steady        1,000 connections, 100 requests a second: every answer right, memory flat
    tools/load/measure.py goodput       tokens a second beside those of `edgellm bench`, under the same pinning
    tools/load/measure.py slots         8 slots beside 1
    tools/load/measure.py prompt        a prompt of 1,000 tokens beside 7 streams
    tools/load/measure.py restart       kill -9 and a start: how long until an answer
    tools/load/measure.py drain         SIGTERM under load: what was accepted is answered

Options: --seconds N (of each load; 300 for steady, otherwise 20), --rounds N (of goodput, 3), --slots N (16), --prompt-tokens N (1000),
--build FOLDER (build), --model FILE (models/stories.tm2), --large FILE (of slots and prompt: `edgellm-convert synthetic:bitnet-2b4t
--tokenizer FILE` with that of Llama 3 makes it; its own prints next to nothing, and a stream is seen by what it prints). goodput takes
the likeliest token as bench does, and answers that are whole, unless --temperature T or --stream say otherwise.
The server has core 0 and the generator core 1, but in slots and prompt, where the server has two threads on both.
Exit code 1: something is not as it should be.
"""
import argparse
import json
import os
import pathlib
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

options = None
failed = []


def check(holds, words):
    print(("ok    " if holds else "WRONG ") + words, flush=True)
    if not holds:
        failed.append(words)


def program(name):
    return str(pathlib.Path(options.build) / name)


class Server:
    def __init__(self, model, *words, core=None, port=0):
        self.log = tempfile.NamedTemporaryFile("w+")
        pin = ["taskset", "-c", str(core)] if core is not None else []
        self.began = time.monotonic()
        self.process = subprocess.Popen([*pin, program("edgellm"), "serve", model, "--port", str(port), *words], stderr=self.log)
        while not (said := re.search(r"http://([0-9.:]+),", pathlib.Path(self.log.name).read_text())):
            if self.process.poll() is not None:
                sys.exit(pathlib.Path(self.log.name).read_text())
            time.sleep(0.001)
        self.url = f"http://{said[1]}/v1/completions"
        self.base = f"http://{said[1]}"

    def own_memory(self):
        return int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1])

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def get(self, path):
        return urllib.request.urlopen(self.base + path).read().decode()

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait()


def start_load(url, *words, core=1, alone=True):
    pin = ["taskset", "-c", str(core)] if core is not None else []
    words = [str(word) for word in words] + ([] if alone else ["--no-alone"])
    return subprocess.Popen([*pin, program("edgellm-load"), url, "--json", *words], stdout=subprocess.PIPE)


def result(load):
    said = load.communicate()[0]
    if not said:
        sys.exit("edgellm-load said nothing")
    return json.loads(said)


def show(name, said):
    print(f"      {name}: offered {said['offered']}, whole {said['whole']}, 429 {said['busy']}, 503 {said['unavailable']}, "
          f"failed {said['failed']} {said['failures'] or ''}; {said['tokens_out_per_second']:.0f} tokens/s made, "
          f"{said['tokens_in_per_second']:.0f} read; ms: first byte {said['first_byte_ms']}, between tokens "
          f"{said['between_tokens_ms']}, whole answer {said['answer_ms']}", flush=True)


def steady():
    seconds = options.seconds or 300
    server = Server(options.model, "--threads", "1", "--slots", str(options.slots), "--connections", "1024", core=0)
    load = start_load(server.url, "--connections", 1000, "--rate", 100, "--seconds", seconds, "--max-tokens", "16-64")
    settle = min(60, seconds / 3)
    time.sleep(settle)
    first = server.own_memory()
    said = result(load)
    last = server.own_memory()
    show("100 requests/s", said)
    check(said["failed"] == 0 and said["whole"] + said["busy"] + said["unavailable"] == said["offered"],
          f"{said['whole']} of {said['offered']} answers whole and as alone, the others refused with Retry-After")
    check(last - first <= 64, f"own memory {first} kB after {settle:.0f} s, {last} kB at the end")
    allocations = re.search(r"^edgellm_allocations_after_seal_total (\d+)", server.get("/metrics"), re.M)
    check(allocations is None or allocations[1] == "0", "no allocation behind the seal")
    check(server.end() == 0, "ended by SIGTERM with exit code 0")


def bench(model, sessions, threads, core=None, tokens=56):
    pin = ["taskset", "-c", str(core)] if core is not None else []
    run = subprocess.run([*pin, program("edgellm"), "bench", model, "--json", "--sessions", str(sessions), "--threads", str(threads),
                          "-n", str(tokens), "--repeat", "15"], stdout=subprocess.PIPE, check=True)
    return json.loads(run.stdout)


# What a bench is beside: a generator that offers a server of no cost as many requests.
def bench_beside_load(rate, port=18090):
    null = subprocess.Popen(["taskset", "-c", "1", program("edgellm-load"), "--null", str(port)])
    time.sleep(0.3)
    load = start_load(f"http://127.0.0.1:{port}/v1/completions", "--connections", 1000, "--rate", rate, "--seconds", 3600)
    said = bench(options.model, options.slots, 1, core=0)
    for process in (load, null):
        process.kill()
        process.wait()
    return said["decode_tok_s"]


# One prompt, whose ids are run once: what is left of a request is what bench does, a pass for each token that is made.
def goodput():
    seconds = options.seconds or 20
    ratios, served, benched = [], [], []
    prompts = tempfile.NamedTemporaryFile("w", suffix=".txt")
    prompts.write("Once upon a time\n")
    prompts.flush()
    for number in range(options.rounds):
        server = Server(options.model, "--threads", "1", "--slots", str(options.slots), "--connections", "1024", core=0)
        said = result(start_load(server.url, "--connections", 1000, "--in-flight", options.slots * 2, "--seconds", seconds,
                                 "--max-tokens", "16-64", "--temperature", options.temperature, "--prompts", prompts.name,
                                 *(["--stream"] if options.stream else [])))
        server.end()
        show(f"{2 * options.slots} requests at any time", said)
        check(said["failed"] == 0, "every answer whole and as alone")
        alone = bench_beside_load(said["whole"] / said["seconds"])
        served.append(said["tokens_out_per_second"])
        benched.append(alone)
        ratios.append(served[-1] / alone)
        print(f"      bench --sessions {options.slots}: {alone:.0f} tokens/s; made {ratios[-1]:.3f} of it", flush=True)
    check(statistics.median(ratios) >= 0.9,
          f"made {statistics.median(served):.0f} tokens/s, bench {statistics.median(benched):.0f}: {statistics.median(ratios):.3f}")


def tokens_made(server):
    return int(re.search(r"^edgellm_generated_tokens_total\{.*?\} (\d+)", server.get("/metrics"), re.M)[1])


def slots():
    seconds = options.seconds or 20
    speed = {}
    for count in (1, 8):
        server = Server(options.large, "--threads", "2", "--slots", str(count))
        load = start_load(server.url, "--connections", count, "--in-flight", count, "--seconds", seconds + 10, "--max-tokens", "16-64",
                          "--temperature", 0, core=None, alone=False)
        time.sleep(5)
        before, began = tokens_made(server), time.monotonic()
        time.sleep(seconds)
        speed[count] = (tokens_made(server) - before) / (time.monotonic() - began)
        said = result(load)
        server.end()
        show(f"{count} slots", said)
        check(said["failed"] == 0, f"{said['whole']} answers whole")
    check(speed[8] >= 3 * speed[1], f"8 slots {speed[8]:.1f} tokens/s, one {speed[1]:.1f}: {speed[8] / speed[1]:.2f} times as many")


# Distinct prompts of so many tokens, a line each: none of them begins as another does.
def write_prompts(model, file, count, tokens):
    words = "the old red boat went out to look for a small green house near the long river with many tall trees".split()
    draw = random.Random(1)
    for _ in range(count):
        text = " ".join(draw.choice(words) for _ in range(tokens * 2))
        ids = subprocess.run([program("edgellm"), "tokenize", model, "-i", text], stdout=subprocess.PIPE, check=True).stdout.decode()
        ids = ids.strip().split(",")[:tokens]
        cut = subprocess.run([program("edgellm"), "detokenize", model, "--ids", ",".join(ids)], stdout=subprocess.PIPE, check=True)
        file.write(cut.stdout.decode().strip() + "\n")
    file.flush()


def prompt():
    seconds = options.seconds or 40
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as prompts:
        write_prompts(options.large, prompts, 40, options.prompt_tokens)
        server = Server(options.large, "--threads", "2", "--slots", "8")

        def reader(time_for):
            return start_load(server.url, "--connections", 1, "--in-flight", 1, "--seconds", time_for, "--prompts", prompts.name,
                              "--kinds", 40, "--max-tokens", 1, "--stream", core=None, alone=False)

        def streams(time_for):
            return start_load(server.url, "--connections", 7, "--in-flight", 7, "--kinds", 7, "--seconds", time_for, "--max-tokens", 100,
                              "--stream", core=None, alone=False)

        alone = result(reader(seconds))
        show("prompts alone", alone)
        calm = result(streams(seconds))
        show("7 streams alone", calm)
        beside = streams(seconds)
        time.sleep(3)
        read = result(reader(max(1, seconds - 6)))
        crowded = result(beside)
        show("prompts beside streams", read)
        show("streams beside prompts", crowded)
        server.end()
    before, now = calm["between_tokens_ms"]["p99"], crowded["between_tokens_ms"]["p99"]
    check(now <= 2 * before, f"between two tokens of a stream, p99: {before:.1f} ms alone, {now:.1f} ms beside prompts, "
          f"{now / before:.2f} times as long")
    before, now = alone["answer_ms"]["p50"], read["answer_ms"]["p50"]
    check(now <= 2.5 * before, f"first token behind {options.prompt_tokens}: {before:.0f} ms alone, {now:.0f} ms beside 7 streams, "
          f"{now / before:.2f} times as long")


def restart():
    for number in range(3):
        server = Server(options.model, "--threads", "1")
        load = start_load(server.url, "--connections", 50, "--in-flight", 20, "--seconds", 2, "--ends", alone=False)
        time.sleep(1)
        server.end(signal.SIGKILL)
        port = server.base.rsplit(":", 1)[1]
        again = Server(options.model, "--threads", "1", port=port)
        body = json.dumps({"prompt": "Once upon a time", "max_tokens": 5}).encode()
        urllib.request.urlopen(urllib.request.Request(again.base + "/v1/edge/completions", body)).read()
        took = time.monotonic() - again.began
        check(took < 1, f"an answer {took * 1000:.0f} ms after the start behind kill -9, on the same port")
        again.end()
        load.kill()
        load.wait()


def drain():
    server = Server(options.model, "--threads", "1", "--slots", str(options.slots), "--connections", "1024", "--log", core=0)
    load = start_load(server.url, "--connections", 1000, "--in-flight", options.slots, "--seconds", 4, "--ends", alone=False)
    time.sleep(2)
    code = server.end()
    said = result(load)
    show("SIGTERM after 2 s", said)
    logged = [json.loads(line) for line in pathlib.Path(server.log.name).read_text().splitlines() if line.startswith("{")]
    whole = sum(line.get("status") == 200 for line in logged)
    check(code == 0, f"exit code {code}")
    check(said["failed"] == 0, f"no answer is broken off; {said['unanswered']} requests found their connection ended, {said['unsent']} no server")
    check(whole == said["whole"], f"{whole} answers in the log, {said['whole']} at the clients")


def main():
    global options
    parser = argparse.ArgumentParser(usage=__doc__)
    parts = {part.__name__: part for part in (steady, goodput, slots, prompt, restart, drain)}
    parser.add_argument("part", nargs="+", choices=parts)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--temperature", type=float, default=0)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--prompt-tokens", type=int, default=1000)
    parser.add_argument("--build", default="build")
    parser.add_argument("--model", default="models/stories.tm2")
    parser.add_argument("--large", default="bitnet-2b4t.tm2")
    options = parser.parse_args()
    for part in options.part:
        parts[part]()
    sys.exit(1 if failed else 0)


main()
