// Byte-level vocabularies that come as plain tables and do not say how text is cut in words.
#include <algorithm>
#include <charconv>
#include <sstream>

#include "convert/base/error.h"
#include "convert/tokenizer/vocabulary.h"

namespace edgellm::convert {
namespace {

i32 base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

std::optional<std::string> decode_base64(std::string_view text) {
  std::string out;
  u32 bits = 0;
  i32 count = 0;
  while (!text.empty() && text.back() == '=')
    text.remove_suffix(1);
  for (char c : text) {
    i32 digit = base64_digit(c);
    if (digit < 0) return std::nullopt;
    bits = bits << 6 | static_cast<u32>(digit);
    count += 6;
    if (count >= 8) out.push_back(static_cast<char>(bits >> (count -= 8)));
  }
  return out;
}

// "base64 rank"
std::optional<std::pair<std::string, u32>> read_rank(std::string_view line) {
  size_t space = line.find(' ');
  if (space == 0 || space == std::string_view::npos) return std::nullopt;
  std::optional<std::string> token = decode_base64(line.substr(0, space));
  std::string_view digits = line.substr(space + 1);
  u32 rank = 0;
  auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
  if (!token || token->empty() || problem != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return std::pair(*token, rank);
}

// A vocabulary shows how its words were cut when it was trained: only with Llama 3's rules does a piece join a mark and letters
// (".com"), and no piece joins digits that were kept apart.
std::vector<WordSplit> infer_splits(const Vocabulary& v) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  size_t marked = 0, digits = 0;
  for (u32 id = 0; id < v.ids; id++) {
    const std::string& piece = v.pieces[id];
    if (piece.size() < 2 || (v.attributes[id] & TOKEN_SPECIAL)) continue;
    char c = piece[0];
    bool mark = c > ' ' && c < 0x7f && !letter(c) && !digit(c) && c != '\'';
    if (mark && std::all_of(piece.begin() + 1, piece.end(), letter)) marked++;
    if (std::count_if(piece.begin(), piece.end(), digit) > 1) digits++;
  }
  // Single pieces may be added by hand.
  bool joins_marks = marked > v.ids / 1000;
  bool joins_digits = digits > v.ids / 1000;
  if (joins_marks) return {joins_digits ? WordSplit::llama3 : WordSplit::qwen2};
  if (joins_digits) return {WordSplit::gpt2};
  return {WordSplit::digits, WordSplit::gpt2};
}

}  // namespace

void infer_words(Vocabulary* v) {
  v->splits = infer_splits(*v);
  if (v->splits[0] == WordSplit::qwen2) v->flags |= TOKENIZER_NFC;
}

bool is_ranks(const std::string& data) {
  std::string_view text = data;
  return read_rank(take_line(&text)).has_value();
}

// A piece's rank is its id, and any neighbours that join to a piece may merge.
Vocabulary read_ranks(const std::string& data, const std::string& source) {
  Vocabulary v;
  v.kind_name = "tiktoken byte-level BPE";
  v.flags = TOKENIZER_WHOLE_WORDS;
  v.adds_bos = true;
  std::unordered_map<std::string, u32> symbols;
  std::string_view text = data;
  for (i64 line_number = 1; !text.empty(); line_number++) {
    std::string_view line = take_line(&text);
    if (line.empty()) continue;
    auto rank = read_rank(line);
    if (!rank || rank->second >= MAX_IDS) unusable(source, ": line ", line_number, " is not \"base64 rank\"");
    if (!symbols.try_emplace(rank->first, rank->second).second)
      unusable(source, ": line ", line_number, ": the token is there twice");
    v.resize(rank->second + 1);
    if (!v.pieces[rank->second].empty())
      unusable(source, ": line ", line_number, ": rank ", rank->second, " is there twice");
    v.pieces[rank->second] = rank->first;
  }
  for (u32 id = 0; id < v.ids; id++) {
    const std::string& piece = v.pieces[id];
    if (piece.empty()) continue;
    v.words.push_back(id);
    if (piece.size() == 1) v.byte_ids[static_cast<u8>(piece[0])] = static_cast<i32>(id);
    add_all_pairs(&v, symbols, piece, id, id, false, source);
  }
  // The published vocabularies of this form; the file itself does not name its regular expression.
  if (v.ids != 128000 && v.ids != 100256) {
    unusable(source, ": ", v.ids, " ranks: known are Llama 3 with 128000 and cl100k with 100256");
  }
  v.splits = {WordSplit::llama3};
  return v;
}

Vocabulary read_vocab_and_merges(const Json& vocab, const std::string& merges, const std::string& source) {
  Vocabulary v;
  v.kind_name = "vocab.json and merges.txt, byte-level BPE";
  v.normalizes = false;
  std::unordered_map<std::string, u32>& ids = v.names;
  for (const auto& [token, value] : *vocab.object()) {
    std::optional<i64> id = value.whole(0, MAX_IDS - 1);
    if (!id) unusable(source, ": the id of ", token);
    u32 at = static_cast<u32>(*id);
    v.resize(at + 1);
    ids[token] = at;
    std::optional<std::string> bytes = bytes_of_printable(token);
    v.pieces[at] = bytes.value_or(token);
    if (bytes && bytes->size() == 1) v.byte_ids[static_cast<u8>((*bytes)[0])] = static_cast<i32>(at);
    if (token.starts_with("<|") && token.ends_with("|>")) add_token(&v, token, at, ADDED_SPECIAL, false, source);
  }
  std::string_view text = merges;
  u32 rank = 0;
  for (i64 line_number = 1; !text.empty(); line_number++) {
    std::string_view line = take_line(&text);
    if (line.empty() || line.starts_with("#version")) continue;
    size_t space = line.find(' ');
    if (space == std::string_view::npos) unusable(source, ": merges.txt, line ", line_number, ": expected two tokens");
    std::string left(line.substr(0, space)), right(line.substr(space + 1));
    auto l = ids.find(left), r = ids.find(right), joined = ids.find(left + right);
    if (l == ids.end() || r == ids.end() || joined == ids.end()) {
      unusable(source, ": merges.txt, line ", line_number, ": ", line, ": not in vocab.json");
    }
    v.pairs[{l->second, r->second}] = {rank++, joined->second};
  }
  infer_words(&v);
  return v;
}

}  // namespace edgellm::convert
