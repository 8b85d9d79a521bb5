#!/bin/bash
# What building and testing look like: `make` asks for no more than it has to, a missing tool is named in one line, progress is
# one line, warnings and errors are shown, and a program that skips a test says so and still counts.
. tests/checks.sh
export LC_ALL=C
unset MAKEFLAGS MAKELEVEL MFLAGS MAKE_TERMOUT CONFIGURE BUILD MODE CC CXX CFLAGS CXXFLAGS
source=$PWD

# expect CODE COMMAND...: the exit code; stdout and stderr go to $folder/err.
expect() {
  local code=$1 got
  shift
  checks=$((checks + 1))
  "$@" >"$folder/err" 2>&1 </dev/null
  got=$?
  [ $got -eq "$code" ] || fail "exit code $got, expected $code: $*"
}
shows() { checks=$((checks + 1)); grep -qE -e "$1" "$folder/err" || fail "lacks \"$1\""; }
lacks() { checks=$((checks + 1)); if grep -qE -e "$1" "$folder/err"; then fail "has \"$1\""; fi; }

# --- make -----------------------------------------------------------------------------------------------------------------
# builds TARGET WHAT...: the folders and targets of every build that make would begin.
builds() {
  local target=$1
  shift
  expect 0 make -n "$target" CXX=c++ CROSS=true
  sed -n 's/^cmake\/build\.sh \([^ ]*\) "\([^"]*\)".*/\1 \2/p' "$folder/err" >"$folder/builds"
  checks=$((checks + 1))
  [ "$(cat "$folder/builds")" = "$(printf '%s\n' "$@")" ] || fail "make $target builds other things"
}
if command -v make >/dev/null; then
  builds run 'build edgellm'
  builds all 'build all'
  builds install 'build all'
  builds test 'build tests'
  builds musl 'build/musl all'
  builds test-musl 'build/musl all' 'build edgellm-convert' 'build/musl tests'

  mkdir "$folder/bin"
  expect 2 env PATH="$folder/bin" "$(command -v make)"
  shows '^cmake is missing: apt-get install cmake'
  ln -s "$(command -v cmake)" "$folder/bin/cmake"
  expect 2 env PATH="$folder/bin" "$(command -v make)" run
  shows '^the compiler cc is missing: apt-get install g\+\+'
  expect 2 make run CXX='sea++ -m64'
  shows '^the compiler sea\+\+ is missing: apt-get install g\+\+'
else
  echo "skipped: test_build: what make does: no make"
fi

# --- cmake/build.sh -------------------------------------------------------------------------------------------------------
mkdir "$folder/toy" && cd "$folder/toy" || exit 1
toy() { printf '%s\n' 'cmake_minimum_required(VERSION 3.16...3.30)' 'project(toy LANGUAGES C)' "$@" >CMakeLists.txt; }
build() { "$source/cmake/build.sh" build all 2 -DCMAKE_C_COMPILER="$EDGELLM_CC"; }
toy 'add_executable(toy toy.c)' 'target_compile_options(toy PRIVATE -Wall)'
echo 'static int spare; int main(void) { return 0; }' >toy.c
expect 0 build
shows 'toy\.c.*warning:.*spare'
lacks '^\[|Entering directory|Building|dependencies'
expect 0 build
checks=$((checks + 1))
[ ! -s "$folder/err" ] || fail "nothing to do, and it speaks"
if script -qec true /dev/null >"$folder/err" 2>&1 </dev/null; then
  echo 'int main(void) { return 0; }' >toy.c
  expect 0 env TERM=xterm script -qec "'$source/cmake/build.sh' build all 2" /dev/null
  shows $'\r.*\[100%\] toy'
  checks=$((checks + 1))
  [ "$(wc -l <"$folder/err")" -eq 1 ] || fail "progress takes more than a line"
else
  echo "skipped: test_build: progress on a terminal: no script(1) of util-linux, or no terminals here"
fi
echo 'int main(void) { return nothing; }' >toy.c
expect 2 build
shows 'toy\.c.*error:.*nothing'
toy 'message(FATAL_ERROR "no such luck")'
expect 1 build
shows 'no such luck'
cd "$source" || exit 1

# --- What is skipped ------------------------------------------------------------------------------------------------------
export EDGELLM_DATA="$folder/none"
expect 77 $EDGELLM_EMULATOR "$EDGELLM_BUILD/test_convert" real_ternary_checkpoint real_float_checkpoint
shows "^skipped: test_convert: real_float_checkpoint: no $folder/none/checkpoints/stories260K\$"
expect 0 $EDGELLM_EMULATOR "$EDGELLM_BUILD/test_convert" tmac_version_2 real_float_checkpoint
shows '^ok   tmac_version_2$'
shows '^skip real_float_checkpoint$'
shows "^skipped: test_convert: real_float_checkpoint: no $folder/none/checkpoints/stories260K\$"
expect 1 $EDGELLM_EMULATOR "$EDGELLM_BUILD/test_convert" no_such_test

summary
