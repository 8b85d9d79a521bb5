#include "convert/change/peft.h"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace edgellm::convert {
namespace {

constexpr i64 MAX_RANK = 1 << 16;
constexpr size_t MAX_PATTERN = 4096;
constexpr int MAX_REPETITIONS = 6;

// Every field of LoraConfig, and of the classes it is derived from, in PEFT 0.21.2.
enum class Field {
  used,
  inert,    // decides nothing once an adapter is trained, or nothing beside another field that is refused
  refused,  // unless it is absent, null, false or empty
};
constexpr struct {
  const char* name;
  Field field;
} FIELDS[] = {
    {"alora_invocation_tokens", Field::refused},
    {"alpha_pattern", Field::used},
    {"arrow_config", Field::refused},
    {"auto_mapping", Field::inert},
    {"base_model_name_or_path", Field::inert},
    {"bias", Field::used},
    {"corda_config", Field::inert},  // of init_lora_weights "corda"
    {"ensure_weight_tying", Field::used},
    {"eva_config", Field::inert},  // of init_lora_weights "eva"
    {"exclude_modules", Field::used},
    {"fan_in_fan_out", Field::inert},  // PEFT sets it to false for nn.Linear
    {"inference_mode", Field::inert},
    {"init_lora_weights", Field::used},
    {"kasa_config", Field::refused},
    {"layer_replication", Field::refused},
    {"layers_pattern", Field::used},
    {"layers_to_transform", Field::used},
    {"loftq_config", Field::inert},  // of init_lora_weights "loftq"
    {"lora_alpha", Field::used},
    {"lora_bias", Field::refused},
    {"lora_dropout", Field::inert},    // of training
    {"lora_ga_config", Field::inert},  // of init_lora_weights "lora_ga"
    {"megatron_config", Field::refused},
    {"megatron_core", Field::inert},  // of megatron_config
    {"modules_to_save", Field::used},
    {"monteclora_config", Field::refused},
    {"peft_type", Field::used},
    {"peft_version", Field::inert},
    {"qalora_group_size", Field::inert},  // of use_qalora
    {"r", Field::used},
    {"rank_pattern", Field::used},
    {"revision", Field::inert},
    {"runtime_config", Field::inert},  // PEFT ignores it in a file
    {"target_modules", Field::used},
    {"target_parameters", Field::refused},
    {"task_type", Field::inert},  // a class around the same model
    {"trainable_token_indices", Field::refused},
    {"use_bdlora", Field::refused},
    {"use_dora", Field::refused},
    {"use_qalora", Field::refused},
    {"use_rslora", Field::used},
    {"velora_config", Field::refused},
};

// What PEFT takes for the families of this converter where `target_modules` says nothing (utils/constants.py): Phi alone has
// the last two.
const char* const DEFAULT_TARGETS[] = {"q_proj", "v_proj", "fc1", "fc2"};

bool is_set(const Json& value) {
  if (value.is_null()) return false;
  if (value.boolean()) return *value.boolean();
  if (value.number()) return *value.number() < 0 || *value.number() > 0;
  if (value.string()) return !value.string()->empty();
  if (value.array()) return !value.array()->empty();
  if (value.object()) return !value.object()->empty();
  return true;
}

bool ends_in(const std::string& module, const std::string& end) {
  return module == end || module.ends_with("." + end);
}

// Whether a regular expression of Python means the same to std::regex, for names of printable ASCII. What is left out differs or
// is unknown there: back references, named groups, flags, looking behind, possessive and doubled repetitions, sets of classes; and
// what could take either for ever: many repetitions, and those of a group that can match in several ways.
bool reads_the_same(std::string_view pattern) {
  constexpr std::string_view PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
  auto all_print = [](char c) { return c >= 0x20 && c < 0x7f; };
  if (pattern.size() > MAX_PATTERN || !std::all_of(pattern.begin(), pattern.end(), all_print)) return false;
  auto at = [&](size_t i) { return i < pattern.size() ? pattern[i] : '\0'; };
  auto escape = [&](size_t i, std::string_view letters) {
    const char c = at(i);
    return c && (PUNCTUATION.find(c) != std::string_view::npos || letters.find(c) != std::string_view::npos);
  };
  bool repeated = false;                 // what comes before is a repetition
  std::vector<bool> manifold = {false};  // of each open group: it can match in several ways
  bool ends_manifold = false;            // such a group ended just now
  int repetitions = 0;
  auto may_repeat = [&](bool more_than_once) {
    manifold.back() = true;
    return !(more_than_once && ends_manifold) && ++repetitions <= MAX_REPETITIONS;
  };
  for (size_t i = 0; i < pattern.size(); i++) {
    const char c = pattern[i];
    const bool after = repeated;
    repeated = false;
    if (c != '*' && c != '+' && c != '?' && c != '{') ends_manifold = false;
    if (c == '\\') {
      if (!escape(++i, "dDwWsSbB")) return false;
    } else if (c == '[') {
      i += at(i + 1) == '^' ? 2 : 1;
      if (at(i) == ']') return false;
      for (; at(i) != ']'; i++) {
        if (!at(i) || at(i) == '[') return false;
        if (at(i) == '\\' && !escape(++i, "dDwWsS")) return false;
      }
    } else if (c == '(') {
      manifold.push_back(false);
      if (at(i + 1) != '?') continue;
      i += 2;
      if (at(i) != ':' && at(i) != '=' && at(i) != '!') return false;
    } else if (c == ')') {
      if (manifold.size() == 1) return false;
      ends_manifold = manifold.back();
      manifold.pop_back();
      if (ends_manifold) manifold.back() = true;
    } else if (c == '|') {
      manifold.back() = true;
    } else if (c == '*' || c == '+' || c == '?') {
      if (after && (c != '?' || at(i - 1) == '?')) return false;
      if (!after && !may_repeat(c != '?')) return false;  // else it is the mark of a lazy one
      repeated = true;
    } else if (c == '{') {
      const size_t end = pattern.find('}', i);
      if (after || end == std::string_view::npos) return false;
      const std::string_view counts = pattern.substr(i + 1, end - i - 1);
      const size_t comma = std::min(counts.find(','), counts.size());
      auto digits = [](std::string_view text) {
        return text.size() <= 3 && std::all_of(text.begin(), text.end(), [](char d) { return d >= '0' && d <= '9'; });
      };
      if (comma == 0 || !digits(counts.substr(0, comma))) return false;
      if (comma < counts.size() && !digits(counts.substr(comma + 1))) return false;
      if (!may_repeat(true)) return false;
      i = end;
      repeated = true;
    } else if (c == ']' || c == '}') {
      return false;  // literal in Python
    }
  }
  return true;
}

// Python's re.match: from the start, not necessarily to the end.
bool starts(const std::string& name, const std::regex& pattern, std::smatch* match = nullptr) {
  std::smatch unused;
  return std::regex_search(name, match ? *match : unused, pattern, std::regex_constants::match_continuous);
}

}  // namespace

PeftConfig::PeftConfig(const std::string& path, const Ends& ends, std::vector<std::string>* notes)
    : json_(read_json(path)), fields_(json_, path), ends_(ends) {
  check_fields(notes);
  check_start();
  targets_ = read_names("target_modules");
  excluded_ = read_names("exclude_modules");
  if (!targets_.given) targets_.ends.assign(std::begin(DEFAULT_TARGETS), std::end(DEFAULT_TARGETS));
  if (!targets_.whole.empty()) {
    constexpr std::string_view ALL_LINEAR = "all-linear";  // in capitals or not
    const std::string& all = *json_.find("target_modules")->string();
    targets_.all_linear = std::equal(all.begin(), all.end(), ALL_LINEAR.begin(), ALL_LINEAR.end(),
                                     [](char is, char wanted) { return is == wanted || (is | 0x20) == wanted; });
  }
  read_layers();
  if (json_.find("modules_to_save") && !json_.find("modules_to_save")->array()) refuse("\"modules_to_save\" is not a list");
  saved_ = strings("modules_to_save");
  ranks_ = read_patterns("rank_pattern");
  alphas_ = read_patterns("alpha_pattern");
  read_tied();
  for (const std::string& name : saved_)
    around_saved_.push_back(regex("modules_to_save", "(^|.*\\.)", name, "($|\\..*)"));
}

void PeftConfig::check_fields(std::vector<std::string>* notes) const {
  if (!json_.object()) refuse("it is not an object");
  if (fields_.string("peft_type") != "LORA") refuse("peft_type \"", fields_.string("peft_type"), "\", expected \"LORA\"");
  const std::string bias = fields_.string("bias");
  if (!bias.empty() && bias != "none") refuse("bias \"", bias, "\" is not supported (none)");
  std::string unknown;
  for (const auto& [name, value] : *json_.object()) {
    const std::string& key = name;
    const auto* known =
        std::find_if(std::begin(FIELDS), std::end(FIELDS), [&](const auto& field) { return key == field.name; });
    if (known == std::end(FIELDS)) {
      if (is_set(value)) unknown += (unknown.empty() ? "" : ", ") + key;
    } else if (known->field == Field::refused && is_set(value)) {
      refuse("\"", key, "\" is not supported");
    }
  }
  if (!unknown.empty()) {
    notes->push_back(text(fields_.where(), ": unknown fields have no effect, as in PEFT 0.21: ", unknown));
  }
}

// Adapters that begin with other weights than the model's are refused.
void PeftConfig::check_start() {
  const Json* start = json_.find("init_lora_weights");
  if (!start) return;
  if (start->boolean()) {
    starts_at_zero_ = *start->boolean();
    return;
  }
  if (!start->string()) refuse("\"init_lora_weights\" is neither true, false nor a word");
  const std::string& word = *start->string();
  for (const char* kind : {"pissa", "olora", "corda", "loftq", "lora_ga"}) {
    if (word.starts_with(kind)) {
      refuse("init_lora_weights \"", word, "\" changed the weights beside the adapter: save it as a plain LoRA");
    }
  }
  constexpr struct {
    const char* word;
    bool zero;
  } STARTS[] = {{"gaussian", true}, {"eva", true}, {"mica", true}, {"orthogonal", false}};
  for (const auto& known : STARTS) {
    if (word != known.word) continue;
    starts_at_zero_ = known.zero;
    return;
  }
  refuse("init_lora_weights \"", word, "\" is not known (true, false, gaussian, eva, mica, orthogonal)");
}

// One string or a list of them; none where the field says nothing.
std::vector<std::string> PeftConfig::strings(const char* key) const {
  const Json* value = json_.find(key);
  if (!value) return {};
  if (value->string()) return {*value->string()};
  if (!value->array()) refuse("\"", key, "\" is neither a list nor a text");
  std::vector<std::string> all;
  for (const Json& element : *value->array()) {
    if (!element.string()) refuse("\"", key, "\" has an element that is not a text");
    all.push_back(*element.string());
  }
  return all;
}

std::regex PeftConfig::regex(const char* key, const std::string& before, const std::string& pattern,
                             const std::string& after) const {
  try {
    if (reads_the_same(pattern)) return std::regex(before + pattern + after);
  } catch (const std::regex_error&) {
  }
  refuse(key, ": \"", pattern,
         "\" is a regular expression that cannot be read: known are classes, groups, alternatives, "
         "repetitions (6 in all, none of a group with another in it), ^, $, (?=...), (?!...) and the escapes \\d, \\w, \\s, "
         "\\b");
}

PeftConfig::Names PeftConfig::read_names(const char* key) const {
  Names names;
  names.ends = strings(key);
  names.given = json_.find(key) != nullptr;
  if (names.given && json_.find(key)->string()) {
    names.whole.push_back(regex(key, "", names.ends[0], ""));
    names.ends.clear();
  }
  return names;
}

PeftConfig::Patterns PeftConfig::read_patterns(const char* key) const {
  Patterns patterns;
  const Json* value = json_.find(key);
  if (!value) return patterns;
  if (!value->object()) refuse("\"", key, "\" is not an object");
  for (const auto& [pattern, number] : *value->object()) {
    if (!number.number()) refuse(key, ": \"", pattern, "\" is not a number");
    patterns.emplace_back(regex(key, "(.*\\.)?(", pattern, ")$"), *number.number());
  }
  return patterns;
}

void PeftConfig::read_layers() {
  const Json *layers = json_.find("layers_to_transform"), *pattern = json_.find("layers_pattern");
  if (layers || pattern) {
    if (!targets_.whole.empty())
      refuse("layers_to_transform and layers_pattern do not go with a target_modules that is a text");
    if (pattern && is_set(*pattern) && !layers) refuse("layers_pattern is without layers_to_transform");
  }
  if (layers) {
    const Json::Array one = {*layers};
    for (const Json& index : layers->array() ? *layers->array() : one) {
      const std::optional<i64> whole = index.whole(-Json::MAX_WHOLE, Json::MAX_WHOLE);
      if (!whole) refuse("\"layers_to_transform\" is neither a whole number nor a list of them");
      layers_.push_back(*whole);
    }
    some_layers_ = !layers_.empty();
  }
  for (const std::string& name : strings("layers_pattern")) {
    if (!name.empty()) layers_patterns_.push_back(regex("layers_pattern", "(?:^|.*?\\.)", name, "\\.(\\d+)\\."));
  }
  if (layers_patterns_.empty()) layers_patterns_.emplace_back(".*?\\.[^.]*\\.(\\d+)\\.");
}

// A tied model whose adapter is to stay tied: what it says of one of the two is said of both.
void PeftConfig::read_tied() {
  if (!ends_.tied || !fields_.flag("ensure_weight_tying").value_or(false)) return;
  auto is_one = [](const std::string& name) { return ends_in(name, "embed_tokens") || ends_in(name, "lm_head"); };
  if (std::any_of(saved_.begin(), saved_.end(), is_one)) {
    saved_tied_ = true;
    saved_.insert(saved_.end(), {ends_.embedding, ends_.head});
  } else if (targets_.whole.empty()) {
    factors_tied_ = std::any_of(targets_.ends.begin(), targets_.ends.end(), is_one);
  } else {
    for (const char* name : {"embed_tokens", "lm_head"})
      factors_tied_ |= std::regex_match(name, targets_.whole[0]);
  }
}

bool PeftConfig::in_layers(const std::string& module) const {
  for (const std::regex& pattern : layers_patterns_) {
    std::smatch match;
    if (!starts(module, pattern, &match)) continue;
    const std::string index = match[match.size() - 1].str();
    if (index.empty() || index.size() > 15) return false;
    return std::find(layers_.begin(), layers_.end(), std::stoll(index)) != layers_.end();
  }
  return false;
}

bool PeftConfig::targets(const std::string& module) const {
  if (factors_tied_ && (module == ends_.embedding || module == ends_.head)) return true;
  auto fits = [&](const Names& names) {
    auto whole = [&](const std::regex& pattern) { return std::regex_match(module, pattern); };
    auto end = [&](const std::string& name) { return ends_in(module, name); };
    return std::any_of(names.whole.begin(), names.whole.end(), whole) ||
           std::any_of(names.ends.begin(), names.ends.end(), end);
  };
  if (fits(excluded_)) return false;
  for (const std::regex& pattern : around_saved_) {
    if (starts(module, pattern)) return false;
  }
  if (targets_.all_linear) return module != ends_.embedding && module != ends_.head;
  if (!fits(targets_)) return false;
  const bool by_name = std::find(targets_.ends.begin(), targets_.ends.end(), module) != targets_.ends.end();
  return by_name || !some_layers_ || in_layers(module);
}

bool PeftConfig::saves(const std::string& module) const {
  for (std::string around = module;;) {
    for (const std::string& name : saved_) {
      if (around.ends_with(name)) return true;
    }
    const size_t dot = around.rfind('.');
    if (dot == std::string::npos) return false;
    around.resize(dot);
  }
}

// What the first pattern that fits says, else what `key` says of all.
f64 PeftConfig::setting(const Patterns& patterns, const char* key, const std::string& module) const {
  for (const auto& [pattern, value] : patterns) {
    if (starts(module, pattern)) return value;
  }
  const std::optional<f64> value = fields_.number(key);
  if (!value) refuse("\"", key, "\" is missing");
  return *value;
}

i64 PeftConfig::rank_of(const std::string& module) const {
  const f64 rank = setting(ranks_, "r", module);
  if (!(rank >= 1 && rank <= static_cast<f64>(MAX_RANK)) || rank != std::floor(rank)) {
    refuse("the rank of ", module, " is ", rank, ", expected 1 to ", MAX_RANK);
  }
  return static_cast<i64>(rank);
}

f32 PeftConfig::scale_of(const std::string& module) const {
  const f64 alpha = setting(alphas_, "lora_alpha", module), rank = static_cast<f64>(rank_of(module));
  return static_cast<f32>(alpha / (fields_.flag("use_rslora").value_or(false) ? std::sqrt(rank) : rank));
}

}  // namespace edgellm::convert
