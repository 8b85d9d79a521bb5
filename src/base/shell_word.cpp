#include "base/shell_word.h"

namespace edgellm {

// No shell takes it for more than a letter.
static bool plain(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c & 0x80)) return true;
  for (const char* one = "_-./:@%+=,"; *one; one++) {
    if (c == *one) return true;
  }
  return false;
}

void add_shell_word(Writer& to, Text word) {
  bool bare = word.size > 0;
  for (i64 i = 0; i < word.size; i++)
    bare &= plain(word[i]);
  if (bare) {
    to.add(word);
    return;
  }
  to.add("'");
  for (i64 i = 0; i < word.size; i++) {
    if (word[i] == '\'') {
      to.add("'\\''");
    } else {
      to.add(word[i]);
    }
  }
  to.add("'");
}

}  // namespace edgellm
