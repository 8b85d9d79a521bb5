// Models of random weights: how fast a model of a shape would be, before downloading it.
#include "convert/family/mamba.h"
#include "convert/family/open.h"
#include "convert/family/retnet.h"
#include "convert/family/rwkv.h"
#include "convert/family/transformer.h"

namespace edgellm::convert {
namespace {

struct Shape {
  const char* name;
  std::variant<Transformer, Rwkv, Mamba, RetNet> model;
  bool ternary = false;
};

Transformer llama(i64 layers, i64 dim, i64 ffn_dim, i64 heads, i64 kv_heads, i64 head_dim, i64 vocab, i64 context,
                  f64 theta) {
  Transformer t;
  t.layers = layers, t.dim = dim, t.ffn_dim = ffn_dim;
  t.heads = heads, t.kv_heads = kv_heads, t.head_dim = head_dim;
  t.vocab = vocab, t.context = context;
  t.rope.theta = theta;
  return t;
}

// A norm before `o` and `down`, squared ReLU.
Transformer bitnet(Transformer t) {
  t.gate = Gate::relu2;
  t.has.sub_norms = Presence::needed;
  return t;
}

Transformer qwen2(Transformer t) {
  t.norm_eps = 1e-6;
  t.has.qkv_biases = Presence::needed;
  return t;
}

Transformer llama3_scaled(Transformer t, f64 factor, f64 original_context) {
  t.rope.scaling = Rope::Scaling::llama3;
  t.rope.factor = factor;
  t.rope.original_context = original_context;
  return t;
}

// The embeddings of the transformers serve as heads.
const std::vector<Shape>& shapes() {
  static const std::vector<Shape> list = {
      // layers, dim, ffn, heads, kv heads, head size, vocabulary, context, theta
      {"tiny", bitnet(llama(2, 64, 176, 4, 2, 16, 300, 256, 10000)), true},
      {"bitnet-2b4t", bitnet(llama(30, 2560, 6912, 20, 5, 128, 128256, 4096, 500000)), true},
      {"smollm-135m", llama(30, 576, 1536, 9, 3, 64, 49152, 2048, 10000)},
      {"smollm-360m", llama(32, 960, 2560, 15, 5, 64, 49152, 2048, 10000)},
      {"qwen2-0.5b", qwen2(llama(24, 896, 4864, 14, 2, 64, 151936, 131072, 1000000))},
      {"llama-3.2-1b", llama3_scaled(llama(16, 2048, 8192, 32, 8, 64, 128256, 131072, 500000), 32, 8192)},
      {"rwkv7-tiny", Rwkv{.layers = 2,
                          .dim = 64,
                          .ffn_dim = 256,
                          .vocab = 256,
                          .head_dim = 16,
                          .rank_w = 16,
                          .rank_a = 16,
                          .rank_v = 8,
                          .rank_g = 24}},
      {"rwkv7-0.4b", Rwkv{.layers = 24,
                          .dim = 1024,
                          .ffn_dim = 4096,
                          .vocab = 65536,
                          .rank_w = 64,
                          .rank_a = 64,
                          .rank_v = 32,
                          .rank_g = 128}},
      {"rwkv4-tiny", Rwkv{.version = 4, .layers = 2, .dim = 64, .ffn_dim = 256, .vocab = 256, .att_dim = 64}},
      {"mamba-tiny", Mamba{.layers = 2, .dim = 64, .vocab = 256, .inner = 128, .rank = 4}},
      {"mamba-130m", Mamba{.layers = 24, .dim = 768, .vocab = 50280, .inner = 1536, .rank = 48}},
      {"mamba2-tiny", Mamba{.version = 2, .layers = 2, .dim = 64, .states = 32, .vocab = 256, .heads = 8, .head_dim = 16}},
      {"retnet-tiny", RetNet{.layers = 2, .dim = 64, .value_dim = 128, .ffn_dim = 128, .heads = 4, .vocab = 256}},
  };
  return list;
}

ModelTable family_of(const Transformer& shape, const std::string& source) {
  return transformer_family(shape, source);
}
ModelTable family_of(const Rwkv& shape, const std::string&) {
  return rwkv_family(shape);
}
ModelTable family_of(const Mamba& shape, const std::string&) {
  return mamba_family(shape);
}
ModelTable family_of(const RetNet& shape, const std::string&) {
  return retnet_family(shape);
}

}  // namespace

bool is_synthetic(const Source& source) {
  return source.shape.has_value();
}

std::vector<std::string> synthetic_shapes() {
  std::vector<std::string> names;
  for (const Shape& shape : shapes())
    names.push_back(shape.name);
  return names;
}

Model open_synthetic(const Source& source) {
  for (const Shape& shape : shapes()) {
    if (*source.shape != shape.name) continue;
    ModelTable table = std::visit([&](const auto& model) { return family_of(model, source.path); }, shape.model);
    table.ternary = shape.ternary;
    return random_model(table);
  }
  wrong_usage(source.path, ": expected one of ", list_text(synthetic_shapes()));
}

}  // namespace edgellm::convert
