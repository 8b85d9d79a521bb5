#!/bin/bash
# What the converter does when it is told no more than it needs: three lines of use, the name that a file gets, the lines that a
# conversion ends with, and what one that was killed leaves. EDGELLM and EDGELLM_CONVERT are the commands that start the programs.
. tests/checks.sh

here=$PWD
absolute() {  # COMMAND: its program, wherever the working folder is
  local program=${1##* } before=
  [ "$program" = "$1" ] || before="${1% *} "
  echo "$before$(cd "$(dirname "$program")" && pwd)/$(basename "$program")"
}
convert=$(absolute "$EDGELLM_CONVERT") edgellm=$(absolute "$EDGELLM")
work=$folder/work
mkdir "$work"
cd "$work" || exit 1

# run CODE ARGUMENTS...: what is said is in $folder/err.
run() {
  local code=$1
  shift
  $convert "$@" >"$folder/out" 2>"$folder/err" </dev/null
  answered "$code" '' $? "$*"
  checks=$((checks + 1))
  [ -s "$folder/out" ] && fail "something went to stdout: $*"
}

# says LINE: exactly this one is among what was said.
says() {
  checks=$((checks + 1))
  grep -qxF -e "$1" "$folder/err" || fail "nobody says \"$1\""
}

# only NAMES: these files are in the folder, and no others.
only() {
  checks=$((checks + 1))
  [ "$(ls -A | tr '\n' ' ')" = "$*${1:+ }" ] || fail "there are $(ls -A | tr '\n' ' '), expected $*"
}

run 2
printf '%s\n' 'edgellm-convert SRC        makes a model file in this folder, called as SRC is' \
  'edgellm-convert SRC DST    makes the model file DST' \
  'edgellm-convert help       lists what SRC may be, options and examples' >"$folder/expected"
check cmp -s "$folder/expected" "$folder/err"
only

# A file is called as its source, and lies here, wherever that is.
cp -r "$here/tests/golden/recurrent/mamba" "$folder/Mamba-0.1"
chmod -R u+w "$folder/Mamba-0.1"
golden=$here/tests/golden/recurrent
named() {  # FILE ARGUMENTS...
  local file=$1
  shift
  run 0 "$@"
  says "note: no DST is given: the file is called $file"
  only "$file"
  checks=$((checks + 1))
  $edgellm info "$file" >"$folder/out" 2>"$folder/err" || fail "$file cannot be used"
  rm -f -- *
}
named Mamba-0.1.tm2 "$folder/Mamba-0.1"
named Mamba-0.1.tm2 "$folder/Mamba-0.1/"
named Mamba-0.1.tm2 "$folder/Mamba-0.1/config.json"
named tiny.tm2 synthetic:tiny
named tiny.srnn synthetic:tiny --weights i8 --sparsity 0.9
named tiny.tm2 synthetic:tiny --weights i8 --sparsity 0.9 --sparse dense
cp "$folder/Mamba-0.1/model.safetensors" "$folder/none.safetensors"
run 3 "$folder/none.safetensors"
only
for source in . config.json model.safetensors; do
  rm -f "$folder/Mamba-0.1/Mamba-0.1.tm2"
  (cd "$folder/Mamba-0.1" && $convert $source 2>"$folder/err")
  check [ $? -eq 0 ]
  check [ -f "$folder/Mamba-0.1/Mamba-0.1.tm2" ]
done
check grep -q '^model     Mamba-0.1, ' "$folder/err"
run 3 "$folder/Mamba-0.1/Mamba-0.1.tm2"
says "edgellm-convert: $folder/Mamba-0.1/Mamba-0.1.tm2 is a model file already: edgellm $folder/Mamba-0.1/Mamba-0.1.tm2 runs it"

# What is there is replaced when it is named, and only then.
echo mine >tiny.tm2
run 2 synthetic:tiny
says 'edgellm-convert: tiny.tm2 is there already: edgellm-convert synthetic:tiny tiny.tm2 replaces it, another name keeps it'
check [ "$(cat tiny.tm2)" = mine ]
only tiny.tm2
run 0 synthetic:tiny tiny.tm2
check [ "$(head -c 3 tiny.tm2)" = TM2 ]
run 2 synthetic:tiny
only tiny.tm2
rm tiny.tm2
ln -s nowhere tiny.tm2
run 2 synthetic:tiny
check [ -L tiny.tm2 ]
rm tiny.tm2

# A model file of version 1 that is called as its own result would be.
tail -c +2 "$here/tests/fuzz/corpus/source/tm2" >"$folder/old.tm2.bin"
named old.tm2 "$folder/old.tm2.bin"
cp "$folder/old.tm2.bin" old.tm2
run 2 old.tm2
says 'edgellm-convert: old.tm2 is the source itself: edgellm-convert old.tm2 DST gives the file another name'
check cmp -s "$folder/old.tm2.bin" old.tm2
only old.tm2
rm old.tm2

# The end: six lines on what was made, and the next thing to type, which works.
run 0 synthetic:tiny --chat none
cat >"$folder/expected" <<'END'
model     synthetic:tiny, Llama-like transformer, 112168 parameters
file      tiny.tm2, 0.05 MB
weights   3.39 bits each: matrices t2, embedding i8
loss      rms error 0.56 % in all, at most 0.56 % in a matrix (embed)
END
checks=$((checks + 1))
tail -n 7 "$folder/err" | head -n 4 | cmp -s - "$folder/expected" || fail "the first four lines differ"
check [ "$(tail -n 3 "$folder/err" | sed 's/ [0-9.]* MB$/ N MB/')" = "$(printf '%s\n' \
  'context   256 positions; memory needed: N MB' 'text      byte-level BPE, 300 ids; no chat template; no grammar' \
  'next      edgellm tiny.tm2 "Once upon a time"')" ]
memory=$(sed -n 's/^context .*needed: \(.*\)/\1/p' "$folder/err")
check grep -qF "$memory" <($edgellm info tiny.tm2 2>&1)

# next WORDS DST OPTIONS...: the last line, and what it tells to type is right.
next() {
  local words=$1 file=$2
  shift 2
  run 0 synthetic:tiny "$file" "$@"
  check [ "$(tail -n 1 "$folder/err")" = "next      edgellm $words" ]
  checks=$((checks + 1))
  sed -n "\$s|^next      edgellm|$edgellm|p" "$folder/err" >"$folder/command"
  (. "$folder/command") >"$folder/out" 2>"$folder/err" <<<'hello' || fail "edgellm $words does not run"
}
echo '[[[98, 1], [97, 1]], [[99, 0], [2, 0]]]' >"$folder/grammar.json"
rm -f -- *
next 'tiny.tm2 -i 1,2,3' tiny.tm2 --tokenizer none
next 'chat tiny.tm2' tiny.tm2 --chat plain
next "'a b.tm2' \"Once upon a time\"" 'a b.tm2'
next "'it'\\''s.tm2' \"Once upon a time\"" "it's.tm2"
next './run "Once upon a time"' run
next './-x.tm2 "Once upon a time"' ./-x.tm2
accented=$(printf 'Caf\303\251.tm2')
next "$accented \"Once upon a time\"" "$accented"
rm -f -- ./*
run 0 synthetic:tiny tiny.tm2 --grammar "$folder/grammar.json"
check [ "$(tail -n 2 "$folder/err" | head -n 1)" = 'text      byte-level BPE, 300 ids; no chat template; a grammar' ]
check [ "$(tail -n 1 "$folder/err")" = 'next      edgellm chat tiny.tm2' ]
run 0 synthetic:rwkv7-tiny r.tm2
check grep -q '^context   without an end, trained on 4096 positions; memory needed: [0-9.]* MB$' "$folder/err"
run 0 synthetic:tiny f.tm2 --weights f32
says 'loss      none: the weights are exact'

# The table of tensors where it is asked for; nothing but warnings where that is.
run 0 synthetic:tiny tiny.tm2
check [ "$(grep -c '^layers\.' "$folder/err")" -eq 0 ]
for option in -v --verbose; do
  run 0 synthetic:tiny tiny.tm2 $option
  check [ "$(grep -c '^layers\.[01]\.[a-z]*  *t2, tensor scale, token  *1 ' "$folder/err")" -eq 14 ]
  check [ "$(tail -n 1 "$folder/err")" = 'next      edgellm tiny.tm2 "Once upon a time"' ]
done
for option in -q --quiet; do
  run 0 synthetic:tiny tiny.tm2 $option
  check [ "$(cat "$folder/err")" = 'warning: the model has no chat template: a conversation is written as plain text; edgellm-convert --chat NAME puts one in' ]
  run 0 synthetic:tiny tiny.tm2 $option --chat none
  check [ ! -s "$folder/err" ]
done

# A conversion that was killed leaves its unfinished file, which hinders nobody: the next one replaces it.
rm -f -- *
checks=$((checks + 1))
$convert synthetic:bitnet-2b4t >"$folder/out" 2>"$folder/err" &
child=$!
for _ in $(seq 1200); do
  [ -s bitnet-2b4t.tm2.partial ] && break
  sleep 0.1
done
[ -s bitnet-2b4t.tm2.partial ] || fail "nothing is written within two minutes"
kill -KILL $child
wait $child 2>/dev/null
only bitnet-2b4t.tm2.partial
mv bitnet-2b4t.tm2.partial tiny.tm2.partial
named tiny.tm2 synthetic:tiny
cd "$here" || exit 1
summary
