# For toolchain files: Linux on another processor, cross compiled with Debian's `triple`-g++. Tests run under qemu, where it is
# installed, as the plainest `cpu` that the build promises to run on (qemu's own default has every extension and would hide a
# missing check).
macro(cross processor triple emulator cpu)
  set(CMAKE_SYSTEM_NAME Linux)
  set(CMAKE_SYSTEM_PROCESSOR ${processor})
  set(CMAKE_C_COMPILER ${triple}-gcc)
  set(CMAKE_CXX_COMPILER ${triple}-g++)
  set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
  set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
  find_program(QEMU ${emulator})
  if(QEMU)
    set(CMAKE_CROSSCOMPILING_EMULATOR "${QEMU};-cpu;${cpu}")
  endif()
endmacro()
