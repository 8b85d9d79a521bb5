#!/bin/sh
# Configures and builds: cmake/build.sh FOLDER TARGETS JOBS [CMake arguments]. On a terminal, progress is one line that is
# written over; elsewhere there is none. Whatever else the tools say (warnings, errors) is shown as it is. What CMake says of its
# own checks goes to FOLDER/configure.log, which is shown when one of them fails.
folder=$1 targets=$2 jobs=$3
shift 3
mkdir -p "$folder" || exit
cmake -S . -B "$folder" "$@" >"$folder/configure.log" 2>&1 || { cat "$folder/configure.log"; exit 1; }

if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then clear='\r\033[K' end='\n'; else clear='' end=''; fi

# progress PERCENT LINE: "[ 4%] Building CXX object CMakeFiles/edgellm.dir/src/main.cpp.o" is shown as "[ 4%] src/main.cpp.o".
progress() {
  file=${2##* }
  if [ -n "$clear" ]; then printf "$clear%s" "$1${file##*.dir/}"; fi
}

# A make below another would name every folder that it enters, count the jobs with it, and write in colour for its terminal.
# shellcheck disable=SC2086
{
  MAKEFLAGS=--no-print-directory MAKE_TERMOUT='' cmake --build "$folder" --parallel "$jobs" --target $targets 2>&1
  echo "status $?"
} |
  while IFS= read -r line; do
    case $line in
      'status '*) printf "$end"; exit "${line#status }" ;;
      '['*%']'* | '['*/*']'*) progress "${line%%]*}] " "$line" ;;  # Ninja has [5/12]
      'Building '* | 'Linking '* | 'Built target '*) progress '' "$line" ;;
      'Consolidate compiler generated dependencies '* | 'Scanning dependencies '*) ;;
      *) printf "$clear%s\n" "$line" ;;
    esac
  done
