// config.json and generation_config.json of a Hugging Face folder.
#pragma once
#include <string>
#include <vector>

#include "convert/family/transformer.h"
#include "convert/source/source.h"

namespace edgellm::convert {

struct HfConfig {
  Transformer shape;
  std::string architecture;                // "LlamaForCausalLM"
  bool tied = false;                       // the embedding serves as the head, unless the file's own head differs
  bool bitnet = false;                     // trained with ternary matrices and int8 activations
  bool quantized = false;                  // config.json says so, too: transformers computes with them
  bool online = false;                     // it makes them of master weights; else the file has ternary ones
  bool scale_divides = false;              // `weight_scale` divides ("bitlinear"); else it multiplies ("autobitlinear")
  std::vector<std::string> float_modules;  // starts and ends of names: not ternary ("modules_to_not_convert")
  std::vector<std::string> notes;

  // Of a matrix, by its name: "model.layers.0.mlp.down_proj.weight".
  bool is_float(const std::string& weight) const;
};

HfConfig read_hf_config(const Source& source);

}  // namespace edgellm::convert
