#!/bin/bash
# The rules of the house that a compiler does not check. Usage: house_rules.sh BUILD_FOLDER MODE [NM [READELF [BYTES]]], where
# BYTES is what the program may have.
# Run in the source folder. Prints every breach with its file; exit code 1 when there is one.
set -u
export LC_ALL=C
build=$1 mode=$2 nm=${3:-nm} readelf=${4:-readelf} limit=${5:-$((15 * 1024 * 1024 / 10))}
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
converter=$(list '^tools/convert/.*\.(cpp|h|def)$')
build_files=$(list '(CMakeLists\.txt|\.cmake|FLAGS|Makefile|Dockerfile|\.ci/.*|\.sh)$' | grep -v '^tests/house_rules\.sh$')
text="$code $build_files $(list '(\.(md|yml|yaml|json|service|plist)|LICENSE)$')"

# --- Includes -----------------------------------------------------------------------------------------------------------

# Includes in quotes: what is included stands on a floor below or in the same room. The roots are the includer's folder, src/,
# kernels/ and tools/. A source file and its header are one thing, and nothing may lead back to itself. Each room of the
# converter is a floor of its own, so that its rooms form no circle either.
includes() {
  awk '
    function floor(file) {
      if (file ~ /^src\/base\//) return 0
      if (file ~ /^(kernels|src\/platform)\//) return 1
      if (file ~ /^src\/(file|text)\//) return 2
      if (file ~ /^src\/arch\//) return 3
      if (file ~ /^src\/engine\//) return 4
      if (file ~ /^src\/server\//) return 5
      if (file ~ /^src\/cli\//) return 6
      if (file ~ /^src\//) return 7  # main.cpp and the public interface
      if (file ~ /^tools\/convert\/base\//) return 8
      if (file ~ /^tools\/convert\/source\//) return 9
      if (file ~ /^tools\/convert\/tokenizer\//) return 10
      if (file ~ /^tools\/convert\/chat\//) return 11
      if (file ~ /^tools\/convert\/family\//) return 12
      if (file ~ /^tools\/convert\/change\//) return 13
      if (file ~ /^tools\/convert\/output\//) return 14
      return 15  # main.cpp and convert.cpp of the converter
    }
    function folder(file) { return match(file, /.*\//) ? substr(file, 1, RLENGTH - 1) : "" }
    function room(file) { return file ~ /^kernels\// ? "kernels" : folder(file) }
    function thing(file) { sub(/\.(cpp|h)$/, "", file); return file }

    function resolve(file, name) {
      if ((folder(file) "/" name) in known) return folder(file) "/" name
      if (("src/" name) in known) return "src/" name
      if (("kernels/" name) in known) return "kernels/" name
      return ("tools/" name) in known ? "tools/" name : ""
    }

    # Follows the includes of a thing; `path` is how it was reached.
    function follow(from, path,   i, count, next_things) {
      if (state[from] == "done") return
      if (state[from] == "open") {
        sub(".* " from " -> ", from " -> ", path)
        print "a circle: " path
        return
      }
      state[from] = "open"
      count = split(targets[from], next_things, " ")
      for (i = 1; i <= count; i++) follow(next_things[i], path " -> " next_things[i])
      state[from] = "done"
    }

    NR == FNR { known[$0] = 1; files[NR] = $0; next }
    /^ *# *include "/ {
      split($0, parts, "\"")
      target = resolve(FILENAME, parts[2])
      if (target == "") { print FILENAME " includes " parts[2] ", which is nowhere"; next }
      if (floor(target) > floor(FILENAME)) print FILENAME " includes " parts[2] " from a floor above"
      else if (floor(target) == floor(FILENAME) && room(target) != room(FILENAME))
        print FILENAME " includes " parts[2] " from the room next door"
      if (thing(target) != thing(FILENAME)) targets[thing(FILENAME)] = targets[thing(FILENAME)] " " thing(target)
    }
    END { for (i = 1; i in files; i++) follow(thing(files[i]), " " thing(files[i])) }
  ' <(printf '%s\n' $runtime $converter) $runtime $converter
}
rule "includes go down" includes

no_os_headers() {
  local free='stdarg\.h|stddef\.h|stdint\.h|string\.h|math\.h|assert\.h|errno\.h|limits\.h|float\.h|immintrin\.h|arm_neon\.h|atomic'
  grep -nE '^ *# *include <' /dev/null $(grep -vE '^src/platform/.*\.cpp$' <<<"$runtime") | grep -vE "<($free)>"
}
rule "no header of an operating system here" no_os_headers

no_library_headers() { grep -nE '^ *# *include <[a-z_]+>' /dev/null $runtime | grep -vE '<atomic>'; }
rule "no C++ library in the runtime" no_library_headers

long_files() { wc -l $runtime | awk '$1 > 500 && $2 != "total" { print $2 " has " $1 " lines: it is two things" }'; }
rule "at most 500 lines" long_files

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
