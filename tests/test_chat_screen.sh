#!/bin/bash
# edgellm chat on a terminal of 40 columns that pyte emulates: what is on the screen after each key. PYTHON is the interpreter, one
# with pexpect and pyte.
python=${PYTHON:-python3}
if ! "$python" -c 'import pexpect, pyte' 2>/dev/null; then
  echo "skipped: test_chat_screen: $python has no pexpect and pyte (pip install pexpect pyte)"
  exit 77
fi
exec "$python" tests/test_chat_screen.py
