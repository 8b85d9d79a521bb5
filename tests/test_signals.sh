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
# until_ COMMAND...: until it succeeds, or the program has ended, at most a minute.
until_() {
  for _ in $(seq 3000); do
    if "$@" || ! kill -0 $pid 2>/dev/null; then return; fi
    sleep 0.02
  done
}
# Waits until a file is not empty.
await() { until_ [ -s "$1" ]; }
# Waits until the program's own handlers are there; before, bash has it ignore SIGINT. A signal that comes then is never missed.
catches() { grep -q '^SigCgt:.*[2367abef]$' /proc/$pid/status; }
await_handlers() {
  case $EDGELLM in
    *qemu*) sleep 2 ;;  # which has handlers of its own
    *) if [ -r /proc/self/status ]; then until_ catches; else sleep 2; fi ;;
  esac
}
# finish SIGNAL CODE WHAT: sends the signal; the program must end by itself, with the code.
finish() {
  checks=$((checks + 1))
  kill -s "$1" $pid 2>/dev/null || fail "$3: it ended before it was asked to"
  for _ in $(seq 3000); do
    kill -0 $pid 2>/dev/null || break
    sleep 0.02
  done
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
  got=$?
  [ $got -eq "$2" ] || fail "$3: exit code $got after SIG$1, expected $2"
}

# partial SIGNAL CODE MORE...: a score that is ended before its end, later and later until something was scored by then: the text is
# cut into ids first. Too slow to score anything under an emulator or a sanitizer.
head -c 200000 "$folder/text" >"$folder/some"
partial() {
  local signal=$1 code=$2
  shift 2
  for pause in 0.2 1 4 16 60; do
    start eval "$model" --text "$folder/some" --threads 1 --isa ref --activations f32 --verbose "$@"
    await "$folder/err"
    sleep $pause
    finish "$signal" "$code" "eval $*"
    if [ -s "$folder/out" ]; then return; fi
    case $EDGELLM:${EDGELLM_MODE:-release} in
      *qemu* | *:asan | *:tsan | *:debug)
        echo "skipped: test_signals: a partial score: too slow to score anything"
        return
        ;;
    esac
  done
  fail "nothing was scored in a minute"
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

  if [ $signal = TERM ]; then  # bench takes much memory first
    start bench "$model" -n 200000 --repeat 10 --window 64 --threads 1 --verbose
    await "$folder/err"
    finish $signal $code "bench"
    check grep -q 'interrupted before everything was measured' "$folder/err"
  fi

  partial $signal $code
  if [ -s "$folder/out" ]; then check grep -q 'tokens.*partial: interrupted' "$folder/out"; fi
done
partial TERM 143 --json
if [ -s "$folder/out" ]; then check grep -q '"tokens":[1-9].*"partial":true}' "$folder/out"; fi

# What waits for standard input.
mkfifo "$folder/pipe"
exec 4<>"$folder/pipe"
for command in "$model -" "tokenize $model -"; do
  : >"$folder/out" && : >"$folder/err"
  # shellcheck disable=SC2086
  $EDGELLM $command >"$folder/out" 2>"$folder/err" <"$folder/pipe" &
  pid=$!
  await_handlers
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
    [ $moment = answer ] || until_ grep -q 'the answer was cut' "$folder/err"  # which is said behind it
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
check $EDGELLM chat "$model" --ctx 32 -s 1 --state-load "$folder/full" </dev/null

# --- Standard output ----------------------------------------------------------------------------------------------------------

# most FUNCTION: calls it with each command but those that measure; every FUNCTION: with these, too.
most() {
  "$@" --help
  "$@" --version
  "$@" "$model" -i hi -n 40 -s 1 -t 1
  "$@" eval "$model" --ids 1,2,3
  "$@" eval "$model" --ids 1,2,3 --json
  "$@" info "$model"
  "$@" info "$model" --json
  "$@" tokenize "$model" -i 'some text'
  "$@" detokenize "$model" --ids 1,2,3
  "$@" chat "$model" -n 5 -s 1
}
every() {
  most "$@"
  "$@" bench "$model" -n 2 --repeat 1 --prompt-tokens 2 --json
  "$@" info
  "$@" selftest "$model"
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

# The disk is full, or standard output is closed: exit code 1, and a sentence that names the output and says why.
unwritten() {
  local why=$1
  shift
  checks=$((checks + 1))
  if [ "$why" = "Bad file descriptor" ]; then
    printf 'Hello\n' | $EDGELLM "$@" >&- 2>"$folder/err"
  else
    printf 'Hello\n' | $EDGELLM "$@" >/dev/full 2>"$folder/err"
  fi
  got=$?
  [ $got -eq 1 ] || fail "exit code $got ($why), expected 1: $*"
  [ "$(grep -c "^edgellm: standard output: $why\$" "$folder/err")" -eq 1 ] || fail "no word of it ($why): $*"
  if grep -q 'tokens in\|logits hash' "$folder/err"; then fail "figures of what nobody got ($why): $*"; fi
}
case $EDGELLM in
  *qemu*) echo "skipped: test_signals: a closed output: an emulator opens it" ;;
  *) most unwritten "Bad file descriptor" ;;
esac
if [ -c /dev/full ] && ! echo >/dev/full 2>/dev/null; then
  most unwritten "No space left on device"
else
  echo "skipped: test_signals: a full device: there is no /dev/full"
fi

summary
