#!/bin/bash
# docs/FILE.md, by a reader that was written from it alone (tests/second_reader/). EDGELLM and EDGELLM_CONVERT are the commands that
# start the two programs, an emulator included.
command -v python3 >/dev/null || { echo "skipped: test_second_reader: there is no python3"; exit 77; }
exec python3 -B tests/second_reader/compare.py "$EDGELLM" "$EDGELLM_CONVERT"
