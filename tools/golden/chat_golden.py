#!/usr/bin/env python3
"""Chat templates of the families, written down here from what they write, and what `transformers` makes of conversations with them:

  python3 tools/golden/chat_golden.py [DATA]      -> tests/golden/chat/
chat.json: "conversations", "templates" (for each the family it is to be recognised as, the text of each conversation, null where the
template refuses it, and the ids with a tokenizer of tests/golden/tokenizer/ or of this folder), and "refused", templates that
cannot be expressed. llama3/ is a small tokenizer with the special tokens of Llama 3. With DATA (EDGELLM_DATA), which holds published
tokenizers: published.json, for names of "templates" the ids of each conversation with the tokenizer that such models have."""
import json
import os
import pathlib
import sys

import jinja2
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

from tokenizer_cases import from_tables

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/golden/chat"

CONVERSATIONS = [
    [("user", "Hello")],
    [("user", "Who are you?"), ("assistant", "A model."), ("user", "Of what?\nAnd why?")],
    [("system", "Be brief."), ("user", "Name 3 towns.")],
    [("system", "You answer in verse."), ("user", "a"), ("assistant", "b c"), ("user", "d"), ("assistant", "e, 12345"), ("user", "caf\u00e9 \u6771\u4eac \U0001f44d")],
    [("system", " two\n\nparagraphs \n"), ("user", "  leading and trailing \n"), ("assistant", "\n\nyes  "), ("user", "\n\nit's\t'LL")],
    [("user", "    for(int i=0;i<n;++i){}\n"), ("assistant", " ok "), ("user", " 2024-01-01 ")],
]

LLAMA3 = ("{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim "
          "+ '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
LLAMA31 = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{#- The system text goes first. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
    {%- endfor %}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls | length == 1 %}
            {{- raise_exception("one call at a time") }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
CHATML = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
QWEN2 = CHATML.replace("{% for message in messages %}", "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
                       "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}")
QWEN3 = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for tool in tools %}
        {{- "\\n" ~ (tool | tojson) }}
    {%- endfor %}
    {{- "<|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and not (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is defined and message.reasoning_content is not none %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- elif '</think>' in message.content %}
            {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
            {%- set reasoning_content = message.content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or reasoning_content) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
BITNET = ("{% for message in messages %}{% set content = message['role'] | capitalize + ': ' + message['content'] | trim + '<|eot_id|>' %}{{ content }}{% endfor %}"
          "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}")
ALTERNATE = ("{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}")
MISTRAL1 = ("{{ bos_token }}{% for message in messages %}" + ALTERNATE + "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
            "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token + ' ' }}{% else %}{{ raise_exception('no such role') }}{% endif %}{% endfor %}")
MISTRAL2 = MISTRAL1.replace(" + ' ' }}", "}}")
MISTRAL_SYSTEM = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate') }}
    {%- endif %}
    {%- if message["role"] == "user" %}
        {%- if loop.first and system_message is defined %}
            {{- " [INST] " + system_message + "\\n\\n" + message["content"] + " [/INST]" }}
        {%- else %}
            {{- " [INST] " + message["content"] + " [/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"] + eos_token}}
    {%- endif %}
{%- endfor %}
"""
MISTRAL3 = MISTRAL_SYSTEM.replace("loop.first and", "loop.last and").replace('" [INST] "', '"[INST] "').replace('" [/INST]"', '"[/INST]"')
LLAMA2 = ("{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}"
          "{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}" + ALTERNATE +
          "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message.strip() + '\\n<</SYS>>\\n\\n' + message['content'].strip() %}"
          "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
          "{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}")
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
FALCON3 = ("{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'user' %}"
           "{{ '<|user|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'assistant' %}{% if not loop.last %}{{ '<|assistant|>\n' + message['content'] + eos_token + '\n' }}"
           "{% else %}{{ '<|assistant|>\n' + message['content'] + eos_token }}{% endif %}{% endif %}{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}")
PHI3 = ("{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}"
        "{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}")
GEMMA = ("{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system text') }}{% endif %}{% for message in messages %}" + ALTERNATE +
         "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
         "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}")
RWKV = ("{% for message in messages %}{{ message['role'] | capitalize + ': ' + message['content'] | trim + '\n\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}")
MACRO = ("{% macro turn(role, content, end='<|im_end|>') %}{{ '<|im_start|>' ~ role }}\n{{ content }}{{ end ~ '\n' }}{% endmacro %}"
         "{% for m in messages | rejectattr('role', 'equalto', 'system') %}{% if loop.first %}{% for s in messages if s.role == 'system' %}{{ turn('system', s.content) }}{% endfor %}{% endif %}"
         "{{ turn(m.role, m.content) }}{% endfor %}{{ '<|im_start|>assistant\n' if add_generation_prompt else '' }}")

# name, family, source, bos, eos, tokenizer, whether there is a place for a system text
TEMPLATES = [
    ("Llama 3", "llama3", LLAMA3, "<|begin_of_text|>", "<|eot_id|>", "llama3", True),
    ("Llama 3.1", "llama3", LLAMA31, "<|begin_of_text|>", "<|eot_id|>", "llama3", True),
    ("BitNet 2B4T", "bitnet", BITNET, "<|begin_of_text|>", "<|eot_id|>", "llama3", True),
    ("Qwen2", "chatml", QWEN2, "", "<|im_end|>", "qwen2", True),
    ("ChatML", "chatml", CHATML, "", "<|im_end|>", "qwen2", True),
    ("Qwen3", "chatml", QWEN3, "", "<|im_end|>", "qwen2", True),
    ("SmolLM", "chatml", QWEN2.replace("helpful assistant", "helpful AI assistant named SmolLM, trained by Hugging Face"), "", "<|im_end|>", "qwen2", True),
    ("ChatML by a macro", "chatml", MACRO, "", "<|im_end|>", "qwen2", True),
    ("ChatML but for a line feed", "own", CHATML.replace("+ '\n' }}{% endfor", "}}{% endfor"), "", "<|im_end|>", "qwen2", True),
    ("ChatML but for a role", "own", CHATML.replace("'<|im_start|>assistant", "'<|im_start|>model"), "", "<|im_end|>", "qwen2", True),
    ("Mistral 0.1", "own", MISTRAL1, "<s>", "</s>", "llama", False),
    ("Mistral 0.2", "mistral", MISTRAL2, "<s>", "</s>", "llama", False),
    ("Mistral with a system text", "own", MISTRAL_SYSTEM, "<s>", "</s>", "llama", True),
    ("Mistral 0.3", "own", MISTRAL3, "<s>", "</s>", "metaspace", False),
    ("Llama 2", "llama2", LLAMA2, "<s>", "</s>", "metaspace", True),
    ("Zephyr", "zephyr", ZEPHYR, "<s>", "</s>", "llama", True),
    ("TinyLlama", "zephyr", ZEPHYR, "<s>", "</s>", "metaspace", True),
    ("Falcon3", "falcon3", FALCON3, "", "<|endoftext|>", "llama3", True),
    ("Phi-3", "own", PHI3, "<s>", "<|endoftext|>", "metaspace", True),
    ("Gemma", "own", GEMMA, "<s>", "</s>", "metaspace", False),
    ("RWKV World", "rwkv", RWKV, "", "", "metaspace", True),
]

USER = "{{ messages[-1]['content'] }}"
REFUSED = [
    ("the last message alone", USER),
    ("numbered turns", CHATML.replace("message['role'] +", "message['role'] + loop.index | string +")),
    ("what is said in capitals", CHATML.replace("message['content']", "message['content'] | upper")),
    ("what is said twice", CHATML.replace("message['content']", "message['content'] + message['content']")),
    ("another end each time", CHATML.replace("'<|im_end|>'", "('<|im_end|>' if loop.index0 % 4 < 3 else '<|end|>')")),
    ("the day", CHATML.replace("+ '\n' }}{% endfor", "+ strftime_now('%d') }}{% endfor")),
    ("nothing", "hello"),
    ("no end of a tag", "{{ bos_token"),
    ("no end of a block", CHATML.replace("{% endfor %}", "")),
    ("an unknown block", "{% include 'x' %}" + CHATML),
    ("an unknown filter", CHATML.replace("message['role'] +", "message['role'] | rot13 +")),
    ("no end", "{% for a in range(4000) %}{% for b in range(4000) %}{% endfor %}{% endfor %}" + CHATML),
    ("too much", "{% for a in range(4000) %}{{ '" + "x" * 100 + "' }}{% endfor %}" + CHATML),
    ("doubling", "{% set ns = namespace(x='" + "x" * 100 + "') %}{% for a in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}" + CHATML),
    ("macros without end", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}" + CHATML),
]


def tokenizer_of(name, bos, eos, source):
    folder = OUT if name == "llama3" else ROOT / "tests/golden/tokenizer"
    t = Tokenizer.from_file(str(folder / name / "tokenizer.json"))
    return PreTrainedTokenizerFast(tokenizer_object=t, chat_template=source, **({"bos_token": bos} if bos else {}), **({"eos_token": eos} if eos else {}))


def write(tokenizer, conversation, **how):
    messages = [{"role": role, "content": content} for role, content in conversation]
    try:
        # Without a date the template of Llama 3.1 asks for the day.
        return tokenizer.apply_chat_template(messages, add_generation_prompt=True, date_string="26 Jul 2024", **how)
    except jinja2.exceptions.TemplateError:
        return None


def small():
    OUT.mkdir(parents=True, exist_ok=True)
    t = Tokenizer.from_file(str(ROOT / "tests/golden/tokenizer/llama3/tokenizer.json"))
    t.add_special_tokens([AddedToken(s, normalized=False) for s in ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|endoftext|>")])
    (OUT / "llama3").mkdir(exist_ok=True)
    (OUT / "llama3/tokenizer.json").write_text(json.dumps(json.loads(t.to_str()), separators=(",", ":")) + "\n")
    templates = []
    for name, family, source, bos, eos, tokenizer_name, system in TEMPLATES:
        tokenizer = tokenizer_of(tokenizer_name, bos, eos, source)
        tokenizer.bos_token, tokenizer.eos_token = bos, eos
        texts = [write(tokenizer, c, tokenize=False) for c in CONVERSATIONS]
        ids = [text and tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        again = [text and write(tokenizer, c, tokenize=True, return_dict=False) for text, c in zip(texts, CONVERSATIONS)]
        assert ids == again, name
        templates.append({"name": name, "family": family, "bos": bos, "eos": eos, "system": system, "tokenizer": tokenizer_name, "source": source, "texts": texts, "ids": ids})
    conversations = [[{"role": role, "content": content} for role, content in c] for c in CONVERSATIONS]
    refused = [{"name": name, "source": source} for name, source in REFUSED]
    (OUT / "chat.json").write_text(json.dumps({"conversations": conversations, "templates": templates, "refused": refused}, separators=(",", ":"), indent=None) + "\n")


def published_tokenizers(data):
    """name, tokenizer, templates"""
    folder = pathlib.Path(data) / "tokenizers"
    specials = json.load(open(folder / "llama3/bitnet-2b.tokenizer_config.json"))["added_tokens_decoder"]
    in_order = [t["content"] for _, t in sorted(specials.items(), key=lambda entry: int(entry[0]))]
    llama3 = TikTokenConverter(str(folder / "llama3/tokenizer.model"), extra_special_tokens=in_order).converted()
    yield "llama3", llama3, ("Llama 3", "Llama 3.1", "BitNet 2B4T")
    turns = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    yield "qwen2", from_tables(folder / "qwen2", "qwen2", True, turns).t, ("Qwen2", "ChatML", "Qwen3")
    yield "smollm", from_tables(folder / "smollm", "digits", False, turns).t, ("SmolLM",)
    yield "tinyllama", Tokenizer.from_file(str(folder / "tinyllama/tokenizer.json")), ("TinyLlama", "Llama 2", "Mistral 0.2")


def published(data):
    known = {name: (source, bos, eos) for name, _, source, bos, eos, _, _ in TEMPLATES}
    out = []
    for tokenizer_name, tokenizer, names in published_tokenizers(data):
        for name in names:
            source, bos, eos = known[name]
            t = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=source)
            t.bos_token, t.eos_token = bos, eos
            ids = [write(t, c, tokenize=True, return_dict=False) for c in CONVERSATIONS]
            out.append({"name": name, "tokenizer": tokenizer_name, "ids": ids})
    (OUT / "published.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    small()
    if data := sys.argv[1] if len(sys.argv) > 1 else os.environ.get("EDGELLM_DATA"):
        published(data)
