#!/bin/bash
# The converter from outside: exit codes, messages, and that nothing is left behind. EDGELLM and EDGELLM_CONVERT are the
# commands that start the two programs, an emulator included.
set -u
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0 checks=0

fail() { failures=$((failures + 1)); echo "FAIL $*"; sed 's/^/  | /' "$folder/err"; }

# expect CODE PATTERN ARGUMENTS...: the exit code, and a pattern that stderr must hold.
expect() {
  code=$1 pattern=$2
  shift 2
  checks=$((checks + 1))
  $EDGELLM_CONVERT "$@" >"$folder/out" 2>"$folder/err" </dev/null
  got=$?
  if [ $got -ne "$code" ]; then
    fail "exit code $got, expected $code: $*"
  elif [ -n "$pattern" ] && ! grep -q -e "$pattern" "$folder/err"; then
    fail "stderr lacks \"$pattern\": $*"
  fi
}

model=$folder/tiny.tm2
expect 2 'expected SRC and DST'
expect 2 'expected SRC and DST' one
expect 2 'expected SRC and DST' one two three
expect 2 'unknown option --frob' synthetic:tiny "$model" --frob
expect 2 '--weights q4: expected t2, t5, i8, i4, f16 or f32' synthetic:tiny "$model" --weights q4
expect 2 '--weights needs a value' synthetic:tiny "$model" --weights
expect 2 '--rope both: expected half or interleaved' synthetic:tiny "$model" --rope both
expect 2 'expected one of tiny, bitnet-2b4t, smollm-135m' synthetic:huge "$model"
expect 2 'is a folder' synthetic:tiny "$folder"
expect 2 '--sparsity 1: expected 0 to less than 1' synthetic:tiny "$model" --sparsity 1
expect 2 '--temperature 100: expected 0 to less than 100' synthetic:tiny "$model" --temperature 100
expect 2 '--sparsity-layout odd: expected tensor or erk' synthetic:tiny "$model" --sparsity-layout odd
expect 2 '--sparse no: expected compact, fast or dense' synthetic:tiny "$model" --sparse no
expect 1 'No such file' "$folder/absent" "$model"
expect 1 'cannot create' synthetic:tiny "$folder/absent/tiny.tm2"
expect 1 'No such file' synthetic:tiny "$model" --tokenizer "$folder/absent.json"
echo 'not a model' >"$folder/noise"
expect 3 'not a source of a known kind' "$folder/noise" "$model"
expect 3 'not a source of a known kind' "$folder" "$model"
[ "$(ls "$folder")" = "$(printf 'err\nnoise\nout')" ] || fail "files were left: $(ls "$folder" | tr '\n' ' ')"

expect 0 '' --help
grep -q -e '--tokenizer' "$folder/out" || fail "--help lacks --tokenizer"
expect 0 '' --version
grep -q '^edgellm-convert [0-9]' "$folder/out" || fail "--version prints $(cat "$folder/out")"

# The usual name of a sparse model is .srnn, of a dense one .tm2.
for name in tiny.tm2 tiny.srnn; do
  for sparse in compact dense; do
    expect 0 '' synthetic:tiny "$folder/$name" --weights i8 --sparsity 0.9 --sparse $sparse
    case $name:$sparse in
      tiny.tm2:compact) usual='has sparse matrices: the usual name is .srnn' ;;
      tiny.srnn:dense) usual='has no sparse matrices: the usual name is .tm2' ;;
      *) usual= ;;
    esac
    [ "$(grep -o 'has [no ]*sparse matrices: .*' "$folder/err")" = "$usual" ] || fail "the note of $name with --sparse $sparse"
  done
  rm "$folder/$name"
done

# Every format makes a file that the engine runs.
for weights in t2 i8 i4 f16 f32; do
  expect 0 'matrices' synthetic:tiny "$model" --weights $weights --name "tiny $weights"
  [ -s "$folder/out" ] && fail "something went to stdout"
  checks=$((checks + 1))
  $EDGELLM info "$model" >"$folder/out" 2>"$folder/err" || fail "info of tiny $weights"
  grep -q "tiny $weights" "$folder/out" || fail "info lacks the name tiny $weights"
  $EDGELLM "$model" --check -i a -n 3 -t 0 >"$folder/out" 2>"$folder/err" || fail "run of tiny $weights"
done

# What ternary weights cost a model that was not trained so is said.
expect 0 'was not trained ternary: .*docs/PERPLEXITY.md' synthetic:rwkv7-tiny "$model" --weights t2
expect 0 'matrices' synthetic:tiny "$model" --weights t2
grep -q 'not trained ternary' "$folder/err" && fail "a warning about a ternary model"

# The same bytes on every machine: the checksum of the data in the header.
while read -r weights expected; do
  expect 0 'matrices' synthetic:tiny "$model" --weights $weights
  found=$(od -An -tx8 -j56 -N8 "$model" | tr -d ' ')
  [ "$found" = "$expected" ] || fail "the data of tiny $weights have the checksum $found, expected $expected"
done <<'END'
t2 e87225cec756eaa3
t5 aaefd157ff99d1c9
i8 4db41b5b3176a309
i4 60f52759c53b3395
f16 961ddba9b146a20e
END

# A sparse one too, which says what the engine makes of it.
expect 0 'i8_mask' synthetic:rwkv7-tiny "$model" --sparsity 0.9 --sparsity-layout erk --verify
grep -q 'against the source in f32' "$folder/err" || fail "no comparison with the source"
$EDGELLM "$model" --check -i a -n 3 -t 0 >"$folder/out" 2>"$folder/err" || fail "run of a sparse model"
ls "$folder" | grep -q partial && fail "the comparison leaves a file"
expect 0 'note: of the sparse forms, compact suits AVX-512' synthetic:rwkv7-tiny "$model" --sparsity 0.9 --sparse fast
expect 0 'i8_mask' synthetic:rwkv7-tiny "$model" --sparsity 0.9
$EDGELLM info "$model" --json >"$folder/out" 2>"$folder/err" || fail "info of a sparse model"
grep -q '"layers.0.r":0.8999' "$folder/out" || fail "info does not count the zeros: $(cat "$folder/out")"
$EDGELLM info "$model" 2>"$folder/err" | grep -q 'zeros in the matrices of integers; dense in i8: ' || fail "info lacks the dense size"

# Greedy, as the file says; drawn by a seed, when one says so.
expect 0 'matrices' synthetic:tiny "$model" --temperature 0
checks=$((checks + 1))
$EDGELLM "$model" -i a -n 3 >"$folder/out" 2>"$folder/err" || fail "run of a greedy model"
grep -q 'seed' "$folder/err" && fail "a greedy model has a seed"
$EDGELLM "$model" -i a -n 3 -t 0.5 >"$folder/out" 2>"$folder/err" || fail "run of a greedy model with a temperature"
grep -q 'seed' "$folder/err" || fail "-t does not count for a greedy model"

# An answer is what the grammar says: two ids, then the end.
grammar=$folder/grammar.json
refuse() {  # EXPECTED TEXT-OF-THE-FILE
  echo "$2" >"$grammar"
  expect 3 "$1" synthetic:tiny "$model" --grammar "$grammar"
}
refuse 'expected a list of states' '{}'
refuse 'expected a list of states' '[]'
refuse 'state 0: expected a list of \[id, next state\]' '[[]]'
refuse 'state 1: expected \[id, next state\]' '[[[1, 0]], [[1]]]'
refuse 'an id must be a whole number below' '[[[100000000, 0]]]'
refuse 'an id must be a whole number below' '[[[1.5, 0]]]'
refuse 'an id must be a whole number below' '[[["a", 0]]]'
refuse 'a state must be a whole number below 1' '[[[1, 1]]]'
refuse 'id 7 is there twice' '[[[7, 0], [7, 0]]]'
refuse 'not JSON' '[[[7, 0]'
expect 1 'No such file' synthetic:tiny "$model" --grammar "$folder/absent.json"
echo '[[[98, 1], [97, 1]], [[99, 0]]]' >"$grammar"
expect 0 'matrices' synthetic:tiny "$model" --grammar "$grammar"
checks=$((checks + 1))
$EDGELLM "$model" -i x -n 6 -t 100 >"$folder/out" 2>"$folder/err" || fail "run of a model with a grammar"
grep -Eqx '([ab]c){3}' "$folder/out" || fail "the grammar does not bind: $(cat "$folder/out")"
$EDGELLM info "$model" 2>"$folder/err" | grep -q '^grammar  *2, 2, 3, 97, 1, 98, 1, 99, 0$' || fail "info lacks the grammar"

# A file-size limit stands for a full disk.
rm "$model"
(ulimit -f 8; $EDGELLM_CONVERT synthetic:tiny "$model" >"$folder/out" 2>"$folder/err")
[ $? -eq 1 ] || fail "a full disk is not exit code 1"
grep -q 'cannot write' "$folder/err" || fail "a full disk is not named"
ls "$folder" | grep -q tm2 && fail "a full disk leaves a file"

# Whoever interrupts a conversion finds the older file, and nothing else.
for signal in INT TERM HUP; do
  checks=$((checks + 1))
  echo older >"$model"
  timeout --preserve-status -s $signal 0.5 $EDGELLM_CONVERT synthetic:bitnet-2b4t "$model" >"$folder/out" 2>"$folder/err"
  got=$?
  [ $got -eq $((128 + $(kill -l $signal))) ] || fail "exit code $got after SIG$signal"
  [ "$(cat "$model")" = older ] || fail "SIG$signal changes the older file"
  ls "$folder" | grep partial && fail "SIG$signal leaves a file"
done

echo "$checks checks, $failures failed"
[ $failures -eq 0 ]
