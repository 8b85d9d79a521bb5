// Golden digests of what works on vectors: quantisation, norms, rotations, gates, softmax.
#include "golden_run.h"

namespace edgellm {

using Quantize = void (*)(const f32*, i32, i32, i8*, f32*, i32*);

static void quantize(GoldenRun& run, Quantize slot, const f32* x, i32 spans) {
  i8* q = run.memory.take<i8>(STRIDE);
  f32* scales = run.zeros(spans);
  i32* sums = run.memory.take<i32>(spans);
  slot(x, N, STRIDE, q, scales, sums);
  run.add(q, STRIDE);
  run.add(scales, spans);
  run.add(sums, spans * i64{sizeof(i32)});
}

static void run_quantize(GoldenRun& run, Quantize slot, i32 spans) {
  for (Fill fill : FILLS)
    quantize(run, slot, run.floats(N, fill), spans);
  f32* ties = run.zeros(N);  // every 32 channels hold a 127, so that the others lie half way between two codes
  for (i32 i = 0; i < N; i++)
    ties[i] = i % GROUP == 0 ? 127.0f : static_cast<f32>(i % 127 - 63) + 0.5f;
  quantize(run, slot, ties, spans);
}

void golden_quantize_token(GoldenRun& run) {
  run_quantize(run, run.k.quantize_token, 1);
}

void golden_quantize_group32(GoldenRun& run) {
  run_quantize(run, run.k.quantize_group32, STRIDE / GROUP);
}

void golden_rms_norm(GoldenRun& run) {
  f32 *x = run.floats(N), *weight = run.floats(N), *y = run.zeros(N);
  run.k.rms_norm(x, weight, 1e-5f, N, y);
  run.add(y, N);
  run.k.rms_norm(x, nullptr, 1e-6f, N, y);
  run.add(y, N);
}

void golden_layer_norm(GoldenRun& run) {
  f32 *x = run.floats(N), *weight = run.floats(N), *bias = run.floats(N), *y = run.zeros(N);
  run.k.layer_norm(x, weight, bias, 1e-5f, N, y);
  run.add(y, N);
  run.k.layer_norm(x, weight, nullptr, 1e-5f, N, y);
  run.add(y, N);
  run.k.layer_norm(x, nullptr, nullptr, 1e-5f, N, y);
  run.add(y, N);
}

static void run_rope(GoldenRun& run, void (*slot)(f32*, const f32*, const f32*, i32)) {
  for (i32 pairs = 1; pairs <= 64; pairs += 21) {
    f32 *head = run.floats(pairs * 2), *cosine = run.floats(pairs), *sine = run.floats(pairs);
    slot(head, cosine, sine, pairs);
    run.add(head, pairs * 2);
  }
}

void golden_rope_half(GoldenRun& run) {
  run_rope(run, run.k.rope_half);
}

void golden_rope_interleaved(GoldenRun& run) {
  run_rope(run, run.k.rope_interleaved);
}

void golden_pairs(GoldenRun& run, void (*slot)(const f32*, const f32*, i32, f32*)) {
  for (Fill fill : FILLS) {
    f32 *gate = run.floats(N, fill), *up = run.floats(N), *y = run.zeros(N);
    slot(gate, up, N, y);
    run.add(y, N);
  }
}

void golden_silu_gate(GoldenRun& run) {
  golden_pairs(run, run.k.silu_gate);
}

void golden_relu2_gate(GoldenRun& run) {
  golden_pairs(run, run.k.relu2_gate);
}

void golden_add(GoldenRun& run) {
  f32 *x = run.floats(N), *y = run.floats(N, Fill::hostile);
  run.k.add(x, y, N);
  run.add(x, N);
}

void golden_softmax(GoldenRun& run) {
  for (i32 n = 1; n <= N; n += 50) {
    f32* x = run.floats(n);
    run.k.softmax(x, n);
    run.add(x, n);
  }
}

void golden_argmax(GoldenRun& run) {
  for (Fill fill : FILLS) {
    i32 best = run.k.argmax(run.floats(N, fill), N);
    run.add(&best, sizeof best);
  }
}

void golden_all_finite(GoldenRun& run) {
  for (Fill fill : FILLS) {
    u8 finite = run.k.all_finite(run.floats(N, fill), N);
    run.add(&finite, 1);
  }
}

}  // namespace edgellm
