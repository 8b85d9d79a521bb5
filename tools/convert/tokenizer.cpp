// Which kind of tokenizer a file is, and what the files beside it add.
#include "tokenizer.h"

#include <algorithm>
#include <set>

#include "error.h"
#include "gguf.h"
#include "mapped_file.h"
#include "tokenizer_vocabulary.h"

namespace edgellm::convert {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  return MappedFile::open(path.string())->bytes().text();
}

// The file in a folder that says the most.
fs::path find_in(const fs::path& folder) {
  for (const char* name : {"tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer.bin", "rwkv_vocab_v20230424.txt"}) {
    if (fs::is_regular_file(folder / name)) return folder / name;
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with("rwkv_vocab")) return entry.path();
  }
  unusable(folder.string(),
           ": neither tokenizer.json, tokenizer.model, vocab.json, tokenizer.bin nor rwkv_vocab_*.txt is there");
}

Vocabulary read_vocabulary(const fs::path& path) {
  std::string source = path.string();
  std::string data = read_file(path);
  size_t start = data.find_first_not_of(" \t\r\n");
  if (start != std::string::npos && data[start] == '{') {
    Json json = parse_json(data, source);
    // A vocabulary may well have a piece called "model".
    if (const Json* model = json.find("model"); model && model->object()) return read_tokenizer_json(json, source);
    fs::path merges = path.parent_path() / "merges.txt";
    if (!fs::is_regular_file(merges)) unusable(source, ": has no \"model\", and there is no merges.txt beside it");
    return read_vocab_and_merges(json, read_file(merges), source);
  }
  if (is_ranks(data)) return read_ranks(data, source);
  if (is_rwkv_vocabulary(data)) return read_rwkv_vocabulary(data, source);
  if (is_sentencepiece(data)) return read_sentencepiece(data, source);
  if (is_llama2c_tokenizer(data)) return read_llama2c_tokenizer(data, source);
  unusable(source,
           ": no tokenizer known: expected tokenizer.json, vocab.json, tokenizer.model, tokenizer.bin or rwkv_vocab_*.txt");
}

// The files beside the tokenizer; null when missing.
struct Side {
  Json config, tokenizer_config, special_tokens, generation;
  std::string template_file;

  explicit Side(const fs::path& folder)
      : config(read(folder / "config.json")),
        tokenizer_config(read(folder / "tokenizer_config.json")),
        special_tokens(read(folder / "special_tokens_map.json")),
        generation(read(folder / "generation_config.json")) {
    if (fs::path path = folder / "chat_template.jinja"; fs::is_regular_file(path)) template_file = read_file(path);
  }

  // A file of its own goes first. In the configuration it is a string, or a list of named ones.
  std::string chat_template() const {
    const Json* chat = tokenizer_config.find("chat_template");
    if (!template_file.empty() || !chat) return template_file;
    if (chat->string()) return *chat->string();
    for (const Json& one : chat->array() ? *chat->array() : Json::Array()) {
      const Json *name = one.find("name"), *source = one.find("template");
      if (name && name->string() && *name->string() == "default" && source && source->string()) return *source->string();
    }
    return {};
  }

  static Json read(const fs::path& path) {
    return fs::is_regular_file(path) ? parse_json(read_file(path), path.string()) : Json();
  }
};

i64 id_of(const Vocabulary& v, const std::string& text) {
  for (const Vocabulary::Added& added : v.added) {
    if (added.text == text) return added.id;
  }
  return -1;
}

// A token is written as its text or as an object with "content".
std::string token_text(const Json& json, const char* key) {
  const Json* token = json.find(key);
  if (token && token->object()) token = token->find("content");
  return token && token->string() ? *token->string() : std::string();
}

// Ids are written as one number or a list of them.
void add_ids(const Json& json, const char* key, i64 vocab, std::set<u32>* ids) {
  const Json* value = json.find(key);
  if (!value) return;
  auto add = [&](const Json& one) {
    if (std::optional<i64> id = one.whole(0, vocab - 1)) ids->insert(static_cast<u32>(*id));
  };
  if (value->array())
    std::for_each(value->array()->begin(), value->array()->end(), add);
  else
    add(*value);
}

void add_declared_tokens(Vocabulary* v, const Json& tokenizer_config, const std::string& source) {
  const Json* declared = tokenizer_config.find("added_tokens_decoder");
  if (!declared || !declared->object()) return;
  for (const auto& [key, token] : *declared->object()) {
    const Json* content = token.find("content");
    if (!content || !content->string()) unusable(source, ": added token ", key, " has no content");
    auto flag = [&declaration = token](const char* name) {
      const Json* value = declaration.find(name);
      return value && value->boolean() && *value->boolean();
    };
    u16 flags = 0;
    if (flag("special")) flags |= ADDED_SPECIAL;
    if (flag("lstrip")) flags |= ADDED_STRIP_LEFT;
    if (flag("rstrip")) flags |= ADDED_STRIP_RIGHT;
    char* end = nullptr;
    i64 id = std::strtol(key.c_str(), &end, 10);
    if (key.empty() || *end) unusable(source, ": added token with the id ", key);
    add_special(v, *content->string(), id, flags, false, source);
  }
}

// tokenizer.json declares its added tokens and template itself; the other kinds leave it to the files beside them.
void add_side(Vocabulary* v, const Side& side, bool complete, i64 vocab, const std::string& source, TokenizerInfo* info) {
  if (!complete) add_declared_tokens(v, side.tokenizer_config, source);
  auto named = [&](const char* key) {
    i64 id = id_of(*v, token_text(side.tokenizer_config, key));
    return id >= 0 ? id : id_of(*v, token_text(side.special_tokens, key));
  };
  if (i64 id = named("eos_token"); id >= 0) v->eos = id;
  if (v->bos < 0) v->bos = named("bos_token");
  i64 bos = v->bos;
  const Json* adds = side.tokenizer_config.find("add_bos_token");
  if (adds && adds->boolean()) v->adds_bos = *adds->boolean();
  if (!v->adds_bos) v->bos = -1;
  const Json* legacy = side.tokenizer_config.find("legacy");
  bool unconditional = (v->flags & TOKENIZER_PREFIX) && !(v->flags & TOKENIZER_PREFIX_MISSING);
  if (!complete && unconditional && legacy && legacy->boolean() && !*legacy->boolean()) v->flags |= TOKENIZER_PREFIX_FIRST;

  std::set<u32> stop;
  add_ids(side.generation, "eos_token_id", vocab, &stop);
  add_ids(side.config, "eos_token_id", vocab, &stop);
  if (v->eos < 0 && !stop.empty()) v->eos = *stop.begin();
  if (v->eos >= 0) stop.insert(static_cast<u32>(v->eos));
  info->stop.assign(stop.begin(), stop.end());
  auto text_named = [&](const char* key, i64 id) {
    std::string text = token_text(side.tokenizer_config, key);
    if (text.empty()) text = token_text(side.special_tokens, key);
    for (const Vocabulary::Added& added : v->added) {
      if (text.empty() && added.id == id) text = added.text;
    }
    return text;
  };
  info->bos_token = text_named("bos_token", bos);
  info->eos_token = text_named("eos_token", v->eos);
  info->chat_template = side.chat_template();
}

}  // namespace

std::vector<u8> build_tokenizer_section(const fs::path& path, i64 vocab, TokenizerInfo* info) {
  *info = {};
  fs::path file = fs::is_directory(path) ? find_in(path) : path;
  std::string source = file.string();
  Vocabulary v;
  if (is_gguf(source, MappedFile::open(source)->bytes())) {
    v = read_gguf_vocabulary(source, info);
  } else {
    v = read_vocabulary(file);
    add_side(&v, Side(file.parent_path()), file.extension() == ".json" && file.filename() != "vocab.json", vocab, source,
             info);
  }
  if (v.ids == 0 || v.ids > vocab) unusable(source, ": ", v.ids, " ids, the model has ", vocab);
  info->kind = v.kind_name;
  info->ids = v.ids;
  info->bos = v.bos;
  info->eos = v.eos;
  return write_section(v, source);
}

std::vector<u8> build_byte_tokenizer_section(i64 vocab) {
  if (vocab < 256) unusable("a vocabulary of bytes has 256 ids, the model has ", vocab);
  Vocabulary v;
  v.resize(256);
  for (u32 byte = 0; byte < 256; byte++) {
    v.pieces[byte] = std::string(1, static_cast<char>(byte));
    v.byte_ids[byte] = static_cast<i32>(byte);
  }
  return write_section(v, "bytes");
}

}  // namespace edgellm::convert
