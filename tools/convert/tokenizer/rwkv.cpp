// RWKV's world vocabulary (rwkv_vocab_v20230424.txt): a line for each id, "ID LITERAL BYTES", where the literal is a string or
// bytes as Python writes them.
#include <algorithm>
#include <charconv>

#include "convert/base/error.h"
#include "convert/tokenizer/vocabulary.h"
#include "text/unicode.h"

namespace edgellm::convert {
namespace {

std::optional<u32> read_number(std::string_view text, int base = 10) {
  u32 value = 0;
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The bytes of the literal between the quotes.
std::optional<std::string> read_literal(std::string_view text, bool is_bytes) {
  std::string out;
  while (!text.empty()) {
    if (text[0] != '\\') {
      out.push_back(text[0]);
      text.remove_prefix(1);
      continue;
    }
    char kind = text.size() > 1 ? text[1] : '\0';
    text.remove_prefix(std::min<size_t>(text.size(), 2));
    size_t digits = kind == 'x' ? 2 : kind == 'u' && !is_bytes ? 4 : kind == 'U' && !is_bytes ? 8 : 0;
    if (digits > 0) {
      std::optional<u32> code = read_number(text.substr(0, digits), 16);
      if (text.size() < digits || !code || *code > 0x10ffff) return std::nullopt;
      char buffer[4];
      if (is_bytes)
        out.push_back(static_cast<char>(*code));
      else
        out.append(buffer, static_cast<size_t>(utf8_encode(*code, buffer)));
      text.remove_prefix(digits);
      continue;
    }
    size_t known = std::string_view("ntr\\'\"").find(kind);
    if (known == std::string_view::npos) return std::nullopt;
    out.push_back("\n\t\r\\'\""[known]);
  }
  return out;
}

struct Entry {
  u32 id;
  std::string piece;
};

std::optional<Entry> read_entry(std::string_view line) {
  size_t first = line.find(' ');
  size_t last = line.rfind(' ');
  if (first == std::string_view::npos || last <= first + 2) return std::nullopt;
  std::string_view literal = line.substr(first + 1, last - first - 1);
  bool is_bytes = literal[0] == 'b';
  if (is_bytes) literal.remove_prefix(1);
  if (literal.size() < 2 || literal.front() != literal.back() || (literal[0] != '\'' && literal[0] != '"'))
    return std::nullopt;
  std::optional<u32> id = read_number(line.substr(0, first));
  std::optional<std::string> piece = read_literal(literal.substr(1, literal.size() - 2), is_bytes);
  std::optional<u32> bytes = read_number(line.substr(last + 1));
  if (!id || *id >= MAX_IDS || !piece || !bytes || *bytes != piece->size() || piece->empty()) return std::nullopt;
  return Entry{*id, *piece};
}

}  // namespace

WorldVocabulary::WorldVocabulary(const std::string& source) : source_(source) {
  v_.kind_name = "RWKV world vocabulary";
  v_.kind = TokenizerKind::trie;
  v_.resize(1);
}

void WorldVocabulary::add(u32 id, const std::string& piece) {
  if (piece.empty() || piece.size() > TOKENIZER_MAX_PATH) {
    unusable(source_, ": id ", id, " has ", piece.size(), " bytes, expected 1 to ", TOKENIZER_MAX_PATH);
  }
  Vocabulary::Merge* step = nullptr;
  u32 node = 0;
  for (char c : piece) {
    auto [place, is_new] = v_.pairs.try_emplace({node, static_cast<u8>(c)}, Vocabulary::Merge{NO_TOKEN, nodes_});
    if (is_new) nodes_++;
    step = &place->second;
    node = step->merged;
  }
  if (step->rank != NO_TOKEN) unusable(source_, ": ids ", step->rank, " and ", id, " are the same piece");
  step->rank = id;
  v_.resize(id + 1);
  v_.pieces[id] = piece;
  v_.max_word = std::max(v_.max_word, static_cast<u32>(piece.size()));
}

// Id 0 is in no vocabulary file: it ends a text.
Vocabulary WorldVocabulary::finish() {
  if (v_.pieces[0].empty()) add_token(&v_, "<|endoftext|>", 0, ADDED_SPECIAL, false, source_);
  v_.eos = 0;
  return std::move(v_);
}

std::optional<std::string> bytes_of_literal(std::string_view text) {
  return read_literal(text, true);
}

bool is_rwkv_vocabulary(const std::string& data) {
  std::string_view text = data;
  return read_entry(take_line(&text)).has_value();
}

Vocabulary read_rwkv_vocabulary(const std::string& data, const std::string& source) {
  WorldVocabulary world(source);
  std::string_view text = data;
  for (i64 number = 1; !text.empty(); number++) {
    std::string_view line = take_line(&text);
    if (line.empty()) continue;
    std::optional<Entry> entry = read_entry(line);
    if (!entry) unusable(source, ": line ", number, " is not \"ID LITERAL BYTES\"");
    world.add(entry->id, entry->piece);
  }
  return world.finish();
}

}  // namespace edgellm::convert
