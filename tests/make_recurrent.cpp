#include "make_recurrent.h"

#include <memory>
#include <vector>

#include "base/random.h"
#include "convert/output/encode.h"
#include "convert/output/plan.h"
#include "convert/output/writer.h"

using namespace edgellm;

const convert::Rwkv SMALL7 = {.layers = 3,
                              .dim = 48,
                              .ffn_dim = 112,
                              .vocab = 67,
                              .head_dim = 16,
                              .rank_w = 8,
                              .rank_a = 6,
                              .rank_v = 5,
                              .rank_g = 20};
const convert::Rwkv ODD7 = {.layers = 2,
                            .dim = 35,
                            .ffn_dim = 61,
                            .vocab = 33,
                            .head_dim = 7,
                            .rank_w = 3,
                            .rank_a = 1,
                            .rank_v = 40,
                            .rank_g = 9,
                            .tied = true};
const convert::Rwkv SMALL4 = {.layers = 3, .dim = 48, .ffn_dim = 112, .vocab = 67, .att_dim = 48};
const convert::Rwkv ODD4 = {.layers = 2, .dim = 35, .ffn_dim = 61, .vocab = 33, .att_dim = 301};
const convert::Mamba SMALL1 = {.layers = 3, .dim = 48, .vocab = 67, .inner = 96, .rank = 3};
const convert::Mamba ODD1 = {
    .layers = 2, .dim = 35, .states = 5, .taps = 3, .vocab = 33, .inner = 301, .rank = 7, .conv_bias = false, .tied = false};
const convert::Mamba SMALL2 = {.layers = 3, .dim = 48, .states = 16, .vocab = 67, .heads = 6, .head_dim = 16, .groups = 2};
const convert::Mamba ODD2 = {.layers = 2,
                             .dim = 35,
                             .states = 7,
                             .taps = 2,
                             .vocab = 33,
                             .heads = 3,
                             .head_dim = 11,
                             .conv_bias = false,
                             .tied = false};
const convert::RetNet SMALL_RETNET = {.layers = 3, .dim = 48, .value_dim = 96, .ffn_dim = 80, .heads = 3, .vocab = 67};
const convert::RetNet ODD_RETNET = {.layers = 2,
                                    .dim = 30,
                                    .value_dim = 85,
                                    .ffn_dim = 33,
                                    .heads = 5,
                                    .vocab = 33,
                                    .embed_norm = false,
                                    .lm_decay = true,
                                    .tied = true};

RecurrentShape rwkv7(convert::Rwkv shape) {
  shape.version = 7;
  return {convert::rwkv_family(shape)};
}

RecurrentShape rwkv4(convert::Rwkv shape) {
  shape.version = 4;
  return {convert::rwkv_family(shape)};
}

RecurrentShape mamba(convert::Mamba shape) {
  shape.version = 1;
  return {convert::mamba_family(shape)};
}

RecurrentShape mamba2(convert::Mamba shape) {
  shape.version = 2;
  return {convert::mamba_family(shape)};
}

RecurrentShape bounded(RecurrentShape shape, f32 low, f32 high) {
  shape.family.metadata.emplace_back("dt_min", low);
  shape.family.metadata.emplace_back("dt_max", high);
  return shape;
}

RecurrentShape retnet(const convert::RetNet& shape) {
  return {convert::retnet_family(shape)};
}

namespace {

// Another tensor with zeros, the same in every format.
class Thinned : public convert::Tensor {
 public:
  explicit Thinned(std::unique_ptr<Tensor> tensor)
      : Tensor(tensor->name, tensor->role, tensor->rows, tensor->cols), tensor_(std::move(tensor)) {}
  void values(i64 row, i64 count, f32* out) const override {
    tensor_->values(row, count, out);
    for (i64 i = 0; i < count * cols; i++) {
      if (random_bits(3, static_cast<u64>(row * cols + i)) % 5) out[i] = 0;
    }
  }

 private:
  std::unique_ptr<Tensor> tensor_;
};

void thin(Format format, convert::Target* target) {
  if (target->spec.format != Format::I8 || target->spec.activations != Quantization::token) return;
  target->tensor = std::make_unique<Thinned>(std::move(target->tensor));
  target->spec.format = format;
  if (sparse(format)) target->spec.places = convert::sparse_places(*target->tensor, format);
}

}  // namespace

void write_model(const RecurrentRecipe& recipe, const std::string& path) {
  convert::Model model = convert::random_model(recipe.shape.family);
  model.bitnet = recipe.token;
  convert::Metadata metadata = model.metadata;
  std::vector<convert::Target> targets = convert::plan(std::move(model), {recipe.weights, {}, {}});
  if (recipe.thinned) {
    for (convert::Target& target : targets)
      thin(*recipe.thinned, &target);
  }
  std::vector<convert::TensorSpec> specs;
  for (const convert::Target& target : targets)
    specs.push_back(target.spec);
  convert::FileWriter writer(path);
  writer.begin(metadata, specs, {});
  for (const convert::Target& target : targets)
    convert::encode(*target.tensor, target.spec, writer, [](u64) {});
  writer.finish();
  writer.publish();
}
