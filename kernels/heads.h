// Register tiles of attention: which heads, or which pieces of one, a call computes together.
#pragma once
#include "kernels.h"

namespace edgellm {
namespace {

// Calls body<T>(head) for tiles of MOST heads, or half of that and so on where there are fewer. The last tile may overlap the
// one before: scores written twice are the same.
template <i32 MOST, class Body>
inline void for_heads(i32 heads, Body&& body) {
  if constexpr (MOST > 1) {
    if (heads < MOST) return for_heads<MOST / 2>(heads, body);
  }
  for (i32 head = 0; head < heads; head += MOST)
    body.template operator()<MOST>(min(head, heads - MOST));
}

// Calls body<T>(i) for tiles of MOST and then of one.
template <i32 MOST, class Body>
inline void for_most(i32 count, Body&& body) {
  i32 i = 0;
  for (; i + MOST <= count; i += MOST)
    body.template operator()<MOST>(i);
  if constexpr (MOST > 1) {
    for (; i < count; i++)
      body.template operator()<1>(i);
  }
}

}  // namespace
}  // namespace edgellm
