#!/bin/bash
# Compiles and links edgellm for macOS on arm64, from any system, with zig (pip install ziglang), which carries Apple's open
# headers and a linker: macos_link.sh ZIG [OUTPUT]. That it compiles and links is what this shows; it cannot be run here.
set -eu
zig=$1 output=${2:-build/macos/edgellm}
objects=$(dirname "$output")/objects
mkdir -p "$objects"
flags="-target aarch64-macos -std=c++20 -Os -Wall -Wextra -Wshadow -Wconversion -ffp-contract=off -fvisibility=hidden
  -fno-exceptions -fno-rtti -fno-threadsafe-statics -D_FILE_OFFSET_BITS=64 -Isrc -Ikernels"

compile() {
  local own=""
  # zig has its own spelling of -march.
  if [ -f "$(dirname "$1")/FLAGS" ]; then own=$(sed -n 's/^-march=armv8\.2-a/-mcpu=generic+v8_2a/p' "$(dirname "$1")/FLAGS"); fi
  "$zig" c++ $flags $own -c "$1" -o "$objects/$(tr / _ <<<"$1").o"
}
export -f compile
export zig flags objects

rm -f "$objects"/*.o "$output"
find src kernels/*.cpp kernels/ref kernels/neon* -name '*.cpp' -not -name no_heap.cpp -not -name assert_fail.cpp -print0 |
  xargs -0 -n 1 -P "$(nproc)" bash -euc 'compile "$1"' compile
"$zig" cc -target aarch64-macos -Wl,-dead_strip -s -o "$output" "$objects"/*.o
file "$output" | grep 'Mach-O 64-bit.*arm64.*executable'
wc -c "$output"
