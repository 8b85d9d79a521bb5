# Toolchain file: 64-bit ARM Linux.
include(${CMAKE_CURRENT_LIST_DIR}/cross.cmake)
cross(aarch64 aarch64-linux-gnu qemu-aarch64-static cortex-a53)
