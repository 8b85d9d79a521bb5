#!/bin/bash
# The rules of the house that a compiler does not check. Usage: house_rules.sh BUILD_FOLDER MODE [NM [READELF [BYTES]]], where
# BYTES is what the program may have.
# Run in the source folder. Prints every breach with its file; exit code 1 when there is one.
set -u
export LC_ALL=C
build=$1 mode=$2 nm=${3:-nm} readelf=${4:-readelf} limit=${5:-$((115 * 1024 * 1024 / 100))}
breaches=0

# rule NAME FUNCTION: every line that the function prints is a breach.
rule() {
  local name=$1 line
  shift
  while IFS= read -r line; do
    if [ -n "$line" ]; then
      echo "$name: ${line:0:160}"
      breaches=$((breaches + 1))
    fi
  done < <("$@")
}

if [ -e .git ]; then
  files=$(git ls-files --cached --others --exclude-standard)
else
  files=$(find . -type f -not -path './build*' | sed 's|^\./||')
fi
list() { grep -E "$1" <<<"$files" | while IFS= read -r file; do if [ -f "$file" ]; then echo "$file"; fi; done; }
code=$(list '^(src|kernels|tools|tests)/.*\.(cpp|h|def)$')
runtime=$(list '^(src|kernels)/.*\.(cpp|h|def)$')
converter=$(list '^tools/convert/.*\.(cpp|h)$')
build_files=$(list '(CMakeLists\.txt|\.cmake|FLAGS|Makefile|Dockerfile|\.ci/.*|\.sh)$' | grep -v '^tests/house_rules\.sh$')
text="$code $build_files $(list '(\.(md|yml|yaml|json|service|plist)|LICENSE)$')"

# --- Includes -----------------------------------------------------------------------------------------------------------

floor() {
  case $1 in
    src/base/*) echo 0 ;;
    kernels/* | src/platform/*) echo 1 ;;
    src/file/* | src/text/*) echo 2 ;;
    src/arch/*) echo 3 ;;
    src/engine/*) echo 4 ;;
    src/server/* | src/cli/*) echo 5 ;;
    tools/convert/base/*) echo 10 ;;
    tools/convert/source/*) echo 11 ;;
    tools/convert/tokenizer/*) echo 12 ;;
    tools/convert/chat/*) echo 13 ;;
    tools/convert/family/*) echo 14 ;;
    tools/convert/output/*) echo 15 ;;
    tools/convert/*) echo 16 ;;
    *) echo 6 ;;  # main.cpp and the public interface
  esac
}

# Files of one room may include each other.
room() {
  case $1 in
    src/*/* | tools/convert/*/*) dirname "$1" ;;
    *) echo "${1%%/*}" ;;  # kernels; src: main.cpp and the public interface
  esac
}

# The file that an include in quotes names: roots are src/, kernels/ and tools/, and the folder of the includer.
resolve() {
  local candidate
  for candidate in "$(dirname "$1")/$2" "src/$2" "kernels/$2" "tools/$2"; do
    if [ -f "$candidate" ]; then echo "$candidate"; return; fi
  done
}

includes_go_down() {
  local file include target own
  for file in $runtime $converter; do
    own=$(floor "$file")
    while IFS= read -r include; do
      target=$(resolve "$file" "$include")
      if [ -z "$target" ]; then
        echo "$file includes $include, which is nowhere"
      elif [ "$(floor "$target")" -gt "$own" ]; then
        echo "$file includes $include from a floor above"
      elif [ "$(floor "$target")" -eq "$own" ] && [ "$(room "$target")" != "$(room "$file")" ]; then
        echo "$file includes $include from the room next door"
      fi
    done < <(sed -nE 's/^ *# *include "([^"]+)".*/\1/p' "$file")
  done
}
rule "includes go down" includes_go_down

no_os_headers() {
  local free='stdarg\.h|stddef\.h|stdint\.h|string\.h|math\.h|assert\.h|limits\.h|float\.h|immintrin\.h|arm_neon\.h|atomic'
  grep -nE '^ *# *include <' /dev/null $(list "^(kernels/.*|src/(arch|base|file|text)/.*|src/platform/.*\.h|src/edgellm\.h)\$") |
    grep -vE "<($free)>"
}
rule "no header of an operating system here" no_os_headers

no_library_headers() { grep -nE '^ *# *include <[a-z_]+>' /dev/null $runtime | grep -vE '<atomic>'; }
rule "no C++ library in the runtime" no_library_headers

# --- Text ---------------------------------------------------------------------------------------------------------------

rule "ASCII only" grep -nP '[^\x00-\x7F]' /dev/null $text
tabs() { grep -nP '\t' $(tr ' ' '\n' <<<"$text" | grep -v '^Makefile$') /dev/null; }
rule "no tabs" tabs
rule "no trailing blanks" grep -nE ' +$' /dev/null $code
rule "no flags that change results or tie to one machine" \
  grep -nE -- '-m(arch|cpu|tune)=native|-ffast-math|-Ofast|-funsafe-math|-ffp-contract=(fast|on)' /dev/null $build_files
rule "no path of a machine" grep -nE '(^|[^a-z0-9.)*}])/(work|root|home/[a-z]+)(/|$)' /dev/null $text

# Paths in the documents lead somewhere; a * stands for any name.
documents_name_what_is_there() {
  local file line name
  grep -noE '(^|[^A-Za-z0-9_./-])(\.ci|cmake|deploy|docs|kernels|models|src|tests|tools)/[A-Za-z0-9_./*-]*[A-Za-z0-9_*]' $(list '\.md$') /dev/null |
    while IFS=: read -r file line name; do
      name=${name#[!.a-z]}
      compgen -G "$name" >/dev/null || echo "$file:$line names $name, which is not there"
    done
}
rule "documents name what is there" documents_name_what_is_there

# --- Objects and programs (ELF) ------------------------------------------------------------------------------------------

# An inline function compiled for a newer CPU could become the copy that baseline code calls: so one strong symbol, the
# function that installs the kernels, and nothing weak.
one_symbol_each() {
  local object symbols
  for object in $(find "$objects"/kernels/*/ -name '*.o' -not -path '*/ref/*'); do
    symbols=$("$nm" --defined-only --extern-only "$object" | awk '{ print $2, $3 }')
    if [ "$(grep -c '^T ' <<<"$symbols")" -ne 1 ] || [ "$(wc -l <<<"$symbols")" -ne 1 ]; then
      echo "${object#"$build"/} has" $symbols
    fi
  done
}

outside_symbols() {
  "$nm" --undefined-only "$build/libedgellm.a" 2>/dev/null | awk '{ print $2 }' | sort -u |
    grep -xE '_ZN?K?St.*|_Z(nw|na|dl|da).*|__cxa_.*|__gxx_.*|_Unwind.*|.*printf(_chk)?|(m|c|re)alloc|free|fopen|exit'
}

global_constructors() { "$readelf" -SW "$build/libedgellm.a" 2>/dev/null | grep -E '\.(init_array|ctors)'; }

static_program() {
  "$readelf" -lW "$build/edgellm" | grep INTERP
  "$readelf" -dW "$build/edgellm" | grep NEEDED
}

# Linux on arm64 may have pages of 4, 16 or 64 KiB: segments must keep 64 KiB apart.
page_sizes() {
  "$readelf" -hW "$build/edgellm" | grep -q 'Machine:.*AArch64' || return
  "$readelf" -lW "$build/edgellm" | awk '$1 == "LOAD" && $NF != "0x10000" { print "a segment aligned to", $NF }'
}

program_size() {
  local size
  size=$(wc -c <"$build/edgellm")
  if [ "$size" -gt "$limit" ]; then echo "edgellm has $size bytes, the limit is $limit"; fi
}

build_paths() {
  local program
  for program in edgellm edgellm-convert; do
    if [ -f "$build/$program" ] &&
      grep -aqF -e "$PWD/src/" -e "$PWD/kernels/" -e "$PWD/tools/" -e "$PWD/build" "$build/$program"; then
      echo "$program holds $PWD"
    fi
  done
}

objects="$build/CMakeFiles/edgellm_core.dir"
if [ -d "$objects" ] && [ "$(uname -s)" = Linux ] && [[ $mode = release || $mode = debug ]]; then
  rule "one symbol for each kernel object" one_symbol_each
  rule "not in the runtime" outside_symbols
  rule "no global constructors" global_constructors
  if [ "$mode" = release ] && [ -f "$build/edgellm" ]; then
    rule "the program is static" static_program
    rule "the program is small" program_size
    rule "the program fits every page size" page_sizes
    rule "no folder of the build in a program" build_paths
  fi
fi

echo "house rules: $breaches breaches, $(wc -l <<<"$files") files"
[ "$breaches" -eq 0 ]
