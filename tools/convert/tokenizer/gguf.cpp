// The tokenizer in a GGUF file: tokenizer.ggml.* as llama.cpp names and reads them (ggml-org/llama.cpp, src/llama-vocab.cpp).
#include <algorithm>
#include <set>

#include "convert/source/gguf.h"
#include "convert/tokenizer/vocabulary.h"

namespace edgellm::convert {
namespace {

// How tokenizer.ggml.pre says that text is cut in words, and what goes with it.
struct Cutter {
  const char* name;
  std::vector<WordSplit> splits;
  u32 flags = 0;
  bool adds_bos = false;  // where add_bos_token does not say
};

const std::vector<Cutter>& cutters() {
  using enum WordSplit;
  static const std::vector<Cutter> all = {
      {"llama3", {llama3}, TOKENIZER_WHOLE_WORDS, true},
      {"llama-v3", {llama3}, TOKENIZER_WHOLE_WORDS, true},
      {"llama-bpe", {llama3}, TOKENIZER_WHOLE_WORDS, true},
      {"falcon3", {llama3}, TOKENIZER_WHOLE_WORDS, true},
      {"falcon-h1", {llama3}, TOKENIZER_WHOLE_WORDS, true},
      {"falcon_e", {llama3}, TOKENIZER_WHOLE_WORDS, true},
      {"falcon-e", {llama3}, TOKENIZER_WHOLE_WORDS, true},
      {"midm-2.0", {llama3}, TOKENIZER_WHOLE_WORDS, true},
      {"smaug-bpe", {llama3}},
      {"dbrx", {llama3}},
      {"qwen2", {qwen2}, TOKENIZER_NFC},
      {"deepseek-r1-qwen", {qwen2}},
      {"megrez", {qwen2}},
      {"smollm", {digits, gpt2}},
      {"starcoder", {digits, gpt2}},
      {"refact", {digits, gpt2}},
      {"codeshell", {digits, gpt2}},
      {"minerva-7b", {digits, gpt2}},
      {"gpt-2", {gpt2}},
      {"phi-2", {gpt2}},
      {"jais", {gpt2}},
      {"mellum", {gpt2}},
      {"trillion", {gpt2}},
      {"a.x-4.0", {gpt2}},
      {"mpt", {gpt2}, TOKENIZER_NFC},
      {"olmo", {gpt2}, TOKENIZER_NFC},
  };
  return all;
}

// Tokens that end a turn, by their texts, where no key names them.
constexpr const char* TURN_ENDS[] = {"<|eot_id|>",    "<|eom_id|>",    "<|im_end|>",     "<|end|>",
                                     "<|endoftext|>", "<end_of_turn>", "<|end_of_text|>"};

class Reader {
 public:
  Reader(const std::string& path, TokenizerInfo* info) : gguf_(read_gguf(path)), path_(path), info_(*info) {}

  Vocabulary read() {
    read_pieces();
    std::string model = gguf_.string(key("model")).value_or("");
    Vocabulary v;
    if (model == "llama") {
      v = read_sentencepiece();
    } else if (model == "gpt2") {
      v = read_byte_level();
    } else if (model == "rwkv") {
      v = read_world();
    } else {
      unusable(path_, ": tokenizer.ggml.model is \"", model,
               "\", which is not supported (llama, gpt2, rwkv): give --tokenizer");
    }
    v.eos = id("eos").value_or(v.eos);
    v.bos = v.adds_bos ? id("bos").value_or(v.bos) : -1;
    read_stops(v);
    for (auto [name, token] : {std::pair{"bos", &info_.bos_token}, {"eos", &info_.eos_token}}) {
      if (std::optional<i64> special = id(name)) *token = pieces_[static_cast<size_t>(*special)].text;
    }
    info_.chat_template = gguf_.string("tokenizer.chat_template").value_or("");
    return v;
  }

 private:
  static std::string key(const char* name) { return text("tokenizer.ggml.", name); }

  std::optional<i64> id(const char* name) const {
    std::optional<i64> value = gguf_.integer(key(name) + "_token_id");
    if (!value || *value < 0 || *value >= static_cast<i64>(pieces_.size())) return std::nullopt;
    return value;
  }

  void read_pieces() {
    auto tokens = gguf_.strings(key("tokens"));
    if (!tokens) unusable(path_, ": tokenizer.ggml.tokens is missing");
    if (tokens->size() > MAX_IDS) unusable(path_, ": ", tokens->size(), " tokens, at most ", MAX_IDS);
    auto scores = gguf_.numbers(key("scores")), types = gguf_.numbers(key("token_type"));
    for (const auto* list : {&scores, &types}) {
      if (*list && (*list)->size() != tokens->size()) {
        unusable(path_, ": ", tokens->size(), " tokens, but ", (*list)->size(), list == &scores ? " scores" : " types");
      }
    }
    for (size_t i = 0; i < tokens->size(); i++) {
      f64 type = types ? (*types)[i] : 1;
      if (!(type >= 1 && type < PIECE_BYTE + 1)) unusable(path_, ": token ", i, " has the type ", type);
      pieces_.push_back({std::move((*tokens)[i]), scores ? static_cast<f32>((*scores)[i]) : 0, static_cast<u64>(type)});
    }
  }

  Vocabulary read_sentencepiece() {
    SentencePieceModel model;
    model.pieces = pieces_;
    model.unknown = id("unknown").value_or(0);
    model.dummy_prefix = gguf_.flag(key("add_space_prefix")).value_or(true);
    model.remove_extra_spaces = gguf_.flag(key("remove_extra_whitespaces")).value_or(false);
    model.byte_fallback =
        std::any_of(pieces_.begin(), pieces_.end(), [](const SentencePiece& piece) { return piece.type == PIECE_BYTE; });
    Vocabulary v = sentencepiece_vocabulary(model, path_);
    v.adds_bos = gguf_.flag(key("add_bos_token")).value_or(true);
    v.kind_name = "GGUF, SentencePiece BPE";
    return v;
  }

  Vocabulary read_byte_level() {
    Vocabulary v;
    v.resize(static_cast<u32>(pieces_.size()));
    std::unordered_map<std::string, u32> ids;
    for (u32 i = 0; i < v.ids; i++) {
      const SentencePiece& piece = pieces_[i];
      std::optional<std::string> bytes = bytes_of_printable(piece.text);
      v.pieces[i] = bytes.value_or(piece.text);
      ids[piece.text] = i;
      if (piece.type == PIECE_CONTROL) add_token(&v, piece.text, i, ADDED_SPECIAL, false, path_);
      if (piece.type == PIECE_USER_DEFINED) add_token(&v, piece.text, i, 0, false, path_);
      if (piece.type != PIECE_NORMAL || !bytes) continue;
      if (bytes->size() == 1) v.byte_ids[static_cast<u8>((*bytes)[0])] = static_cast<i32>(i);
      v.words.push_back(i);
    }
    add_merge_list(&v, ids);
    cut_words(&v);
    if (!(v.flags & TOKENIZER_WHOLE_WORDS)) v.words.clear();
    v.adds_bos = gguf_.flag(key("add_bos_token")).value_or(v.adds_bos);
    if (gguf_.flag(key("add_space_prefix")).value_or(false)) v.flags |= TOKENIZER_PREFIX | TOKENIZER_PREFIX_MISSING;
    return v;
  }

  // Tokens are written as Python writes bytes, without the quotes. Id 0, a control token, is in no vocabulary file.
  Vocabulary read_world() {
    WorldVocabulary world(path_);
    for (u32 id = 1; id < pieces_.size(); id++) {
      if (pieces_[id].type != PIECE_NORMAL) continue;
      std::optional<std::string> bytes = bytes_of_literal(pieces_[id].text);
      if (!bytes) unusable(path_, ": token ", id, " is not written as the bytes of a world vocabulary: ", pieces_[id].text);
      world.add(id, *bytes);
    }
    Vocabulary v = world.finish();
    v.kind_name = "GGUF, RWKV world vocabulary";
    return v;
  }

  void add_merge_list(Vocabulary* v, const std::unordered_map<std::string, u32>& ids) {
    auto merges = gguf_.strings(key("merges"));
    if (!merges) unusable(path_, ": tokenizer.ggml.merges is missing");
    u32 rank = 0;
    for (const std::string& merge : *merges) {
      size_t space = merge.find(' ', 1);
      auto find = [&](const std::string& token) { return ids.find(token); };
      auto left = find(merge.substr(0, space)), right = left, joined = left;
      if (space != std::string::npos) {
        right = find(merge.substr(space + 1));
        joined = find(merge.substr(0, space) + merge.substr(space + 1));
      }
      if (space == std::string::npos || left == ids.end() || right == ids.end() || joined == ids.end()) {
        unusable(path_, ": merge ", rank, " is not two tokens that join to a third: ", merge);
      }
      v->pairs[{left->second, right->second}] = {rank++, joined->second};
    }
  }

  void cut_words(Vocabulary* v) {
    std::string pre = gguf_.string(key("pre")).value_or("default");
    if (pre == "default") {
      infer_words(v);
      if (v->splits[0] == WordSplit::llama3) v->flags |= TOKENIZER_WHOLE_WORDS;
      v->kind_name = "GGUF, byte-level BPE whose words are cut as the vocabulary suggests (there is no tokenizer.ggml.pre)";
      return;
    }
    std::string known;
    for (const Cutter& cutter : cutters()) {
      if (pre == cutter.name) {
        v->splits = cutter.splits;
        v->flags |= cutter.flags;
        v->adds_bos = cutter.adds_bos;
        v->kind_name = "GGUF, byte-level BPE (" + pre + ")";
        return;
      }
      known += text(known.empty() ? "" : ", ", cutter.name);
    }
    unusable(path_, ": tokenizer.ggml.pre is \"", pre, "\", which is not supported (", known, "): give --tokenizer");
  }

  void read_stops(const Vocabulary& v) {
    std::set<u32> stop;
    for (const char* name : {"eos", "eot", "eom"}) {
      if (std::optional<i64> known = id(name)) stop.insert(static_cast<u32>(*known));
    }
    if (v.eos >= 0) stop.insert(static_cast<u32>(v.eos));
    for (const char* turn_end : TURN_ENDS) {
      if (auto added = v.added.find(turn_end); added != v.added.end()) stop.insert(added->second.id);
    }
    info_.stop.assign(stop.begin(), stop.end());
  }

  const Gguf gguf_;
  const std::string& path_;
  TokenizerInfo& info_;
  std::vector<SentencePiece> pieces_;
};

}  // namespace

Vocabulary read_gguf_vocabulary(const std::string& path, TokenizerInfo* info) {
  return Reader(path, info).read();
}

}  // namespace edgellm::convert
