#include "arch/recurrent.h"

#include <string.h>

namespace edgellm {

Status Stream::load(const ModelFile& file, const Limits& limits, i32 widest, Arena& arena, Model* model) {
  EDGELLM_TRY(file.matrix("embed", vocab, dim, &embed));
  EDGELLM_TRY(file.matrix_or_none("head", vocab, dim, &head));
  EDGELLM_TRY(file.vector("norm", dim, &norm));
  EDGELLM_TRY(file.vector_or_none("norm_bias", dim, &norm_bias));
  if (!head.data) head = embed;
  max_columns = limits.columns;
  max_logits = limits.logits;
  x = arena.take<f32>(max_columns * stride());
  branch = arena.take<f32>(max_columns * stride());
  input.take(arena, max_columns, max(widest, dim), limits.f32_activations);
  ids = arena.take<i32>(max_columns);
  positions = arena.take<i32>(max_columns);
  bad_layers = arena.take<i32>(max_columns);
  owners = arena.take<i32>(max_columns);
  logit_columns = arena.take<i32>(max_logits);
  stretches = arena.take<Stretch>(max_columns);

  EDGELLM_TRY(file.number("context", 1, MAX_CONTEXT, &model->context));
  model->vocab = vocab;
  model->unbounded = true;
  model->weight_bytes = bytes_per_token(file);
  model->logits_stride = align_up<i64>(vocab, PANEL);
  model->logits = arena.take<f32>(max_logits * model->logits_stride);
  return {};
}

void Stream::begin(const Model& model, const Kernels& kernels, Threads& threads, Span<const Item> items) {
  columns = stretch_count = logits = 0;
  for (const Item& item : items) {
    stretches[stretch_count] = {.state = item.state, .first = columns, .count = item.count, .fresh = item.position == 0};
    if (item.position == 0) memset(item.state, 0, static_cast<size_t>(model.state_bytes));
    for (i32 i = 0; i < item.count; i++) {
      bool wanted = item.wanted == Wanted::all || (item.wanted == Wanted::last && i == item.count - 1);
      if (wanted) logit_columns[logits++] = columns;
      ids[columns] = item.ids[i];
      positions[columns] = item.position + i;
      bad_layers[columns] = -1;
      owners[columns++] = stretch_count;
    }
    stretch_count++;
  }
  assert(columns <= max_columns && logits <= max_logits);
  each_column(threads, columns, [&](i32 c) { kernels.row(embed, ids[c], column(c)); });
}

void Stream::normalise(const Kernels& kernels, const f32* x_column, const f32* weight, const f32* bias, f32* y) const {
  if (layer_norm) {
    kernels.layer_norm(x_column, weight, bias, norm_eps, dim, y);
  } else {
    kernels.rms_norm(x_column, weight, norm_eps, dim, y);
  }
}

void Stream::add_branch(const Kernels& kernels, Threads& threads, i32 layer) {
  each_column(threads, columns, [&](i32 c) {
    kernels.add(column(c), branch_of(c), dim);
    if (bad_layers[c] < 0 && !kernels.all_finite(column(c), dim)) bad_layers[c] = layer;
  });
}

Status Stream::finish(const Model& model, const Kernels& kernels, Threads& threads) {
  for (i32 c = 0; c < columns; c++) {
    if (bad_layers[c] >= 0) {
      return failed("layer ", bad_layers[c], " gave values that are not finite at position ", positions[c]);
    }
  }
  if (!logits) return {};
  input.shape_for(head);
  each_column(threads, logits, [&](i32 row) {
    normalise(kernels, column(logit_columns[row]), norm, norm_bias, input.column(row));
    input.finish(kernels, row);
  });
  const Projection projection[] = {{&head, model.logits, model.logits_stride}};
  project(kernels, threads, input, logits, {projection, 1});
  for (i32 row = 0; row < logits; row++) {
    if (!kernels.all_finite(model.logits + row * model.logits_stride, vocab)) {
      return failed("the output head gave logits that are not finite at position ", positions[logit_columns[row]]);
    }
  }
  return {};
}

}  // namespace edgellm
