#!/bin/bash
# How the program ends when it is asked to, when nobody reads it, and when a disk is full: exit codes, and what is there by then.
# EDGELLM and EDGELLM_CONVERT are the commands that start the two programs, an emulator included.
. tests/checks.sh
trap 'exec 3>&- 4>&-; rm -rf "$folder"' EXIT
model=$folder/tiny.tm2
$EDGELLM_CONVERT synthetic:tiny "$model" --chat plain >/dev/null 2>&1 || { echo "synthetic:tiny cannot be made"; exit 1; }
yes 'Once upon a time there was a dog that could not be stopped.' | head -c 2000000 >"$folder/text"
: >"$folder/input"

# start ARGUMENTS...: in the background, its standard input from $folder/input.
start() {
  : >"$folder/out" && : >"$folder/err"
  $EDGELLM "$@" >"$folder/out" 2>"$folder/err" <"$folder/input" &
  pid=$!
}
# Waits until a file is not empty, or the program has ended, at most a minute.
await() {
  for _ in $(seq 600); do
    if [ -s "$1" ] || ! kill -0 $pid 2>/dev/null; then return; fi
    sleep 0.1
  done
}
# finish SIGNAL CODE WHAT: sends the signal; the program must end by itself, with the code.
finish() {
  checks=$((checks + 1))
  kill -s "$1" $pid 2>/dev/null || fail "$3: it ended before it was asked to"
  for _ in $(seq 600); do
    kill -0 $pid 2>/dev/null || break
    sleep 0.1
  done
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
  got=$?
  [ $got -eq "$2" ] || fail "$3: exit code $got after SIG$1, expected $2"
}

# --- SIGINT and SIGTERM -----------------------------------------------------------------------------------------------------

endless="--window 64 -n 1000000000 -s 1 -t 1 --threads 1"
for end in INT:130 TERM:143 HUP:129; do
  signal=${end%:*} code=${end#*:}
  # Text that is being made: what there is, and its figures.
  start "$model" -i hi $endless --pace 500
  await "$folder/out"
  finish $signal $code "run"
  check grep -q ' out' "$folder/err"
  # A prompt, or the text before it is one: no text, no error.
  start "$model" -f "$folder/text" $endless --verbose
  await "$folder/err"
  finish $signal $code "a prompt"
  check [ ! -s "$folder/out" ]
  if grep -q '^edgellm:' "$folder/err"; then fail "an interrupted prompt is no error"; fi

  start bench "$model" -n 200000 --repeat 10 --window 64 --threads 1 --verbose
  await "$folder/err"
  finish $signal $code "bench"
  check grep -q 'interrupted before everything was measured' "$folder/err"

  start eval "$model" --text "$folder/text" --threads 1 --verbose
  await "$folder/err"
  sleep 3
  finish $signal $code "eval"
  if [ -s "$folder/out" ]; then check grep -q 'partial: interrupted' "$folder/out"; fi
done

# The time is enough on this machine itself: the score of what was scored by then, in both ways of saying it.
case $EDGELLM:${EDGELLM_MODE:-release} in
  *qemu* | *:asan | *:tsan | *:debug) echo "skipped: test_signals: a partial score: too slow to score anything" ;;
  *)
    check grep -q 'tokens.*partial: interrupted' "$folder/out"
    start eval "$model" --text "$folder/text" --threads 1 --verbose --json
    await "$folder/err"
    sleep 3
    finish TERM 143 "eval --json"
    check grep -q '"tokens":[1-9].*"partial":true}' "$folder/out"
    ;;
esac

# What waits for standard input.
mkfifo "$folder/pipe"
exec 4<>"$folder/pipe"
for command in "$model -" "tokenize $model -"; do
  : >"$folder/out" && : >"$folder/err"
  # shellcheck disable=SC2086
  $EDGELLM $command >"$folder/out" 2>"$folder/err" <"$folder/pipe" &
  pid=$!
  sleep 2  # until it waits; before its handlers are there, bash has it ignore SIGINT
  kill -0 $pid 2>/dev/null || fail "$command did not wait for its input"
  finish INT 130 "$command"
done

# A conversation through a pipe: ended in an answer or between two, its state saved.
for end in INT:130 TERM:143; do
  for moment in answer pause; do
    : >"$folder/out" && : >"$folder/err" && rm -f "$folder/talk"
    count=1000000000
    [ $moment = answer ] || count=3
    printf 'Hello\n' >&4
    $EDGELLM chat "$model" -s 1 -t 1 --threads 1 --window 64 --pace 500 -n $count --state-save "$folder/talk" \
      >"$folder/out" 2>"$folder/err" <"$folder/pipe" &
    pid=$!
    await "$folder/out"
    [ $moment = answer ] || sleep 0.5
    finish ${end%:*} ${end#*:} "chat, $moment"
    checks=$((checks + 1))
    printf 'Who?\n' | $EDGELLM chat "$model" -n 3 --threads 1 --window 64 --state-load "$folder/talk" >"$folder/out" 2>"$folder/err" ||
      fail "the state of a chat that was ended: $moment"
  done
done
exec 4>&-

# A run that was ended and taken up again is a straight one.
start "$model" -i hi -n 1000000000 -t 1 -p 1 -s 7 --window 64 --pace 100 --threads 1 --state-save "$folder/state"
await "$folder/out"
finish TERM 143 "run --state-save"
made=$(sed -n 's/.* \([0-9]*\) out.*/\1/p' "$folder/err")
check [ "${made:-0}" -gt 0 ]
straight=$($EDGELLM "$model" -i hi -n $((${made:-0} + 8)) -t 1 -p 1 -s 7 --window 64 --hash 2>&1 >/dev/null | grep hash)
resumed=$($EDGELLM "$model" -n 8 -t 1 -p 1 -s 7 --window 64 --state-load "$folder/state" --hash 2>&1 >/dev/null | grep hash)
check [ -n "$straight" -a "$straight" = "$resumed" ]

# A prompt that was not read to its end is not saved, and leaves a state as it was.
cp "$folder/state" "$folder/kept"
start "$model" -f "$folder/text" $endless --state-load "$folder/state" --state-save "$folder/state" --verbose
await "$folder/err"
finish TERM 143 "a prompt that goes on from a state"
check cmp -s "$folder/state" "$folder/kept"

# An error keeps what there was before it: a message that is too long, and a full context.
(printf 'Hello\n'; head -c 100000 /dev/zero | tr '\0' a; echo) |
  $EDGELLM chat "$model" -n 3 --window 64 --state-save "$folder/long" >"$folder/out" 2>"$folder/err"
check [ $? -eq 1 ]
printf 'Who?\n' | $EDGELLM chat "$model" -n 3 --window 64 --state-load "$folder/long" >"$folder/out" 2>"$folder/err" ||
  fail "the conversation before a message that is too long"
$EDGELLM "$model" -i hi --ctx 32 -n 100 -s 1 --state-save "$folder/full" >"$folder/out" 2>"$folder/err"
check [ $? -eq 1 ]
check grep -q 'the context is full' "$folder/err"
check $EDGELLM chat "$model" --ctx 32 --state-load "$folder/full" </dev/null

# --- Standard output ----------------------------------------------------------------------------------------------------------

# every FUNCTION: calls it with each command.
every() {
  "$@" --help
  "$@" --version
  "$@" "$model" -i hi -n 40 -s 1 -t 1
  "$@" bench "$model" -n 2 --repeat 1 --prompt-tokens 2
  "$@" bench "$model" -n 2 --repeat 1 --prompt-tokens 2 --json
  "$@" eval "$model" --ids 1,2,3
  "$@" eval "$model" --ids 1,2,3 --json
  "$@" info
  "$@" info "$model"
  "$@" info "$model" --json
  "$@" tokenize "$model" -i 'some text'
  "$@" detokenize "$model" --ids 1,2,3
  "$@" chat "$model" -n 5 -s 1
}

# Nobody reads: 141, and no word but the notes that come before.
closed() {
  checks=$((checks + 1))
  exec 3<>"$folder/pipe"
  exec 4>"$folder/pipe"
  exec 3>&-  # the last reader
  printf 'Hello\n' | $EDGELLM "$@" >&4 2>"$folder/err"
  got=$?
  exec 4>&-
  [ $got -eq 141 ] || fail "exit code $got with a closed pipe, expected 141: $*"
  if grep -v '^seed ' "$folder/err" | grep -q .; then fail "not silent with a closed pipe: $*"; fi
}
every closed

# The disk is full: exit code 1, and a sentence that names the output.
full() {
  checks=$((checks + 1))
  printf 'Hello\n' | $EDGELLM "$@" >"$folder/full" 2>"$folder/err"
  got=$?
  [ $got -eq 1 ] || fail "exit code $got on a full device, expected 1: $*"
  grep -q 'standard output: No space left on device' "$folder/err" || fail "no word of the space on a full device: $*"
}
if mknod "$folder/full" c 1 7 2>/dev/null && ! echo >"$folder/full" 2>/dev/null; then
  every full
else
  echo "skipped: test_signals: a full device: mknod is not permitted"
fi

summary
