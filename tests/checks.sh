# What the test scripts share, sourced by each: a folder of its own, checks that are counted, and how it ends. $folder/err has
# what a command under test said on standard error.
set -u
unset EDGELLM_MODEL EDGELLM_THREADS EDGELLM_TEMPLATE  # what the program would take for typed
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0 checks=0

fail() {
  failures=$((failures + 1))
  echo "FAIL $*"
  if [ -f "$folder/err" ]; then sed 's/^/  | /' "$folder/err" | head -n 40; fi
}

check() {
  checks=$((checks + 1))
  "$@" || fail "$*"
}

# answered CODE PATTERN GOT WHAT: the exit code that was got, and a pattern that stderr must hold.
answered() {
  checks=$((checks + 1))
  if [ "$3" -ne "$1" ]; then
    fail "exit code $3, expected $1: $4"
  elif [ -n "$2" ] && ! grep -q -e "$2" "$folder/err"; then
    fail "stderr lacks \"$2\": $4"
  fi
}

# summary: the last line of a script.
summary() {
  echo "$checks checks, $failures failed"
  [ $failures -eq 0 ]
}
