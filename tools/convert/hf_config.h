// config.json and generation_config.json of a Hugging Face folder.
#pragma once
#include "transformer.h"

namespace edgellm::convert {

struct HfConfig {
  Transformer shape;
  bool tied = false;                       // the embedding serves as the head
  bool bitnet = false;                     // trained with ternary matrices and int8 activations
  bool scale_divides = false;              // `weight_scale` divides ("bitlinear"); else it multiplies ("autobitlinear")
  std::vector<std::string> float_modules;  // starts and ends of names: not ternary ("modules_to_not_convert")
  std::vector<std::string> notes;

  // Of a matrix, by its name: "model.layers.0.mlp.down_proj.weight".
  bool is_float(const std::string& weight) const;
};

// `has_head`: there is an lm_head tensor, for configurations that do not say whether the embedding is tied.
HfConfig read_hf_config(const std::string& folder, bool has_head);

}  // namespace edgellm::convert
