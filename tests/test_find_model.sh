#!/bin/bash
# A source that is given as the model: converted once into the cache folder and run, whatever is in the way. EDGELLM and
# EDGELLM_CONVERT are the commands that start the two programs; here they lie in folders of their own.
if [ -d /dev/shm ]; then export TMPDIR=/dev/shm; fi  # the converter waits until its file is durable
. tests/checks.sh
trap 'kill $pids 2>/dev/null; rm -rf "$folder"' EXIT
pids=
skip() {
  echo "skipped: test_find_model: $1"
  exit 77
}
program=${EDGELLM##* } converter=${EDGELLM_CONVERT##* }
emulator=()
case $EDGELLM in *' '*) read -ra emulator <<<"${EDGELLM% *}" ;; esac
[ -x "$converter" ] || skip "edgellm-convert is not built"
"$converter" --version >/dev/null 2>&1 || skip "under an emulator the program cannot start edgellm-convert"

mkdir "$folder/both" "$folder/alone" "$folder/path" "$folder/home" "$folder/src"
cp "$program" "$folder/both/edgellm" && cp "$converter" "$folder/both/edgellm-convert"
cp "$program" "$folder/alone/edgellm"
export XDG_CACHE_HOME=$folder/cache HOME=$folder/home PATH=$folder/path:/usr/bin:/bin
unset EDGELLM_MODEL EDGELLM_THREADS EDGELLM_TEMPLATE
cache=$folder/cache/edgellm
model=$folder/src/llama.gguf
run=(-i 1,2,3 -n 4 -t 0)
cp tests/golden/gguf/llama.gguf "$model"

# ask CODE PATTERN ARGUMENTS...: of the program in $with; standard output is in $folder/out.
with=both
ask() {
  local code=$1 pattern=$2
  shift 2
  "${emulator[@]}" "$folder/$with/edgellm" "$@" >"$folder/out" 2>"$folder/err" </dev/null
  answered "$code" "$pattern" $? "$*"
}
# says WORDS: standard error is this line alone.
says() {
  checks=$((checks + 1))
  [ "$(cat "$folder/err")" = "$1" ] || fail "stderr is not \"$1\""
}
# holds COUNT WHAT: so many files lie in the cache, under their own names.
holds() {
  local there
  there=$(cd "$cache" 2>/dev/null && ls)
  checks=$((checks + 1))
  [ "$(grep -c . <<<"$there")" -eq "$1" ] || fail "$2: expected $1 files in the cache, there are" $there
  [ "$(grep -c '^[a-z A-Z0-9.]*-[0-9a-f]\{16\}\.tm2$' <<<"$there")" -eq "$1" ] || fail "$2: in the cache are" $there
}
forget() { rm -rf "$folder/cache"; }
note_of() { echo "note: $1 is converted, once, into "; }
# anew WHAT ARGUMENTS...: it works, and is converted; kept WHAT ARGUMENTS...: and is not.
anew() {
  ask 0 "^$(note_of '.*')" "${@:2}"
}
kept() {
  ask 0 '' "${@:2}"
  checks=$((checks + 1))
  if grep -q "$(note_of '.*')" "$folder/err"; then fail "$1: it was converted again"; fi
}
# Stands for the converter: answers --version, and does the rest as the lines of $1 say; $2 is its folder.
stand_in() {
  rm -f "$folder/$2/edgellm-convert"
  printf '#!/bin/bash\nif [ "$1" = --version ]; then echo "edgellm-convert stands in"; exit 0; fi\n%s\n' "$1" \
    >"$folder/$2/edgellm-convert"
  chmod +x "$folder/$2/edgellm-convert"
}
# wait_until COMMAND...: at most a minute.
wait_until() {
  for _ in $(seq 3000); do
    if "$@"; then return; fi
    sleep 0.02
  done
  fail "waited in vain: $*"
}

# Once, with a note that says how to have it elsewhere; then as it is. It runs as the file does that the converter makes.
"$converter" "$model" "$folder/own.tm2" >/dev/null 2>&1 || fail "the source cannot be converted"
ask 0 '' "$folder/own.tm2" "${run[@]}"
cp "$folder/out" "$folder/expected"
ask 0 "^$(note_of "$model")$cache/llama-[0-9a-f]\{16\}.tm2 (edgellm-convert $model llama.tm2 makes one elsewhere, --no-convert none)\$" \
  "$model" "${run[@]}"
check cmp -s "$folder/out" "$folder/expected"
holds 1 'a first run'
check cmp -s "$folder/own.tm2" "$cache"/llama-*.tm2
check test -z "$(find "$cache" -maxdepth 0 -perm /077)"
kept 'a second run' "$model" "${run[@]}"
check cmp -s "$folder/out" "$folder/expected"
kept 'a second run' "$model" "${run[@]}" --verbose
check grep -q "^note: $model is read from $cache/llama-" "$folder/err"

# Every command opens the same file; the first of them makes it.
forget
anew info info "$model" --json
check test "$(head -c 1 "$folder/out")" = '{'
for words in 'bench -n 1 --prompt-tokens 2 --repeat 1' 'eval --ids 1,2,3' selftest; do
  kept "$words" $words "$model"
done
ask 1 '^edgellm: the model has no tokenizer' chat "$model"
for words in 'tokenize -i a' 'detokenize --ids 1'; do
  ask 3 "^edgellm: $cache/llama-.*: the model has no tokenizer" $words "$model"
done
ask 3 "^edgellm: --tokenizer $cache/llama-.*: the model has no tokenizer" "$folder/own.tm2" --tokenizer "$model" "${run[@]}"
EDGELLM_MODEL=$model kept 'a variable' run "${run[@]}"
holds 1 'every command'

# Of several models each is converted, and has its row under the name that was typed.
forget
cp tests/golden/gguf/qwen2.gguf "$folder/src/qwen2.gguf"
ask 0 "$(note_of "$folder/src/qwen2.gguf")" bench -n 1 --prompt-tokens 2 --repeat 1 "$model" "$folder/src/qwen2.gguf"
check grep -q "$(note_of "$model")" "$folder/err"
check [ "$(grep -cE '^(next|note: tokenizer) ' "$folder/err")" -eq 0 ]  # what the converter has to say of its file
check grep -q "^$model  *[0-9]" "$folder/out"
check grep -q "^$folder/src/qwen2.gguf  *[0-9]" "$folder/out"
holds 2 'several models'
forget

# Where something would be lost by writing there, nothing is converted.
forget
ask 2 'is the same file as .*, which is read' "$model" "${run[@]}" --state-save "$model"
holds 0 'a destination that is the source'

# Another time, another size, another path: another source. Its real path counts, and what lies there no more stays.
anew 'a source' "$model" "${run[@]}"
ln -s "$model" "$folder/link.gguf"
kept 'a link' "$folder/link.gguf" "${run[@]}"
(cd "$folder/src" && ask 0 '' ../src/llama.gguf "${run[@]}" && cp "$folder/err" "$folder/relative")
check test -z "$(grep "$(note_of '.*')" "$folder/err")"
touch -d '2001-02-03 04:05:06.789' "$model"
anew 'another time' "$model" "${run[@]}"
touch -d '2001-02-03 04:05:06.788' "$model"
anew 'a millisecond less' "$model" "${run[@]}"
cp tests/golden/gguf/qwen2.gguf "$model"
touch -d '2001-02-03 04:05:06.788' "$model"
anew 'another size' "$model" "${run[@]}"
cp -p "$model" "$folder/src/it's my \"model\" of 1 \$.gguf"
anew 'another path' "$folder/src/it's my \"model\" of 1 \$.gguf" "${run[@]}"
kept 'spaces and quotes' "$folder/src/it's my \"model\" of 1 \$.gguf" "${run[@]}"
check test "$(ls "$cache" | wc -l)" -eq 5
(cd "$folder/src" && mv llama.gguf -- --x.gguf && ask 0 "$(note_of './--x.gguf')" ./--x.gguf "${run[@]}") ||
  fail 'a name like an option'
mv "$folder/src/--x.gguf" "$model"

# A folder: any of its files counts. A file of RWKV: so does a tokenizer beside it, and nothing else.
forget
cp -r tests/golden/recurrent/mamba "$folder/src/mamba"
anew 'a folder' "$folder/src/mamba" "${run[@]}"
holds 1 'a folder'
check test -e "$cache"/mamba-*.tm2
kept 'a folder' "$folder/src/mamba/" "${run[@]}"
kept 'a file of it' "$folder/src/mamba/model.safetensors" "${run[@]}"
(cd "$folder/src/mamba" && ask 0 '' . "${run[@]}") || fail 'the folder itself'
holds 1 'a folder by other names'
mkdir "$folder/src/mamba/inner"
kept 'a folder within' "$folder/src/mamba" "${run[@]}"
echo >"$folder/src/mamba/notes"
anew 'a further file' "$folder/src/mamba" "${run[@]}"
mv "$folder/src/mamba/notes" "$folder/src/mamba/words"
anew 'a file of another name' "$folder/src/mamba" "${run[@]}"
cp tests/golden/recurrent/rwkv4/rwkv4.pth "$folder/src"
anew 'a file' "$folder/src/rwkv4.pth" "${run[@]}"
echo >"$folder/src/notes"
kept 'another file' "$folder/src/rwkv4.pth" "${run[@]}"
echo '{}' >"$folder/src/tokenizer_config.json"
anew 'a tokenizer' "$folder/src/rwkv4.pth" "${run[@]}"
rm "$folder/src/tokenizer_config.json"

# What cannot be opened is made again: a file that was cut, was damaged, or never was one.
forget
anew 'a source' "$model" "${run[@]}"
cached=$(echo "$cache"/llama-*.tm2)
cp "$cached" "$folder/whole"
head -c 3000 "$folder/whole" >"$cached"
anew 'a cut file' "$model" "${run[@]}"
check cmp -s "$cached" "$folder/whole"
printf 'x' | dd of="$cached" bs=1 seek=100 conv=notrunc 2>/dev/null
anew 'a damaged header' "$model" "${run[@]}"
: >"$cached"
anew 'an empty file' "$model" "${run[@]}"
rm "$cached"
echo 'what a killed conversion left' >"$cached.partial"
anew 'a partial file' "$model" "${run[@]}"
check cmp -s "$cached" "$folder/whole"
holds 1 'files made again'

# --no-convert, no converter, or no place: the words alone. Nothing is made.
forget
words="edgellm: $model is a GGUF file: edgellm-convert $model llama.tm2"
ask 3 '' "$model" --no-convert
says "$words"
with=alone
ask 3 '' "$model"
says "$words (edgellm-convert is neither beside edgellm nor on PATH)"
printf '#!/bin/sh\nexit 0\n' >"$folder/path/edgellm-convert"
ask 3 '' "$model"
says "$words (edgellm-convert is neither beside edgellm nor on PATH)"
chmod +x "$folder/path/edgellm-convert"
ask 3 '' "$model"
says "$words ($folder/path/edgellm-convert --version does not answer)"
with=both
unset XDG_CACHE_HOME HOME
ask 3 '' "$model"
says "$words (there is no HOME for a converted file to lie in)"
export XDG_CACHE_HOME=$folder/own.tm2/x HOME=$folder/home
ask 3 '' "$model"
says "$words (no file can be made in $folder/own.tm2/x/edgellm: Not a directory)"
mkdir "$folder/locked" && chmod 500 "$folder/locked"
if [ "$(id -u)" -ne 0 ]; then
  XDG_CACHE_HOME=$folder/locked ask 3 '' "$model"
  says "$words (no file can be made in $folder/locked/edgellm: Permission denied)"
fi
holds 0 'the words alone'

# Without XDG_CACHE_HOME, or with one that is no path: in HOME. A converter on PATH will do.
cp "$converter" "$folder/path/edgellm-convert"
for relative in '' some/where; do
  with=alone
  export XDG_CACHE_HOME=$relative
  anew 'in HOME' "$model" "${run[@]}"
  check test "$(ls "$HOME/.cache/edgellm" | wc -l)" -eq 1
  with=both
  kept 'in HOME' "$model" "${run[@]}"
  rm -r "$HOME/.cache"
done
export XDG_CACHE_HOME=$folder/cache

# What the converter prints gets into nobody's way; another version of it makes another file.
anew 'the version' "$model" "${run[@]}"
with=alone
stand_in "echo noise; echo more noise >&2; exec $converter \"\$@\"" path
anew 'another version' "$model" "${run[@]}"
holds 2 'another version'
check cmp -s "$folder/out" <("${emulator[@]}" "$folder/both/edgellm" "$cached" "${run[@]}" 2>/dev/null)
check grep -q '^noise$' "$folder/err"
check grep -q '^more noise$' "$folder/err"

# A conversion that fails: its words stand, and nothing is left.
forget
for ending in '3 3 ended with code 3 and said why above' '1 1 ended with code 1 and said why above' '2 1 ended with code 2 and said why above'; do
  stand_in "echo these words >&2; exit ${ending%% *}" path
  ask "$(cut -d ' ' -f 2 <<<"$ending")" "^edgellm: $model was not converted: edgellm-convert $(cut -d ' ' -f 3- <<<"$ending")\$" "$model"
  check grep -q '^these words$' "$folder/err"
done
stand_in 'kill -KILL $$' path
ask 1 "^edgellm: $model was not converted: edgellm-convert was ended by signal 9\$" "$model"
stand_in 'exit 0' path
ask 3 "cannot open $cache/llama-.*No such file" "$model"
with=both
printf 'GGUF\3\0\0\0and then nonsense' >"$folder/src/bad.gguf"
ask 3 "^edgellm-convert: $folder/src/bad.gguf: " "$folder/src/bad.gguf"
check grep -q "^edgellm: $folder/src/bad.gguf was not converted: " "$folder/err"
(ulimit -f 2 && ask 1 'cannot write: .*' "$model") || fail 'a full disk'
holds 0 'conversions that failed'

# Two at once: the second waits for the first, and takes its file. The converter waits for $folder/go.
with=alone
stand_in "echo \$\$ >>$folder/begun; until [ -e $folder/go ]; do sleep 0.02; done; exec $converter \"\$@\"" path
for i in 1 2 3; do
  "${emulator[@]}" "$folder/alone/edgellm" "$model" "${run[@]}" >"$folder/out$i" 2>"$folder/err$i" </dev/null &
  pids="$pids $!"
  if [ $i -eq 1 ]; then wait_until [ -s "$folder/begun" ]; else
    wait_until grep -q "^note: another run converts $model: waiting for it\$" "$folder/err$i"
  fi
done
touch "$folder/go"
for pid in $pids; do
  checks=$((checks + 1))
  wait "$pid" || fail 'one of three at once'
done
for i in 2 3; do check cmp -s "$folder/out1" "$folder/out$i"; done
check test "$(wc -l <"$folder/begun")" -eq 1
holds 1 'three at once'

# Ctrl-C, or SIGTERM, ends both programs, also where this one alone gets it; and a run that waits.
forget
rm "$folder/go"
stand_in "echo \$\$ >$folder/begun; exec sleep 600" path
for signal in INT TERM HUP; do
  rm -f "$folder/begun"
  set -m  # in the background SIGINT is ignored otherwise
  "${emulator[@]}" "$folder/alone/edgellm" "$model" "${run[@]}" </dev/null 2>"$folder/err" >"$folder/out" &
  pids=$!
  wait_until [ -s "$folder/begun" ]
  "${emulator[@]}" "$folder/alone/edgellm" "$model" "${run[@]}" </dev/null >/dev/null 2>"$folder/err2" &
  pids="$pids $!"
  set +m
  wait_until grep -q 'waiting for it' "$folder/err2"
  kill -TERM ${pids#* }
  wait ${pids#* }
  answered 143 '' $? 'a run that waits'
  kill -$signal ${pids% *}
  wait ${pids% *}
  got=$?
  answered $((128 + $(kill -l $signal))) '' $got "SIG$signal"
  checks=$((checks + 1))
  if kill -0 "$(cat "$folder/begun")" 2>/dev/null; then fail "SIG$signal: the converter lives"; fi
done
holds 0 'ended conversions'
summary
