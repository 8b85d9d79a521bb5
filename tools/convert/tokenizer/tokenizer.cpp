// Which kind of tokenizer a file is, and what the files beside it add.
#include "convert/tokenizer/tokenizer.h"

#include <algorithm>
#include <set>

#include "convert/base/error.h"
#include "convert/base/mapped_file.h"
#include "convert/source/gguf.h"
#include "convert/tokenizer/folder.h"
#include "convert/tokenizer/vocabulary.h"

namespace edgellm::convert {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  return MappedFile::open(path.string())->bytes().text();
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
    if (!file_exists(merges.string())) unusable(source, ": has no \"model\", and there is no merges.txt beside it");
    return read_vocab_and_merges(json, read_file(merges), source);
  }
  if (is_ranks(data)) return read_ranks(data, source);
  if (is_rwkv_vocabulary(data)) return read_rwkv_vocabulary(data, source);
  if (is_sentencepiece(data)) return read_sentencepiece(data, source);
  if (is_llama2c_tokenizer(data)) return read_llama2c_tokenizer(data, source);
  unusable(source, ": no tokenizer known: expected ", TOKENIZER_FILES);
}

// An id that is taken by a token with another text: SentencePiece reserves such for a later name.
void make_room(Vocabulary* v, const DeclaredToken& token, bool is_sentencepiece, const std::string& folder_source,
               const std::string& source) {
  if (token.id < 0 || token.id >= v->ids || v->pieces[static_cast<size_t>(token.id)].empty()) return;
  std::string& piece = v->pieces[static_cast<size_t>(token.id)];
  auto reserved = [&](const auto& added) { return added.second.id == token.id; };
  if (!is_sentencepiece || std::erase_if(v->added, reserved) == 0) {
    unusable(folder_source, ": the added token ", token.content, " has the id ", token.id, ", which is \"", piece, "\" in ",
             source);
  }
  piece.clear();
  std::erase_if(v->names, [&](const auto& name) { return i64{name.second} == token.id; });
}

// Puts the tokens that the folder names into the vocabulary. One text has one id: the vocabulary's own goes first.
void add_tokens(Vocabulary* v, const TokenizerFolder& folder, bool is_sentencepiece, i64 vocab, const std::string& source) {
  // The first space of SentencePiece's text is put there when the added tokens are out already.
  const bool raw = folder.is_llama || (is_sentencepiece && (v->flags & TOKENIZER_PREFIX));
  for (const DeclaredToken& token : folder.tokens) {
    const bool only_named = token.id < 0;
    u16 flags = token.flags;
    if (auto known = v->added.find(token.content); known != v->added.end()) {
      if (only_named) continue;  // it has flags of its own
      // A control piece is never text, whatever the folder says.
      if (is_sentencepiece && (known->second.flags & ADDED_SPECIAL)) flags |= ADDED_SPECIAL;
    }
    i64 id = v->id_of(token.content);
    if (id < 0) {
      id = only_named ? v->ids : token.id;
      if (only_named && id >= vocab) continue;  // the model cannot mean any id by it
      if (id >= vocab) {
        unusable(folder.source, ": the added token ", token.content, " has the id ", id, ", the model has ", vocab, " ids");
      }
      make_room(v, token, is_sentencepiece, folder.source, source);
    }
    add_token(v, token.content, id, flags, token.normalized && !raw, folder.source);
  }
}

// Where transformers puts the space that SentencePiece begins a text with depends on the key "legacy", and on the class.
void set_prefix(Vocabulary* v, const TokenizerFolder& folder) {
  if (!(v->flags & TOKENIZER_PREFIX)) return;
  if (folder.is_llama || !folder.legacy) v->flags |= TOKENIZER_PREFIX_MISSING;
  if (!folder.legacy) v->flags |= TOKENIZER_PREFIX_FIRST;
  if (folder.is_llama && !folder.add_prefix_space.value_or(true)) {
    v->flags &= ~u32{TOKENIZER_PREFIX | TOKENIZER_STRIP_FIRST_SPACE};
  }
}

// The class GPT2Tokenizer puts one before every stretch when it is told to.
void add_prefix(Vocabulary* v, const TokenizerFolder& folder, const std::string& source) {
  if (!folder.add_prefix_space.value_or(false)) return;
  if (v->splits != std::vector{WordSplit::gpt2}) {
    unusable(source, ": add_prefix_space with a vocabulary whose words are not cut as GPT-2's is not supported");
  }
  v->flags |= TOKENIZER_PREFIX | TOKENIZER_PREFIX_MISSING;
}

// tokenizer.json says itself how its texts begin; the other kinds leave it to the files beside them.
void add_folder(Vocabulary* v, const fs::path& file, const Json* config, i64 vocab, const std::string& source,
                TokenizerInfo* info) {
  const TokenizerFolder folder = read_tokenizer_folder(file.parent_path(), config);
  const GenerationIds generation = read_generation_ids(file.parent_path(), config, vocab);
  const bool complete = file.extension() == ".json" && file.filename() != "vocab.json";
  const bool is_sentencepiece = !complete && v->kind == TokenizerKind::characters;
  if (is_sentencepiece) set_prefix(v, folder);
  if (file.filename() == "vocab.json") add_prefix(v, folder, source);
  add_tokens(v, folder, is_sentencepiece, vocab, source);

  const bool fixed = complete && v->adds_bos;
  i64 bos = v->id_of(folder.bos_token);
  if (fixed || bos < 0) bos = v->bos;
  if (!fixed) v->adds_bos = folder.add_bos.value_or(v->adds_bos);
  v->bos = v->adds_bos ? bos : -1;

  std::set<u32> stop(generation.eos.begin(), generation.eos.end());
  if (i64 id = v->id_of(folder.eos_token); id >= 0) v->eos = id;
  if (v->eos < 0 && !stop.empty()) v->eos = *stop.begin();
  if (v->eos >= 0) stop.insert(static_cast<u32>(v->eos));
  v->resize(static_cast<u32>(v->eos + 1));  // an id that no one gives a text
  info->stop.assign(stop.begin(), stop.end());
  auto text_of = [&](const std::string& named, i64 id) {
    auto has_id = [&](const auto& added) { return added.second.id == id; };
    auto added = std::find_if(v->added.begin(), v->added.end(), has_id);
    return named.empty() && added != v->added.end() ? added->first : named;
  };
  info->bos_token = text_of(folder.bos_token, bos);
  info->eos_token = text_of(folder.eos_token, v->eos);
  info->chat_template = folder.chat_template;
}

}  // namespace

std::vector<u8> build_tokenizer_section(const fs::path& path, i64 vocab, TokenizerInfo* info, const Json* config) {
  *info = {};
  const fs::path file = is_folder(path.string()) ? fs::path(find_tokenizer(path)) : path;
  if (file.empty()) unusable(path.string(), ": no tokenizer is there: expected ", TOKENIZER_FILES);
  std::string source = file.string();
  Vocabulary v;
  if (is_gguf(MappedFile::open(source)->bytes())) {
    v = read_gguf_vocabulary(source, info);
  } else {
    v = read_vocabulary(file);
    add_folder(&v, file, config, vocab, source, info);
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
