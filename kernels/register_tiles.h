// How a loop over vectors or heads is cut into register tiles: body<T>(i) computes T of them together, from i on. A body is
// compiled once for each T, so fewer sizes are less code and more sizes make better use of odd counts.
#pragma once
#include "kernels.h"

namespace edgellm {
namespace {

// Tiles of MOST, then half of it and so on to 1, that cover [i, count).
template <i32 MOST, class Body>
inline void for_tiles(i32 count, Body&& body, i32 i = 0) {
  for (; count - i >= MOST; i += MOST)
    body.template operator()<MOST>(i);
  if constexpr (MOST > 1) {
    if (i < count) for_tiles<MOST / 2>(count, body, i);
  }
}

// Tiles of MOST and then of 1: of the sizes of for_tiles only two.
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

// Tiles of MOST, or half of that and so on where there are fewer. The last tile may overlap the one before: results written
// twice are the same.
template <i32 MOST, class Body>
inline void for_heads(i32 heads, Body&& body) {
  if constexpr (MOST > 1) {
    if (heads < MOST) return for_heads<MOST / 2>(heads, body);
  }
  for (i32 head = 0; head < heads; head += MOST)
    body.template operator()<MOST>(min(head, heads - MOST));
}

}  // namespace
}  // namespace edgellm
