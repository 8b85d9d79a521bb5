// What the configuration of a LoRA adapter (adapter_config.json of huggingface/peft 0.21) says of the modules of its model: which
// of them have factors, of which rank and scale, and which have weights of their own. Matching follows PEFT
// (tuners/tuners_utils.py: check_target_module_exists; utils/other.py: get_pattern_key, _set_trainable).
#pragma once
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "convert/base/fields.h"

namespace edgellm::convert {

class PeftConfig {
 public:
  // The modules at both ends of the model; tied: they share one table.
  struct Ends {
    std::string embedding, head;
    bool tied;
  };

  // Refuses by name what is no sum with the weights; fields that it does not know are noted.
  PeftConfig(const std::string& path, const Ends& ends, std::vector<std::string>* notes);
  PeftConfig(const PeftConfig&) = delete;
  PeftConfig& operator=(const PeftConfig&) = delete;

  // Modules are named as in the model, "model.layers.0.self_attn.q_proj".
  bool targets(const std::string& module) const;  // it has factors
  bool saves(const std::string& module) const;    // it, or one around it, has weights of its own ("modules_to_save")

  // The embedding and the head stay one in spite of an adapter on them ("ensure_weight_tying").
  bool keeps_saved_tied() const { return saved_tied_; }
  bool keeps_factors_tied() const { return factors_tied_; }

  // Factors that the adapter does not have are ones that change nothing.
  bool starts_at_zero() const { return starts_at_zero_; }

  i64 rank_of(const std::string& module) const;
  f32 scale_of(const std::string& module) const;

  template <class... Args>
  [[noreturn]] void refuse(const Args&... args) const {
    unusable(fields_.where(), ": ", args...);
  }

 private:
  // One module's name, the end of one's name, or a regular expression for all of it.
  struct Names {
    bool given = false;
    std::vector<std::string> ends;
    std::vector<std::regex> whole;
    bool all_linear = false;
  };
  using Patterns = std::vector<std::pair<std::regex, f64>>;

  void check_fields(std::vector<std::string>* notes) const;
  void check_start();
  std::vector<std::string> strings(const char* key) const;
  std::regex regex(const char* key, const std::string& before, const std::string& pattern, const std::string& after) const;
  Names read_names(const char* key) const;
  Patterns read_patterns(const char* key) const;
  void read_layers();
  void read_tied();
  bool in_layers(const std::string& module) const;
  f64 setting(const Patterns& patterns, const char* key, const std::string& module) const;

  const Json json_;
  const Fields fields_;
  const Ends ends_;
  Names targets_, excluded_;
  std::vector<std::string> saved_;        // ends of names
  std::vector<std::regex> around_saved_;  // names in which no module has factors
  bool some_layers_ = false;
  std::vector<i64> layers_;
  std::vector<std::regex> layers_patterns_;  // the last group is the index
  Patterns ranks_, alphas_;
  bool saved_tied_ = false, factors_tied_ = false, starts_at_zero_ = true;
};

}  // namespace edgellm::convert
