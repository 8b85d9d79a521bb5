// Writing the section: tables in the form in which they are looked up.
#include <algorithm>
#include <cstring>

#include "convert/base/error.h"
#include "convert/tokenizer/vocabulary.h"
#include "text/unicode.h"

namespace edgellm::convert {
namespace {

constexpr u32 LOAD_PERCENT = 75;
constexpr size_t MOST_SLOTS = 8;  // for an entry: equal hashes would take any number

// Slots of a hash table with linear probing. An entry is put before those that are nearer to their first slot (Robin Hood), which
// keeps the longest probe short. Gives the longest probe.
template <class Slot, class Hash, class Empty>
u32 fill(std::vector<Slot>* table, const std::vector<Slot>& entries, Hash hash, Empty empty) {
  u32 slots = static_cast<u32>(table->size());
  u32 longest = 0;
  auto distance = [&](const Slot& slot, u32 at) { return (at + slots - first_slot(hash(slot), slots)) % slots; };
  for (Slot entry : entries) {
    u32 at = first_slot(hash(entry), slots);
    for (u32 probes = 0; !empty((*table)[at]); at = (at + 1) % slots, probes++) {
      u32 other = distance((*table)[at], at);
      if (other < probes) {
        std::swap(entry, (*table)[at]);
        longest = std::max(longest, probes + 1);
        probes = other;
      }
    }
    longest = std::max(longest, distance(entry, at) + 1);
    (*table)[at] = entry;
  }
  return longest;
}

template <class Slot, class Hash, class Empty>
std::vector<Slot> hash_table(const std::vector<Slot>& entries, Slot none, Hash hash, Empty empty, u32* probes,
                             const std::string& source) {
  *probes = 0;
  if (entries.empty()) return {};
  for (size_t slots = entries.size() * 100 / LOAD_PERCENT + 1; slots <= MOST_SLOTS * (entries.size() + 1);
       slots += slots / 4 + 1) {
    std::vector<Slot> table(slots, none);
    *probes = fill(&table, entries, hash, empty);
    if (*probes <= TOKENIZER_MAX_PROBES) return table;
  }
  unusable(source, ": more than ", TOKENIZER_MAX_PROBES, " of its ", entries.size(), " entries have one hash");
}

class Section {
 public:
  Section() : bytes_(sizeof(TokenizerHeader)) {}

  template <class T>
  TokenizerTable add(const std::vector<T>& table) {
    bytes_.resize(align_up<size_t>(bytes_.size(), TOKENIZER_ALIGNMENT));
    TokenizerTable where{static_cast<u32>(bytes_.size()), static_cast<u32>(table.size())};
    const u8* data = reinterpret_cast<const u8*>(table.data());
    bytes_.insert(bytes_.end(), data, data + table.size() * sizeof(T));
    return where;
  }

  std::vector<u8> finish(const TokenizerHeader& header) {
    std::memcpy(bytes_.data(), &header, sizeof header);
    bytes_.resize(align_up<size_t>(bytes_.size(), 64));
    return std::move(bytes_);
  }

 private:
  std::vector<u8> bytes_;
};

void add_pieces(const Vocabulary& v, Section* section, TokenizerHeader* h) {
  std::vector<u32> offsets{0};
  std::vector<u8> bytes;
  for (const std::string& piece : v.pieces) {
    bytes.insert(bytes.end(), piece.begin(), piece.end());
    offsets.push_back(static_cast<u32>(bytes.size()));
  }
  h->piece_offsets = section->add(offsets);
  h->piece_bytes = section->add(bytes);
  h->attributes = section->add(v.attributes);
}

void add_pairs(const Vocabulary& v, Section* section, TokenizerHeader* h, const std::string& source) {
  std::vector<PairSlot> entries;
  for (const auto& [pair, merge] : v.pairs)
    entries.push_back({pair.first, pair.second, merge.rank, merge.merged});
  auto hash = [](const PairSlot& s) { return pair_hash(s.left, s.right); };
  auto empty = [](const PairSlot& s) { return s.merged == NO_TOKEN; };
  h->pairs = section->add(hash_table(entries, PairSlot{0, 0, 0, NO_TOKEN}, hash, empty, &h->pair_probes, source));
}

void add_words(const Vocabulary& v, Section* section, TokenizerHeader* h, const std::string& source) {
  std::vector<WordSlot> entries;
  for (u32 piece : v.words) {
    const std::string& bytes = v.pieces[piece];
    h->max_word = std::max(h->max_word, static_cast<u32>(bytes.size()));
    entries.push_back({word_hash({bytes.data(), static_cast<i64>(bytes.size())}), piece});
  }
  auto hash = [](const WordSlot& s) { return s.hash; };
  auto empty = [](const WordSlot& s) { return s.piece == NO_TOKEN; };
  h->words = section->add(hash_table(entries, WordSlot{0, NO_TOKEN}, hash, empty, &h->word_probes, source));
}

void add_added(const Vocabulary& v, Section* section, TokenizerHeader* h) {
  std::vector<Vocabulary::Added> sorted;
  for (const auto& [content, token] : v.added)
    sorted.push_back(token);
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    if (a.normalized != b.normalized) return b.normalized;
    return a.matched != b.matched ? a.matched < b.matched : a.id < b.id;
  });
  std::vector<AddedToken> table;
  std::vector<u8> bytes;
  for (const auto& token : sorted) {
    u8 first = static_cast<u8>(token.matched[0]);
    h->added_first[token.normalized][first / 32] |= 1u << first % 32;
    h->added_raw += !token.normalized;
    table.push_back({static_cast<u32>(bytes.size()), static_cast<u16>(token.matched.size()), token.flags, token.id});
    bytes.insert(bytes.end(), token.matched.begin(), token.matched.end());
  }
  h->added = section->add(table);
  h->added_bytes = section->add(bytes);
}

// A space that has no piece would be spelled as U+2581 by the references, and by the runtime as a space.
void require_space(const Vocabulary& v, const std::string& source) {
  constexpr u32 SPELLED = TOKENIZER_SPACE_MARK | TOKENIZER_BYTE_FALLBACK;
  const bool piece = std::any_of(v.words.begin(), v.words.end(), [&](u32 id) { return id < v.ids && v.pieces[id] == " "; });
  const bool added =
      std::any_of(v.added.begin(), v.added.end(), [](const auto& token) { return token.second.matched == " "; });
  if ((v.flags & SPELLED) == SPELLED && !piece && !added)
    unusable(source, ": marks spaces by U+2581 and has no piece for it");
}

}  // namespace

std::vector<u8> write_section(const Vocabulary& v, const std::string& source) {
  require_space(v, source);
  TokenizerHeader h = {};
  h.magic = TOKENIZER_MAGIC;
  h.header_bytes = sizeof h;
  h.kind = static_cast<u32>(v.kind);
  h.max_word = v.max_word;
  h.flags = v.flags;
  if (v.splits.size() > TOKENIZER_MAX_STEPS) {
    unusable(source, ": cuts words in ", v.splits.size(), " steps, at most ", TOKENIZER_MAX_STEPS, " are supported");
  }
  std::copy(v.splits.begin(), v.splits.end(), reinterpret_cast<WordSplit*>(h.splits));
  h.vocab = v.ids;
  h.bos = static_cast<i32>(v.bos);
  h.eos = static_cast<i32>(v.eos);
  h.unknown = static_cast<i32>(v.unknown);
  std::copy(v.byte_ids.begin(), v.byte_ids.end(), h.byte_ids);
  Section section;
  add_pieces(v, &section, &h);
  add_pairs(v, &section, &h, source);
  add_words(v, &section, &h, source);
  add_added(v, &section, &h);
  return section.finish(h);
}

void add_all_pairs(Vocabulary* v, const std::unordered_map<std::string, u32>& symbols, const std::string& piece, u32 id,
                   u32 rank, bool by_character, const std::string& source) {
  if (piece.size() > MAX_PIECE) unusable(source, ": piece ", id, " has ", piece.size(), " bytes, at most ", MAX_PIECE);
  for (size_t cut = 0;;) {
    cut += by_character ? character_bytes(piece, cut) : 1;
    if (cut >= piece.size()) return;
    auto left = symbols.find(piece.substr(0, cut));
    auto right = symbols.find(piece.substr(cut));
    if (left != symbols.end() && right != symbols.end()) v->pairs[{left->second, right->second}] = {rank, id};
  }
}

void split_words_if_safe(Vocabulary* v) {
  auto crosses = [](const std::string& piece) {
    for (size_t i = 1; i < piece.size(); i++) {
      if (piece[i] == ' ' && piece[i - 1] != ' ') return true;
    }
    return false;
  };
  for (const auto& [pair, merge] : v->pairs) {
    if (crosses(v->pieces[pair.first] + v->pieces[pair.second])) return;
  }
  v->splits.push_back(WordSplit::words);
}

void Vocabulary::resize(u32 count) {
  const u32 by = count > ids ? count - ids : 0;
  auto moved = [&](u32 piece) { return piece < ids ? piece : piece + by; };
  if (pieces.size() > ids && by > 0) {
    std::map<std::pair<u32, u32>, Merge> old = std::move(pairs);
    pairs.clear();
    for (const auto& [pair, merge] : old)
      pairs[{moved(pair.first), moved(pair.second)}] = {merge.rank, moved(merge.merged)};
    for (u32& piece : words)
      piece = moved(piece);
  }
  pieces.insert(pieces.begin() + ids, by, std::string());
  attributes.resize(ids + by);
  ids += by;
}

i64 Vocabulary::id_of(const std::string& content) const {
  if (auto known = added.find(content); known != added.end()) return known->second.id;
  auto known = names.find(content);
  return known == names.end() ? -1 : static_cast<i64>(known->second);
}

// What normalisation leaves of an added token's text.
static std::string normalized_token(const Vocabulary& v, const std::string& content) {
  if (!v.normalizes) return content;
  if (v.flags & TOKENIZER_NFC) {
    const i64 size = static_cast<i64>(content.size());
    std::string out(static_cast<size_t>(nfc_bytes(size)), '\0');
    std::vector<u32> scratch(static_cast<size_t>(nfc_scratch_bytes(size)) / sizeof(u32));
    out.resize(
        static_cast<size_t>(normalize_nfc({content.data(), size}, out.data(), reinterpret_cast<u8*>(scratch.data()))));
    return out;
  }
  return (v.prepends ? " " : "") + (v.flags & TOKENIZER_SPACE_MARK ? unmark_spaces(content) : content);
}

void add_token(Vocabulary* v, const std::string& content, i64 id, u16 flags, bool normalized, const std::string& source) {
  if (id < 0 || id >= MAX_IDS) unusable(source, ": added token ", content, " has the id ", id);
  const std::string matched = normalized ? normalized_token(*v, content) : content;
  if (matched.empty() || matched.size() > 0xffff) unusable(source, ": added token ", id, " has ", matched.size(), " bytes");
  u32 at = static_cast<u32>(id);
  v->resize(at + 1);
  if (v->pieces[at].empty()) {
    v->pieces[at] = v->kind == TokenizerKind::bytes   ? bytes_of_printable(content).value_or(content)
                    : v->flags & TOKENIZER_SPACE_MARK ? unmark_spaces(content)
                                                      : content;
  }
  v->attributes[at] = flags & ADDED_SPECIAL ? TOKEN_SPECIAL : 0;
  if (normalized && !v->normalizes) v->flags |= TOKENIZER_ADDED_FIRST;
  v->added[content] = {at, flags, normalized, matched};
}

std::string_view take_line(std::string_view* text) {
  size_t end = text->find('\n');
  std::string_view line = text->substr(0, end);
  *text = end == std::string_view::npos ? std::string_view() : text->substr(end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

i32 byte_of_printable(u32 character) {
  auto printable = [](u32 byte) { return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae; };
  if (character < 256) return printable(character) ? static_cast<i32>(character) : -1;
  u32 next = 256;  // the other bytes follow in order
  for (u32 byte = 0; byte < 256; byte++) {
    if (!printable(byte) && next++ == character) return static_cast<i32>(byte);
  }
  return -1;
}

std::optional<std::string> bytes_of_printable(const std::string& token) {
  std::string bytes;
  for (size_t i = 0; i < token.size();) {
    i32 length = utf8_length(token.data() + i, static_cast<i64>(token.size() - i));
    i32 byte = length > 0 ? byte_of_printable(utf8_decode(token.data() + i, length)) : -1;
    if (byte < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
    i += static_cast<size_t>(length);
  }
  return bytes;
}

i32 byte_of_name(const std::string& piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
  i32 high = digit(piece[3]);
  i32 low = digit(piece[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

std::string unmark_spaces(std::string text) {
  for (size_t at = 0; (at = text.find("\xe2\x96\x81", at)) != std::string::npos; at++)
    text.replace(at, 3, " ");
  return text;
}

size_t character_bytes(const std::string& text, size_t at) {
  i32 length = utf8_length(text.data() + at, static_cast<i64>(text.size() - at));
  return length > 0 ? static_cast<size_t>(length) : 1;
}

}  // namespace edgellm::convert
