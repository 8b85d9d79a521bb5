// Small transformer files with made-up weights, the same on every machine: any mix of formats, norms and shapes.
#pragma once
#include <string>
#include <vector>

#include "base/types.h"
#include "convert/base/model.h"
#include "kernels.h"

struct ModelRecipe {
  edgellm::i32 layers = 2, dim = 48, ffn_dim = 80, heads = 4, kv_heads = 2, head_dim = 12, vocab = 67, context = 96;
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
  bool phi = false;  // gelu without a gate, beside attention under one norm; biases of norms, feed-forward and head
  edgellm::i32 window = 0;
  std::vector<edgellm::u32> grammar = {};  // docs/FILE.md; empty: none
  edgellm::convert::Metadata more = {};    // further keys; one of the same name takes the place of what was there
};

// Writes the file; `seed` picks the weights.
void write_model(const ModelRecipe& recipe, const std::string& path, edgellm::u64 seed = 1);

// A fresh name in the folder for temporary files; removed at exit.
std::string temporary_path(const std::string& name);

std::vector<edgellm::u8> read_bytes(const std::string& path);
