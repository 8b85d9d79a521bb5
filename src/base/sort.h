// Shell sort: short, in place, and quick enough for some thousand values.
#pragma once
#include "base/types.h"

namespace edgellm {

// Afterwards after(values[i], values[i + 1]) holds for none.
template <class T, class After>
void shell_sort(Span<T> values, After&& after) {
  for (i64 gap = values.count / 2; gap > 0; gap /= 2) {
    for (i64 i = gap; i < values.count; i++) {
      T moved = values[i];
      i64 at = i;
      for (; at >= gap && after(values[at - gap], moved); at -= gap)
        values[at] = values[at - gap];
      values[at] = moved;
    }
  }
}

}  // namespace edgellm
