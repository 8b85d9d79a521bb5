#!/bin/bash
# tests/same_digests.py finds what was moved and written in another form, and misses what was edited, swapped or left out.
command -v python3 >/dev/null || { echo "skipped: test_same_digests: there is no python3"; exit 77; }
. tests/checks.sh
old=$folder/old new=$folder/new

# fresh: the old tree, and a new one with the same in it.
fresh() {
  rm -rf "$old" "$new"
  mkdir -p "$old/tests/golden" "$old/kernels"
  cp tests/variants.def "$old/tests" && cp kernels/golden.def "$old/kernels" && cp tests/golden/config_fields.txt "$old/tests/golden"
  cp -r "$old" "$new"
}

# compared CODE PATTERN: the exit code, and a line of what is said.
compared() {
  python3 -B tests/same_digests.py "$old" "$new" >"$folder/err" 2>&1
  answered "$1" "$2" $? "$old $new"
}

fresh
compared 0 ' 0 missing$'
mkdir -p "$new/tests/elsewhere"
sed -E 's/\.hash = 0x([0-9a-f]+)/0x\1u/; s/^\{\.name = /ROW(/' "$new/tests/variants.def" >"$new/tests/elsewhere/list.h"
sed -E 's/GOLDEN\(([a-z0-9_]+), 0x([0-9a-f]+)\)/"\1": "\2",/' "$new/kernels/golden.def" >"$new/kernels/golden.json"
mv "$new/tests/golden/config_fields.txt" "$new/tests/golden/fields.txt"
rm "$new/tests/variants.def" "$new/kernels/golden.def"
compared 0 ' 0 missing$'

fresh
sed -i 's/0x50d0ff1eadefdcf5/0x50d0ff1eadefdcf6/' "$new/tests/variants.def"  # of one row, the first
compared 1 '  missing: bitnet 0x50d0ff1eadefdcf5; under this name now: 50d0ff1eadefdcf6'
fresh
sed -i 's/GOLDEN(add,/GOLDEN(sum,/; s/GOLDEN(rms_norm,/GOLDEN(add,/; s/GOLDEN(sum,/GOLDEN(rms_norm,/' "$new/kernels/golden.def"
compared 1 ' 2 missing$'
fresh
sed -i '/silu_gate/d' "$new/kernels/golden.def"
compared 1 '  missing: silu_gate '
fresh
echo >>"$new/tests/golden/config_fields.txt"
compared 1 '  missing: tests/golden/config_fields.txt'
old=$folder/none
compared 2 'is neither a folder nor a revision'

summary
