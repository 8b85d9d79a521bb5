# One program for each tests/test_*.cpp and tests/test_*.c, the kernel checker from tests/kernel_checker*.cpp, the scripts
# tests/test_*.sh, the house rules, and with MODE=fuzz one libFuzzer program for each tests/fuzz/*.cpp. The target `tests`
# builds all that they need.
#
# Every test runs in the source folder with EDGELLM_MODE set to MODE, EDGELLM and EDGELLM_CONVERT to the commands that start the
# two programs (under the emulator, where there is one), and more for test_install.sh. A line "skipped: NAME: WHY" says what a
# test left out, and tests/run.sh repeats these lines; exit code 77 means that nothing of it ran. Labels: unit, kernels, script,
# house, fuzz.
enable_testing()
add_custom_target(tests)
foreach(target edgellm edgellm-convert edgellm-load libedgellm)
  if(TARGET ${target})
    add_dependencies(tests ${target})
  endif()
endforeach()

set(EMULATOR "${CMAKE_CROSSCOMPILING_EMULATOR}" CACHE STRING "Command, as a list, that runs the tests' programs")
set(FUZZ_SECONDS 60 CACHE STRING "How long each fuzzer runs")
set(RUN_TESTS ON)
if(CMAKE_CROSSCOMPILING AND NOT EMULATOR)
  set(RUN_TESTS OFF)
  message(STATUS "no emulator for ${CMAKE_SYSTEM_PROCESSOR}: tests are built, not run (Debian: apt-get install qemu-user-static)")
endif()

# How the installed library is used: the compilers, the way to link, and what runs programs.
string(REPLACE ";" " " words "${EMULATOR}")
set(TEST_ENVIRONMENT "EDGELLM_MODE=${MODE}" "EDGELLM_BUILD=${CMAKE_BINARY_DIR}" "EDGELLM_EMULATOR=${words}"
    "EDGELLM_CC=${CMAKE_C_COMPILER}" "EDGELLM_CXX=${CMAKE_CXX_COMPILER}" "EDGELLM_NM=${CMAKE_NM}")
if(STATIC_LINK)
  list(APPEND TEST_ENVIRONMENT "EDGELLM_LINK=-static")
endif()
if(TARGET edgellm)
  string(REPLACE ";" " " words "${EMULATOR}")
  string(STRIP "${words} $<TARGET_FILE:edgellm>" command)
  list(APPEND TEST_ENVIRONMENT "EDGELLM=${command}")
endif()
if(TARGET edgellm-convert)
  string(REPLACE ";" " " words "${EMULATOR}")
  string(STRIP "${words} $<TARGET_FILE:edgellm-convert>" command)
  list(APPEND TEST_ENVIRONMENT "EDGELLM_CONVERT=${command}")
else()
  list(APPEND TEST_ENVIRONMENT "EDGELLM_CONVERT=${CMAKE_SOURCE_DIR}/build/edgellm-convert")  # of `make converter`
endif()

# add_test_program(name sources...)
function(add_test_program name)
  add_tool(${name} EXCLUDE_FROM_ALL ${ARGN})
  add_dependencies(tests ${name})
endfunction()

# register(name label seconds command...)
function(register name label seconds)
  if(NOT RUN_TESTS)
    return()
  endif()
  add_test(NAME ${name} COMMAND ${ARGN} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT ${seconds} SKIP_RETURN_CODE 77
                       ENVIRONMENT "${TEST_ENVIRONMENT}")
endfunction()

# What tests share: every other source in tests/ but the kernel checker's, with the converter below it.
file(GLOB shared CONFIGURE_DEPENDS tests/*.cpp)
list(FILTER shared EXCLUDE REGEX "/(test_|kernel_checker)[^/]*$")
if(MODE STREQUAL "fuzz")
  list(FILTER shared EXCLUDE REGEX "check_main")  # libFuzzer has a main of its own
endif()
if(TARGET convert_core)
  add_library(test_shared STATIC EXCLUDE_FROM_ALL ${shared})
  target_include_directories(test_shared PUBLIC src kernels tools tests)
  target_link_libraries(test_shared PUBLIC convert_core)
  if(MODE STREQUAL "release" AND NOT OPTIMIZE_ALL)
    target_compile_options(test_shared PUBLIC -O1)  # of what a test takes, most is to compile it
  endif()
endif()

if(MODE STREQUAL "fuzz")
  file(GLOB fuzzers CONFIGURE_DEPENDS tests/fuzz/*.cpp)
  math(EXPR limit "${FUZZ_SECONDS} + 120")
  foreach(source ${fuzzers})
    get_filename_component(name ${source} NAME_WE)
    add_test_program(fuzz_${name} ${source})
    target_compile_options(fuzz_${name} PRIVATE -fno-sanitize=fuzzer-no-link)  # what is covered of the target itself guides nobody
    target_link_libraries(fuzz_${name} PRIVATE test_shared)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    set(corpus ${CMAKE_BINARY_DIR}/corpus/${name})  # what this build has found
    file(MAKE_DIRECTORY ${corpus})
    register(fuzz_${name} fuzz ${limit} $<TARGET_FILE:fuzz_${name}> -max_total_time=${FUZZ_SECONDS} -timeout=10
             -artifact_prefix=${CMAKE_BINARY_DIR}/fuzz_${name}_ ${corpus} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
  endforeach()
  return()
endif()

if(NOT DEFINED UNIT_TESTS)  # a toolchain file may leave them out
  set(UNIT_TESTS ON)
endif()

# ctest starts them in this order, and these take longest.
file(GLOB checker CONFIGURE_DEPENDS tests/kernel_checker*.cpp)
if(checker)
  add_test_program(kernel_checker ${checker})
  register(kernel_checker kernels 1200 ${EMULATOR} $<TARGET_FILE:kernel_checker>)
endif()

file(GLOB scripts CONFIGURE_DEPENDS tests/test_*.sh)
if(NOT UNIT_TESTS)
  list(FILTER scripts EXCLUDE REGEX "install")
endif()
if(CMAKE_CROSSCOMPILING)
  list(FILTER scripts EXCLUDE REGEX "build")
endif()
if(RUNTIME_ONLY)
  list(FILTER scripts EXCLUDE REGEX "convert")
endif()
foreach(source ${scripts})
  get_filename_component(name ${source} NAME_WE)
  register(${name} script 1200 bash ${source})
endforeach()

if(UNIT_TESTS)
  file(GLOB tests CONFIGURE_DEPENDS tests/test_*.cpp)
endif()
foreach(source ${tests})
  get_filename_component(name ${source} NAME_WE)
  add_test_program(${name} ${source})
  target_link_libraries(${name} PRIVATE test_shared)
  register(${name} unit 1200 ${EMULATOR} $<TARGET_FILE:${name}>)
endforeach()

# Hosts in C: plain C99, and linked as anyone's C program is.
if(UNIT_TESTS)
  file(GLOB hosts CONFIGURE_DEPENDS tests/test_*.c)
endif()
foreach(source ${hosts})
  get_filename_component(name ${source} NAME_WE)
  add_test_program(${name} ${source})
  set_target_properties(${name} PROPERTIES C_STANDARD 99 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)
  target_compile_options(${name} PRIVATE -Wpedantic)
  if(NOT SANITIZE)
    set_target_properties(${name} PROPERTIES LINKER_LANGUAGE C)
  endif()
  register(${name} unit 1200 ${EMULATOR} $<TARGET_FILE:${name}>)
endforeach()

if(EXISTS ${CMAKE_SOURCE_DIR}/tests/house_rules.sh)
  register(house_rules house 120 bash ${CMAKE_SOURCE_DIR}/tests/house_rules.sh ${CMAKE_BINARY_DIR} ${MODE}
           ${CMAKE_NM} ${CMAKE_READELF} ${PROGRAM_LIMIT})
endif()
