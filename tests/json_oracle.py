#!/usr/bin/env python3
"""What Python's json module makes of texts: a line of hexadecimal digits each on stdin, a line each on stdout. Numbers without
fraction and exponent are printed as they are, the others as the bits of a double; strings in hexadecimal digits of UTF-8."""
import json
import struct
import sys


def refuse(_):
    raise ValueError


def pairs(members):
    if len({key for key, _ in members}) < len(members):
        raise ValueError("twice")
    return members


class Object(list):
    pass


def shown(value):
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return struct.pack(">d", value).hex()
    if isinstance(value, str):
        return "<" + value.encode("utf-8").hex() + ">"  # refuses halves of surrogate pairs
    if isinstance(value, Object):
        return "{" + " ".join(shown(key) + ":" + shown(member) for key, member in value) + "}"
    return "[" + " ".join(map(shown, value)) + "]"


for line in sys.stdin:
    try:
        text = bytes.fromhex(line).decode("utf-8")
        print(shown(json.loads(text, parse_constant=refuse, object_pairs_hook=lambda members: Object(pairs(members)))))
    except ValueError:  # json.JSONDecodeError and UnicodeError are such
        print("refused")
