"""What a terminal shows after each key of edgellm chat: pexpect types, pyte draws. EDGELLM is the command that starts it.

Each step types its keys and waits until the screen, from the mark "> " of the present message on, and the cursor are as expected; what
never comes is a failure after a minute. The model answers each line by itself, with one line."""
import os
import time

import pexpect
import pyte

COLUMNS, ROWS = 40, 12
ANSWER = ['{"device":"light","room":"bedroom","acti', 'on":"set","value":40}']
LEFT, RIGHT, UP, DOWN = "\x1b[D", "\x1b[C", "\x1b[A", "\x1b[B"
PASTE, PASTED = "\x1b[200~", "\x1b[201~"

# keys, rows at the end of the screen, cursor (row counted from the first of these, column)
STEPS = [
    ("", ["> "], (0, 2)),
    ("turn on", ["> turn on"], (0, 9)),
    (LEFT * 3, ["> turn on"], (0, 6)),
    ("x", ["> turnx on"], (0, 7)),
    ("\x7f", ["> turn on"], (0, 6)),
    ("\x1b[H", ["> turn on"], (0, 2)),
    ("\x1b[3~T", ["> Turn on"], (0, 3)),
    ("\x05", ["> Turn on"], (0, 9)),
    ("\x1b[1;5D", ["> Turn on"], (0, 7)),
    ("\x0b", ["> Turn"], (0, 7)),
    ("\x17", ["> "], (0, 2)),
    # Wide characters and marks.
    ("\u6f22\u5b57e\u0301", ["> \u6f22\u5b57\u00e9"], (0, 7)),
    (LEFT, ["> \u6f22\u5b57\u00e9"], (0, 6)),
    (LEFT, ["> \u6f22\u5b57\u00e9"], (0, 4)),
    ("\x7f", ["> \u5b57\u00e9"], (0, 2)),
    ("\x05\x7f\x7f", ["> "], (0, 2)),
    # Wider than the window, and another window.
    ("0123456789" * 4, ["> " + ("0123456789" * 4)[:38], "89"], (1, 2)),
    (LEFT * 4, ["> " + ("0123456789" * 4)[:38], "89"], (0, 38)),
    ((60, ROWS), ["> " + "0123456789" * 4], (0, 38)),
    ((30, ROWS), ["> " + ("0123456789" * 4)[:28], "890123456789"], (1, 8)),
    ((COLUMNS, ROWS), ["> " + ("0123456789" * 4)[:38], "89"], (0, 38)),
    ("\x05" + "\x7f" * 3, ["> " + ("0123456789" * 4)[:37]], (0, 39)),
    ("\x15", ["> "], (0, 2)),
    # An answer; what was said comes back; several lines.
    ("dim the bedroom lamp to forty percent\r", ["> dim the bedroom lamp to forty percent", *ANSWER, "> "], (3, 2)),
    (PASTE + "one\rtwo" + PASTED, ["> one", "... two"], (1, 7)),
    (UP, ["> one", "... two"], (0, 5)),
    (UP, ["> dim the bedroom lamp to forty percent"], (0, 39)),
    (DOWN, ["> one", "... two"], (1, 7)),
    ("\x03", ["> one", "... two^C", "> "], (2, 2)),
    ("a\\\r", ["> a", "... "], (1, 4)),
    ("b\x0c", ["> a", "... b"], (1, 5)),
    ("\x03", ["... b^C", "> "], (1, 2)),
    ("/hepl\r", ["note: /hepl is no command: did you mean", "/help? (/help shows them; a message can", "have a space before it)", "> "], (3, 2)),
    ("\x03", ["Ctrl-C once more, Ctrl-D or /quit leaves", "; /help shows the commands", "> "], (2, 2)),
]


class Terminal:
    def __init__(self, arguments):
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.stream = pyte.ByteStream(self.screen)
        environment = dict(os.environ, TERM="xterm")
        self.child = pexpect.spawn("/bin/sh", ["-c", "exec $EDGELLM " + arguments], dimensions=(ROWS, COLUMNS), env=environment)

    def do(self, keys):
        if isinstance(keys, tuple):
            columns, rows = keys
            self.screen.resize(rows, columns)
            self.child.setwinsize(rows, columns)
        else:
            self.child.send(keys)

    def rows(self):
        rows = [row.rstrip() for row in self.screen.display]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def shows(self, expected, cursor):
        rows = self.rows()
        first = len(rows) - len(expected)
        return (
            first >= 0
            and rows[first:] == [row.rstrip() for row in expected]
            and (self.screen.cursor.y - first, self.screen.cursor.x) == cursor
        )

    def wait_for(self, expected, cursor):
        end = time.monotonic() + 60
        while not self.shows(expected, cursor):
            if time.monotonic() > end:
                return False
            try:
                self.stream.feed(self.child.read_nonblocking(4096, 1))
            except pexpect.TIMEOUT:
                pass
            except pexpect.EOF:
                return self.shows(expected, cursor)
        return True


def main():
    terminal = Terminal("chat models/home.srnn --threads 1")
    checks = 0
    for keys, expected, cursor in STEPS:
        if keys:
            terminal.do(keys)
        if not terminal.wait_for(expected, cursor):
            print(f"FAIL after {keys!r}: expected {expected} and the cursor at {cursor}, the screen is")
            print("\n".join("  |" + row for row in terminal.rows()))
            print(f"  cursor at {terminal.screen.cursor.y}, {terminal.screen.cursor.x}")
            raise SystemExit(1)
        checks += 1
    terminal.do("\x03")
    terminal.child.expect(pexpect.EOF, timeout=60)
    terminal.child.close()
    if terminal.child.exitstatus != 0:
        raise SystemExit(f"FAIL: it ended with {terminal.child.exitstatus}")
    print(f"{checks + 1} checks, 0 failed")


main()
