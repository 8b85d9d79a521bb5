#include "file/layer_reader.h"

namespace edgellm {

namespace {

struct TensorName {
  char buffer[MAX_TENSOR_NAME + 1];
  Text text;

  TensorName(i32 layer, const char* name) {
    Writer writer(buffer);
    text = write(writer, "layers.", layer, ".", name).text();
  }
};

struct Key {
  char buffer[64];
  Text text;

  Key(const LayerReader& reader, const char* key) {
    Writer writer(buffer);
    text = write(writer, reader.block, ".", key).text();
    if (!reader.file.has(text)) text = key;
  }
};

}  // namespace

Status LayerReader::bind_all(Span<const WantedTensor> wanted, bool optional) {
  for (const WantedTensor& tensor : wanted) {
    const TensorName name(index, tensor.name);
    if (optional && !file.find(name.text)) continue;
    EDGELLM_TRY(tensor.matrix ? file.matrix(name.text, tensor.rows, tensor.cols, tensor.matrix)
                              : file.vector(name.text, tensor.rows, tensor.vector));
    widest = max(widest, tensor.cols);
  }
  return {};
}

Status LayerReader::number(const char* key, i32 low, i32 high, i32* value) const {
  return file.layer_number(Key(*this, key).text, index, layers, static_cast<u32>(low), static_cast<u32>(high), value);
}

Status LayerReader::number_or(const char* key, i32 fallback, i32 low, i32 high, i32* value) const {
  return file.layer_number_or(Key(*this, key).text, index, layers, fallback, static_cast<u32>(low), static_cast<u32>(high),
                              value);
}

Status LayerReader::real(const char* key, f32 low, f32 high, f32* value) const {
  return file.real(Key(*this, key).text, low, high, value);
}

Status LayerReader::real_or(const char* key, f32 fallback, f32 low, f32 high, f32* value) const {
  return file.real_or(Key(*this, key).text, fallback, low, high, value);
}

Status LayerReader::same_input(const char* names, const Matrix& a, const Matrix& b) const {
  if (a.activations == b.activations) return {};
  return bad_model("tensors ", TensorName(index, names).text,
                   ": they share their input but ask for different quantisation of it");
}

const TensorEntry* LayerReader::find(const char* name) const {
  return file.find(TensorName(index, name).text);
}

}  // namespace edgellm
