#include "arch/block.h"

#include <string.h>

namespace edgellm {

void normalise(const Kernels& kernels, const Norm& norm, const f32* x, i32 n, f32* y) {
  if (norm.kind == Norm::Kind::rms) {
    kernels.rms_norm(x, norm.weight, norm.eps, n, y);
  } else if (norm.kind == Norm::Kind::layer) {
    kernels.layer_norm(x, norm.weight, norm.bias, norm.eps, n, y);
  } else if (y != x) {
    memcpy(y, x, static_cast<size_t>(n) * sizeof(f32));
  }
}

Status Layer::bind_norm(const char* name, i32 count, Norm::Kind kind, bool optional, Norm* norm) {
  char bias_name[MAX_TENSOR_NAME + 1];
  Writer writer(bias_name);
  write(writer, name, "_bias");
  const WantedTensor weight[] = {{name, count, &norm->weight}}, bias[] = {{bias_name, count, &norm->bias}};
  EDGELLM_TRY(optional ? bind_optional(weight) : bind(weight));
  if (kind == Norm::Kind::layer) EDGELLM_TRY(optional ? bind_optional(bias) : bind(bias));
  norm->kind = norm->weight ? kind : Norm::Kind::none;
  return real_or("norm_eps", shape.norm_eps, 0, MAX_NORM_EPS, &norm->eps);
}

Status Layer::model_norm(const char* name, i32 count, Norm* norm) {
  EDGELLM_TRY(bind_norm(name, count, shape.norm, !shape.requires_norm(name), norm));
  if (shape.unit_norms) norm->kind = shape.norm;
  return {};
}

namespace {

// x += branch + bias of the block before.
void add_branch(const Batch& b, i32 token) {
  if (!b.last) return;
  f32 *x = b.x[token], *branch = b.branch[token];
  add_bias(b, branch, b.last->bias, b.dim);
  b.kernels.add(x, branch, b.dim);
  Token& here = b.tokens[token];
  if (here.bad_layer < 0 && !b.kernels.all_finite(x, b.dim)) here.bad_layer = b.last->layer;
}

void open_token(const Batch& b, const Block& block, i32 token, f32* to) {
  if (!block.parallel) add_branch(b, token);
  normalise(b.kernels, block.norm, b.x[token], b.dim, to);
  if (block.parallel) add_branch(b, token);
}

}  // namespace

void open(Batch& b, const Block& block, Rows to) {
  each_token(b, [&](i32 token) { open_token(b, block, token, to[token]); });
  b.last = &block;
}

void open(Batch& b, const Block& block, const Matrix& w) {
  quantise(b, w, [&](i32 token, f32* to) { open_token(b, block, token, to); });
  b.last = &block;
}

void quantise(Batch& b, const Matrix& w, const Norm& norm, Rows rows) {
  quantise(b, w, [&](i32 token, f32* to) { normalise(b.kernels, norm, rows[token], w.cols, to); });
}

void add_last_branch(Batch& b) {
  each_token(b, [&](i32 token) { add_branch(b, token); });
}

}  // namespace edgellm
