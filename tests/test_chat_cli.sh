#!/bin/bash
# edgellm chat from outside, through a pipe: what goes where, commands, the same text for the same seed, state files, and what is
# refused. EDGELLM and EDGELLM_CONVERT are the commands that start the two programs, an emulator included.
. tests/checks.sh
model=$folder/tiny.tm2
$EDGELLM_CONVERT synthetic:tiny "$model" --chat plain >/dev/null 2>&1 || { echo "synthetic:tiny cannot be made"; exit 1; }

# chat CODE PATTERN INPUT ARGUMENTS...: a conversation of the lines INPUT (as printf has them), its exit code, and a pattern that
# stderr must hold.
chat() {
  local code=$1 pattern=$2 input=$3
  shift 3
  # shellcheck disable=SC2059
  printf "$input" | $EDGELLM chat "$model" -s 1 -t 1 --threads 1 "$@" >"$folder/out" 2>"$folder/err"
  answered "$code" "$pattern" $? "$input $*"
}
same() { cmp -s "$1" "$2" || fail "$3"; }

# One answer a message, each with its hash; empty lines are no messages; nothing but answers on stdout.
chat 0 '' 'Hello\n\n  \nWho?' -n 12 --hash
check [ "$(grep -c 'logits hash' "$folder/err")" = 2 ]
check [ -s "$folder/out" ]
if grep -q '^> ' "$folder/out" "$folder/err"; then fail "a mark in a pipe"; fi
cp "$folder/out" "$folder/first" && cp "$folder/err" "$folder/hashes"
chat 0 '' 'Hello\nWho?\n' -n 12 --hash
same "$folder/out" "$folder/first" "the same seed gave two texts"
chat 0 '' 'Hello\nWho?\n/quit\nnever\n' -n 12
same "$folder/out" "$folder/first" "/quit did not end it"
chat 0 '' '' -n 12
check [ ! -s "$folder/out" ]

# A new conversation gives what a new process gives; a system text changes it; two lines may be one message.
chat 0 '' 'Hello\n' -n 12 --hash
grep hash "$folder/err" >"$folder/one"
chat 0 '' 'other\n/reset\nHello\n' -n 12 --hash
check [ "$(grep hash "$folder/err" | tail -n 1)" = "$(cat "$folder/one")" ]
chat 0 '' 'Hello\n' -n 12 --hash --system 'Be brief.'
grep hash "$folder/err" >"$folder/system"
check [ "$(cat "$folder/system")" != "$(cat "$folder/one")" ]
chat 0 '' 'other\n/system Be brief.\nHello\n' -n 12 --hash
check [ "$(grep hash "$folder/err" | tail -n 1)" = "$(cat "$folder/system")" ]
chat 0 '' 'one\\\\\ntwo\n' -n 12 --hash
check [ "$(grep -c 'logits hash' "$folder/err")" = 1 ]

# Lines may end as they do on Windows; what is said is the same.
chat 0 '' 'Hello\r\nWho?\r\n/quit\r\nnever\r\n' -n 12 --hash
same "$folder/out" "$folder/first" "CR LF is another text"
chat 0 '' 'other\r\n/reset\r\nHello\r' -n 12 --hash
check [ "$(grep hash "$folder/err" | tail -n 1)" = "$(cat "$folder/one")" ]
chat 0 '' 'one\\\ntwo\n' -n 12 --hash
grep hash "$folder/err" >"$folder/joined"
chat 0 '' '\r\n \r\none\\\r\ntwo\r\n' -n 12 --hash
check [ "$(cat "$folder/joined")" = "$(grep hash "$folder/err")" ]

# Interrupted by the end of the process and taken up again from a file: the hashes of the straight conversation.
chat 0 '' 'Hello\n' -n 12 --hash --state-save "$folder/state"
chat 0 '' 'Who?\n' -n 12 --hash --state-load "$folder/state"
check [ "$(grep hash "$folder/err")" = "$(grep hash "$folder/hashes" | tail -n 1)" ]

# The same ids at once: the template's words around what is said, as one prompt.
ids=$($EDGELLM tokenize "$model" -i "$(printf 'User: Hello\nAssistant:')")
chat 0 '' 'Hello\n' -n 1 --hash
check [ "$(grep hash "$folder/err")" = "$($EDGELLM eval "$model" --ids "$ids" --hash --threads 1 2>&1 >/dev/null | grep hash)" ]

# What is refused, and what to do.
chat 2 'is none of llama3 chatml' 'a\n' --template llama
chat 2 'has no place for a system text' 'a\n' --template phi --system x
chat 2 'begins a conversation' 'a\n' --system x --state-load "$folder/state"
chat 2 'not a whole number from 1 to' 'a\n' -n 0
chat 2 'is not an option of "chat"' 'a\n' -i x
chat 1 'the context is full' 'Hello\nmore\n' --ctx 24 -n 100
chat 0 '' 'Hello\nmore\nand more\n' --window 24 -n 100
chat 1 'a message has more than' "$(printf '%070000d' 0)\n"
chat 0 'the answer was cut' 'Hello\n' -n 3 --seal=yes
for family in llama3 chatml bitnet mistral llama2 zephyr falcon3 phi rwkv plain; do chat 0 '' 'Hello\nyes\n' -n 3 --template $family; done

# Each answer has a line feed at its end and an empty line before the next; a message that is no command is a message.
chat 0 '' 'Hello\n' -n 12
cp "$folder/out" "$folder/first_answer"
chat 0 '' 'Hello\nWho?\n' -n 12
size=$(wc -c <"$folder/first_answer")
head -c "$size" "$folder/out" | cmp -s - "$folder/first_answer" || fail "the first of two answers is not the one answer"
check [ "$(tail -c +"$((size + 1))" "$folder/out" | head -c 1 | od -An -tx1)" = " 0a" ]
check [ "$(tail -c 1 "$folder/out" | od -An -tx1)" = " 0a" ]
for said in '/quit ' '/resets' '/system' '/system ' ' /quit' 'quit'; do
  chat 0 '' "$said\nmore\n" -n 2 --hash
  [ "$(grep -c 'logits hash' "$folder/err")" = 2 ] || fail "taken for a command: $said"
done
chat 0 'the chat template has no place for a system text' '/system x\n' -n 2 --template phi --hash
if grep -q 'logits hash' "$folder/err"; then fail "a system text without a place was said"; fi
chat 0 '' '/reset\n/system y\n/reset\n\n' -n 2 --hash
check [ ! -s "$folder/out" ]

# Notes: what was cut, what is full, which seed was drawn; the counts of --verbose.
chat 0 '^note: the answer was cut; -n allows more tokens$' 'Hello\n' -n 3
chat 0 '^note: the context is full: /reset, or start with a larger context (--ctx, up to 256) or a window' 'Hello\n' -n 100 --ctx 32
if grep -q 'was cut' "$folder/err"; then fail "a full context is no cut"; fi
chat 0 ' 256 out, ' 'Hello\n' --verbose --window 64  # its file has a template: as many as --ctx says, here by default
grep -q '^note: the answer was cut; -n allows more tokens$' "$folder/err" || fail "cut after as many tokens as --ctx says"
chat 0 ' 200 out, ' 'Hello\n' --verbose --window 64 --ctx 200
$EDGELLM_CONVERT synthetic:tiny "$folder/base.tm2" --chat none >/dev/null 2>&1 || fail "synthetic:tiny without a template"
echo Hello | $EDGELLM chat "$folder/base.tm2" -s 1 -t 1 --verbose --window 64 >"$folder/out" 2>"$folder/err"
answered 0 ' 512 out, ' $? "an answer of a model without a template"
chat 0 ' 3 out, ' 'Hello\nWho?\n' --verbose -n 3
turn=$($EDGELLM tokenize "$model" -i "$(printf 'User: Hello\nAssistant:')" | tr ',' '\n' | wc -l)
check [ "$(grep 'tokens in' "$folder/err" | head -n 1 | cut -d ' ' -f 1)" = "$turn" ]
# The second turn runs the id that was drawn last, and what the template puts behind an answer.
second=$($EDGELLM tokenize "$model" -i "$(printf '\nUser: Who?\nAssistant:')" | tr ',' '\n' | wc -l)
check [ "$(grep 'tokens in' "$folder/err" | tail -n 1 | cut -d ' ' -f 1)" -eq $((second + 1)) ]
echo Hello | $EDGELLM chat "$model" -n 2 >"$folder/out" 2>"$folder/err"
check grep -q '^seed [0-9]*$' "$folder/err"
seed=$(sed -n 's/^seed //p' "$folder/err")
echo Hello | $EDGELLM chat "$model" -n 2 -s "$seed" 2>"$folder/err" | cmp -s - "$folder/out" || fail "the seed that is said is not the one that was used"
check [ "$(grep -c '^seed ' "$folder/err")" = 0 ]
echo Hello | $EDGELLM chat "$model" -n 2 -t 0 >"$folder/out" 2>"$folder/err"
check [ "$(grep -c '^seed ' "$folder/err")" = 0 ]

# The longest message: 64 KiB with its line feed.
printf '%065535d\n/quit\n' 0 >"$folder/longest"
$EDGELLM chat "$model" -s 1 -n 1 --window 24 --threads 1 <"$folder/longest" >"$folder/out" 2>"$folder/err"
answered 1 'the message is too long: with the words of the template at most' $? "the longest message"
printf '%065536d\n/quit\n' 0 | $EDGELLM chat "$model" -s 1 -n 1 --window 24 --threads 1 >"$folder/out" 2>"$folder/err"
answered 1 'a message has more than 65536 bytes' $? "a longer message"
expected=$($EDGELLM chat "$model" -s 1 -t 1 -n 5 --threads 1 <<<'Hello' 2>/dev/null | od -An -tx1)
$EDGELLM chat "$model" -s 1 -t 1 -n 5 --threads 1 --tokenizer "$model" <<<'Hello' >"$folder/out" 2>"$folder/err"
check [ "$(od -An -tx1 "$folder/out")" = "$expected" ]

# A file without a template is talked to in plain text, and the note says so.
$EDGELLM_CONVERT synthetic:tiny "$model" >/dev/null 2>&1
chat 0 'no chat template' 'Hello\nWho?\n' -n 12
same "$folder/out" "$folder/first" "without a template it is another text than with plain"

# A model with a grammar and no template: each line is a request of its own, with the answer of a single run; nothing of the plain
# template is around it, and no note asks for one.
for home in models/home.srnn models/home.tm2; do
  printf '%s\n' 'dim the bedroom lamp to forty percent' 'turn on the kitchen light' '' 'what is the meaning of life' \
    'close the blinds in the living room at nine' '/reset' 'dim the bedroom lamp to forty percent' '/nonsense' ' /quit' >"$folder/lines"
  $EDGELLM chat $home --threads 1 <"$folder/lines" >"$folder/out" 2>"$folder/err"
  answered 0 '' $? "$home"
  check [ ! -s "$folder/err" ]
  : >"$folder/expected"
  grep -vx -e '' -e /reset "$folder/lines" | while IFS= read -r line; do
    if [ -s "$folder/expected" ]; then echo; fi
    $EDGELLM $home -i "$line" --threads 1 2>/dev/null
  done >"$folder/expected"
  check [ "$(grep -c . "$folder/expected")" = 7 ]
  same "$folder/out" "$folder/expected" "$home answers otherwise than in single runs"
  for option in "--system x" "--state-load $folder/state" "--state-save $folder/new"; do
    # shellcheck disable=SC2086
    echo a | $EDGELLM chat $home $option >"$folder/out" 2>"$folder/err"
    answered 2 "^edgellm: ${option%% *}: the model has a grammar and no chat template, so that each message is a request" $? "$home $option"
  done
  check [ ! -e "$folder/new" ]
  echo '/system Be brief.' | $EDGELLM chat $home >"$folder/out" 2>"$folder/err"
  answered 0 '^note: /system: the model has a grammar and no chat template' $? "$home: /system"
  check [ ! -s "$folder/out" ]
  echo 'turn on the kitchen light' | $EDGELLM chat $home -n 2 >"$folder/out" 2>"$folder/err"
  answered 1 '^edgellm: the answer was cut after 2 tokens, before its grammar ends: -n allows more$' $? "$home: half an answer"
  echo 'turn on the kitchen light' | $EDGELLM chat $home --template plain -n 100 --hash >"$folder/out" 2>"$folder/err"
  answered 0 'logits hash' $? "$home with a template"
done
long=$(printf 'turn on the light and %.0s' $(seq 100))
echo "$long" | $EDGELLM chat models/home.tm2 >"$folder/out" 2>"$folder/err"
answered 1 'the context is full: 5[0-9]* positions are needed, there are 256' $? "a request that is longer than the context"

# More names for the end, and what a pipe takes for a message: whatever is no command.
for word in /exit /bye; do
  chat 0 '' "Hello\nWho?\n$word\nnever\n" -n 12
  same "$folder/out" "$folder/first" "$word did not end it"
done
for word in /help '/?'; do
  chat 0 '^/system TEXT   begin one with another system text$' "$word\n" -n 12
  check [ ! -s "$folder/out" ]
done
chat 0 '' '/hepl\n/quit now\n' -n 2 --hash
check [ "$(grep -c 'logits hash' "$folder/err")" = 2 ]
# Nobody types: a history is neither read nor written.
chat 0 '' 'Hello\n' -n 2 --history "$folder/history"
check [ ! -e "$folder/history" ]

summary
