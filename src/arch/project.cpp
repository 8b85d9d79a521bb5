#include "arch/project.h"

namespace edgellm {

void Input::take(Arena& arena, i32 columns, i32 widest, bool keep_f32) {
  i64 values = static_cast<i64>(columns) * align_up(widest, COLUMN_PADDING);
  x = arena.take<f32>(values);
  q = arena.take<i8>(values);
  scales = arena.take<f32>(values / GROUP);
  sums = arena.take<i32>(values / GROUP);
  f32_activations = keep_f32;
}

void Input::shape_for(const Matrix& w) {
  cols = w.cols;
  stride = align_up(w.cols, COLUMN_PADDING);
  kind = f32_activations ? Quantization::none : w.activations;
}

void Input::finish(const Kernels& kernels, i32 c) const {
  i64 at = static_cast<i64>(c) * stride;
  switch (kind) {
    case Quantization::none:
      for (i32 i = cols; i < stride; i++)
        x[at + i] = 0;
      break;
    case Quantization::token:
      kernels.quantize_token(x + at, cols, stride, q + at, scales + c, sums + c);
      break;
    case Quantization::group32:
      kernels.quantize_group32(x + at, cols, stride, q + at, scales + at / GROUP, sums + at / GROUP);
      break;
  }
}

void Input::count_zeros(i32 columns, ZeroCodes* to) const {
  if (!to->counting || kind == Quantization::none) return;
  for (i32 c = 0; c < columns; c++) {
    for (i32 i = 0; i < cols; i++)
      to->zeros += q[static_cast<i64>(c) * stride + i] == 0;
  }
  to->codes += i64{columns} * cols;
}

Activations Input::view(i32 first, i32 count) const {
  i64 at = static_cast<i64>(first) * stride;
  i64 scale_at = kind == Quantization::group32 ? at / GROUP : first;
  return {.count = count, .stride = stride, .x = x + at, .q = q + at, .scales = scales + scale_at, .sums = sums + scale_at};
}

void project(const Kernels& kernels, Threads& threads, const Input& input, i32 count, Span<const Projection> projections) {
  i32 panels = 0;
  for (const Projection& p : projections)
    panels += div_up(p.w->rows, PANEL);
  // Small chunks, so that a thread that is late delays the others little; one chunk when nobody shares the work.
  i32 chunk = threads.count() == 1 ? panels : max(1, panels / (threads.count() * 16));
  threads.run(div_up(panels, chunk), [&](i32 index, i32) {
    i32 first = index * chunk, last = min(panels, first + chunk);
    for (const Projection& p : projections) {
      i32 mine = div_up(p.w->rows, PANEL);
      i32 from = max(first, 0), to = min(last, mine);
      if (from < to) {
        const Input& own = p.input ? *p.input : input;
        Activations a = own.view(0, count);
        i32 row0 = from * PANEL, row1 = min(p.w->rows, to * PANEL);
        if (own.f32_activations && p.w->activations != Quantization::none) {
          kernels.matmul_dequantized(*p.w, a, p.y, p.stride, row0, row1);
        } else {
          matmul(kernels, *p.w, a, p.y, p.stride, row0, row1);
        }
      }
      first -= mine;
      last -= mine;
    }
  });
}

}  // namespace edgellm
