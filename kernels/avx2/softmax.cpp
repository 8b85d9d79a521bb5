// Softmax in place: exact maximum, exp, sum in 16 lanes (arithmetic: kernels.h).
#include "vector.h"

namespace edgellm {
namespace {

void softmax(f32* x, i32 n) {
  const __m256 least = _mm256_set1_ps(-INFINITY_F32);
  __m256 most[2] = {least, least};
  for_halves(n, [&](i32 i, i32 half, auto lanes) {
    most[half] = _mm256_max_ps(lanes.load_or(x + i, least), most[half]);  // a NaN never wins
  });
  const __m256 m = _mm256_set1_ps(largest_lane(_mm256_max_ps(most[0], most[1])));
  __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for_halves(n, [&](i32 i, i32 half, auto lanes) {
    __m256 e = exp_lanes(_mm256_sub_ps(lanes.load(x + i), m));
    lanes.store(x + i, e);
    sums[half] = _mm256_add_ps(sums[half], lanes.keep(e));
  });
  const __m256 inverse = _mm256_set1_ps(1.0f / fold(sums));
  for_lanes(n, [&](i32 i, auto lanes) { lanes.store(x + i, _mm256_mul_ps(lanes.load(x + i), inverse)); });
}

}  // namespace

void avx2_softmax(Kernels& k) {
  k.softmax = softmax;
}

}  // namespace edgellm
