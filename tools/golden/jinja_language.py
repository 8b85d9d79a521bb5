#!/usr/bin/env python3
"""What `transformers` makes of every statement, operator, filter, test and method that the converter knows.

  python3 tools/golden/jinja_language.py      -> tests/golden/chat/language.json
Pairs of a template and its text, each for the conversation below."""
import json
import pathlib

from transformers.utils.chat_template_utils import render_jinja_template

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/chat/language.json"
MESSAGES = [
    {"role": "user", "content": " Ab c "},
    {"role": "assistant", "content": "x,y,,z"},
    {"role": "user", "content": ""},
]


def values(*expressions):
    """One template that writes each, with what tells a value from none at all."""
    return "".join("<{{ " + e + " }}>" for e in expressions)


def choices(*expressions):
    return "".join("{{ 'y' if " + e + " else 'n' }}" for e in expressions)


TEMPLATES = [
    # Text, tags and what they take along.
    "a\nb\n", "a\n\n", "\n", "", "{", "{}", "a { b % c # d }", "a\r\nb\rc\r\n", "{{ 1 }}", "{{1}}{{'}}'}}",
    "a {{- 1 -}} b", "a \n\t{{- 1 -}}\n\n b", "a {{ 1 }} b\n{{ 2 }}\n{{ 3 }}\n", "a \x0b{{- 1 -}}\x0c b",
    "a {%- if true -%} b {%- endif -%} c", "a {% if true %} b {% endif %} c",
    "  {% if true %}\n  x\n  {% endif %}\n  y", "a\n  {% if true %}  \nx\n\t {% endif %}y", "a  {% if true %}\nx{% endif %}\n\nz",
    "a\n  {%+ if true %}\nx\n  {%+ endif %}\ny", "a\n{% if true +%}\nx{% endif +%}\ny", "a\n {{ 1 }}\n {{ 2 }} {% if 1 %} {% endif %}",
    "{% if 1 %} {% endif %}\n {% if 1 %}\n{% endif %}|", "a\n  {# c #}\nb", "a {# c #} b\n", "a {#- c -#} b", "  {# c\n#}\n  {# d #}x",
    "a\n {#+ c +#}\nb", "{# {{ x }} {% y %} #}z", "a{# #}\n\nb", "{{ 1 }}  {% set x = 1 %}\n y", "x\n {{ 1 }}\n {% set x = 1 %}\n y",
    "{% generation %}a{% endgeneration %}b", "a{%-if 1-%} b {%-endif-%} c", "{{ '{{' }}{{ \"%}\" }}{% if '%}' %}x{% endif %}",
    "{% set x = 1 %}  {% set y = 2 %}\n|", "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ {'a': {}}['a'] | tojson }}",
    # Strings and numbers.
    values(r"'\n\t\r\\\'\"'", r'"\x41\u00e9\x7e\u20AC"', r"'\q\ '", "'a' 'b' \"c\"", '"it\'s"', "'say \"x\"'", "''", "'a\nb'"),
    values("0", "7", "12", "999999999", "-1", "- 1", "--1", "-(-3)", "-1 - -1", "-2 * -3", "- true"),
    values("true", "True", "false", "False", "none", "None", "nothing", "not nothing", "not not 1"),
    # Operators, and which binds first.
    values("1 + 2", "5 - 7", "2 * 3", "7 // 2", "7 % 3", "-7 // 2", "-7 % 3", "0 // 5", "6 // 3", "-6 % 3", "true + 1", "3 - true"),
    values("1 + 2 * 3", "(1 + 2) * 3", "10 - 2 - 3", "100 // 7 // 2", "2 * 7 % 4", "1 + 5 % 3", "-2 + 3", "2 - -2", "7 - 3 + 2"),
    values("1 ~ 2", "'a' + 1 ~ 2", "'a' ~ 3 * 2", "'a' ~ none ~ true ~ nothing ~ 'b'", "'a' + 'b'", "'a' + 'b' ~ 'c'"),
    values("1 < 2", "2 < 2", "3 < 2", "1 > 2", "2 > 2", "3 > 2", "1 <= 2", "2 <= 2", "3 <= 2", "1 >= 2", "2 >= 2", "3 >= 2"),
    values("'a' < 'b'", "'b' < 'a'", "'a' > 'B'", "'a' <= 'a'", "'a' >= 'ab'", "'' < 'a'", "1 + 1 < 3", "1 < 2 and 2 < 1"),
    values("1 == 1", "1 == 2", "1 != 1", "1 != 2", "'a' == 'a'", "'a' == 'b'", "'1' == 1", "none == none", "none == false", "0 == false", "1 == true"),
    values("[] == []", "[1] == [1]", "[1] == [2]", "[1] == [1, 2]", "[1, 2] == [1]", "[[1], 'a'] == [[1], 'a']", "[] == {}", "nothing == nothing", "nothing == none"),
    values("true and false", "true and true", "false or true", "false or false", "1 and 2", "0 and 2", "1 or 2", "0 or 2", "'' or 'x'", "[] or 0", "{} or none"),
    values("true or true and false", "(true or true) and false", "not true or true", "not (true or true)", "not true and false", "not 1 == 2", "not 1 in [2]"),
    values("1 in [1, 2]", "3 in [1, 2]", "3 not in [1, 2]", "1 not in [1, 2]", "'b' in 'abc'", "'d' in 'abc'", "'' in 'a'", "'d' not in 'abc'", "1 + 1 in [2]", "'a' in {'a': 1}", "1 in {'a': 1}", "'1' in [1]"),
    values("1 if true else 2", "1 if false else 2", "1 if false", "1 if 0 else 2 if 0 else 3", "(1 if 1 else 2) + 5", "1 + 1 if 1 else 9", "'x' if not 0 and 1 else 'y'"),
    values("-1 | string", "-[3][0] | string", "'1' + (2 | string)", "'1' + 2 | string", "'a' ~ 'B' | lower", "('a' ~ 'B') | lower", "not 'a' is string", "'a' | upper == 'A'", "1 in [1] | list"),
    choices("0", "1", "-1", "''", "'0'", "[]", "[0]", "{}", "{'a': 0}", "none", "nothing", "true", "false", "namespace(a=1)"),
    values("'a' is string and 1 is not string", "not 1 is string", "(1 is number) == true"),
    # Lists, dictionaries, members, items, slices.
    values("[1, 2, 3][0]", "[1, 2, 3][2]", "[1, 2, 3][-1]", "[1, 2, 3][-3]", "[1, 2][2]", "[1, 2][-3]", "[][0]", "[1,][0]", "(1, 2)[1]", "()| length", "(1,) | length", "(1)", "[[1, 2], [3]][0][1]"),
    values("'abc'[0]", "'abc'[-1]", "'abc'[2]", "'abc'[3]", "'abc'[-3]", "'abc'[true]", "{'a': 1}['a']", "{'a': 1}['b']", "{'a': 1}.a", "{'a': 1}.b", "{'a': {'b': 'c'}}.a.b", "'abc'.x", "(1).x", "none.x", "[1].x", "{'a': 1,}.a"),
    values("'abcdef'[1:3]", "'abcdef'[:3]", "'abcdef'[3:]", "'abcdef'[:]", "'abcdef'[-2:]", "'abcdef'[:-2]", "'abcdef'[1:-1]", "'abcdef'[4:2]", "'abcdef'[9:]", "'abcdef'[:9]", "'abcdef'[-9:2]", "'abcdef'[::1]", "'abcdef'[1::1]"),
    values("'abcdef'[::-1]", "'abcdef'[4:1:-1]", "'abcdef'[:2:-1]", "'abcdef'[2::-1]", "'abcdef'[-2:-5:-1]", "'abcdef'[9::-1]", "'abcdef'[:-9:-1]", "'abcdef'[1:4:-1]", "''[::-1]", "'abcdef'[none:2]", "'abc'[none:]"),
    values("[1, 2, 3][1:] | join", "[1, 2, 3][::-1] | join", "[1, 2, 3][:-1] | join", "[1, 2][2:] | join", "([1] + [2, 3]) | join", "([] + []) | length"),
    # Filters.
    values("nothing | default('x')", "nothing | d('x')", "'' | default('x')", "'' | default('x', true)", "'' | default('x', boolean=true)", "'a' | default('x', true)", "none | default('x')", "none | default('x', true)", "0 | default(7, false)", "nothing | default"),
    values("'aB c' | upper", "'aB c' | lower", "'aB c' | capitalize", "'zZ{`@[aA' | upper", "'zZ{`@[aA' | lower", "'' | capitalize", "1 | upper", "true | lower", "'ABC' | capitalize"),
    values("' a b ' | trim", "'xxaxx' | trim('x')", "'\t\n\r\x0b\x0c a\x1c\x1d\x1e\x1f' | trim", "'xyaxy' | trim('xy')", "'   ' | trim", "5 | trim", "' a ' | trim(none)"),
    values("'aXbX' | replace('X', '-')", "'aaa' | replace('aa', 'b')", "'abc' | replace('d', 'e')", "'abc' | replace('b', '')", "'aXbX'.replace('X', 'XX')", "101 | replace('0', 'x')", "'' | replace('a', 'b')"),
    values("[1, 2] | join", "[1, 2] | join(', ')", "['', 'a', ''] | join(',')", "[] | join(',')", "['x'] | join(',')", "[none, true, 'a'] | join('/')", "{'a': 1, 'b': 2} | join('+')"),
    values("[3, 1, 2] | first", "[3, 1, 2] | first | string", "[3, 1, 2] | last", "[] | first", "[] | last", "'abc' | length", "[1, 2] | count", "{'a': 1} | length", "nothing | length", "[1, 2] | list | length", "{'a': 1, 'b': 2} | list | join", "'' | length"),
    values("1 | string + 'a'", "none | string", "true | string", "'<a>' | safe", "'a' | string | length", "none | safe"),
    values("messages | selectattr('role', 'equalto', 'user') | list | length", "messages | rejectattr('role', 'equalto', 'user') | list | length", "(messages | selectattr('content') | list | last).content", "(messages | rejectattr('content') | list)[0].role", "messages | selectattr('x', 'defined') | list | length", "messages | rejectattr('x', 'defined') | list | length", "messages | selectattr('role', 'in', ['user', 'b']) | list | length", "messages | selectattr('role', 'ne', 'user') | list | length"),
    values("'a<b>&\"\\'\\\\' | tojson", "'\x08\x0c\x0b\x1f\x7f\x00' | tojson", "{'a': {}} | tojson", "[[], {}] | tojson", "{'a': [1, {'b': none}]} | tojson(indent=1)", "[1, [2, [3]]] | tojson(indent=16)", "'é' | tojson"),
    # Tests.
    choices("nothing is defined", "none is defined", "nothing is undefined", "1 is undefined", "none is none", "nothing is none", "0 is none", "none is not none"),
    choices("'a' is string", "1 is string", "{} is mapping", "[] is mapping", "'a' is sequence", "[] is sequence", "{} is sequence", "1 is sequence", "none is sequence", "'a' is iterable", "[] is iterable", "1 is iterable", "nothing is iterable", "none is iterable", "true is iterable"),
    choices("true is boolean", "1 is boolean", "1 is number", "'1' is number", "true is number", "1 is integer", "true is integer", "none is number", "true is true", "false is true", "1 is true", "false is false", "true is false", "0 is false", "none is false"),
    choices("1 is equalto 1", "1 is eq(2)", "'a' is eq 'a'", "'a' is ne 'a'", "'a' is ne('b')", "1 is in [1]", "1 is in([2])", "1 is not in [2]", "[1] is eq [1]"),
    choices("1 is odd", "2 is odd", "0 is even", "1 is even", "-1 is odd", "-2 is even", "3 is not even", "loop is defined"),
    # Methods.
    values("' a '.strip()", "'xax'.strip('x')", "' a '.lstrip() ~ '|'", "' a '.rstrip() ~ '|'", "'xax'.lstrip('x')", "'xax'.rstrip('x')", "'xyx'.strip('yx')", "'ab'.lstrip('ba') ~ '|'", "'abc'.rstrip('cab') ~ '|'"),
    values("'abc'.startswith('ab')", "'abc'.startswith('bc')", "'abc'.startswith('')", "'abc'.endswith('bc')", "'abc'.endswith('ab')", "'abc'.upper()", "'ABC'.lower()", "'aBC d'.capitalize()"),
    values("'a,b,,c'.split(',') | length", "'a,b'.split(',')[1]", "'a,b,'.split(',') | last", "'abc'.split(',')[0]", "''.split(',') | length", "'a--b--c'.split('--') | join('+')", "'aaa'.split('aa') | join('+')", "',a'.split(',') | first"),
    values("{'a': 1}.get('a')", "{'a': 1}.get('b')", "{'a': 1}.get('b', 2)", "{'a': 1}.get('a', 2)", "{'a': none}.get('a', 2)", "{'a': 1}.get('b', none)"),
    # Functions.
    values("range(3) | join(',')", "range(1, 4) | join(',')", "range(0, 7, 3) | join(',')", "range(0, 6, 3) | join(',')", "range(3, 0, -1) | join(',')", "range(3, 0) | join", "range(0) | join", "range(-2, 1) | join(',')", "range(4, -1, -2) | join(',')"),
    "{% set ns = namespace(a=1, b='x') %}{% for i in range(3) %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c }}",
    "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{% set d = dict(x=1) %}{{ d.x }}{{ dict() | length }}{{ dict({'k': 'v'}).k }}",
    "{% set d = {'a': 1} %}{% set e = dict(d, a=2) %}{{ d.a }}{{ e.a }}",
    # Statements.
    "{% if 0 %}a{% elif 0 %}b{% elif 1 %}c{% elif 1 %}d{% else %}e{% endif %}", "{% if 0 %}a{% elif 0 %}b{% else %}e{% endif %}",
    "{% if 0 %}a{% endif %}|{% if 1 %}b{% else %}c{% endif %}|{% if 0 %}b{% else %}c{% endif %}", "{% if 1 %}a{% if 0 %}b{% else %}c{% endif %}d{% else %}e{% endif %}",
    "{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}",
    "{% for x in [4, 5, 6] %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}", "{% for x in [] %}a{% else %}b{% endfor %}{% for x in [1] %}a{% else %}b{% endfor %}",
    "{% for x in [1, 2, 3, 4] if x % 2 == 0 %}{{ loop.index }}{{ x }}{{ loop.length }};{% endfor %}", "{% for x in [1] if x > 3 %}a{% else %}none{% endfor %}",
    "{% for x in [1, 2, 3, 4] %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}|",
    "{% for x in [1, 2] %}{% for y in [1, 2, 3] %}{% if y == 2 %}{% break %}{% endif %}{{ x }}{{ y }}{{ loop.index }};{% endfor %}{{ loop.index }}{% endfor %}",
    "{% for a, b in [[1, 2], [3, 4]] %}{{ a }}{{ b }};{% endfor %}", "{% for k in {'a': 1, 'b': 2} %}{{ k }}{% endfor %}", "{% for x in nothing %}a{% else %}b{% endfor %}",
    "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + 1 %}{{ x }};{% endfor %}{{ x }}{{ i }}", "{% set x = 1 %}{% if 1 %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% for x in [1, 2] %}{% else %}{% endfor %}{{ loop }}", "{% set a, b = [1, 2] %}{{ a }}{{ b }}",
    "{% set x %}a{{ 1 }}{% if 1 %}b{% endif %}{% endset %}[{{ x }}]{{ x | length }}", "{% set x %}{% endset %}[{{ x }}]",
    "{% macro f(a, b='x', c=3) %}{{ a }}{{ b }}{{ c }};{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(1, c=5) }}{{ f(b=2, a=1) }}{{ f() }}{{ f(1, 2, 3) }}",
    "{% macro f() %}a{% endmacro %}{% macro g(x) -%}  <{{ f() }}{{ x }}>  {%- endmacro %}{{ g(f()) }}{{ f() | upper }}{% set y = f() ~ g(1) %}{{ y | length }}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "{% macro f(x) %}{% set x = 5 %}{{ x }}{% endmacro %}{% set x = 1 %}{{ f(2) }}{{ x }}",
    "{% set t = 'top' %}{% macro f() %}{{ t }}{{ x }}{{ loop }}{% set y = 1 %}{% endmacro %}{% for x in [1, 2] %}{{ f() }}{{ x }}{{ loop.index }}{{ y }};{% endfor %}",
    "{% for m in messages %}{{ m['role'] ~ ': ' + m.content | trim }}\n{% endfor %}{{ add_generation_prompt }}{{ bos_token }}{{ tools }}{{ documents }}",
    "{{ messages[-1].role }}{{ messages[0]['content'] }}{{ messages | length }}{{ messages[1:] | length }}{{ (messages | last)['role'] }}{{ messages[1].content.split(',') | join('|') }}",
    "{% if messages[0].role == 'system' %}a{% else %}b{% endif %}{% if tools %}c{% endif %}{% if tools is none %}d{% endif %}{% if tools is defined and tools is not none %}e{% endif %}",
]


def render(source):
    (text,), _ = render_jinja_template(conversations=[MESSAGES], chat_template=source)
    return text


if __name__ == "__main__":
    cases = []
    for source in TEMPLATES:
        try:
            cases.append([source, render(source)])
        except Exception as why:
            raise SystemExit(f"{source!r}: {why}")
    OUT.write_text(json.dumps({"messages": MESSAGES, "cases": cases}, separators=(",", ":")).replace("],[", "],\n[") + "\n")
