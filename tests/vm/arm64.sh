#!/bin/bash
# Runs statically linked arm64 test programs under a real Linux kernel in a full-system emulator, where seccomp works:
#   tests/vm/arm64.sh KERNEL PROGRAM...
# KERNEL is a vmlinuz of Debian's linux-image-cloud-arm64. Each program must end with exit code 0 and skip nothing.
set -eu
kernel=$1
shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/files/"{proc,sys,dev,tmp,tests}
aarch64-linux-gnu-gcc -O2 -static -o "$folder/files/init" "$(dirname "$0")/init.c"
cp "$@" "$folder/files/tests/"
(cd "$folder/files" && find . | cpio -o -H newc 2>/dev/null | gzip >"$folder/initrd")
for cpu in cortex-a53 cortex-a76; do
  echo "=== $cpu"
  timeout 300 qemu-system-aarch64 -M virt -cpu $cpu -smp 2 -m 512 -nic none -nographic -no-reboot -kernel "$kernel" \
    -initrd "$folder/initrd" -append "console=ttyAMA0 quiet panic=-1" </dev/null | tee "$folder/log"
  grep -q 'VM PASSED' "$folder/log"
  if grep '^skipped: ' "$folder/log"; then exit 1; fi
done
