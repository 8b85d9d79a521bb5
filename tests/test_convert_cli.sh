#!/bin/bash
# The converter from outside: exit codes, messages, and that nothing is left behind. EDGELLM and EDGELLM_CONVERT are the
# commands that start the two programs, an emulator included.
. tests/checks.sh

# expect CODE PATTERN ARGUMENTS...: the exit code, and a pattern that stderr must hold.
expect() {
  local code=$1 pattern=$2
  shift 2
  $EDGELLM_CONVERT "$@" >"$folder/out" 2>"$folder/err" </dev/null
  answered "$code" "$pattern" $? "$*"
}

# lacks PATTERN FILE: a file has nothing like it.
lacks() {
  ! grep -q -e "$1" "$2"
}

model=$folder/tiny.tm2
expect 2 '^edgellm-convert SRC '
expect 1 'one: No such file or directory' one
expect 2 'expected SRC and DST' one two three
expect 2 'unknown option --frob' synthetic:tiny "$model" --frob
expect 2 '--weights q4: expected t2, t5, i8, i4, f16 or f32' synthetic:tiny "$model" --weights q4
expect 2 '--weights needs a value' synthetic:tiny "$model" --weights
expect 2 '--verify takes no value' synthetic:tiny "$model" --verify=yes
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
expect 3 'is a folder without config.json' "$folder" "$model"
check lacks 'random weights' "$folder/err"
[ "$(ls "$folder")" = "$(printf 'err\nnoise\nout')" ] || fail "files were left: $(ls "$folder" | tr '\n' ' ')"

expect 0 '' --help
mv "$folder/out" "$folder/help"
for word in FILE.pth RWKV-7 Mamba-2 RetNet MistralForCausalLM PhiForCausalLM bitnet-b1.58 TMAC llama2.c; do
  check grep -qF -e "$word" "$folder/help"
done
expect 2 'expected one of tiny, ' synthetic:huge "$model"
shapes=$(sed -n 's/.*expected one of //p' "$folder/err" | tr -d ,)
for shape in $shapes; do
  check grep -qE " $shape(,|\$)" "$folder/help"
  [[ $shape = *tiny ]] || continue
  expect 0 'matrices' "synthetic:$shape" "$model"
  check $EDGELLM "$model" --check -i a -n 3 -t 0 >"$folder/out" 2>"$folder/err"
done
# Every option is in --help, and what is in --help is an option.
options=$(sed -n '/ OPTIONS\[\] = {/,/^};/s/^    {"\(--[a-z0-9-]*\)".*/\1/p' tools/convert/main.cpp)
check [ "$(echo "$options" | wc -l)" -ge 18 ]
check [ "$options" = "$(sed -n 's/^  \(-[a-z], \)\{0,1\}\(--[a-z0-9-]*\) .*/\2/p' "$folder/help")" ]
expect 0 '' --version
check grep -q '^edgellm-convert [0-9]' "$folder/out"

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
  checks=$((checks + 2))
  $EDGELLM info "$model" >"$folder/out" 2>"$folder/err" || fail "info of tiny $weights"
  check grep -q "tiny $weights" "$folder/out"
  $EDGELLM "$model" --check -i a -n 3 -t 0 >"$folder/out" 2>"$folder/err" || fail "run of tiny $weights"
done

# What ternary weights cost a model that was not trained so is said.
expect 0 'was not trained ternary: .*docs/PERPLEXITY.md' synthetic:rwkv7-tiny "$model" --weights t2
expect 0 'matrices' synthetic:tiny "$model" --weights t2
check lacks 'not trained ternary' "$folder/err"

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
check grep -q 'against the source in f32' "$folder/err"
$EDGELLM "$model" --check -i a -n 3 -t 0 >"$folder/out" 2>"$folder/err" || fail "run of a sparse model"
check [ -z "$(ls "$folder" | grep partial)" ]
expect 0 'note: of the sparse forms, compact suits AVX-512' synthetic:rwkv7-tiny "$model" --sparsity 0.9 --sparse fast
expect 0 'i8_mask' synthetic:rwkv7-tiny "$model" --sparsity 0.9
$EDGELLM info "$model" --json >"$folder/out" 2>"$folder/err" || fail "info of a sparse model"
check grep -q '"layers.0.r":0.8999' "$folder/out"
check grep -q 'zeros in the matrices of integers; dense in i8: ' <($EDGELLM info "$model" --tensors 2>"$folder/err")

# Greedy, as the file says; drawn by a seed, when one says so.
expect 0 'matrices' synthetic:tiny "$model" --temperature 0
checks=$((checks + 1))
$EDGELLM "$model" -i a -n 3 >"$folder/out" 2>"$folder/err" || fail "run of a greedy model"
check lacks 'seed' "$folder/err"
$EDGELLM "$model" -i a -n 3 -t 0.5 >"$folder/out" 2>"$folder/err" || fail "run of a greedy model with a temperature"
check grep -q 'seed' "$folder/err"

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
check grep -Eqx '([ab]c){3}' "$folder/out"
check grep -q '^grammar  *2, 2, 3, 97, 1, 98, 1, 99, 0$' <($EDGELLM info "$model" --tensors 2>"$folder/err")

# A file-size limit stands for a full disk.
rm "$model"
(ulimit -f 8; $EDGELLM_CONVERT synthetic:tiny "$model" >"$folder/out" 2>"$folder/err")
[ $? -eq 1 ] || fail "a full disk is not exit code 1"
check grep -q 'cannot write' "$folder/err"
check [ -z "$(ls "$folder" | grep tm2)" ]
(ulimit -f 8; $EDGELLM_CONVERT synthetic:tiny "$model" <&- >"$folder/out" 2>"$folder/err")  # the file is descriptor 0
check [ -z "$(ls "$folder" | grep tm2)" ]

# Whoever interrupts a conversion finds the older file, and nothing else.
for signal in INT TERM HUP; do
  checks=$((checks + 1))
  echo older >"$model"
  timeout --preserve-status -s $signal 0.5 $EDGELLM_CONVERT synthetic:bitnet-2b4t "$model" >"$folder/out" 2>"$folder/err"
  got=$?
  [ $got -eq $((128 + $(kill -l $signal))) ] || fail "exit code $got after SIG$signal"
  [ "$(cat "$model")" = older ] || fail "SIG$signal changes the older file"
  check [ -z "$(ls "$folder" | grep partial)" ]
done

# A text side that is missing is said when the file is made, and in the same words when it is used; what was left out as asked for is
# not.
no_tokenizer='the model has no tokenizer: it takes and gives ids'
no_template='the model has no chat template: a conversation is written as plain text'
expect 0 "^warning: $no_template; edgellm-convert --chat NAME puts one in" synthetic:tiny "$model"
echo Hello | $EDGELLM chat "$model" -n 1 >"$folder/out" 2>"$folder/err"
check grep -q "^note: $no_template" "$folder/err"
expect 0 '' synthetic:tiny "$model" --chat plain
check lacks warning "$folder/err"
expect 0 '' synthetic:tiny "$model" --tokenizer none
check lacks warning "$folder/err"
checks=$((checks + 3))
$EDGELLM "$model" -i 1,2 -n 3 -t 0 >"$folder/out" 2>"$folder/err" || fail "run of a model without a tokenizer"
check grep -q "^note: $no_tokenizer" "$folder/err"
echo Hello | $EDGELLM chat "$model" >"$folder/out" 2>"$folder/err"
[ $? -eq 1 ] && grep -q "$no_tokenizer; --tokenizer FILE" "$folder/err" || fail "chat runs without a tokenizer"
$EDGELLM tokenize "$model" -i a >"$folder/out" 2>"$folder/err"
[ $? -eq 3 ] && grep -q "$no_tokenizer" "$folder/err" || fail "tokenize runs without a tokenizer"
expect 0 "^warning: $no_tokenizer; edgellm-convert --tokenizer PATH puts one in" tests/golden/recurrent/mamba "$model"

# A destination is a regular file, or new: what else stands there stays. The nodes are ours.
nodes=$folder/nodes
mkdir "$nodes"
untouched() {  # PATTERN PATH: refused, and still what it was
  local before
  before=$(stat -c '%F %i %t %T' "$2")
  expect 2 "$1, expected the name of a file" synthetic:tiny "$2"
  [ "$(stat -c '%F %i %t %T' "$2")" = "$before" ] || fail "$2 was replaced"
  [ -e "$2.partial" ] && fail "$2.partial is left"
}
mkdir "$nodes/folder"
mkfifo "$nodes/fifo"
untouched 'is a folder' "$nodes/folder"
untouched 'is a named pipe' "$nodes/fifo"
ln -s fifo "$nodes/to-fifo"
untouched 'is a named pipe' "$nodes/to-fifo"
if mknod "$nodes/full" c 1 7 2>/dev/null; then
  untouched 'is a device' "$nodes/full"
  ln -s full "$nodes/to-full"
  untouched 'is a device' "$nodes/to-full"
else
  echo "skipped: test_convert_cli: a device as the destination: mknod is not permitted"
fi
if command -v python3 >/dev/null; then
  python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$nodes/socket"
  untouched 'is a socket' "$nodes/socket"
else
  echo "skipped: test_convert_cli: a socket as the destination: there is no python3 to make one"
fi
expect 2 'DST is empty' synthetic:tiny ""
expect 0 'note: the tokenizer has no <|im_start|>, which the chat template chatml writes' synthetic:tiny "$model" --chat chatml
# A FIFO as a source is refused as well, and nobody waits for its writer.
expect 1 'not a regular file' "$nodes/fifo" "$nodes/new.tm2"
ln -s circle "$nodes/circle"
expect 2 'lead in a circle' synthetic:tiny "$nodes/circle"

# A link stays, and the file that it names is made or replaced, with the rights that it had.
mkdir "$nodes/elsewhere"
ln -s elsewhere/made.tm2 "$nodes/link"
ln -s "$nodes/link" "$nodes/to-link"
expect 0 '' synthetic:tiny "$nodes/to-link"
[ -f "$nodes/elsewhere/made.tm2" ] && [ -L "$nodes/link" ] && [ -L "$nodes/to-link" ] || fail "a link is not followed"
echo older >"$nodes/elsewhere/made.tm2"
chmod 640 "$nodes/elsewhere/made.tm2"
expect 0 '' synthetic:tiny "$nodes/link"
[ "$(stat -c %a "$nodes/elsewhere/made.tm2")" = 640 ] || fail "the rights of a replaced file are lost"
$EDGELLM info "$nodes/link" >/dev/null 2>"$folder/err" || fail "what a link names is not replaced"
(umask 027; $EDGELLM_CONVERT synthetic:tiny "$nodes/new.tm2" 2>"$folder/err")
[ "$(stat -c %a "$nodes/new.tm2")" = 640 ] || fail "a new file does not follow the umask"

# What an earlier run left goes; what is nobody's leftover does not, nor what a run is writing.
echo left >"$nodes/new.tm2.partial"
expect 0 '' synthetic:tiny "$nodes/new.tm2"
[ -e "$nodes/new.tm2.partial" ] && fail "a partial file is left"
echo precious >"$nodes/precious"
ln -s precious "$nodes/new.tm2.partial"
expect 1 'is a symbolic link and in the way' synthetic:tiny "$nodes/new.tm2"
[ "$(cat "$nodes/precious")" = precious ] && [ -L "$nodes/new.tm2.partial" ] || fail "a planted link is followed"
rm "$nodes/new.tm2.partial"
mkdir "$nodes/new.tm2.partial"
expect 1 'is a folder and in the way' synthetic:tiny "$nodes/new.tm2"
rmdir "$nodes/new.tm2.partial"
echo mine >"$nodes/new.tm2.f32"
expect 0 '' synthetic:tiny "$nodes/new.tm2" --verify
[ "$(cat "$nodes/new.tm2.f32")" = mine ] || fail "--verify writes over a file"
if command -v flock >/dev/null; then
  echo held >"$nodes/new.tm2.partial"
  checks=$((checks + 1))
  flock "$nodes/new.tm2.partial" $EDGELLM_CONVERT synthetic:tiny "$nodes/new.tm2" 2>"$folder/err"
  [ $? -eq 1 ] && grep -q 'being written by another conversion' "$folder/err" || fail "two runs write one file"
  [ "$(cat "$nodes/new.tm2.partial")" = held ] || fail "the file of another run is gone"
  rm "$nodes/new.tm2.partial"
else
  echo "skipped: test_convert_cli: two runs to one file: there is no flock"
fi

# No source is written over, whatever its name: by way of a link, a second name, or the temporary one.
cp "$grammar" "$nodes/grammar.json"
for name in grammar.json hard soft; do
  [ $name = hard ] && ln "$nodes/grammar.json" "$nodes/hard"
  [ $name = soft ] && ln -s grammar.json "$nodes/soft"
  expect 2 'is a source of this conversion' synthetic:tiny "$nodes/$name" --grammar "$nodes/grammar.json"
  cmp -s "$grammar" "$nodes/grammar.json" || fail "$name: a source is lost"
done
cp -r tests/golden/recurrent/mamba "$nodes/mamba"
chmod -R u+w "$nodes/mamba"
echo "not read" >"$nodes/mamba/merges.txt"
(cd "$nodes/mamba" && cksum *) >"$folder/sums"
for name in model.safetensors config.json; do
  expect 2 'is a file of\|is a source of this conversion' "$nodes/mamba" "$nodes/mamba/$name"
done
ln "$nodes/mamba/model.safetensors" "$nodes/second-name"
expect 2 'is a source of this conversion' "$nodes/mamba" "$nodes/second-name"
expect 2 'merges.txt is a file of .*/mamba and no model file' "$nodes/mamba" "$nodes/mamba/merges.txt"
(cd "$nodes/mamba" && cksum *) | cmp -s - "$folder/sums" || fail "a file of a source folder is lost"
expect 0 '' "$nodes/mamba" "$nodes/mamba/model.tm2"
expect 0 '' "$nodes/mamba" "$nodes/mamba/model.tm2"
cp "$grammar" "$nodes/x.partial"
expect 2 'is a source of this conversion' synthetic:tiny "$nodes/x" --grammar "$nodes/x.partial"
cmp -s "$grammar" "$nodes/x.partial" || fail "a source with the temporary name is lost"
[ -e "$nodes/x" ] && fail "a refused conversion leaves a file"

# A disk without room, where one may be made.
if unshare -rm true 2>/dev/null && unshare -rm mount -t tmpfs -o size=64k none "$nodes/elsewhere" 2>/dev/null; then
  checks=$((checks + 1))
  unshare -rm sh -c "mount -t tmpfs -o size=64k none '$nodes/elsewhere' && echo older >'$nodes/elsewhere/m' &&
    { $EDGELLM_CONVERT synthetic:tiny '$nodes/elsewhere/m' --weights f32; code=\$?; ls '$nodes/elsewhere'; cat '$nodes/elsewhere/m'; exit \$code; }" \
    >"$folder/out" 2>"$folder/err"
  [ $? -eq 1 ] && grep -q 'no space left' "$folder/err" || fail "a full disk is not named"
  [ "$(cat "$folder/out")" = "$(printf 'm\nolder')" ] || fail "a full disk changes what is on it: $(cat "$folder/out")"
else
  echo "skipped: test_convert_cli: a full disk: mount is not permitted"
fi

# Nobody reads: 141, in silence, and the file is whole or not there.
checks=$((checks + 3))
mkfifo "$folder/pipe"
: <"$folder/pipe" &  # opens it, and goes
exec 5>"$folder/pipe"
wait $!
$EDGELLM_CONVERT --help >&5 2>"$folder/err"
code=$?
[ $code -eq 141 ] && [ ! -s "$folder/err" ] || fail "a closed pipe gives $code"
(trap '' PIPE; $EDGELLM_CONVERT --help >&5 2>"$folder/err")
code=$?
[ $code -eq 141 ] && [ ! -s "$folder/err" ] || fail "a closed pipe gives $code where SIGPIPE is ignored"
echo older >"$model"
$EDGELLM_CONVERT synthetic:tiny "$model" 2>&5
code=$?
[ $code -eq 141 ] || fail "a conversion whose report nobody reads gives $code"
[ "$(cat "$model")" = older ] && [ ! -e "$model.partial" ] || fail "a conversion that a closed pipe ended leaves something"
exec 5>&-
if [ -c "$nodes/full" ] && (: >"$nodes/full") 2>/dev/null; then
  checks=$((checks + 1))
  $EDGELLM_CONVERT --help >"$nodes/full" 2>"$folder/err"
  [ $? -eq 1 ] && grep -q 'no space left' "$folder/err" || fail "a text that cannot be written is a success"
fi

summary
