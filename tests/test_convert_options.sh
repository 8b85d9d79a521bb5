#!/bin/bash
# Each option of the converter: what it changes in the file, in either way of writing it, and the exact words where its value is
# refused. EDGELLM and EDGELLM_CONVERT are the commands that start the two programs.
. tests/checks.sh

model=$folder/m.tm2

# refuses WORDS ARGUMENTS...: wrong usage, in exactly these words.
refuses() {
  local words=$1 got
  shift
  $EDGELLM_CONVERT "$@" >"$folder/out" 2>"$folder/err" </dev/null
  got=$?
  checks=$((checks + 1))
  printf '%s\n' "edgellm-convert: $words" 'edgellm-convert --help lists the options' >"$folder/expected"
  [ $got -eq 2 ] && cmp -s "$folder/expected" "$folder/err" || fail "exit code $got, expected 2 and \"$words\": $*"
  [ -e "$model" ] && fail "a refused conversion leaves a file: $*"
}

refuses 'expected SRC and DST, there are 3 names' a b c
refuses 'SRC is missing, expected SRC and maybe DST' --name x
refuses 'SRC is missing, expected SRC and maybe DST' -v
refuses 'SRC is empty, expected the name of a file or a folder' ''
refuses 'SRC is empty, expected the name of a file or a folder' '' "$model"
refuses 'DST is empty, expected the name of a file' synthetic:tiny ''
refuses 'unknown option --frob' synthetic:tiny "$model" --frob
refuses 'unknown option --frob' synthetic:tiny "$model" --frob=1
refuses 'unknown option -w' synthetic:tiny "$model" -w t2
refuses 'unknown option --weight: did you mean --weights?' synthetic:tiny "$model" --weight t2
refuses 'unknown option --wieghts: did you mean --weights?' synthetic:tiny "$model" --wieghts=t2
refuses 'unknown option --tokeniser: did you mean --tokenizer?' synthetic:tiny "$model" --tokeniser x
refuses 'unknown option --temprature: did you mean --temperature?' synthetic:tiny "$model" --temprature 1
refuses 'unknown option --verfy: did you mean --verify?' synthetic:tiny "$model" --verfy
refuses 'unknown option --halp: did you mean --help?' --halp
refuses '-h takes no value' -h=1
refuses '--verify takes no value' synthetic:tiny "$model" --verify=
refuses '--help takes no value' --help=yes
formats='expected t2, t5, i8, i4, f16 or f32'
for option in --weights --embed --head; do
  refuses "$option q4: $formats" synthetic:tiny "$model" $option q4
  refuses "$option T2: $formats" synthetic:tiny "$model" $option=T2
  refuses "$option : $formats" synthetic:tiny "$model" $option=
done
for option in --weights --embed --head --tokenizer --chat --lora --rope --i2s-layout --sparsity --sparsity-layout --sparse \
  --verify-text --temperature --grammar --name; do
  refuses "$option needs a value" synthetic:tiny "$model" $option
done
refuses '--rope both: expected half or interleaved' synthetic:tiny "$model" --rope both
refuses '--i2s-layout mips: expected x86 or arm' synthetic:tiny "$model" --i2s-layout mips
refuses '--sparse no: expected compact, fast or dense' synthetic:tiny "$model" --sparse no
refuses '--sparsity-layout odd: expected tensor or erk' synthetic:tiny "$model" --sparsity-layout odd
refuses '--i2s-layout: synthetic:tiny has no I2_S tensors' synthetic:tiny "$model" --i2s-layout x86
refuses '--rope: this model has no rotary embedding' synthetic:rwkv7-tiny "$model" --rope half
refuses '--chat x: expected none, llama3, chatml, bitnet, mistral, llama2, zephyr, falcon3, phi, rwkv, plain' \
  synthetic:tiny "$model" --chat x
for value in 1 -0.1 x 0.5x '' nan inf 1e400; do
  refuses "--sparsity $value: expected 0 to less than 1" synthetic:tiny "$model" --sparsity "$value"
done
for value in 100 -1 x '' nan; do
  refuses "--temperature $value: expected 0 to less than 100" synthetic:tiny "$model" --temperature "$value"
done
refuses '--temperature 1e-46: is 0 as an f32' synthetic:tiny "$model" --temperature 1e-46
refuses '--sparsity 1e-60: is 0 as an f32' synthetic:tiny "$model" --sparsity 1e-60

# says TEXT ARGUMENTS...: a conversion after which `info` has a line like this (an extended regular expression).
says() {
  local text=$1
  shift
  checks=$((checks + 1))
  $EDGELLM_CONVERT synthetic:tiny "$model" "$@" >"$folder/out" 2>"$folder/err" </dev/null || fail "exit code $?: $*"
  $EDGELLM info "$model" --tensors >"$folder/info" 2>>"$folder/err"
  grep -qE -e "$text" "$folder/info" || fail "info lacks \"$text\": $*"
  rm -f "$model"
}

says '^name  +synthetic:tiny$'
says '^name  +a=b$' --name=a=b
says '^name  +--verify$' --name --verify
says '^name  +last$' --name first --name last
says '^source  +random weights synthetic:tiny, edgellm-convert [0-9.]+$'
says '^temperature  +0\.5$|^temperature  +0\.500000000$' --temperature 0.5
says '^temperature  +99\.9' --temperature=99.9
says '^temperature  +0(\.0+)?$' --temperature 0
says '^rope  +half$'
says '^rope  +interleaved$' --rope interleaved
says '^rope  +half$' --rope=half
says '^layers.0.q  .* t2 tensor scale token'
says '^layers.0.q  .* t5 tensor scale token' --weights t5
says '^layers.1.down  .* i8_mask row scales token' --weights=i8
says '^layers.1.down  .* i8 row scales token' --weights=i8 --sparse=dense
says '^layers.1.down  .* f16  ' --weights f16
says '^embed  .* f32  ' --weights f32
says '^embed  .* f16  ' --embed f16
says '^embed  .* i8 row scales group32' --head f16
says '^head  .* f16  ' --head=f16
says '^embed  .* i4 group32' --embed i4 --head i4
says '^chat  +chatml$' --chat chatml
says '^layers.0.up  .* i8_mask row scales token .* 90\.0 % zeros' --weights i8 --sparsity 0.9
says '^layers.0.up  .* i8_group row scales token' --weights i8 --sparsity 0.9 --sparse fast
says '^layers.0.up  .* i8 row scales token .* 90\.0 % zeros' --weights i8 --sparsity 0.9 --sparse dense
says '^layers.0.up  .* t2 .*[45][0-9]\.[0-9] % zeros' --sparsity 0
# Of 64 x 64, 32 x 64 and 176 x 64 the small ones keep more.
says '^layers.0.k  .* 63\.0 % zeros' --weights i8 --sparsity 0.8 --sparsity-layout erk
says '^layers.0.up  .* 83\.2 % zeros' --weights i8 --sparsity 0.8 --sparsity-layout=erk
says '^layers.0.k  .* 80\.0 % zeros' --weights i8 --sparsity 0.8 --sparsity-layout tensor
says '^tokenizer  +2752 bytes$'
says '^tokenizer  +0 bytes$' --tokenizer none
says '^layers.1.down ' --verify
check grep -q '^verified: checksums and every weight$' "$folder/err"
says '^layers.1.down ' --verify-text 'abc'
check grep -q '^the tokenizer makes 3 ids of the text, which give the same text$' "$folder/err"
check grep -qE '^against the source in f32, 3 tokens: ' "$folder/err"
says '^layers.1.down ' --verify-text ''
check grep -q '^the tokenizer makes 231 ids of the text' "$folder/err"
check [ -z "$(ls "$folder" | grep -E 'partial|f32')" ]

# What is asked for is printed, and nothing else is done; what stands before it is still read.
$EDGELLM_CONVERT --version synthetic:tiny "$model" --frob >"$folder/out" 2>"$folder/err"
check [ $? -eq 0 ]
check [ ! -s "$folder/err" ] && check [ "$(wc -l <"$folder/out")" -eq 1 ] && check [ ! -e "$model" ]
refuses 'unknown option --frob' --frob --help
$EDGELLM_CONVERT --help >"$folder/out"
check [ "$(head -n 1 "$folder/out")" = 'edgellm-convert SRC [DST] [options]' ]
check [ "$(awk 'length > 80' "$folder/out" | wc -l)" -eq 0 ]
check [ "$(awk 'length > 70' "$folder/out" | wc -l)" -gt 10 ]
check [ "$(grep -c '^                       [^ ]' "$folder/out")" -gt 10 ]
headings=$(grep -xE 'Sources|Formats|Text|Changes|Checks and reports|Examples|Exit codes' "$folder/out" | tr '\n' ,)
check [ "$headings" = 'Sources,Formats,Text,Changes,Checks and reports,Examples,Exit codes,' ]
check [ "$(sed -n '/^Examples/,/^$/p' "$folder/out" | grep -c '^  edgellm-convert ')" -ge 5 ]
check grep -qxF "  --rope KIND          pairs of the rotary embedding, half or interleaved, where" "$folder/out"
check grep -qxF '                       SRC is wrong about them: TM2 version 1 files made from' "$folder/out"
check grep -qxF '  --sparsity-layout L  tensor: the same share of each matrix (default); erk:' "$folder/out"
check grep -qxF '  -h, --help           this text; help does the same' "$folder/out"
# In other words, and as the name of a file where there is another one.
for words in -h help 'synthetic:tiny -h' '--frobless=no -h'; do
  $EDGELLM_CONVERT $words >"$folder/other" 2>"$folder/err"
  got=$? checks=$((checks + 1))
  case $words in
    --frobless*) [ $got -eq 2 ] || fail "$words" ;;
    *) [ $got -eq 0 ] && cmp -s "$folder/out" "$folder/other" || fail "$words does not print the help" ;;
  esac
done
$EDGELLM_CONVERT --version >"$folder/out"
$EDGELLM_CONVERT version >"$folder/other"
check cmp -s "$folder/out" "$folder/other"
$EDGELLM_CONVERT help "$model" 2>"$folder/err"
check [ $? -eq 1 ] && check grep -q '^edgellm-convert: help: No such file or directory$' "$folder/err"
if [ -e /dev/full ]; then
  $EDGELLM_CONVERT --help >/dev/full 2>"$folder/err"
  got=$? checks=$((checks + 1))
  [ $got -eq 1 ] && [ "$(cat "$folder/err")" = 'edgellm-convert: standard output: cannot write: no space left' ] || fail "--help to a full disk"
fi
summary
