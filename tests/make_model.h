// Small model files with made-up weights, the same on every machine: any mix of block kinds, formats, norms and shapes.
#pragma once
#include <initializer_list>
#include <string>
#include <vector>

#include "base/types.h"
#include "convert/base/model.h"
#include "kernels.h"

// One number for all layers, or a list with one for each; the file says it in the same way.
struct PerLayer {
  std::vector<edgellm::u32> numbers;
  bool one;

  PerLayer(edgellm::i32 number) : numbers{static_cast<edgellm::u32>(number)}, one(true) {}
  PerLayer(std::initializer_list<edgellm::u32> list) : numbers(list), one(false) {}
  edgellm::i32 operator[](edgellm::i32 layer) const {
    return static_cast<edgellm::i32>(one ? numbers[0] : numbers[static_cast<size_t>(layer)]);
  }
  edgellm::convert::MetadataValue value() const {
    return one ? edgellm::convert::MetadataValue(numbers[0]) : edgellm::convert::MetadataValue(numbers);
  }
};

struct ModelRecipe {
  // The block kinds of each layer, as the key of the same name says them: "mamba2 ffn | attention ffn", again and again until
  // `layers` is reached. A mix that is a family has that family's name instead. Known: attention, ffn, mamba, mamba2, retention.
  std::string blocks = "attention ffn";
  edgellm::i32 layers = 2, dim = 48;
  PerLayer ffn_dim = 80, heads = 4, kv_heads = 2, head_dim = 12;
  edgellm::i32 inner = 96, rank = 3, groups = 2, states = 16, taps = 4;  // of mamba and mamba2
  edgellm::i32 mamba2_heads = 0, mamba2_head_dim = 0;                    // where they are not `heads` and `head_dim`
  edgellm::i32 value_dim = 96;                                           // of retention
  edgellm::i32 vocab = 67, context = 96;
  edgellm::Format matrices = edgellm::Format::T2;
  edgellm::Scale scale = edgellm::Scale::tensor;
  edgellm::Quantization activations = edgellm::Quantization::token;
  edgellm::Format embedding = edgellm::Format::I8;
  edgellm::i32 zeros = 0;  // of 100 weights of the integer matrices
  bool tied = true;
  bool sub_norms = true;
  bool biases = false;
  bool head_norms = false;
  bool layer_norms = true;  // attn_norm and ffn_norm have weights; else unit_norms
  bool layer_norm_kind = false;
  bool relu2 = true;
  bool interleaved = false;
  edgellm::i32 rope_tables = 1;  // of frequencies, each half as fast as the one before
  bool phi = false;  // gelu without a gate, beside attention under one norm; biases of norms, feed-forward and head
  PerLayer window = 0;
  std::vector<edgellm::u32> grammar = {};   // docs/FILE.md; empty: none
  std::vector<edgellm::u8> tokenizer = {};  // a section; empty: none
  edgellm::convert::Metadata more = {};     // further keys; one of the same name takes the place of what was there
};

// Writes the file; `seed` picks the weights.
void write_model(const ModelRecipe& recipe, const std::string& path, edgellm::u64 seed = 1);

// A fresh name in the folder for temporary files; removed at exit.
std::string temporary_path(const std::string& name);
