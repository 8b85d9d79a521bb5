"""Where a small mistake can be put into C++, and which: the sort that a maintainer makes and a compiler takes.

The text is read by its form alone, which clang-format keeps regular: a binary operator stands between spaces, a template's bracket
does not. What does not compile is found out by compiling.
"""
import dataclasses
import re

# What another operator in its place would be.
COMPARISONS = {"<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"], "==": ["!="], "!=": ["=="]}
ARITHMETIC = {"+": ["-"], "-": ["+"], "*": ["/"], "/": ["*"], "%": ["/"], "<<": [">>"], ">>": ["<<"], "&": ["|"], "|": ["&"],
              "^": ["|"], "+=": ["-="], "-=": ["+="], "*=": ["/="], "|=": ["&="], "&=": ["|="], "^=": ["|="]}
LOGIC = {"&&": ["||"], "||": ["&&"]}
# They make the text of an error, whose words are not computed with.
ERRORS = r"(?:Status::error|failed|bad_model|usage_error|io_error|wrong_usage|unusable|text)"

NOT_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"\((?:.*?)\)"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'|^[ \t]*\#(?:[^\n\\]|\\.|\\\n)*',
    re.S | re.M)
HEADER = re.compile(r"\s*(?:(?:\} )?else\s+)?(?:if|for|while|switch)(?: constexpr)? \(|\s*(?:\} )?else\b|\s*case [^:;]*:(?!:)|\s*default:")
ASSIGNMENT = re.compile(r"[\w:.\->\[\]()*+ ]*?[\w\])] (?:[-+*/|&^%]|<<|>>)?= ")
DECLARATION = re.compile(r"(?:[\w:<>,]+[*&]* )+[*&]*\w+$")
NUMBER = re.compile(r"(?<![\w.])(0x[0-9a-fA-F]+|\d+\.\d+(?:e-?\d+)?|\d+)(?=[uUlLf]{0,3}(?![\w.']))")


@dataclasses.dataclass(frozen=True)
class Mutant:
    path: str
    kind: str
    begin: int  # in the text of the file
    end: int
    new: str

    def apply(self, text):
        return text[:self.begin] + self.new + text[self.end:]

    def lines(self, text):
        """The line or lines it changes, before and after, each as one line without indentation."""
        first = text.rfind("\n", 0, self.begin) + 1
        last = text.find("\n", self.end)
        joined = lambda part: " ".join(part.split())
        return joined(text[first:last]), joined(text[first:self.begin] + self.new + text[self.end:last])

    def line(self, text):
        return text.count("\n", 0, self.begin) + 1


def blank(text):
    """The text with comments, strings and preprocessor lines as spaces; every character stays in its place."""
    code = NOT_CODE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)
    # What an assertion says is not what the program does.
    for m in reversed(list(re.finditer(r"\b(?:static_)?assert\(", code))):
        end = closing(code, m.end() - 1)
        code = code[:m.start()] + re.sub(r"[^\n]", " ", code[m.start():end]) + code[end:]
    return code


def closing(code, at):
    """The place behind the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(code)):
        depth += (code[i] in "([{") - (code[i] in ")]}")
        if depth == 0:
            return i + 1
    return len(code)


def arguments(code, at):
    """The places (begin, end) of the arguments of the call whose bracket opens at `at`."""
    end, out, begin, depth = closing(code, at) - 1, [], at + 1, 0
    for i in range(at + 1, end):
        depth += (code[i] in "([{") - (code[i] in ")]}")
        if code[i] == "," and depth == 0:
            out.append((begin, i))
            begin = i + 1
    out.append((begin, end))
    spaces = lambda b, e: len(code[b:e]) - len(code[b:e].lstrip())
    return [(b + spaces(b, e), e) for b, e in out]


def statements(code):
    """The places (begin, end) of simple statements, without their semicolon."""
    begin, depth = 0, 0
    for i, c in enumerate(code):
        depth += (c in "([") - (c in ")]")
        if depth == 0 and c in ";{}":
            if c == ";":
                at = begin
                while m := HEADER.match(code, at, i):
                    at = closing(code, m.end() - 1) if m[0].endswith("(") else m.end()
                at += len(code[at:i]) - len(code[at:i].lstrip())
                yield at, i
            begin = i + 1


def replaced(path, kind, code, operators):
    """One operator for another."""
    words = "|".join(re.escape(o) for o in sorted(operators, key=len, reverse=True))
    for m in re.finditer(rf"(?<=[^\s,(]) ({words})(?= |\n)", code):
        for new in operators[m[1]]:
            yield Mutant(path, kind, m.start(1), m.end(1), new)


def constants(path, code):
    for m in NUMBER.finditer(code):
        value = m[1]
        if value.startswith("0x"):
            news = [hex(int(value, 16) + 1)]
        elif "." in value:
            news = [repr(float(value) + 1)]
        else:
            news = [str(int(value) + 1)] + ([str(int(value) - 1)] if int(value) else [])
        for new in news:
            yield Mutant(path, "constant by one", m.start(1), m.end(1), new)


def conditions(path, code):
    for m in re.finditer(r"\bif \((?!false|true)", code):
        end = closing(code, m.end() - 1)
        if ";" in code[m.end():end]:  # a declaration stands before the condition
            begin = code.rindex(";", m.end(), end) + 2
        else:
            begin = m.end()
        if DECLARATION.match(code[begin:end - 1].split(" = ")[0]) and " = " in code[begin:end - 1]:
            continue
        for new in ("true", "false"):
            yield Mutant(path, "dropped condition", begin, end - 1, new)


def dropped(path, code):
    for begin, end in statements(code):
        what = code[begin:end]
        call = re.match(r"[\w:.\->\[\]]+(?:<[\w:]+>)?\(", what)
        whole = call and closing(code, begin + call.end() - 1) == end
        steps = re.fullmatch(r"(?:\+\+|--)?[\w.\->\[\]]+(?:\+\+|--)?", what) and ("++" in what or "--" in what)
        word = re.match(r"\w+", what)
        keyword = word and word[0] in ("return", "using", "static", "constexpr", "const", "template", "friend", "throw", "goto")
        assigned = ASSIGNMENT.match(what) and not DECLARATION.match(re.split(r" (?:[-+*/|&^%]|<<|>>)?= ", what)[0])
        if what in ("break", "continue") or (not keyword and (whole or steps or assigned)):
            yield Mutant(path, "dropped statement", begin, end, "")


def swapped(path, code):
    for m in re.finditer(r"[\w>]\(", code):
        if re.search(rf"\b(?:{ERRORS}|if|for|while|switch|sizeof|decltype)$", code[:m.end() - 1]):
            continue
        places = arguments(code, m.end() - 1)
        if any(DECLARATION.match(code[b:e].split(" = ")[0]) for b, e in places):
            continue  # parameters, not arguments
        for (b1, e1), (b2, e2) in zip(places, places[1:]):
            if code[b1:e1].split() != code[b2:e2].split():
                yield Mutant(path, "swapped arguments", b1, e2, (b1, e1, b2, e2))


def successes(path, code):
    for m in re.finditer(rf"\breturn {ERRORS}\(", code):
        yield Mutant(path, "returned success", m.end() - len(m[0]), closing(code, m.end() - 1), "return {}")
    for m in re.finditer(r"\breturn (true|false);", code):
        yield Mutant(path, "returned success", m.start(1), m.end(1), "false" if m[1] == "true" else "true")
    for m in re.finditer(r"\bEDGELLM_TRY\(", code):
        yield Mutant(path, "returned success", m.start(), m.end() - 1, "(void)")


def mutants(path, text):
    """Every mutant of a file, by kind."""
    code = blank(text)
    return {
        "comparison": list(replaced(path, "comparison", code, COMPARISONS)),
        "arithmetic": list(replaced(path, "arithmetic", code, ARITHMETIC)),
        "logic": list(replaced(path, "logic", code, LOGIC)),
        "constant by one": list(constants(path, code)),
        "dropped condition": list(conditions(path, code)),
        "dropped statement": list(dropped(path, code)),
        "swapped arguments": [
            dataclasses.replace(m, new=text[m.new[2]:m.new[3]] + text[m.new[1]:m.new[2]] + text[m.new[0]:m.new[1]])
            for m in swapped(path, code)],
        "returned success": list(successes(path, code)),
    }
