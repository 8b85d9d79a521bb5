# Toolchain file: x86-64 Linux with musl in place of glibc, for the smallest program (Debian: apt-get install musl-tools). Its
# compiler is the system's g++, whose C++ headers cmake/musl.h reconciles with musl's as far as the runtime and the kernel checker
# go: the converter and the other tests need more of the C++ library.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER musl-gcc)
set(CMAKE_CXX_COMPILER x86_64-linux-gnu-g++)
set(STATIC_FLAG -static)  # musl-gcc knows no -static-pie
set(POSITION -fno-pie CACHE STRING "")
set(CMAKE_CROSSCOMPILING_EMULATOR env)  # none: the programs run here

set(MUSL_INCLUDE /usr/include/x86_64-linux-musl)
execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=include OUTPUT_VARIABLE GCC_INCLUDE OUTPUT_STRIP_TRAILING_WHITESPACE)
execute_process(COMMAND ${CMAKE_CXX_COMPILER} -dumpversion OUTPUT_VARIABLE GCC_VERSION OUTPUT_STRIP_TRAILING_WHITESPACE)
string(APPEND CMAKE_CXX_FLAGS_INIT " -include ${CMAKE_CURRENT_LIST_DIR}/musl.h -nostdinc -isystem /usr/include/c++/${GCC_VERSION}"
       " -isystem /usr/include/x86_64-linux-gnu/c++/${GCC_VERSION} -isystem ${MUSL_INCLUDE} -isystem ${GCC_INCLUDE}"
       " -idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu")  # the last two for <linux/...>
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,-z,noseparate-code")  # code and constants share pages
set(RUNTIME_ONLY ON)
set(UNIT_TESTS OFF)
set(PROGRAM_LIMIT 491520)  # bytes, see tests/house_rules.sh
# Kernels for size too. They are slower for it (kernel_checker --bench): i8 and t2 with groups of 32 channels, many vectors, by 4
# to 28 %; quantisation and softmax up to three times; other matrices with many vectors by up to 5 %.
set(OPTIMIZE_ALL -Oz CACHE STRING "One optimisation flag for all of a release")
