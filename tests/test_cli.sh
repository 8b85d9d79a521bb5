#!/bin/bash
# The program from outside: exit codes, what goes where, memory and system calls of a whole run. EDGELLM and EDGELLM_CONVERT
# are the commands that start the two programs, an emulator included; EDGELLM_MODE is how they were built.
. tests/checks.sh
model=$folder/tiny.tm2
$EDGELLM_CONVERT synthetic:tiny "$model" >/dev/null 2>&1 || { echo "synthetic:tiny cannot be made"; exit 1; }

# expect CODE PATTERN ARGUMENTS...: the exit code, and a pattern that stderr must hold.
expect() {
  local code=$1 pattern=$2
  shift 2
  $EDGELLM "$@" >"$folder/out" 2>"$folder/err" </dev/null
  answered "$code" "$pattern" $? "$*"
}

# An id that the model does not have, and more ids than a session holds, are errors before anything is computed or made.
expect 1 '99999 is not in the vocabulary' detokenize models/stories.tm2 --ids 1,99999,2
expect 1 'token id 99999 is not in the vocabulary' eval "$model" --ids 1,99999 --logits "$folder/none"
expect 1 '40 positions are needed, there are 32' eval "$model" --ctx 32 --ids "$(seq 40 | paste -sd, -)"
expect 2 '16777217 positions are needed' bench "$model" --at 16777216 -n 1
checks=$((checks + 1))
[ ! -e "$folder/none" ] || fail "a file is made for logits that there are not"

# Usage errors name the option and what it got.
expect 2 'no model is given: edgellm chat MODEL (edgellm help chat shows how)' chat
expect 2 'unknown option --frob' "$model" --frob
expect 2 '"abc" is not a whole number' "$model" -n abc
expect 2 '"-5" is not a whole number' "$model" -n -5
expect 2 '"99999999999999999999" is not' "$model" -n 99999999999999999999
expect 2 'needs a value' "$model" -n
expect 2 '^edgellm: --temp: "1e3" is not a number' "$model" --temp 1e3
expect 2 '"1e999" is not a number' "$model" -t 1e999
expect 2 '"1.5" is not a number from' "$model" -p 1.5
expect 2 '"nan" is not' "$model" -t nan
expect 2 'not a whole number' "$model" -s -1
expect 2 'not a whole number' "$model" --threads 0
expect 2 'not a whole number' "$model" --threads 65
expect 2 'not a whole number' "$model" --ctx 0
expect 2 'is none of i8, f16, f32' "$model" --kv i4
expect 2 'is none of yes, no, require' "$model" --seal=maybe
expect 2 'no kernel set "sse9"' "$model" --isa sse9
expect 2 '^edgellm: --prompt and -f both give the text: only one can$' "$model" --prompt a -f b
expect 2 '^edgellm: "hello" and -i both give the text: only one can$' "$model" hello -i a
expect 2 'a text of several words is put in quotes' "$model" once upon a time
expect 2 'unexpected argument' info "$model" second.tm2
expect 2 'is not an option of' "$model" --ids 1
expect 2 'is not an option of' info "$model" -n 3
expect 2 'either --text FILE or --ids' eval "$model"
expect 2 'not a whole number in a list' eval "$model" --ids 1,x
expect 2 'not a whole number in a list' eval "$model" --ids 1,2,
expect 2 'takes no value' "$model" --mlock=1
expect 2 'at most 16 texts' "$model" --stop ''
expect 2 'only with --pace' "$model" --realtime
expect 0 '' --help
for code in 0 1 2 3 130 143 141; do grep -q "[ :]$code " "$folder/out" || fail "--help does not tell of exit code $code"; done
expect 0 '' --version
cp "$folder/out" "$folder/version"
expect 0 '' version
check cmp "$folder/out" "$folder/version"

# Nothing but the name: three lines of use on standard error.
checks=$((checks + 1))
$EDGELLM >"$folder/out" 2>"$folder/err" </dev/null
[ $? -eq 2 ] && [ ! -s "$folder/out" ] && [ "$(wc -l <"$folder/err")" -eq 3 ] || fail "edgellm alone"
check grep -q '^edgellm help  ' "$folder/err"

# Mistyped names, and a text without a model.
expect 2 'name the model before it: edgellm MODEL "TEXT", or in EDGELLM_MODEL$' "Once upon a time"
expect 2 '^edgellm: there is no file "bnech": did you mean the command bench?$' bnech --json
expect 2 '^edgellm: there is no file "caht": did you mean the command chat?$' caht "$model"
expect 2 '^edgellm: there is no command "chta": did you mean chat? (edgellm help lists them)$' help chta
expect 2 '^edgellm: unknown option --tokns: did you mean --tokens? (edgellm help run lists them)$' "$model" --tokns 3

# Help is what somebody who asks for it gets, before and behind a command, in a help of each and whatever else is wrong.
for command in run chat serve bench eval info selftest tokenize detokenize; do
  expect 0 '' help $command
  check cmp "$folder/out" tests/golden/cli/help-$command.txt
  for line in "$command -h" "-h $command" "$command --help" "--help $command" "$command --frob -h"; do
    expect 0 '' $line
    check cmp "$folder/out" tests/golden/cli/help-$command.txt
  done
done
for line in help -h --help "-h --frob" "model.tm2 -h"; do
  expect 0 '' $line
  check cmp "$folder/out" tests/golden/cli/help.txt
done

# The examples of the help are commands that work where the files are that they name.
mkdir "$folder/examples" "$folder/examples/bin" "$folder/examples/models"
cp "$model" "$folder/examples/model.tm2"
cp "$model" "$folder/examples/models/stories.tm2"
echo 'Once upon a time there was a dog.' >"$folder/examples/prompt.txt"
echo secret >"$folder/examples/keys.txt"
emulator=${EDGELLM% *} program=${EDGELLM##* }
[ "$emulator" != "$EDGELLM" ] || emulator=
printf '#!/bin/sh\nexec %s %s "$@"\n' "$emulator" "$(realpath "$program")" >"$folder/examples/bin/edgellm"
chmod +x "$folder/examples/bin/edgellm"
sed -n '/^Examples$/,/^$/p' tests/golden/cli/help*.txt | grep '^  ' | awk '!seen[$0]++' >"$folder/lines"
check [ "$(wc -l <"$folder/lines")" -ge 22 ]
# A server says where it listens, and SIGTERM ends it well.
serves() {
  (cd "$folder/examples" && PATH=$PWD/bin:$PATH && eval "exec $1 --port 0" </dev/null >"$folder/out" 2>"$folder/err") &
  local server=$! second
  for second in {1..60}; do
    ! grep -q ' at http://' "$folder/err" && kill -0 $server 2>/dev/null && sleep 1
  done
  grep -q ' at http://' "$folder/err" && kill -TERM $server && wait $server
}
while IFS= read -r line; do
  checks=$((checks + 1))
  if [[ $line == *edgellm\ serve* ]]; then
    serves "$line" || fail "an example: $line"
    continue
  fi
  (cd "$folder/examples" && PATH=$PWD/bin:$PATH bash -c "$line" </dev/null >"$folder/out" 2>"$folder/err") || fail "an example: $line"
done <"$folder/lines"

# The environment, where nothing is typed; an option wins, and an error names the variable.
checks=$((checks + 6))
typed=$($EDGELLM "$model" -i hi -n 9 -t 0 2>/dev/null | od -An -tx1)
[ "$typed" = "$($EDGELLM "$model" hi -n 9 -t 0 2>/dev/null | od -An -tx1)" ] || fail "a name behind the model is not the prompt"
[ "$typed" = "$(EDGELLM_MODEL=$model $EDGELLM hi -n 9 -t 0 2>/dev/null | od -An -tx1)" ] || fail "EDGELLM_MODEL and a prompt"
[ "$typed" = "$(EDGELLM_MODEL=$model $EDGELLM -i hi -n 9 -t 0 2>/dev/null | od -An -tx1)" ] || fail "EDGELLM_MODEL and -i"
[ "$typed" = "$(EDGELLM_MODEL=absent.tm2 $EDGELLM "$model" hi -n 9 -t 0 2>/dev/null | od -An -tx1)" ] || fail "EDGELLM_MODEL won"
EDGELLM_THREADS=2 $EDGELLM "$model" -i hi -n 1 --verbose 2>&1 >/dev/null | grep -q 'threads 2,' || fail "EDGELLM_THREADS"
EDGELLM_THREADS=2 $EDGELLM "$model" -i hi -n 1 --threads 1 --verbose 2>&1 >/dev/null | grep -q 'threads 1,' || fail "--threads"
for variable in THREADS=x TEMPLATE=x MODEL=absent.tm2 MODEL=prompt.txt; do
  [ $variable != MODEL=prompt.txt ] || cp "$folder/examples/prompt.txt" "$folder/prompt.txt"
  words=chat code=2
  [[ $variable != MODEL=* ]] && words="chat $model" || code=3
  export "EDGELLM_${variable/MODEL=/MODEL=$folder/}"
  expect $code "^edgellm: EDGELLM_${variable%%=*}: " $words
  unset "EDGELLM_${variable%%=*}"
done

# Of the bundled models it is known what every kernel set must compute.
for bundled in models/*.tm2 models/*.srnn; do
  expect 0 '' selftest "$bundled"
  grep -q 'this is its known hash' "$folder/out" || fail "not its known hash: $bundled"
done

# Files that are not models.
expect 3 'No such file' "$folder/absent.tm2"
expect 2 '^edgellm: there is neither a file nor a command "pull" (edgellm help lists the commands)$' pull llama3
expect 3 '^edgellm: cannot open pull: No such file' run pull
expect 3 '^edgellm: https://hub/a/m.gguf is an address: download the file or folder, and give its name$' https://hub/a/m.gguf
expect 3 '; if it is a model on huggingface.co: `hf download owner/Tiny-1B --local-dir Tiny-1B`, then edgellm Tiny-1B$' owner/Tiny-1B
expect 3 '^edgellm: cannot open owner/m.gguf: No such file' owner/m.gguf
: >"$folder/empty.tm2"
expect 3 '' "$folder/empty.tm2"
expect 3 '' "$folder"
head -c 5000 /dev/urandom >"$folder/noise.tm2"
expect 3 'not a model file' "$folder/noise.tm2"
head -c 3000 "$model" >"$folder/cut.tm2"
expect 3 'it was cut' "$folder/cut.tm2"
cp "$model" "$folder/damaged.tm2"
printf '\377' | dd of="$folder/damaged.tm2" bs=1 seek=$(($(wc -c <"$model") - 1000)) conv=notrunc 2>/dev/null
expect 3 'damaged' "$folder/damaged.tm2" --check
expect 0 '' "$model" --check -n 1 -s 1 -i a
expect 1 'cannot' "$model" -f "$folder/absent.txt"

# Run-time errors.
expect 1 'the context is full' "$model" -n 200 --ctx 16 -t 0 -i hello
expect 0 '' "$model" -n 200 --window 16 -t 0 -i hello
expect 1 'not in the vocabulary' eval "$model" --ids 1,100000

# The same text for the same seed, and with a pace; another seed is another text; -n is kept.
checks=$((checks + 3))
first=$($EDGELLM "$model" -i hi -n 24 -t 1 -p 1 -s 7 2>/dev/null | od -An -tx1)
again=$($EDGELLM "$model" -i hi -n 24 -t 1 -p 1 -s 7 --pace 2000 2>/dev/null | od -An -tx1)
other=$($EDGELLM "$model" -i hi -n 24 -t 1 -p 1 -s 8 2>/dev/null | od -An -tx1)
[ "$first" = "$again" ] || fail "the same seed gave two texts"
[ "$first" != "$other" ] || fail "two seeds gave one text"
$EDGELLM "$model" -i a -n 5 -t 0 2>&1 >/dev/null | grep -q ' 5 out' || fail "-n 5 did not make 5 tokens"

# Stopped and continued from a file: the text of a straight run.
checks=$((checks + 3))
straight=$($EDGELLM "$model" -i hi -n 20 -t 1 -p 1 -s 7 --hash 2>&1 >/dev/null | grep hash)
$EDGELLM "$model" -i hi -n 12 -t 1 -p 1 -s 7 --state-save "$folder/state" >/dev/null 2>"$folder/err" || fail "--state-save"
resumed=$($EDGELLM "$model" -n 8 -t 1 -p 1 -s 7 --state-load "$folder/state" --hash 2>&1 >/dev/null | grep hash)
[ -n "$straight" ] && [ "$straight" = "$resumed" ] || fail "a resumed run differs: $straight, $resumed"
$EDGELLM "$model" -n 0 --state-load "$folder/state" --state-save "$folder/same" >/dev/null 2>"$folder/err" || fail "-n 0"
resumed=$($EDGELLM "$model" -n 8 -t 1 -p 1 -s 7 --state-load "$folder/same" --hash 2>&1 >/dev/null | grep hash)
[ "$straight" = "$resumed" ] || fail "no ids made, and the state is another: $straight, $resumed"
expect 1 'it was saved with --ctx 256, and this is --ctx 32' "$model" -n 1 --ctx 32 --state-load "$folder/state"

# The options that change a state's bits are part of it, others are not.
expect 1 'saved with --activations int8, and this is --activations f32' "$model" -n 1 --activations f32 --state-load "$folder/state"
$EDGELLM "$model" -i hi -n 2 -s 1 --activations f32 --state-save "$folder/exact" >/dev/null 2>"$folder/err" || fail "--activations f32"
expect 1 'saved with --activations f32, and this is --activations int8' "$model" -n 1 --state-load "$folder/exact"
expect 1 'saved with --kv i8, and this is --kv f16' "$model" -n 1 --kv f16 --state-load "$folder/state"
expect 0 '' "$model" -n 1 -s 1 --isa ref --threads 2 --state-load "$folder/state" --state-save "$folder/state"
checks=$((checks + 1))
drawn() { $EDGELLM "$model" -n 9 -t 1 -p 1 -s "$1" --state-load "$folder/same" 2>/dev/null | od -An -tx1; }
[ "$(drawn 7)" = "$(drawn 7)" ] && [ "$(drawn 7)" != "$(drawn 8)" ] || fail "the seed is not the whole of what is drawn by"

# --- Destinations: refused before anything is computed, even whether there is a model; and what is there stays.
kept() { cmp -s "$1" "$2" || fail "not as it was: $1"; }
cp "$model" "$folder/model.copy"
ln -s tiny.tm2 "$folder/soft.tm2"
ln "$model" "$folder/hard.tm2"
mkfifo "$folder/fifo"
printf 'my notes\n' >"$folder/notes" && cp "$folder/notes" "$folder/notes.copy"
for name in "$model" "$folder/soft.tm2" "$folder/hard.tm2" "$folder/./tiny.tm2"; do
  expect 2 'is the same file as .*, which is read' "$model" -n 1 -i a --state-save "$name"
  expect 2 'is the same file as .*, which is read' chat "$model" --state-save "$name"
  expect 2 'is the same file as .*, which is read' eval "$model" --ids 1,2 --logits "$name"
  expect 2 'is the same file as .*, which is read' "$folder/absent.tm2" --tokenizer "$model" -i a --state-save "$name"
done
expect 2 'is the same file as .*notes, which is read' "$model" -n 1 -f "$folder/notes" --state-save "$folder/notes"
expect 2 'is a named pipe' "$folder/absent.tm2" -i a --state-save "$folder/fifo"
expect 2 'is a named pipe' eval "$folder/absent.tm2" --ids 1,2 --logits "$folder/fifo"
expect 2 'is a folder' "$folder/absent.tm2" -i a --state-save "$folder"
expect 2 'is a folder' eval "$folder/absent.tm2" --ids 1,2 --logits "$folder"
if mknod "$folder/device" c 1 3 2>/dev/null; then
  expect 2 'is a device' "$folder/absent.tm2" -i a --state-save "$folder/device"
  expect 2 'is a device' eval "$folder/absent.tm2" --ids 1,2 --logits "$folder/device"
  [ -c "$folder/device" ] || fail "the device is gone"
else
  echo "skipped: test_cli: a device as a destination: mknod is not permitted"
fi
expect 1 '9 bytes are less than a header; it is left as it is' "$model" -n 1 -i a --state-save "$folder/notes"
expect 1 'saved with --ctx 256, and this is --ctx 32; it is left' "$model" -n 1 -i a --ctx 32 --state-save "$folder/same"
expect 1 'No such file' "$model" -n 1 -i a --state-save "$folder/absent/state"
kept "$model" "$folder/model.copy"
kept "$folder/notes" "$folder/notes.copy"
[ -p "$folder/fifo" ] || fail "the pipe is gone"

# --logits writes at the end or not at all, through a link as well, and leaves no end of what was there.
head -c 100000 /dev/urandom >"$folder/old" && cp "$folder/old" "$folder/old.copy"
ln -s old "$folder/link"
expect 1 'not in the vocabulary' eval "$model" --ids 1,100000 --logits "$folder/old"
kept "$folder/old" "$folder/old.copy"
expect 0 '' eval "$model" --ids 1,2,3 --logits "$folder/link"
expect 0 '' eval "$model" --ids 1,2,3 --logits "$folder/new"
[ -L "$folder/link" ] && cmp -s "$folder/old" "$folder/new" || fail "--logits through a link"
vocab=$($EDGELLM info "$model" --tensors | awk '$1 == "vocab" { print $2 }')
[ "$(wc -c <"$folder/new")" -eq $((4 * vocab)) ] || fail "--logits: $(wc -c <"$folder/new") bytes for $vocab ids"

case $EDGELLM in
  *qemu*) echo "skipped: test_cli: a limit of files: an emulator has files of its own" ;;
  *)
    checks=$((checks + 1))
    (ulimit -f 0 && exec $EDGELLM eval "$model" --ids 1,2,3 --logits "$folder/large" 2>&1 >/dev/null) | cat >"$folder/err"
    grep -q -- "--logits $folder/large: File too large" "$folder/err" || fail "--logits beyond the limit of files"
    ;;
esac

# --- eval: of nothing nothing is predicted.
scored() { sed -n 's/.*"tokens":\([0-9]*\).*/\1/p' "$folder/out"; }
: >"$folder/empty.txt"
expect 1 'nothing is predicted' eval "$model" --text "$folder/empty.txt"
expect 1 'nothing is predicted' eval "$model" --text "$folder/empty.txt" --json
[ ! -s "$folder/out" ] || fail "a score of nothing"
expect 2 '1 ids predict nothing' eval "$model" --ids 5
expect 2 '0 ids predict nothing' eval "$model" --ids ''
expect 2 'in one position nothing is predicted' eval "$model" --text "$folder/notes" --ctx 1
for most in 1 5 11; do
  for context in 2 3 64; do
    printf 'Once upon a time there was a dog, and it was brown.' >"$folder/text"
    expect 0 '' eval "$model" --text "$folder/text" --json --max-tokens $most --ctx $context
    [ "$(scored)" = $most ] || fail "--max-tokens $most with --ctx $context scored $(scored)"
  done
done

# Ids there and back.
checks=$((checks + 1))
text=$(printf 'Some text, 123 - with UTF-8: \303\244\303\266 \346\227\245\346\234\254')
ids=$($EDGELLM tokenize "$model" -i "$text")
[ "$($EDGELLM detokenize "$model" --ids "$ids")" = "$text" ] || fail "tokenize and detokenize differ: $ids"

# What begins a text is the tokenizer's word, the file's own or another's, for prompts, tokenize, eval and chat alike; only a
# model without a tokenizer begins with the "bos" of its metadata.
first_ids() {
  checks=$((checks + 3))
  ids=$($EDGELLM tokenize "$@" -i "play some music" | tr ',' '\n' | wc -l)
  $EDGELLM "$@" -i "play some music" -n 1 -t 0 2>&1 >/dev/null | grep -q "^$ids tokens in" ||
    fail "a prompt has not the $ids ids of tokenize: $*"
  printf "play some music" >"$folder/text"
  $EDGELLM eval "$@" --text "$folder/text" --json 2>"$folder/err" | grep -q "\"tokens\":$((ids - 1))," ||
    fail "eval does not score $((ids - 1)) ids: $*"
  turn=$($EDGELLM tokenize "$@" -i "$(printf 'User: play\nAssistant:')" | tr ',' '\n' | wc -l)
  echo play | $EDGELLM chat "$@" --template plain --verbose -n 1 -t 0 2>&1 >/dev/null | grep -q "^$turn tokens in" ||
    fail "a turn has not $turn ids: $*"
}
first_ids models/stories.tm2
first_ids models/stories.tm2 --tokenizer models/home.tm2
checks=$((checks + 2))
$EDGELLM models/stories.tm2 -n 1 -t 0 2>&1 >/dev/null </dev/null | grep -q '^1 tokens in' || fail "an empty prompt is not the first id"
expect 1 'the tokenizer names no first id' models/stories.tm2 --tokenizer models/home.tm2 -n 1
bare=$folder/bare.tm2
$EDGELLM_CONVERT tests/golden/gguf/llama.gguf "$bare" --tokenizer none >/dev/null 2>"$folder/err" || fail "llama.gguf"
$EDGELLM "$bare" -n 1 -t 0 2>&1 >/dev/null </dev/null | grep -q '^1 tokens in' || fail "no first id without a tokenizer"

# Memory of a whole run: no fault and no allocation a token once it is steady, and no more resident than file and plan.
checks=$((checks + 3))
$EDGELLM bench "$model" --json -n 200 --repeat 5 --prompt-tokens 8 --threads 1 >"$folder/bench" 2>"$folder/err" || fail "bench"
number() { sed -n "s/.*\"$1\":\([-0-9.]*\).*/\1/p" "$folder/bench"; }
[ "$(number allocations_after_seal)" = 0 ] || fail "allocations after the seal: $(number allocations_after_seal)"
case $EDGELLM:${EDGELLM_MODE:-release} in
  *qemu* | *:asan | *:tsan) echo "skipped: test_cli: page faults and memory: they are not the program's own under an emulator or a sanitizer" ;;
  *)
    awk "BEGIN { exit !($(number page_faults_per_token) == 0) }" || fail "page faults a token: $(number page_faults_per_token)"
    awk "BEGIN { exit !($(number rss_mb) > 0.2) }" || fail "resident: $(number rss_mb) MB"  # sealed, it may still ask
    file_mb=$(wc -c <"$model" | awk '{ print $1 / 1e6 }')
    awk "BEGIN { exit !($(number rss_mb) <= $file_mb + $(number planned_mb) + 2) }" ||
      fail "resident $(number rss_mb) MB, file $file_mb, planned $(number planned_mb)"
    ;;
esac

summary
