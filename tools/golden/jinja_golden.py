#!/usr/bin/env python3
"""What `transformers` makes of templates that look at dictionaries: their order, and their JSON.

  python3 tools/golden/jinja_golden.py      -> tests/golden/chat/jinja.json
A list of [name, template, text], each for the conversation below."""
import json
import pathlib

from transformers.utils.chat_template_utils import render_jinja_template

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/chat/jinja.json"
MESSAGES = [
    {"role": "user", "content": 'Say "a\\b"\n\tcaf\u00e9 \U0001f44d \x01</s>'},
    {"role": "assistant", "content": ""},
]
UNSORTED = "{'b': 1, 'a': 2, 'c': {'z': [1, 'x', none], 'y': true}, 'B': {}, 'A': []}"
PAIRS = "{% for k, v in X %}{{ k }}={{ v }};{% endfor %}"

TEMPLATES = [
    ("items()", "{% set d = {'b': 1, 'a': 2, 'c': 3, 'B': 4} %}" + PAIRS.replace("X", "d.items()")),
    ("items", "{% set d = {'b': 1, 'a': 2, 'c': 3, 'B': 4} %}" + PAIRS.replace("X", "d | items")),
    ("a key again", "{% set d = {'b': 1, 'a': 2, 'b': 3} %}" + PAIRS.replace("X", "d.items()")),
    ("keys", "{% set d = {'b': 1, 'a': 2} %}{% for k in d %}{{ k }}{% endfor %}{{ d.keys() | join }}{{ d | list | join }}{{ d | first }}{{ d | length }}"),
    ("values", "{% set d = {'b': 1, 'a': 2} %}{% for v in d.values() %}{{ v }}{% endfor %}"),
    ("dict", "{% set d = dict(b=1, a=2) %}" + PAIRS.replace("X", "d.items()")),
    ("dict of another", "{% set d = dict({'z': 0, 'b': 1}, b=2, a=3) %}" + PAIRS.replace("X", "d.items()")),
    ("equal", "{{ {'a': 1, 'b': [2]} == {'b': [2], 'a': 1} }}{{ {'a': 1} == {'a': 2} }}{{ {'a': 1} == {'b': 1} }}{{ {} == {} }}{{ {'a': {'b': 1}} != {'a': {'b': 1}} }}"),
    ("in", "{{ 'a' in {'b': 1, 'a': 2} }}{{ 'c' in {'b': 1} }}{{ {'b': 1}.get('a', 7) }}"),
    ("tojson", "{% set d = " + UNSORTED + " %}{{ d | tojson }}"),
    ("tojson, indented", "{% set d = " + UNSORTED + " %}{{ d | tojson(indent=4) }}|{{ [] | tojson(indent=2) }}|{{ [[1, [2]], {'k': [3]}] | tojson(indent=0) }}"),
    ("tojson of messages", "{{ messages | tojson }}"),
    ("tojson of what is said", "{% for m in messages %}{{ m.content | tojson }}{{ m | tojson(indent=none) }}{% endfor %}"),
    ("tojson of values", "{{ 1 | tojson }}{{ true | tojson }}{{ false | tojson }}{{ none | tojson }}{{ (-3) | tojson }}{{ [1, 'a', [true]] | tojson }}"),
    ("members of messages", "{% for m in messages %}" + PAIRS.replace("X", "m.items()") + "{% endfor %}"),
]


def render(source):
    (text,), _ = render_jinja_template(conversations=[MESSAGES], chat_template=source)
    return text


if __name__ == "__main__":
    cases = [[name, source, render(source)] for name, source in TEMPLATES]
    OUT.write_text(json.dumps({"messages": MESSAGES, "cases": cases}, separators=(",", ":")) + "\n")
