// The table of configuration fields against transformers' classes (tools/golden/config_fields.py), the fixtures' configurations,
// and docs/CONVERT.md.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "check.h"
#include "convert/base/error.h"
#include "convert/family/hf_fields.h"

using namespace edgellm;
using namespace edgellm::convert;

namespace {

// Read, but nothing stands for them: the readers insist on these, find them in the tensors, or leave them to the tokenizer.
const std::set<std::string> INSISTED = {
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_heads", "head_dim",
    "state_size", "conv_kernel", "time_step_rank",    "bos_token_id",      "eos_token_id",        "model_type"};

// Written as JSON, two defaults are equal; numbers may be written in two ways.
bool same_default(const Json& a, const Json& b) {
  if (a.number() && b.number()) return !(*a.number() < *b.number()) && !(*a.number() > *b.number());
  if (a.array() && b.array()) {
    return std::equal(a.array()->begin(), a.array()->end(), b.array()->begin(), b.array()->end(), same_default);
  }
  if (a.string() && b.string()) return *a.string() == *b.string();
  if (a.boolean() && b.boolean()) return *a.boolean() == *b.boolean();
  return a.is_null() && b.is_null();
}

std::vector<Field> fields_of(const ConfigClass& one) {
  std::vector<Field> fields;
  for (std::span<const Field> list : one.lists) {
    for (const Field& field : list) {
      if (one.find(field.name) == &field) fields.push_back(field);  // else one before it has its place
    }
  }
  return fields;
}

std::string failure(const std::string& config, const char* name, std::vector<std::string>* notes) {
  try {
    complete_config(parse_json(config, "config.json"), "config.json", config_class(name), notes);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

TEST(every_field_of_transformers_is_in_the_table) {
  std::ifstream file("tests/golden/config_fields.txt");
  std::string line;
  int fields = 0;
  while (std::getline(file, line)) {
    if (line.starts_with("#")) continue;
    std::istringstream words(line);
    std::string of, name, value;
    words >> of >> name;
    std::getline(words, value);
    const Field* field = config_class(of).find(name);
    CHECK(field != nullptr);
    if (!field) {
      std::printf("%s: %s is not in the table\n", of.c_str(), name.c_str());
      continue;
    }
    fields++;
    if (field->use == Use::inert) continue;
    const Json theirs = parse_json(value, line);
    const bool same = *field->absent ? same_default(parse_json(field->absent, name), theirs)
                                     : theirs.is_null() || INSISTED.contains(name) || field->use == Use::only;
    CHECK(same || of == "RopeParameters");  // whose defaults are in no signature
    if (!same && of != "RopeParameters")
      std::printf("%s: %s stands for %s, not %s\n", of.c_str(), name.c_str(), value.c_str(), field->absent);
  }
  CHECK(fields > 350);
}

TEST(inert_fields_say_why_and_accepted_values_are_json) {
  for (const ConfigClass& one : config_classes()) {
    for (const Field& field : fields_of(one)) {
      CHECK_EQ(field.use == Use::inert, field.use != Use::only && *field.text != 0);
      if (field.use == Use::only) CHECK(parse_json("[" + std::string(field.text) + "]", field.name).array() != nullptr);
      if (*field.absent) CHECK(!parse_json(field.absent, field.name).is_null());
    }
  }
}

TEST(the_fixtures_have_known_fields_alone) {
  int configs = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("tests/golden")) {
    if (entry.path().filename() != "config.json") continue;
    const std::string path = entry.path().string();
    const Json config = read_json(path);
    std::string name;
    if (const Json* architectures = config.find("architectures")) {
      name = *architectures->array()->front().string();
      name = name.substr(0, name.find("For")) + "Config";
    } else {
      CHECK_EQ(*config.find("model_type")->string(), "retnet");
      name = "RetNetConfig";
    }
    std::vector<std::string> notes;
    const Json complete = complete_config(config, path, config_class(name), &notes);
    for (const char* key : {"rope_parameters", "quantization_config"}) {
      if (const Json* inner = complete.find(key)) {
        complete_config(*inner, path, config_class(*key == 'r' ? "RopeParameters" : "BitNetQuantConfig"), &notes);
      }
    }
    for (const std::string& note : notes)
      std::printf("%s\n", note.c_str());
    CHECK(notes.empty());
    configs++;
  }
  CHECK(configs > 20);
}

TEST(unknown_and_refused_fields_are_named) {
  std::vector<std::string> notes;
  CHECK_EQ(failure("{\"hidden_size\":8,\"logit_scale\":3,\"x\":null}", "LlamaConfig", &notes), "");
  CHECK_EQ(notes.size(), size_t{1});
  CHECK(notes.at(0).ends_with("no fields of LlamaConfig, and so without effect: logit_scale, x"));
  notes.clear();
  CHECK_EQ(failure("{\"per_layer_config\":{},\"fusion_config\":null}", "LlamaConfig", &notes), "");
  CHECK(notes.empty());
  CHECK_EQ(failure("{\"fusion_config\":{\"a\":1}}", "LlamaConfig", &notes),
           "config.json: \"fusion_config\" is an object, which is not supported");
  CHECK_EQ(failure("{\"use_bias\":true}", "MambaConfig", &notes),
           "config.json: \"use_bias\" is true, which is not supported (false)");
  CHECK_EQ(failure("{\"hidden_act\":\"gelu\"}", "Mamba2Config", &notes),
           "config.json: \"hidden_act\" is \"gelu\", which is not supported (\"silu\", \"swish\")");
  CHECK_EQ(failure("[]", "Mamba2Config", &notes), "config.json: expected an object");
  const Json other = parse_json("{\"mlp_bias\":true,\"sliding_window\":7}", "config.json");
  const Json complete = complete_config(other, "config.json", config_class("MistralConfig"), &notes);
  CHECK(!complete.find("mlp_bias") && *complete.find("sliding_window")->number() > 6);
}

// Lines of the document, made anew from the table.
TEST(the_document_has_the_table) {
  std::ifstream file("docs/CONVERT.md");
  const std::string document((std::istreambuf_iterator<char>(file)), {});
  auto row = [](const std::string& name, const std::vector<Field>& fields) {
    std::string used, fixed, inert;
    for (const Field& field : fields) {
      std::string& cell = field.use == Use::read ? used : field.use == Use::only ? fixed : inert;
      cell += std::string(cell.empty() ? "`" : ", `") + field.name + "`";
      if (field.use == Use::read && *field.absent) cell += std::string(" (") + field.absent + ")";
      if (field.use == Use::only) cell += *field.text ? std::string(" ") + field.text : " none";
    }
    return "| " + name + " | " + used + " | " + fixed + " | " + inert + " |\n";
  };
  auto check_row = [&](const std::string& name, const std::vector<Field>& fields) {
    const std::string expected = row(name, fields);
    CHECK(document.find(expected) != std::string::npos);
    if (document.find(expected) == std::string::npos) std::printf("docs/CONVERT.md lacks\n%s", expected.c_str());
  };
  for (const ConfigClass& one : config_classes())
    check_row("`" + std::string(one.name) + "`", {one.lists[0].begin(), one.lists[0].end()});
  const ConfigClass& llama = config_class("LlamaConfig");
  check_row("all transformer models", {llama.lists[1].begin(), llama.lists[1].end()});
  check_row("all classes", {llama.lists[2].begin(), llama.lists[2].end()});
}
