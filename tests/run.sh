#!/bin/sh
# Runs the tests of a build: tests/run.sh FOLDER [ctest arguments]. The last lines name what was skipped, and why.
cd "$1" || exit
shift
ctest --output-on-failure "$@"
status=$?
grep '^skipped: ' Testing/Temporary/LastTest.log | sort
exit $status
