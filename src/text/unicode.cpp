// UTF-8 (Unicode 16.0, table 3-7), categories, and normalisation form C (Unicode standard annex 15): decompose, sort marks by
// combining class, compose.
#include "text/unicode.h"

#include <string.h>

#include "text/unicode_tables.h"

namespace edgellm {

i32 utf8_length(const char* p, i64 n) {
  u8 lead = static_cast<u8>(p[0]);
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return -1;
  i32 length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  // The second byte is narrower after some leads: no overlong forms, no surrogates, nothing above 0x10ffff.
  u8 low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  u8 high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  for (i32 i = 1; i < length; i++) {
    if (i >= n) return 0;
    u8 c = static_cast<u8>(p[i]);
    if (c < low || c > high) return -i;
    low = 0x80;
    high = 0xbf;
  }
  return length;
}

u32 utf8_decode(const char* p, i32 bytes) {
  u32 c = static_cast<u8>(p[0]);
  if (bytes > 1) c &= 0x7fu >> bytes;
  for (i32 i = 1; i < bytes; i++)
    c = c << 6 | (static_cast<u8>(p[i]) & 0x3f);
  return c;
}

i32 utf8_encode(u32 c, char* out) {
  if (c < 0x80) {
    out[0] = static_cast<char>(c);
    return 1;
  }
  i32 bytes = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (i32 i = bytes - 1; i > 0; i--, c >>= 6)
    out[i] = static_cast<char>(0x80 | (c & 0x3f));
  out[0] = static_cast<char>((0xf00 >> bytes) | c);
  return bytes;
}

// The last of `count` ascending numbers that is at most `wanted`; the first where none is.
static i32 last_below(const u32* numbers, i32 count, u32 wanted) {
  i32 low = 0;
  for (i32 high = count; high - low > 1;) {
    i32 middle = (low + high) / 2;
    (numbers[middle] <= wanted ? low : high) = middle;
  }
  return low;
}

// The value of the run that c lies in.
static u32 value_at(const u32* starts, i32 blocks, const u8* runs, i32 value_bits, u32 c) {
  i32 block = last_below(starts, blocks, c << 8 | 0xff);
  u32 point = starts[block] >> 8, value = starts[block] & 0xff;
  const u8* p = runs + block * RUN_BLOCK;
  for (const u8* end = p + RUN_BLOCK; p < end;) {
    u32 run = 0;
    for (i32 shift = 0;; shift += 7) {
      run |= (*p & 0x7fu) << shift;
      if (*p++ < 0x80) break;
    }
    point += run >> value_bits;
    if (point > c) break;
    value = run & ((1u << value_bits) - 1);
  }
  return value;
}

static CharClass classify(u32 c) {
  if (c < 0x80) {
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') return CharClass::letter;
    if (c >= '0' && c <= '9') return CharClass::number;
    if (c == '\n' || c == '\r') return CharClass::line_end;
    return c == ' ' || (c >= 9 && c <= 13) ? CharClass::space : CharClass::other;
  }
  if (c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
      c == 0x205f || c == 0x3000) {
    return CharClass::space;
  }
  return static_cast<CharClass>(value_at(CATEGORY_STARTS, CATEGORY_BLOCKS, CATEGORY, CATEGORY_BITS, c));
}
static_assert(static_cast<u8>(CharClass::letter) == 1 && static_cast<u8>(CharClass::number) == 2 &&
              static_cast<u8>(CharClass::later_number) == 3);

Char char_at(Text text, i64 pos) {
  if (pos >= text.size) return {CharClass::end, 0};
  i32 bytes = utf8_length(text.data + pos, text.size - pos);
  if (bytes <= 0) return {CharClass::other, 1};
  return {classify(utf8_decode(text.data + pos, bytes)), bytes};
}

i32 char_width(u32 c) {
  return c < 0x300 ? 1 : static_cast<i32>(value_at(WIDTH_STARTS, WIDTH_BLOCKS, WIDTH, WIDTH_BITS, c));
}

i64 space_before(Text text, i64 begin, i64 end) {
  for (;;) {
    i64 pos = end;
    do {
      if (pos == begin) return end;
      pos--;
    } while (end - pos < 3 && (text[pos] & 0xc0) == 0x80);
    Char c = char_at(text, pos);
    if (!is_space(c) || pos + c.bytes != end) return end;
    end = pos;
  }
}

// Normalisation works on an array of code points with their combining class in the high byte. A byte that is not UTF-8 is
// RAW + byte, class 0.
constexpr u32 RAW = 0x1fff00;
constexpr u32 POINT = 0x1fffff;

constexpr u32 HANGUL_S = 0xac00, HANGUL_L = 0x1100, HANGUL_V = 0x1161, HANGUL_T = 0x11a7;
constexpr u32 HANGUL_L_COUNT = 19, HANGUL_V_COUNT = 21, HANGUL_T_COUNT = 28;
constexpr u32 HANGUL_S_COUNT = HANGUL_L_COUNT * HANGUL_V_COUNT * HANGUL_T_COUNT;

static u32 with_class(u32 c) {
  if (c < 0x300) return c;
  u32 index = value_at(COMBINING_STARTS, COMBINING_BLOCKS, COMBINING, COMBINING_BITS, c);
  return c | static_cast<u32>(COMBINING_CLASS[index]) << 24;
}

// The parts of decomposition i.
static u32 first_of(u32 i) {
  return DECOMPOSED_FIRST[i] | (REST[DECOMPOSED_REST[i]] & 0xff) << 16;
}
static u32 second_of(u32 i) {
  return REST[DECOMPOSED_REST[i]] >> 8;
}

// The character whose decomposition is i.
static u32 composed(u32 i) {
  i32 run = 0;
  for (i32 high = DECOMPOSED_RUNS; high - run > 1;) {
    i32 middle = (run + high) / 2;
    ((DECOMPOSED[middle] & 0xfff) <= i ? run : high) = middle;
  }
  return (DECOMPOSED[run] >> 12) + i - (DECOMPOSED[run] & 0xfff);
}

// Appends the full canonical decomposition of c: at most 4 points.
static u32* decompose(u32 c, u32* out) {
  if (c - HANGUL_S < HANGUL_S_COUNT) {
    u32 s = c - HANGUL_S;
    *out++ = HANGUL_L + s / (HANGUL_V_COUNT * HANGUL_T_COUNT);
    *out++ = HANGUL_V + s / HANGUL_T_COUNT % HANGUL_V_COUNT;
    if (s % HANGUL_T_COUNT) *out++ = HANGUL_T + s % HANGUL_T_COUNT;
    return out;
  }
  i32 run = last_below(DECOMPOSED, DECOMPOSED_RUNS, min(c, 0xfffffu) << 12 | 0xfff);
  u32 i = (DECOMPOSED[run] & 0xfff) + c - (DECOMPOSED[run] >> 12);
  if (i >= (DECOMPOSED[run + 1] & 0xfff)) {
    *out++ = with_class(c);
    return out;
  }
  // Only the first part can decompose further (annex 15); the table is acyclic, at most three deep.
  out = decompose(first_of(i), out);
  if (second_of(i)) *out++ = with_class(second_of(i));
  return out;
}

// The composed form of a pair, 0 if there is none.
static u32 compose(u32 first, u32 second) {
  if (first - HANGUL_L < HANGUL_L_COUNT && second - HANGUL_V < HANGUL_V_COUNT) {
    return HANGUL_S + ((first - HANGUL_L) * HANGUL_V_COUNT + second - HANGUL_V) * HANGUL_T_COUNT;
  }
  if (first - HANGUL_S < HANGUL_S_COUNT && (first - HANGUL_S) % HANGUL_T_COUNT == 0 &&
      second - HANGUL_T - 1 < HANGUL_T_COUNT - 1) {
    return first + second - HANGUL_T;
  }
  u64 wanted = static_cast<u64>(first) << 32 | second;
  for (i32 low = 0, high = COMPOSED_COUNT; low < high;) {
    i32 middle = (low + high) / 2;
    u32 i = COMPOSED[middle];
    u64 pair = static_cast<u64>(first_of(i)) << 32 | second_of(i);
    if (pair == wanted) return composed(i);
    if (pair < wanted)
      low = middle + 1;
    else
      high = middle;
  }
  return 0;
}

// Sorts marks[0, n) by class, stable, by way of `spare`. Counting keeps it linear for a text that is one run of marks.
static void sort_marks(u32* marks, i64 n, u32* spare) {
  bool sorted = true;
  for (i64 i = 1; i < n && sorted; i++)
    sorted = marks[i - 1] >> 24 <= marks[i] >> 24;
  if (sorted) return;
  i64 start[257] = {};
  for (i64 i = 0; i < n; i++)
    start[(marks[i] >> 24) + 1]++;
  for (i32 c = 0; c < 256; c++)
    start[c + 1] += start[c];
  for (i64 i = 0; i < n; i++)
    spare[start[marks[i] >> 24]++] = marks[i];
  memcpy(marks, spare, static_cast<size_t>(n) * sizeof(u32));
}

// Composes points[0, n) in place and returns how many are left.
static i64 compose_all(u32* points, i64 n) {
  i64 kept = 0;
  i64 starter = -1;    // of the kept points, the last one of class 0
  u32 last_class = 0;  // of the point kept last, if it came after the starter
  for (i64 i = 0; i < n; i++) {
    u32 point = points[i];
    u32 combining = point >> 24;
    // A point is blocked from the starter by a kept one between them with class 0 or no lower class than its own.
    bool adjacent = starter >= 0 && starter == kept - 1;
    if (starter >= 0 && (adjacent || (last_class != 0 && last_class < combining))) {
      u32 composed = compose(points[starter], point & POINT);
      if (composed) {
        points[starter] = composed;
        continue;
      }
    }
    if (combining == 0) starter = kept;
    last_class = combining;
    points[kept++] = point;
  }
  return kept;
}

i64 normalize_nfc(Text text, char* out, u8* scratch) {
  bool plain = true;  // nothing below U+0300 changes
  for (i64 i = 0; i < text.size && plain; i++)
    plain = static_cast<u8>(text[i]) < 0xcc;
  if (plain) {
    memcpy(out, text.data, static_cast<size_t>(text.size));
    return text.size;
  }
  // A character of 2 bytes gives at most 3 points, of 3 bytes at most 4, of 4 bytes at most 4: two points for each byte are enough.
  u32* points = reinterpret_cast<u32*>(scratch);
  u32* spare = points + 2 * text.size;
  u32* end = points;
  for (i64 i = 0; i < text.size;) {
    i32 bytes = utf8_length(text.data + i, text.size - i);
    if (bytes > 0) {
      end = decompose(utf8_decode(text.data + i, bytes), end);
      i += bytes;
    } else {
      *end++ = RAW + static_cast<u8>(text[i++]);
    }
  }
  i64 count = end - points;
  for (i64 i = 0; i < count;) {
    i64 first = i;
    while (i < count && points[i] >> 24 != 0)
      i++;
    sort_marks(points + first, i - first, spare);
    if (i == first) i++;
  }
  count = compose_all(points, count);
  char* to = out;
  for (i64 i = 0; i < count; i++) {
    u32 c = points[i] & POINT;
    if (c >= RAW)
      *to++ = static_cast<char>(c - RAW);
    else
      to += utf8_encode(c, to);
  }
  return to - out;
}

}  // namespace edgellm
