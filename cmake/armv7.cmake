# Toolchain file: 32-bit ARM Linux from ARMv7 on (Raspberry Pi 2), with the reference kernels: its NEON has no IEEE denormals.
include(${CMAKE_CURRENT_LIST_DIR}/cross.cmake)
cross(armv7l arm-linux-gnueabihf qemu-arm-static cortex-a7)
set(UNIT_TESTS OFF)  # they take 64 bits for granted
