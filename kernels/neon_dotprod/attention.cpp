// Scores over an i8 cache: a block of 16 slots is a panel of 16 rows, the heads are its vectors.
#include "tiles.h"

namespace edgellm {
namespace {

[[gnu::flatten]] void scores_i8(const Queries& q, const KvHead& kv, i32 first, i32 n, f32* scores, i64 stride) {
  for (i32 block = first / PANEL * PANEL; block < first + n; block += PANEL) {
    const u8* lines = kv.k + static_cast<i64>(block) * kv.padded;
    const Lanes k_scale = load16(kv.k_scale + block);
    auto tile = [&]<i32 T>(i32 h) {
      int32x4_t acc[T][QUADS] = {};
      add_lines<T, QUADS>(lines, kv.padded / STEP, q.q + h * static_cast<i64>(q.stride), q.stride, acc);
      unrolled<T>([&](auto t) {
        Lanes result;
        unrolled<QUADS>([&](auto i) {
          result.quad[i] = vmulq_f32(vcvtq_f32_s32(acc[t][i]), vmulq_n_f32(k_scale.quad[i], q.scales[h + t]));
        });
        save_scores(scores + (h + t) * stride, block - first, result);
      });
    };
    for_tiles(q.heads, tile);
  }
}

}  // namespace

void neon_dotprod_attention(Kernels& k) {
  k.scores_i8 = scores_i8;
}

}  // namespace edgellm
