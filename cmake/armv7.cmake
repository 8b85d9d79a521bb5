# Toolchain file: 32-bit ARM Linux from ARMv7 on (Raspberry Pi 2), cross compiled, with the reference kernels: its NEON has no
# IEEE denormals.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv7l)
set(CMAKE_C_COMPILER arm-linux-gnueabihf-gcc)
set(CMAKE_CXX_COMPILER arm-linux-gnueabihf-g++)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
find_program(QEMU_ARM qemu-arm-static)
if(QEMU_ARM)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${QEMU_ARM};-cpu;cortex-a7")
endif()
set(RUNTIME_ONLY ON)  # a model is converted on a machine that maps files of more than 4 GB
