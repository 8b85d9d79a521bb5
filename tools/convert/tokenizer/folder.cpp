#include "convert/tokenizer/folder.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "convert/base/fields.h"
#include "convert/base/mapped_file.h"
#include "text/section.h"

namespace edgellm::convert {
namespace {

namespace fs = std::filesystem;

// Something has the name; opening it says what is wrong with a folder, or with a link that leads nowhere.
bool is_there(const fs::path& path) {
  std::error_code none;
  return fs::symlink_status(path, none).type() != fs::file_type::not_found;
}

Json read_if_there(const fs::path& path) {
  if (!is_there(path)) return Json(Json::Object());
  Json json = read_json(path.string());
  if (!json.object()) unusable(path.string(), ": is not an object");
  return json;
}

Json config_of(const fs::path& folder, const Json* config) {
  return config ? *config : read_if_there(folder / "config.json");
}

// No other family's folder holds one, so it goes first: what else lies there is an approximation of it.
std::string find_rwkv_vocabulary(const fs::path& folder) {
  const std::string world = (folder / "rwkv_vocab_v20230424.txt").string();
  if (file_exists(world)) return world;
  std::string first;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const std::string path = entry.path().string(), name = entry.path().filename().string();
    if (!name.starts_with("rwkv_vocab") || !name.ends_with(".txt") || !file_exists(path)) continue;
    if (first.empty() || path < first) first = path;
  }
  return first;
}

// What a token may be for, in the order in which new ones get their ids. Other keys that end like these may name one too.
constexpr const char* ROLES[] = {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

u16 special_flag(bool special) {
  return special ? static_cast<u16>(ADDED_SPECIAL) : u16{0};
}

// A token is written as its text, or as an object with its "content" and flags.
DeclaredToken declared_token(const Json& token, bool special, const std::string& source) {
  if (const std::string* content = token.string()) {
    return {.content = *content, .flags = special_flag(special), .normalized = !special};
  }
  DeclaredToken out{.content = Fields(token, source).string("content")};
  if (out.content.empty()) unusable(source, ": an added token without \"content\"");
  const Fields fields(token, source + ": added token " + out.content);
  if (fields.flag("single_word").value_or(false)) unusable(fields.where(), ": single_word is not supported");
  special |= fields.flag("special").value_or(false);
  out.flags = special_flag(special);
  if (fields.flag("lstrip").value_or(false)) out.flags |= ADDED_STRIP_LEFT;
  if (fields.flag("rstrip").value_or(false)) out.flags |= ADDED_STRIP_RIGHT;
  out.normalized = fields.flag("normalized").value_or(!special);
  return out;
}

i64 id_of_key(const std::string& key, const std::string& source) {
  i64 id = -1;
  auto [end, problem] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (problem != std::errc() || end != key.data() + key.size() || id < 0) {
    unusable(source, ": added token with the id ", key);
  }
  return id;
}

class Reader {
 public:
  Reader(const fs::path& folder, const Json* model)
      : folder_(folder), model_(config_of(folder, model)), config_(read_if_there(folder / "tokenizer_config.json")),
        map_(read_if_there(folder / "special_tokens_map.json")) {}

  TokenizerFolder read() {
    // Who lists all added tokens needs no older file.
    const Json* all = config_.find("added_tokens_decoder");
    if (all && !all->object()) unusable(path("tokenizer_config.json"), ": \"added_tokens_decoder\" is not an object");
    if (all) map_ = Json(Json::Object());
    read_named();
    if (all) {
      read_decoder(*all);
    } else {
      read_added_tokens();
    }
    std::sort(out_.tokens.begin(), out_.tokens.end(), [](const DeclaredToken& a, const DeclaredToken& b) {
      return a.id != b.id ? a.id < b.id : a.content < b.content;
    });
    add_named();
    read_options();
    read_template();
    return std::move(out_);
  }

 private:
  std::string path(const char* name) const { return (folder_ / name).string(); }

  // special_tokens_map.json goes first, where it counts at all.
  const Json* find(const std::string& key) const {
    const Json* found = map_.find(key);
    return found ? found : config_.find(key);
  }

  std::string source_of(const std::string& key) const {
    return path(map_.find(key) ? "special_tokens_map.json" : "tokenizer_config.json");
  }

  void name(const Json* token, const std::string& source) {
    if (!token || (!token->string() && !token->find("content"))) return;
    DeclaredToken named = declared_token(*token, true, source);
    if (!named.content.empty() && !is_named(named.content)) named_.push_back(named);
  }

  void read_named() {
    auto text = [&](const char* role) {
      const Json* token = find(role);
      if (token && token->object()) token = token->find("content");
      return token && token->string() ? *token->string() : std::string();
    };
    out_.bos_token = text("bos_token");
    out_.eos_token = text("eos_token");
    for (const char* role : ROLES)
      name(find(role), source_of(role));
    for (const Json::Object* object : {config_.object(), map_.object()}) {
      for (const auto& [key, value] : *object) {
        if (key.ends_with("_token")) name(find(key), source_of(key));
      }
    }
    if (!name_all("extra_special_tokens")) name_all("additional_special_tokens");
  }

  // A list of tokens, or an object of them; false if there is none in it.
  bool name_all(const char* key) {
    const Json* tokens = find(key);
    if (!tokens) return false;
    for (const Json& token : tokens->array() ? *tokens->array() : Json::Array())
      name(&token, source_of(key));
    for (const auto& [role, token] : tokens->object() ? *tokens->object() : Json::Object())
      name(&token, source_of(key));
    return (tokens->array() && !tokens->array()->empty()) || (tokens->object() && !tokens->object()->empty());
  }

  bool is_named(const std::string& content) const {
    return std::any_of(named_.begin(), named_.end(), [&](const DeclaredToken& one) { return one.content == content; });
  }

  void read_decoder(const Json& all) {
    out_.source = path("tokenizer_config.json");
    for (const auto& [key, value] : *all.object()) {
      if (!value.object()) unusable(out_.source, ": added token ", key, " is not an object");
      DeclaredToken token = declared_token(value, false, out_.source);
      if (is_named(token.content)) token.flags |= ADDED_SPECIAL;
      token.id = id_of_key(key, out_.source);
      out_.tokens.push_back(token);
    }
  }

  // {"text": id, ...}
  void read_added_tokens() {
    out_.source = path("added_tokens.json");
    const Json added = read_if_there(out_.source);
    for (const auto& [content, value] : *added.object()) {
      const std::optional<i64> id = value.whole(0, INT32_MAX);
      if (!id) unusable(out_.source, ": the id of ", content, " is not a token id");
      const bool special = is_named(content);
      out_.tokens.push_back({.content = content, .id = *id, .flags = special_flag(special), .normalized = !special});
    }
  }

  void add_named() {
    for (const DeclaredToken& token : named_) {
      const bool declared = std::any_of(out_.tokens.begin(), out_.tokens.end(),
                                        [&](const DeclaredToken& one) { return one.content == token.content; });
      if (!declared) out_.tokens.push_back(token);
    }
  }

  void read_options() {
    const Fields config(config_, path("tokenizer_config.json"));
    out_.add_bos = config.flag("add_bos_token");
    std::string name = config.string("tokenizer_class");
    if (name.empty()) name = Fields(model_, path("config.json")).string("tokenizer_class");
    const bool mistral = Fields(model_, path("config.json")).string("model_type") == "mistral";  // whose class is another
    out_.is_llama = (name == "LlamaTokenizer" || name == "LlamaTokenizerFast") && !mistral;
    out_.legacy = config.flag("legacy").value_or(!out_.is_llama);
    out_.add_prefix_space = config.flag("add_prefix_space");
  }

  // A file of its own goes first. In the configuration it is a text, or a list of named ones.
  void read_template() {
    if (const fs::path file = folder_ / "chat_template.jinja"; is_there(file)) {
      out_.chat_template = MappedFile::open(file.string())->bytes().text();
      return;
    }
    const Json* chat = config_.find("chat_template");
    if (!chat) return;
    if (chat->string()) out_.chat_template = *chat->string();
    for (const Json& one : chat->array() ? *chat->array() : Json::Array()) {
      const Fields fields(one, path("tokenizer_config.json"));
      if (fields.string("name") == "default") out_.chat_template = fields.string("template");
    }
  }

  const fs::path folder_;
  const Json model_;   // config.json
  const Json config_;  // tokenizer_config.json
  Json map_;
  std::vector<DeclaredToken> named_;  // all special
  TokenizerFolder out_;
};

}  // namespace

std::string find_tokenizer(const fs::path& folder) {
  const std::string rwkv = find_rwkv_vocabulary(folder);
  if (!rwkv.empty()) return rwkv;
  for (const char* name : {"tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer.bin"}) {
    const std::string path = (folder / name).string();
    if (file_exists(path)) return path;
  }
  return {};
}

GenerationIds read_generation_ids(const fs::path& folder, const Json* config, i64 vocab) {
  GenerationIds out;
  const Json generation = read_if_there(folder / "generation_config.json"), model = config_of(folder, config);
  for (const auto& [json, name] : {std::pair{&model, "config.json"}, {&generation, "generation_config.json"}}) {
    const std::string path = (folder / name).string();
    const Fields fields(*json, path);
    std::vector<u32> bos;
    fields.add_ids("bos_token_id", &bos);
    fields.add_ids("eos_token_id", &out.eos);
    for (const auto& [key, ids] : {std::pair{"bos_token_id", &bos}, {"eos_token_id", &out.eos}}) {
      for (u32 id : *ids) {
        if (id >= vocab) unusable(path, ": ", key, " ", id, ", the model has ", vocab, " ids");
      }
    }
    if (!out.bos && !bos.empty()) out.bos = bos.front();
  }
  return out;
}

TokenizerFolder read_tokenizer_folder(const fs::path& folder, const Json* config) {
  return Reader(folder, config).read();
}

}  // namespace edgellm::convert
