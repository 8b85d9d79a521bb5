#!/usr/bin/env python3
"""Folders in which files beside a tokenizer name its special tokens, and what transformers makes of them:

  python3 tools/golden/tokenizer_folders.py        -> tests/golden/tokenizer/folders.json

A list of cases: "tokenizer", the files in tests/golden/tokenizer that the folder begins with; "files", the texts of those beside it;
"vocab", the ids of the model; "texts" and their "ids", without those that begin and end every text; "special", the ids of "texts" that
are no text; "eos", the id that ends a text, or null; "chat", the ids of a conversation, or null where there is no template."""
import json
import os
import pathlib
import shutil
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
from transformers import AutoTokenizer  # noqa: E402

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/tokenizer"
START, END, PAD = "<|im_start|>", "<|im_end|>", "[PAD]"
TEXTS = [f"{START}user\nthe end{END}\n{START}assistant\n", f" to {END}  the", f"a {PAD} b", "the <s> tothe", f"\u2581{START} \u2581x", f"  {END}"]
CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
LLAMA = {"tokenizer_class": "LlamaTokenizer"}
GPT2 = {"tokenizer_class": "GPT2Tokenizer", "bos_token": END, "eos_token": END, "unk_token": END}


CONVERSATION = [{"role": "system", "content": "to the end"}, {"role": "user", "content": " the end"}, {"role": "assistant", "content": "a b"},
                {"role": "user", "content": "to"}]


def token(content, special=True, **flags):
    return {"content": content, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": special, **flags}


def cases():
    """tokenizer, ids in it, files beside it"""
    for name in ("sentencepiece/tokenizer.model", "llama/tokenizer.json", "metaspace/tokenizer.json", "qwen2/tokenizer.json",
                 "digits/vocab.json"):
        fast = json.loads((OUT / name).read_text()) if name.endswith("tokenizer.json") else None
        n = 600 if not fast else max([*fast["model"]["vocab"].values(), *(t["id"] for t in fast["added_tokens"])]) + 1
        both = {END: n, START: n + 1}
        decoder = {str(n): token(END), str(n + 1): token(START, special=False, rstrip=True)}
        # The class LlamaTokenizer takes no more than vocabulary and merges from a tokenizer.json; ours takes the file at its word.
        if name.startswith("sentencepiece"):
            of_class = [{}, {"legacy": False}, LLAMA, {**LLAMA, "legacy": True}, {**LLAMA, "legacy": False}, {**LLAMA, "add_prefix_space": False}]
        else:
            of_class = [{} if fast else GPT2]
        for config in of_class:
            yield name, n, {"added_tokens.json": both, "tokenizer_config.json": {**config, "chat_template": CHATML}}
            yield name, n, {"added_tokens.json": both, "tokenizer_config.json": {**config, "eos_token": END}}
            yield name, n, {"tokenizer_config.json": {**config, "added_tokens_decoder": decoder, "eos_token": END, "chat_template": CHATML}}
        if not fast and len(of_class) == 1:
            continue
        yield name, n, {"added_tokens.json": both}
        yield name, n, {"added_tokens.json": both, "tokenizer_config.json": {"eos_token": PAD, "pad_token": PAD},
                        "special_tokens_map.json": {"eos_token": token(END, lstrip=True), **({} if name.startswith("llama") else {"additional_special_tokens": [START]})}}
        yield name, n, {"added_tokens.json": both, "tokenizer_config.json": {"additional_special_tokens": [START]}}
        yield name, n, {"added_tokens.json": {"<|other|>": n + 2}, "special_tokens_map.json": {"eos_token": START},
                        "tokenizer_config.json": {"eos_token": END, "added_tokens_decoder": decoder}}
        yield name, n, {"special_tokens_map.json": {"eos_token": END, "pad_token": token(PAD, rstrip=True)}}
        yield name, n, {"tokenizer_config.json": {"eos_token": END, "pad_token": PAD, "extra_special_tokens": [START]}}
        if name != "qwen2/tokenizer.json":
            yield name, n, {"tokenizer_config.json": {"added_tokens_decoder": {"1": token("<s>", special=False, rstrip=True), str(n): token(PAD)}}}
            yield name, n, {"tokenizer_config.json": {"pad_token": "the", "eos_token": "</s>"}}


def main():
    out = []
    for name, n, files in cases():
        tables = [name] if not name.endswith("vocab.json") else [name, name.replace("vocab.json", "merges.txt")]
        files = {file: json.dumps(content) for file, content in {"config.json": {"model_type": "llama", "vocab_size": n + 3}, **files}.items()}
        with tempfile.TemporaryDirectory() as folder:
            for table in tables:
                shutil.copy(OUT / table, folder)
            for file, content in files.items():
                (pathlib.Path(folder) / file).write_text(content)
            t = AutoTokenizer.from_pretrained(folder)
        ids = [t.encode(text, add_special_tokens=False) for text in TEXTS]
        chat = t.apply_chat_template(CONVERSATION, add_generation_prompt=True, return_dict=False) if t.chat_template else None
        marks = {i for i, token in t.added_tokens_decoder.items() if token.special or i in t.all_special_ids}
        # transformers 5.24 forgets that special_tokens_map.json calls a token special when added_tokens.json has it too.
        listed = json.loads(files.get("special_tokens_map.json", "{}")).get("additional_special_tokens", [])
        marks |= {t.convert_tokens_to_ids(content) for content in listed}
        special = sorted(marks & {i for each in ids for i in each})
        out.append({"tokenizer": tables, "files": files, "vocab": n + 3, "texts": TEXTS, "ids": ids, "special": special, "eos": t.eos_token_id, "chat": chat})
    (OUT / "folders.json").write_text("[" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in out) + "]\n")


if __name__ == "__main__":
    main()
