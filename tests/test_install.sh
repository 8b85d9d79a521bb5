#!/bin/bash
# What `make install` gives to a C programmer: README's program, compiled as it stands there against the installed header and
# library by the C compiler alone, tells the story that the program tells.
. tests/checks.sh
export LC_ALL=C
unset DESTDIR
case $EDGELLM_MODE in asan | tsan) echo "skipped: test_install: the sanitizers' runtime is C++"; exit 77 ;; esac

# expect WHAT COMMAND...
expect() {
  local what=$1
  shift
  checks=$((checks + 1))
  "$@" >"$folder/err" 2>&1 || fail "$what"
}

cmake --install "$EDGELLM_BUILD" --prefix "$folder/usr" >"$folder/err" 2>&1 || { cat "$folder/err"; exit 1; }
include="-I$folder/usr/include"
for file in bin/edgellm bin/edgellm-convert include/edgellm.h lib/libedgellm.a share/edgellm/stories.tm2; do
  expect "$file is installed" test -s "$folder/usr/$file"
done

# The header alone, in the oldest dialects that it promises.
strict="-Wall -Wextra -Wpedantic -Wshadow -Werror"
echo '#include <edgellm.h>' >"$folder/header.c"
expect "the header is C99" $EDGELLM_CC -std=c99 $strict -fsyntax-only $include "$folder/header.c"
expect "the header is C++98 with long long" $EDGELLM_CXX -x c++ -std=c++98 $strict -Wno-long-long -fsyntax-only $include \
  "$folder/header.c"

# No name but edgellm_* for C, none outside namespace edgellm for C++ (weak copies of <atomic>'s inline functions aside, which a
# build without optimisation holds).
stray() { "$EDGELLM_NM" --defined-only --extern-only "$1" 2>/dev/null | awk 'NF == 3 && $2 !~ /^[WVu]$/ && $3 !~ /^_?edgellm_|7edgellm/'; }
expect "the library defines only its own names" test -z "$(stray "$folder/usr/lib/libedgellm.a")"

# README's program.
awk '/^```c$/ { code = 1; next } /^```$/ { code = 0 } code' README.md >"$folder/story.c"
expect "README's program is C99 and links without a C++ library" $EDGELLM_CC -std=c99 $strict $include "$folder/story.c" \
  -L"$folder/usr/lib" -ledgellm -lm -lpthread ${EDGELLM_LINK:-} -o "$folder/story"
checks=$((checks + 1))
$EDGELLM models/stories.tm2 -t 0 -n 100 --ctx 512 -i "Once upon a time, Tom found a red" 2>/dev/null >"$folder/expected"
$EDGELLM_EMULATOR "$folder/story" >"$folder/told" 2>"$folder/err"
echo >>"$folder/told"
if ! [ -s "$folder/expected" ] || ! cmp -s "$folder/told" "$folder/expected"; then
  fail "README's program tells another story"
  cat "$folder/told" "$folder/expected"
fi
$EDGELLM_EMULATOR "$folder/story" README.md >/dev/null 2>"$folder/told"
expect "README's program refuses what is no model" grep -q 'not a model file' "$folder/told"

summary
