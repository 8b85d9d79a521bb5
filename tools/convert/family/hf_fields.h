// The fields of the configuration classes that a config.json can be of, and the keys of GGUF, as data: what the converter does
// with each one, and what a missing one stands for. No field goes unnoticed: it is used, or known to change no logit, or has only
// one value that is accepted; a name that the class does not have is told to the user.
//
// Sources: the configuration classes of transformers 5.24 (tools/golden/config_fields.py writes down their fields and defaults,
// and tests/test_hf_fields.cpp compares this table with them) and what their older versions saved; state-spaces/mamba,
// config_mamba.py and modules/; syncdoth/RetNet, configuration_retnet.py; the configuration of 1bitLLM/bitnet_b1_58-3B;
// ggml-org/llama.cpp, gguf-py/gguf/constants.py.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convert/base/json.h"

namespace edgellm::convert {

enum class Use {
  read,   // decides the model or what is said of it: the reader of its family takes it
  inert,  // changes no logit
  only,   // must have a certain value, and is refused by name with another
};

struct Field {
  const char* name;
  Use use;
  const char* text;    // inert: why; only: the accepted values as JSON, with commas between; none: it must not be there
  const char* absent;  // what a missing one stands for, as JSON; "": the reader finds out, or insists on it
};

struct ConfigClass {
  const char* name;
  std::span<const Field> lists[4];

  const Field* find(std::string_view field) const;
};

std::span<const ConfigClass> config_classes();
const ConfigClass& config_class(std::string_view name);

// What the object `config` says as one of this class: without the members that the class does not have, which `notes` names, and
// with the missing ones that stand for something. Throws for a field whose value is not accepted.
Json complete_config(const Json& config, const std::string& where, const ConfigClass& of, std::vector<std::string>* notes);

}  // namespace edgellm::convert
