#include "arch/block.h"

#include <string.h>

namespace edgellm {

void normalise(const Kernels& kernels, const Norm& norm, const f32* x, i32 n, f32* y) {
  switch (norm.kind) {
    case Norm::Kind::none:
      if (y != x) memcpy(y, x, static_cast<size_t>(n) * sizeof(f32));
      break;
    case Norm::Kind::rms:
      kernels.rms_norm(x, norm.weight, norm.eps, n, y);
      break;
    case Norm::Kind::layer:
      kernels.layer_norm(x, norm.weight, norm.bias, norm.eps, n, y);
      break;
  }
}

namespace {

// "layers.N.<name>"
struct TensorName {
  char buffer[MAX_TENSOR_NAME + 1];
  Text text;

  TensorName(i32 layer, const char* name, const char* ending = "") {
    Writer writer(buffer);
    text = write(writer, "layers.", layer, ".", name, ending).text();
  }
};

// The key with the kind's name in front, where the file has that one.
struct Key {
  char buffer[64];
  Text text;

  Key(const Layer& layer, const char* key) {
    Writer writer(buffer);
    text = write(writer, layer.kind.name, ".", key).text();
    if (!layer.file.has(text)) text = key;
  }
};

}  // namespace

Status Layer::bind_all(Span<const Tensor> wanted, bool optional) const {
  for (const Tensor& tensor : wanted) {
    const TensorName name(index, tensor.name);
    if (tensor.matrix) {
      needs.widest = max(needs.widest, tensor.cols);
      EDGELLM_TRY(optional ? file.matrix_or_none(name.text, tensor.rows, tensor.cols, tensor.matrix)
                           : file.matrix(name.text, tensor.rows, tensor.cols, tensor.matrix));
    } else {
      EDGELLM_TRY(optional ? file.vector_or_none(name.text, tensor.rows, tensor.vector)
                           : file.vector(name.text, tensor.rows, tensor.vector));
    }
  }
  return {};
}

Status Layer::norm(const char* name, i32 count, Norm* norm) const {
  const Norm::Kind usual = shape.layer_norm ? Norm::Kind::layer : Norm::Kind::rms;
  EDGELLM_TRY(file.vector_or_none(TensorName(index, name).text, count, &norm->weight));
  EDGELLM_TRY(file.vector_or_none(TensorName(index, name, "_bias").text, count, &norm->bias));
  const bool required = shape.required_norm && Text(shape.required_norm) == name;
  if (required && !norm->weight) return file.vector(TensorName(index, name).text, count, &norm->weight);
  norm->kind = norm->weight || shape.unit_norms ? usual : Norm::Kind::none;
  return real_or("norm_eps", shape.norm_eps, 0, MAX_NORM_EPS, &norm->eps);
}

Status Layer::norm(const char* name, i32 count, Norm::Kind norm_kind, Norm* norm) const {
  norm->kind = norm_kind;
  EDGELLM_TRY(file.vector(TensorName(index, name).text, count, &norm->weight));
  if (norm_kind == Norm::Kind::layer) {
    EDGELLM_TRY(file.vector(TensorName(index, name, "_bias").text, count, &norm->bias));
  }
  return real_or("norm_eps", shape.norm_eps, 0, MAX_NORM_EPS, &norm->eps);
}

Status Layer::number(const char* key, i32 low, i32 high, i32* value) const {
  return file.layer_number(Key(*this, key).text, index, shape.layers, static_cast<u32>(low), static_cast<u32>(high), value);
}

Status Layer::number_or(const char* key, i32 fallback, i32 low, i32 high, i32* value) const {
  return file.layer_number_or(Key(*this, key).text, index, shape.layers, fallback, static_cast<u32>(low),
                              static_cast<u32>(high), value);
}

Status Layer::real(const char* key, f32 low, f32 high, f32* value) const {
  return file.real(Key(*this, key).text, low, high, value);
}

Status Layer::real_or(const char* key, f32 fallback, f32 low, f32 high, f32* value) const {
  return file.real_or(Key(*this, key).text, fallback, low, high, value);
}

Status Layer::same_input(const char* names, const Matrix& a, const Matrix& b) const {
  if (a.activations == b.activations) return {};
  return bad_model("tensors ", TensorName(index, names).text,
                   ": they share their input but ask for different quantisation of it");
}

const TensorEntry* Layer::find(const char* name) const {
  return file.find(TensorName(index, name).text);
}

namespace {

// x += branch + bias of the block before.
void add_branch(const Batch& b, i32 token) {
  if (!b.last) return;
  f32 *x = b.x[token], *branch = b.branch[token];
  if (b.last->bias) b.kernels.add(branch, b.last->bias, b.dim);
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

void close(Batch& b) {
  each_token(b, [&](i32 token) { add_branch(b, token); });
}

}  // namespace edgellm
