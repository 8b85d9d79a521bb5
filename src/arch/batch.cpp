#include "arch/batch.h"

namespace edgellm {

Input::Input(Arena& arena, i32 tokens, i32 widest) {
  i64 values = static_cast<i64>(tokens) * align_up(widest, COLUMN_PADDING);
  x = arena.take<f32>(values);
  q = arena.take<i8>(values);
  scales = arena.take<f32>(values / GROUP);
  sums = arena.take<i32>(values / GROUP);
}

void Input::begin(const Matrix& w, bool f32_activations) {
  width = w.cols;
  stride = align_up(w.cols, COLUMN_PADDING);
  kind = f32_activations ? Quantization::none : w.activations;
}

void Input::quantise(const Kernels& kernels, i32 token) const {
  i64 at = static_cast<i64>(token) * stride;
  switch (kind) {
    case Quantization::none:
      for (i32 i = width; i < stride; i++)
        x[at + i] = 0;
      break;
    case Quantization::token:
      kernels.quantize_token(x + at, width, stride, q + at, scales + token, sums + token);
      break;
    case Quantization::group32:
      kernels.quantize_group32(x + at, width, stride, q + at, scales + at / GROUP, sums + at / GROUP);
      break;
  }
}

Activations Input::view(i32 count) const {
  return {.count = count, .stride = stride, .x = x, .q = q, .scales = scales, .sums = sums};
}

void project_all(const Batch& b, Span<const Projection> projections) {
  i32 panels = 0;
  for (const Projection& p : projections)
    panels += div_up(p.w->rows, PANEL);
  // Small chunks, so that a thread that is late delays the others little; one chunk when nobody shares the work.
  const i32 threads = b.threads.count();
  const i32 chunk = threads == 1 ? panels : max(1, panels / (threads * 16));
  b.threads.run(div_up(panels, chunk), [&](i32 index, i32) {
    i32 first = index * chunk, last = min(panels, first + chunk);
    for (const Projection& p : projections) {
      const i32 mine = div_up(p.w->rows, PANEL), from = max(first, 0), to = min(last, mine);
      if (from < to) {
        const Input& input = p.input ? *p.input : b.input;
        const Activations a = input.view(b.count());
        const i32 row0 = from * PANEL, row1 = min(p.w->rows, to * PANEL);
        if (b.f32_activations && p.w->activations != Quantization::none) {
          b.kernels.matmul_dequantized(*p.w, a, p.y.data, p.y.stride, row0, row1);
        } else {
          matmul(b.kernels, *p.w, a, p.y.data, p.y.stride, row0, row1);
        }
      }
      first -= mine;
      last -= mine;
    }
  });
}

void count_zeros(const Batch& b) {
  const Input& input = b.input;
  if (!b.zeros->counting || input.kind == Quantization::none) return;
  for (i32 token = 0; token < b.count(); token++) {
    for (i32 i = 0; i < input.width; i++)
      b.zeros->zeros += input.q[static_cast<i64>(token) * input.stride + i] == 0;
  }
  b.zeros->codes += b.tokens.count * input.width;
}

}  // namespace edgellm
