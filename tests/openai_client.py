#!/usr/bin/env python3
"""OpenAI's own client against `edgellm serve`: what it asks for and what it makes of the answers. EDGELLM is the command."""
import os
import re
import shlex
import subprocess
import sys
import tempfile

import openai
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

failures = 0


def check(what, value):
    global failures
    if not value:
        failures += 1
        print("FAIL:", what)


def raises(kind, what, call):
    try:
        call()
    except openai.OpenAIError as error:
        check(f"{what}: {kind.__name__}, got {type(error).__name__}: {error}", type(error) is kind)
        return error
    check(f"{what}: {kind.__name__}, got an answer", False)


def strictly(kind, what, text):
    """OpenAI's own description of an answer: every type as it says."""
    try:
        kind.model_validate_json(text, strict=True)
    except ValueError as error:
        check(f"{what}: {error}", False)


class Served:
    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            shlex.split(os.environ["EDGELLM"]) + ["serve", *arguments, "--port", "0", "--threads", "1"],
            stderr=subprocess.PIPE, text=True)
        while True:
            line = self.process.stderr.readline()
            if not line:
                sys.exit("the server did not start")
            found = re.search(r" at (http://\S+?),? ", line)
            if found:
                self.url = found.group(1) + "/v1"
                return

    def client(self, key="none"):
        return openai.OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        check("the server ends in peace", self.process.wait(30) == 0)


def completions(client):
    ask = dict(model="stories", prompt="Once upon a time", max_tokens=20, seed=3)
    whole = client.completions.create(**ask, logprobs=2)
    choice = whole.choices[0]
    check("a text", len(choice.text) > 20 and choice.finish_reason == "length")
    check("its tokens", "".join(choice.logprobs.tokens) == choice.text and len(choice.logprobs.token_logprobs) == 20)
    check("their places", [choice.text[o:o + len(t)] for o, t in zip(choice.logprobs.text_offset, choice.logprobs.tokens)] ==
          choice.logprobs.tokens)
    check("usage", whole.usage.completion_tokens == 20 and whole.usage.prompt_tokens == 5 and whole.usage.total_tokens == 25)
    check("the real name", whole.model == "stories")
    parts = list(client.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    check("a stream is the same", "".join(p.choices[0].text for p in parts if p.choices) == choice.text)
    check("with usage", parts[-1].choices == [] and parts[-1].usage.completion_tokens == 20 and parts[0].usage is None)
    check("and one reason", [p.choices[0].finish_reason for p in parts if p.choices and p.choices[0].finish_reason] == ["length"])
    check("under one name", len({p.id for p in parts}) == 1 and len({p.created for p in parts}) == 1)
    several = client.completions.create(**{**ask, "prompt": ["Once upon a time", "One day"]}, n=2)
    check("several texts", [c.index for c in several.choices] == [0, 1, 2, 3] and several.choices[0].text == choice.text)
    second = client.completions.create(**{**ask, "seed": 4})
    check("of seeds in order", several.choices[1].text == second.choices[0].text)
    stopped = client.completions.create(**ask, stop=[choice.logprobs.tokens[4]])
    check("a stop string", stopped.choices[0].text == "".join(choice.logprobs.tokens[:4]) and
          stopped.choices[0].finish_reason == "stop")
    echo = client.completions.create(**{**ask, "max_tokens": 0}, echo=True, logprobs=0)
    check("echo", echo.choices[0].text == "Once upon a time" and len(echo.choices[0].logprobs.tokens) == 4)
    drawn = client.completions.create(model="x", prompt="Once", max_tokens=20)
    again = client.completions.create(model="x", prompt="Once", max_tokens=20, seed=drawn.seed)
    check("a drawn seed", drawn.choices[0].text == again.choices[0].text)


def chat(client):
    messages = [{"role": "user", "content": "Tell me of a dog."}]
    ask = dict(model="stories", messages=messages, max_tokens=30, seed=3, temperature=0.5)
    whole = client.chat.completions.create(**ask, logprobs=True, top_logprobs=3)
    choice = whole.choices[0]
    tokens = choice.logprobs.content
    check("a message", choice.message.role == "assistant" and choice.message.content)
    check("its tokens", "".join(t.token for t in tokens) == choice.message.content and
          all(len(t.top_logprobs) == 3 for t in tokens) and bytes(b for t in tokens for b in t.bytes).decode() ==
          choice.message.content)
    parts = list(client.chat.completions.create(**ask, stream=True, n=2, logprobs=True, stream_options={"include_usage": True}))
    texts, reasons, roles, names = ["", ""], [[], []], [[], []], ["", ""]
    for part in parts:
        for one in part.choices:
            texts[one.index] += one.delta.content or ""
            names[one.index] += "".join(t.token for t in one.logprobs.content) if one.logprobs else ""
            reasons[one.index] += [one.finish_reason] if one.finish_reason else []
            roles[one.index] += [one.delta.role] if one.delta.role else []
    check("a stream is the same", texts[0] == choice.message.content and names == texts)
    check("each with one role and one reason", roles == [["assistant"]] * 2 and all(len(r) == 1 for r in reasons))
    check("with usage", parts[-1].usage.prompt_tokens == whole.usage.prompt_tokens)
    messages += [choice.message.model_dump(), {"role": "user", "content": [{"type": "text", "text": "And then?"}]}]
    further = client.chat.completions.create(**ask)
    check("another turn", further.choices[0].message.content)
    check("goes on from the first", further.usage.prompt_tokens_details.cached_tokens > 0)


def errors(client):
    ask = dict(model="stories", messages=[{"role": "user", "content": "x"}])
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    wrong = raises(openai.BadRequestError, "tools", lambda: client.chat.completions.create(**ask, tools=[tool]))
    check("the field by name", wrong and wrong.param == "tools" and wrong.type == "invalid_request_error")
    for more in (dict(response_format={"type": "json_object"}), dict(frequency_penalty=1), dict(temperature=101), dict(n=17),
                 dict(extra_body={"unknown": 1})):
        raises(openai.BadRequestError, str(more), lambda: client.chat.completions.create(**ask, **more))
    long = raises(openai.BadRequestError, "a long prompt",
                  lambda: client.completions.create(model="stories", prompt="word " * 5000))
    check("the code of a long prompt", long and long.code == "context_length_exceeded")
    raises(openai.NotFoundError, "a model that is not there", lambda: client.models.retrieve("nothing"))
    full = raises(openai.RateLimitError, "a full queue", lambda: [
        [client.completions.create(model="stories", prompt="One day", max_tokens=400, n=4, stream=True) for _ in range(3)]])
    check("when to try again", full and full.response.headers["retry-after"] == "1")


def shapes(client):
    prompt = dict(model="stories", prompt="One day", max_tokens=5, logprobs=2)
    for more in ({}, dict(echo=True), dict(logprobs=None)):
        strictly(Completion, more, client.completions.with_raw_response.create(**{**prompt, **more}).text)
    messages = dict(model="stories", messages=[{"role": "user", "content": "x"}], max_tokens=5)
    for more in ({}, dict(logprobs=True, top_logprobs=2)):
        strictly(ChatCompletion, more, client.chat.completions.with_raw_response.create(**messages, **more).text)
        options = dict(stream=True, stream_options={"include_usage": True})
        with client.chat.completions.with_streaming_response.create(**messages, **more, **options) as answer:
            events = [line[6:] for line in answer.iter_lines() if line.startswith("data: {")]
        check("events", len(events) > 5)
        for event in events:
            strictly(ChatCompletionChunk, more, event)


def models(client):
    check("models", [m.id for m in client.models.list()] == ["stories"])
    check("one of them", client.models.retrieve("stories").owned_by == "edgellm")


with Served("models/stories.tm2", "--slots", "4", "--queue", "4") as served:
    for part in (models, completions, chat, shapes, errors):
        part(served.client())
with tempfile.NamedTemporaryFile("w") as keys:
    keys.write("secret\n")
    keys.flush()
    with Served("models/stories.tm2", "--api-key-file", keys.name) as served:
        raises(openai.AuthenticationError, "a wrong key", lambda: served.client("wrong").models.list())
        check("the right key", len(served.client("secret").models.list().data) == 1)
with Served("--model", "a=models/stories.tm2", "--model", "b=models/stories.tm2") as served:
    client = served.client()
    raises(openai.NotFoundError, "a name of no model", lambda: client.completions.create(model="c", prompt="x"))
    check("a name of a model", client.completions.create(model="b", prompt="x", max_tokens=1).model == "b")
print("openai", openai.__version__, "-", "failed" if failures else "ok")
sys.exit(failures > 0)
