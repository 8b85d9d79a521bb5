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
chat 2 'at least one token' 'a\n' -n 0
chat 2 'is not an option of "chat"' 'a\n' -i x
chat 1 'the context is full' 'Hello\nmore\n' --ctx 24 -n 100
chat 0 '' 'Hello\nmore\nand more\n' --window 24 -n 100
chat 1 'a message has more than' "$(printf '%070000d' 0)\n"
chat 0 'the answer was cut' 'Hello\n' -n 3 --seal=yes
for family in llama3 chatml bitnet mistral llama2 zephyr falcon3 phi rwkv plain; do chat 0 '' 'Hello\nyes\n' -n 3 --template $family; done

# A file without a template is talked to in plain text, and the note says so.
$EDGELLM_CONVERT synthetic:tiny "$model" >/dev/null 2>&1
chat 0 'no chat template' 'Hello\nWho?\n' -n 12
same "$folder/out" "$folder/first" "without a template it is another text than with plain"

summary
