// i8_mask and i8_group (layout: kernels/ref/sparse.cpp). A table says, for eight bits of a mask, which item goes where; then as i8.
#include "sparse.h"

#include "i8.h"
#include "tiles.h"

namespace edgellm {
namespace {

constexpr i32 NEAR = 2048;  // bytes to the prefetch, measured; AHEAD is farther than a panel is long

// For each mask and bit: 8 + how many set bits are below it, or 0 where it is not set itself.
struct Places {
  u8 of[256][8];
};
constexpr Places PLACES = [] {
  Places places = {};
  for (i32 mask = 0; mask < 256; mask++) {
    for (i32 bit = 0, set = 0; bit < 8; bit++) {
      if (mask >> bit & 1) places.of[mask][bit] = static_cast<u8>(8 + set++);
    }
  }
  return places;
}();

inline __m128i load8(const u8* p) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
}

// Half a line each: `half` picks its masks, `item` moves on.
struct Bytes {
  static constexpr i32 MASKS = 4;  // bytes of them

  // Eight bytes to their places; control 0xf8 gives 0.
  static __m128i expand(u64 mask, const u8*& item) {
    __m128i control = _mm_sub_epi8(load8(PLACES.of[mask]), _mm_set1_epi8(8));
    __m128i bytes = _mm_shuffle_epi8(load8(item), control);
    item += __builtin_popcountll(mask);
    return bytes;
  }

  static __m256i half(const u8* masks, const u8*& item) {
    __m128i a = expand(masks[0], item), b = expand(masks[1], item);
    __m128i c = expand(masks[2], item), d = expand(masks[3], item);
    return _mm256_set_m128i(_mm_unpacklo_epi64(c, d), _mm_unpacklo_epi64(a, b));
  }
};

struct Fours {
  static constexpr i32 MASKS = 1;

  // vpermd looks at the lowest three bits, vpsignd makes 0 what has no place.
  static __m256i half(const u8* masks, const u8*& item) {
    const u64 mask = *masks;
    __m256i places = _mm256_cvtepu8_epi32(load8(PLACES.of[mask]));
    __m256i fours = _mm256_permutevar8x32_epi32(load(item), places);
    item += 4 * static_cast<u64>(__builtin_popcountll(mask));
    return _mm256_sign_epi32(fours, places);
  }
};

struct I8 {
  static constexpr i32 OFFSET = 0;

  template <i32 T>
  static void dot(const u8* lines, i32 count, const i8* q, i64 stride, __m256i (&sums)[T][2]) {
    dot_bytes<T>(lines, count, q, stride, sums);
  }
};

// body(j, h, half h of line j) for a unit; returns the next.
template <class F, class Body>
inline const u8* for_halves(const u8* unit, const u8* end, Body&& body) {
  const u8* item = unit + 2 * SPARSE_LINES * F::MASKS;
  prefetch<NEAR>(unit);
  for (i32 j = 0; j < SPARSE_LINES; j++) {
    prefetch<NEAR>(item);
    UNROLL for (i32 h = 0; h < 2; h++) body(j, h, F::half(unit + (2 * j + h) * F::MASKS, item));
  }
  return min(item, end);
}

template <class F>
void one(const Matrix& w, const Activations& a, i32 panel, f32* y, i64 y_stride) {
  const u8 *unit = sparse_panel(w, panel), *end = sparse_end(w);
  Ints sums[2] = {};
  for (i32 c = 0; c < w.cols; c += SPARSE_COLUMNS) {
    unit = for_halves<F>(unit, end, [&](i32 j, i32 h, __m256i bytes) {
      sums[h] += Ints(widen(multiply(bytes, _mm256_abs_epi8(bytes), broadcast4(a.q + c + 4 * j))));
    });
  }
  alignas(64) i32 acc[1][PANEL];
  UNROLL for (i32 h = 0; h < 2; h++) store(acc[0] + h * HALF, __m256i(sums[h]));
  store_token<I8>(w, a, panel, 0, 1, acc, y, y_stride);
}

template <class F>
const u8* unpack(const u8* unit, const u8* end, i32 columns, u8* lines) {
  for (i32 c = 0; c < columns; c += SPARSE_COLUMNS) {
    unit = for_halves<F>(unit, end, [&](i32 j, i32 h, __m256i bytes) { store(lines + (c / 4 + j) * LINE + 32 * h, bytes); });
  }
  return unit;
}

void many(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0) {
  i32 vectors = min(VECTORS, a.count - v0), columns = align_up(w.cols, SPARSE_COLUMNS);
  const u8 *unit = sparse_panel(w, panel), *end = sparse_end(w);
  alignas(64) i32 acc[VECTORS][PANEL];
  for (i32 v = 0; v < vectors; v++)
    clear(acc[v]);
  Chunk chunk;
  chunk.lines = chunk.buffer;
  for (i32 first = 0; first < columns; first += CHUNK) {
    i32 n = min(CHUNK, columns - first);
    unit = (w.format == Format::I8_MASK ? unpack<Bytes> : unpack<Fours>)(unit, end, n, chunk.buffer);
    dot_chunk<I8>(chunk, n, a, v0, vectors, first, acc);
  }
  store_token<I8>(w, a, panel, v0, vectors, acc, y, y_stride);
}

void matmul_sparse(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  auto single = w.format == Format::I8_MASK ? one<Bytes> : one<Fours>;
  for_panels(
      a, row0, row1, [&](i32 panel) { single(w, a, panel, y, y_stride); },
      [&](i32 panel, i32 v) { many(w, a, y, y_stride, panel, v); });
}

}  // namespace

void avx2_sparse(Kernels& k) {
  k.matmul_i8_mask_token = matmul_sparse;
  k.matmul_i8_group_token = matmul_sparse;
}

}  // namespace edgellm
