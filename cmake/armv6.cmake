# Toolchain file: 32-bit ARM Linux of any age (Raspberry Pi 1 and Zero), cross compiled, with the reference kernels. Debian's libc
# for older ARM passes floats in integer registers; the program itself has the instructions of the ARM1176 and its VFP.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv6l)
set(CMAKE_C_COMPILER arm-linux-gnueabi-gcc)
set(CMAKE_CXX_COMPILER arm-linux-gnueabi-g++)
set(CMAKE_C_FLAGS_INIT "-march=armv6kz -mfpu=vfp -mfloat-abi=softfp -marm")
set(CMAKE_CXX_FLAGS_INIT "${CMAKE_C_FLAGS_INIT}")
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
find_program(QEMU_ARM qemu-arm-static)
if(QEMU_ARM)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${QEMU_ARM};-cpu;arm1176")
endif()
set(RUNTIME_ONLY ON)  # a model is converted on a machine that maps files of more than 4 GB
