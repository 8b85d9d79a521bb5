#!/bin/bash
# Instructions of one decoded token and of a prompt of 64, of two programs side by side, as callgrind counts them:
# tools/bench/instructions.sh PROGRAM_A PROGRAM_B [MODEL...]
# A MODEL is a file or synthetic:NAME, which the converter beside PROGRAM_A makes. Counts are differences between runs of
# different lengths, so that the start is in none of them, and do not depend on what else the machine does. ISA=NAME takes
# another kernel set than avx2 (valgrind knows no AVX-512). Exit code 1: a count of B is more than 1 % above that of A.
set -eu -o pipefail
shopt -s inherit_errexit
if [ $# -lt 2 ]; then
  sed -n '2,7s/^# //p' "$0" >&2
  exit 2
fi
a=$1 b=$2
shift 2
if [ $# -eq 0 ]; then set -- synthetic:smollm-135m synthetic:rwkv7-tiny models/stories.tm2; fi
isa=${ISA:-avx2}
pass=64   # ids of one pass over a prompt
tokens=8  # more that are decoded in the longer run
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# text MODEL COUNT: a text of so many ids, without the one that the model may put before it.
text() {
  local ids
  ids=$("$a" tokenize "$1" -i "$(printf 'One day they all went out to look for the old red boat. %.0s' {1..20})" | tr ',' '\n' | tail -n +2)
  "$a" detokenize "$1" --ids "$(head -n "$2" <<<"$ids" | paste -sd,)"
}

# count PROGRAM MODEL TEXT DECODED: ids of the prompt and instructions of the whole run.
count() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$1" "$2" -i "$3" -n "$4" -t 0 --threads 1 --isa "$isa" \
    >/dev/null 2>"$folder/said" || true
  if ! grep -qE "; $4 out" "$folder/said"; then
    sed -E '/^(==|--)/d' "$folder/said" >&2
    echo "$1 $2: it did not make $4 tokens" >&2
    return 1
  fi
  sed -nE 's/^([0-9]+) tokens in.*/\1/p; s/.*Collected : //p' "$folder/said" | paste -sd' '
}

# measure PROGRAM MODEL: instructions of a token and of a prompt.
measure() {
  local short decoded long
  short=$(count "$1" "$2" "$short_text" 1)
  decoded=$(count "$1" "$2" "$short_text" $((1 + tokens)))
  long=$(count "$1" "$2" "$long_text" 1)
  if [ $((${long% *} - ${short% *})) -ne $pass ]; then
    echo "$2: prompts of ${short% *} and ${long% *} ids, not $pass apart" >&2
    return 1
  fi
  echo $(((${decoded#* } - ${short#* }) / tokens)) $((${long#* } - ${short#* }))
}

row() { awk -v what="$1" -v a="$2" -v b="$3" 'BEGIN { printf "%-36s %15d %15d %8.4f\n", what, a, b, b / a; exit b > 1.01 * a }'; }

answer=0
printf '%-36s %15s %15s %8s\n' instructions A B 'B / A'
for model in "$@"; do
  file=$model name=$(basename "${model#synthetic:}" .tm2)
  if [[ $model = synthetic:* ]]; then
    file=$folder/$name.tm2
    "$(dirname "$a")/edgellm-convert" "$model" "$file" >"$folder/said" 2>&1 || { cat "$folder/said" >&2; exit 1; }
  fi
  short_text=$(text "$file" $pass)
  long_text=$(text "$file" $((2 * pass)))
  of_a=$(measure "$a" "$file")
  of_b=$(measure "$b" "$file")
  row "$name, a token" "${of_a% *}" "${of_b% *}" || answer=1
  row "$name, a prompt of $pass" "${of_a#* }" "${of_b#* }" || answer=1
done
exit $answer
