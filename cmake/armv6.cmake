# Toolchain file: 32-bit ARM Linux of any age (Raspberry Pi 1 and Zero), with the reference kernels. Debian's libc for older ARM
# passes floats in integer registers; the program itself has the instructions of the ARM1176 and its VFP.
include(${CMAKE_CURRENT_LIST_DIR}/cross.cmake)
cross(armv6l arm-linux-gnueabi qemu-arm-static arm1176)
set(CMAKE_C_FLAGS_INIT "-march=armv6kz -mfpu=vfp -mfloat-abi=softfp -marm")
set(CMAKE_CXX_FLAGS_INIT "${CMAKE_C_FLAGS_INIT}")
set(RUNTIME_ONLY ON)  # a model is converted on a larger machine
set(UNIT_TESTS OFF)   # they take 64 bits for granted
