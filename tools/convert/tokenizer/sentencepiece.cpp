// SentencePiece's tokenizer.model (sentencepiece_model.proto of that project) and llama2.c's tokenizer.bin made from it.
#include <algorithm>
#include <cstring>

#include "convert/base/error.h"
#include "convert/base/protobuf.h"
#include "convert/tokenizer/vocabulary.h"

namespace edgellm::convert {
namespace {

SentencePiece read_piece(std::string_view bytes, const std::string& source) {
  SentencePiece piece;
  ProtobufReader reader(bytes, source);
  for (ProtobufField field; reader.next(&field);) {
    if (field.number == 1) piece.text = field.bytes;
    if (field.number == 2) piece.score = field.number_f32();
    if (field.number == 3) piece.type = field.value;
  }
  return piece;
}

void read_trainer(std::string_view bytes, SentencePieceModel* model, const std::string& source) {
  ProtobufReader reader(bytes, source);
  for (ProtobufField field; reader.next(&field);) {
    i64 id = static_cast<i32>(field.value);
    switch (field.number) {
      case 3:
        model->model_type = field.value;
        break;
      case 24:
        model->space_as_suffix = field.value;
        break;
      case 35:
        model->byte_fallback = field.value;
        break;
      case 40:
        model->unknown = id;
        break;
      case 41:
        model->bos = id;
        break;
      case 42:
        model->eos = id;
        break;
      case 44:
        model->unknown_surface = field.bytes;
        break;
    }
  }
}

void read_normalizer(std::string_view bytes, SentencePieceModel* model, const std::string& source) {
  ProtobufReader reader(bytes, source);
  for (ProtobufField field; reader.next(&field);) {
    switch (field.number) {
      case 1:
        model->normalizer = field.bytes;
        break;
      case 2:
        model->has_character_map = !field.bytes.empty();
        break;
      case 3:
        model->dummy_prefix = field.value;
        break;
      case 4:
        model->remove_extra_spaces = field.value;
        break;
      case 5:
        model->mark_spaces = field.value;
        break;
    }
  }
}

SentencePieceModel read_model(const std::string& data, const std::string& source) {
  SentencePieceModel model;
  ProtobufReader reader(data, source);
  for (ProtobufField field; reader.next(&field);) {
    if (field.number == 1) model.pieces.push_back(read_piece(field.bytes, source));
    if (field.number == 2) read_trainer(field.bytes, &model, source);
    if (field.number == 3) read_normalizer(field.bytes, &model, source);
  }
  const char* const names[] = {"?", "Unigram", "BPE", "Word", "Char"};
  if (model.model_type != 2) {
    unusable(source, ": a SentencePiece model of type ", names[model.model_type < 5 ? model.model_type : 0],
             ", only BPE is supported");
  }
  if (model.has_character_map) {
    unusable(source, ": the normaliser ", model.normalizer, " has a character map, only 'identity' is supported");
  }
  if (model.space_as_suffix) unusable(source, ": spaces as suffixes are not supported");
  return model;
}

// Symbols, pairs and the word table. Merges look up the joined text in `symbols`, the scores give the ranks.
void add_merges(Vocabulary* v, const std::vector<SentencePiece>& pieces, std::unordered_map<std::string, u32> symbols,
                const std::string& source) {
  std::vector<f32> scores;
  for (const auto& [text, id] : symbols)
    scores.push_back(pieces[id].score);
  std::sort(scores.begin(), scores.end(), std::greater<>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());

  std::vector<std::pair<std::string, u32>> whole(symbols.begin(), symbols.end());
  std::sort(whole.begin(), whole.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  // Characters that only occur inside of pieces are symbols too.
  for (const auto& [text, id] : whole) {
    for (size_t at = 0, n; at < text.size(); at += n) {
      n = character_bytes(text, at);
      auto [place, is_new] = symbols.try_emplace(text.substr(at, n), static_cast<u32>(v->pieces.size()));
      if (is_new) v->pieces.push_back(text.substr(at, n));
      if (is_new || text.size() == n) v->words.push_back(place->second);
    }
  }
  for (const auto& [text, id] : whole) {
    auto place = std::lower_bound(scores.begin(), scores.end(), pieces[id].score, std::greater<>());
    add_all_pairs(v, symbols, text, id, static_cast<u32>(place - scores.begin()), true, source);
  }
  split_words_if_safe(v);
}

}  // namespace

bool is_sentencepiece(const std::string& data) {
  // The first field is a piece, whose first field is its text.
  return data.size() > 3 && data[0] == 0x0a && (data[2] == 0x0a || data[3] == 0x0a);
}

Vocabulary read_sentencepiece(const std::string& data, const std::string& source) {
  SentencePieceModel model = read_model(data, source);
  for (size_t id = 0; id < model.pieces.size(); id++) {
    if (model.pieces[id].type == PIECE_UNUSED)
      unusable(source, ": piece ", id, " is of the type unused, which is not supported");
  }
  return sentencepiece_vocabulary(model, source);
}

Vocabulary sentencepiece_vocabulary(const SentencePieceModel& model, const std::string& source) {
  Vocabulary v;
  v.kind_name = "SentencePiece BPE";
  v.kind = TokenizerKind::characters;
  v.flags = TOKENIZER_REPLACE_INVALID | TOKENIZER_FUSE_UNKNOWN;
  if (model.byte_fallback) v.flags |= TOKENIZER_BYTE_FALLBACK;
  if (model.mark_spaces) v.flags |= TOKENIZER_SPACE_MARK;
  if (model.remove_extra_spaces) v.flags |= TOKENIZER_TRIM_SPACES | TOKENIZER_STRIP_FIRST_SPACES;
  if (model.dummy_prefix) v.flags |= TOKENIZER_PREFIX | TOKENIZER_STRIP_FIRST_SPACE;
  v.resize(static_cast<u32>(model.pieces.size()));
  auto known = [&](i64 id) { return id >= 0 && id < v.ids ? id : -1; };
  v.unknown = known(model.unknown);
  v.bos = known(model.bos);
  v.eos = known(model.eos);
  v.adds_bos = true;

  auto shown = [&](const std::string& text) { return model.mark_spaces ? unmark_spaces(text) : text; };
  std::unordered_map<std::string, u32> symbols;
  for (u32 id = 0; id < v.ids; id++) {
    const SentencePiece& piece = model.pieces[id];
    v.pieces[id] = shown(piece.text);
    v.names.try_emplace(piece.text, id);
    switch (piece.type) {
      case PIECE_NORMAL:
        symbols.try_emplace(v.pieces[id], id);
        break;
      case PIECE_UNKNOWN:
        v.pieces[id] = model.unknown_surface;
        add_token(&v, piece.text, id, ADDED_SPECIAL, false, source);
        v.attributes[id] = 0;  // is printed
        break;
      case PIECE_CONTROL:
        add_token(&v, piece.text, id, ADDED_SPECIAL, false, source);
        break;
      case PIECE_USER_DEFINED:
        // A bare space is not met where spaces are marked.
        if (!model.mark_spaces || piece.text.find(' ') == std::string::npos) add_token(&v, piece.text, id, 0, true, source);
        break;
      case PIECE_BYTE: {
        i32 byte = byte_of_name(piece.text);
        if (byte < 0) unusable(source, ": byte piece ", id, " is called ", piece.text);
        v.byte_ids[static_cast<size_t>(byte)] = static_cast<i32>(id);
        v.pieces[id] = std::string(1, static_cast<char>(byte));
        break;
      }
      case PIECE_UNUSED:
        break;
      default:
        unusable(source, ": piece ", id, " has the type ", piece.type, ", which is not supported");
    }
  }
  add_merges(&v, model.pieces, symbols, source);
  return v;
}

// u32 length of the longest piece; for each id f32 score, i32 bytes, text. Spaces are spaces; ids 3 to 258 are the bytes.
static bool read_llama2c_pieces(const std::string& data, std::vector<SentencePiece>* pieces) {
  u32 longest;
  if (data.size() < 12) return false;
  std::memcpy(&longest, data.data(), 4);
  for (size_t at = 4; at < data.size();) {
    SentencePiece piece;
    u32 bytes;
    if (data.size() - at < 8) return false;
    std::memcpy(&piece.score, data.data() + at, 4);
    std::memcpy(&bytes, data.data() + at + 4, 4);
    at += 8;
    if (bytes > longest || bytes > data.size() - at) return false;
    piece.text = data.substr(at, bytes);
    at += bytes;
    pieces->push_back(piece);
  }
  return true;
}

bool is_llama2c_tokenizer(const std::string& data) {
  std::vector<SentencePiece> pieces;
  return read_llama2c_pieces(data, &pieces);
}

Vocabulary read_llama2c_tokenizer(const std::string& data, const std::string& source) {
  std::vector<SentencePiece> pieces;
  if (!read_llama2c_pieces(data, &pieces)) unusable(source, ": is cut, or no tokenizer of llama2.c");
  Vocabulary v;
  v.kind_name = "llama2.c";
  v.kind = TokenizerKind::characters;
  v.flags = TOKENIZER_PREFIX | TOKENIZER_BYTE_FALLBACK | TOKENIZER_STRIP_FIRST_SPACE;
  v.resize(static_cast<u32>(pieces.size()));
  if (v.ids < 259) unusable(source, ": ", v.ids, " pieces, at least 259 expected");
  v.unknown = 0;
  v.bos = 1;
  v.eos = 2;
  v.adds_bos = true;
  std::unordered_map<std::string, u32> symbols;
  for (u32 id = 0; id < v.ids; id++) {
    v.pieces[id] = pieces[id].text;
    if (id < 3) continue;
    if (id >= 259) {
      symbols.try_emplace(pieces[id].text, id);
      continue;
    }
    u32 byte = id - 3;
    if (byte_of_name(pieces[id].text) != static_cast<i32>(byte)) unusable(source, ": piece ", id, " is not byte ", byte);
    v.byte_ids[byte] = static_cast<i32>(id);
    v.pieces[id] = std::string(1, static_cast<char>(byte));
  }
  add_token(&v, "<s>", 1, ADDED_SPECIAL, false, source);
  add_token(&v, "</s>", 2, ADDED_SPECIAL, false, source);
  add_merges(&v, pieces, symbols, source);
  return v;
}

}  // namespace edgellm::convert
