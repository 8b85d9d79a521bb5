#!/bin/sh
# One table of how fast this machine runs the kernels and the models: tools/bench/table.sh BUILD [THREADS...]
# The models are made on the spot (1 GB in BUILD/bench/, kept): speed does not depend on the values of weights.
set -eu
build=$1
shift
threads=${*:-$(n=1; while [ "$n" -le "$(getconf _NPROCESSORS_ONLN)" ]; do echo $n; n=$((n * 2)); done)}
mkdir -p "$build/bench"

model() {  # NAME SOURCE [converter options]
  file=$build/bench/$1.tm2
  source=$2
  shift 2
  [ -f "$file" ] || "$build/edgellm-convert" "$source" "$file" "$@" >/dev/null 2>&1
  echo "$file"
}

# number TEXT KEY: the first number of that key.
number() { echo "$1" | sed -n "s/.*\"$2\":\([-0-9.]*\).*/\1/p"; }

rows() {  # NAME FILE POSITIONS
  for n in $threads; do
    json=$("$build/edgellm" bench "$2" --json --threads "$n" --at "$3" 2>/dev/null | sed 's/"at":{/\n&/')
    all=$(echo "$json" | head -n 1)
    read=$(number "$all" read_gb_s)
    prefill=$(number "$all" prefill_tok_s)
    echo "$json" | sed -n 's/^"at":{//p' | sed 's/"\([0-9]*\)":{"decode/\n\1 "decode/g' | grep decode_tok_s |
      while read -r position place; do
        ms=$(echo "$place" | sed 's/.*"ms_per_token"//')
        printf '%-22s %7s %9s %9s %9s %8s %8s %8s %8s %10s %6s %6s %5.0f%%\n' "$1" "$n" "$position" "$prefill" \
          "$(number "$place" decode_tok_s)" "$(number "$ms" p50)" "$(number "$ms" p99)" "$(number "$ms" p999)" \
          "$(number "$ms" max)" "$(number "$place" bytes_per_token)" "$(number "$place" gb_s)" "$read" \
          "$(echo "$(number "$place" gb_s) $read" | awk '{ print 100 * $1 / $2 }')"
      done
  done
}

"$build/edgellm" info 2>/dev/null
"$build/kernel_checker" --bench
printf '\n%-22s %7s %9s %9s %9s %8s %8s %8s %8s %10s %6s %6s %6s\n' model threads position prefill/s decode/s 'ms p50' p99 \
  p99.9 max 'bytes/tok' GB/s read share
rows bitnet-2b4t "$(model bitnet-2b4t synthetic:bitnet-2b4t)" 0,1024,4000
rows bitnet-2b4t-i4-head "$(model bitnet-2b4t-i4 synthetic:bitnet-2b4t --head i4)" 0,1024,4000
rows smollm-135m "$(model smollm-135m synthetic:smollm-135m)" 0,1024,1900
rows stories models/stories.tm2 0,256
