// The name that somebody meant: the nearest of those that exist to the one that was typed. An edit is a letter too many, one
// that lacks, a wrong one, or two neighbours in each other's place (Damerau and Levenshtein, no letter edited twice).
#pragma once
#include "base/types.h"

namespace edgellm {

// Offer it every name, the better one of two equally near ones first.
class Nearest {
 public:
  explicit Nearest(Text typed) : typed_(typed) {}

  // A name is near with at most two edits that are fewer than half of its letters; long texts are no name.
  void offer(Text name) {
    if (typed_.size >= LETTERS || name.size >= LETTERS) return;
    const i64 edits = edits_to(name);
    if (edits > 2 || 2 * edits >= name.size || (found() && edits >= edits_)) return;
    edits_ = edits;
    nearest_ = name;
  }

  bool found() const { return nearest_.size > 0; }
  Text name() const { return nearest_; }

 private:
  static constexpr i64 LETTERS = 32;

  i64 edits_to(Text name) const {
    i64 rows[3][LETTERS + 1];  // edits from the first letters of the typed name to the first of `name`; row i % 3
    for (i64 j = 0; j <= name.size; j++)
      rows[0][j] = j;
    for (i64 i = 1; i <= typed_.size; i++) {
      i64 *row = rows[i % 3], *above = rows[(i + 2) % 3], *second = rows[(i + 1) % 3];
      row[0] = i;
      for (i64 j = 1; j <= name.size; j++) {
        const char typed = typed_[i - 1], wanted = name[j - 1];
        row[j] = min(min(row[j - 1], above[j]) + 1, above[j - 1] + (typed != wanted));
        if (i > 1 && j > 1 && typed == name[j - 2] && typed_[i - 2] == wanted) row[j] = min(row[j], second[j - 2] + 1);
      }
    }
    return rows[typed_.size % 3][name.size];
  }

  Text typed_;
  Text nearest_ = {};
  i64 edits_ = 0;
};

}  // namespace edgellm
