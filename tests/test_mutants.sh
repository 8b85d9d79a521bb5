#!/bin/bash
# tests/mutants/places.py puts each kind of mistake where it belongs, and none into comments, texts, assertions and declarations.
command -v python3 >/dev/null || { echo "skipped: test_mutants: there is no python3"; exit 77; }
. tests/checks.sh

cat >"$folder/source.cpp" <<'END'
// if (a < b) return 1;
Status take(i32 count, const char* text) {  // "1 + 1"
  static_assert(sizeof(i32) == 4);
  assert(count > 0);
  if (count < LEAST && text[0]) return failed("fewer than ", count, text);
  EDGELLM_TRY(check(text, count));
  for (i32 i = 0; i < count; i++) {
    if (i64 size = at(i); size > 9) {
      total += size * 2;
    } else {
      put(text);
    }
  }
  const bool last = next(text);
  return {};
}
END

cat >"$folder/expected" <<'END'
comparison: if (count <= LEAST && text[0]) return failed("fewer than ", count, text);
comparison: if (count >= LEAST && text[0]) return failed("fewer than ", count, text);
comparison: for (i32 i = 0; i <= count; i++) {
comparison: for (i32 i = 0; i >= count; i++) {
comparison: if (i64 size = at(i); size >= 9) {
comparison: if (i64 size = at(i); size <= 9) {
arithmetic: total -= size * 2;
arithmetic: total += size / 2;
logic: if (count < LEAST || text[0]) return failed("fewer than ", count, text);
constant by one: if (count < LEAST && text[1]) return failed("fewer than ", count, text);
constant by one: for (i32 i = 1; i < count; i++) {
constant by one: if (i64 size = at(i); size > 10) {
constant by one: if (i64 size = at(i); size > 8) {
constant by one: total += size * 3;
constant by one: total += size * 1;
dropped condition: if (true) return failed("fewer than ", count, text);
dropped condition: if (false) return failed("fewer than ", count, text);
dropped condition: if (i64 size = at(i); true) {
dropped condition: if (i64 size = at(i); false) {
dropped statement: ;
dropped statement: ;
dropped statement: ;
swapped arguments: EDGELLM_TRY(check(count, text));
returned success: if (count < LEAST && text[0]) return {};
returned success: (void)(check(text, count));
END

python3 -B - "$folder/source.cpp" >"$folder/found" 2>"$folder/err" <<'END' || fail "places.py"
import sys
sys.path.insert(0, "tests/mutants")
from places import mutants
text = open(sys.argv[1]).read()
for kind, found in mutants("source.cpp", text).items():
    for mutant in found:
        print(f"{kind}: {mutant.lines(text)[1]}")
END
check diff "$folder/expected" "$folder/found"

# A mutant says which line it changes, and changes nothing else.
python3 -B - "$folder/source.cpp" 2>"$folder/err" <<'END' || fail "a mutant changes more than it says"
import sys
sys.path.insert(0, "tests/mutants")
from places import mutants
text = open(sys.argv[1]).read()
lines = text.splitlines()
for found in mutants("source.cpp", text).values():
    for mutant in found:
        changed = [i for i, (a, b) in enumerate(zip(lines, mutant.apply(text).splitlines(), strict=True), 1) if a != b]
        assert changed == [mutant.line(text)], (mutant, changed)
        assert mutant.lines(text)[0] == lines[mutant.line(text) - 1].strip()
END
checks=$((checks + 1))
summary
