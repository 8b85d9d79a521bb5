#include "platform/bandwidth.h"

#include "platform/clock.h"
#include "platform/signals.h"

namespace edgellm {

constexpr i64 CHUNK = 4 << 20;  // a long sequential stream for each thread

// The baseline vector of the machine (SSE2, NEON); `u` may be unaligned.
typedef u64 Vector __attribute__((vector_size(16)));
typedef u64 UnalignedVector __attribute__((vector_size(16), aligned(1)));

// The sum of all 8-byte words; a tail of less than 128 bytes is left out. Eight loads in flight, four sums.
static u64 sum(const u8* data, i64 bytes) {
  Vector a{}, b{}, c{}, d{};
  for (i64 i = 0; i + 128 <= bytes; i += 128) {
    const UnalignedVector* line = reinterpret_cast<const UnalignedVector*>(data + i);
    a += line[0];
    b += line[1];
    c += line[2];
    d += line[3];
    a += line[4];
    b += line[5];
    c += line[6];
    d += line[7];
  }
  a += b + c + d;
  return a[0] + a[1];
}

f64 read_bandwidth(Threads& threads, Span<const u8> buffer, i32 passes) {
  i64 best = INT64_MAX;
  for (i32 pass = 0; pass <= passes && !interrupted(); pass++) {
    i64 begin = now_ns();
    threads.run(static_cast<i32>(div_up(buffer.count, CHUNK)), [&](i32 chunk, i32) {
      i64 first = chunk * CHUNK;
      [[maybe_unused]] volatile u64 kept = sum(buffer.data + first, min(CHUNK, buffer.count - first));
    });
    if (pass > 0) best = min(best, now_ns() - begin);
  }
  return best > 0 && best < INT64_MAX ? static_cast<f64>(buffer.count) * 1e9 / static_cast<f64>(best) : 0;
}

i64 bandwidth_buffer_bytes(i64 cache_bytes, i64 usable_memory) {
  i64 wanted = max(4 * cache_bytes, i64{64} << 20);
  return usable_memory ? min(wanted, usable_memory / 8) : wanted;
}

}  // namespace edgellm
