// Hugging Face's tokenizer.json (of its `tokenizers` library). What the runtime does not do is refused by name.
#include <algorithm>

#include "convert/base/error.h"
#include "convert/tokenizer/vocabulary.h"

namespace edgellm::convert {
namespace {

const char GPT2[] = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const char LLAMA3[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char QWEN2[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char MARK[] = "\xe2\x96\x81";

class Reader {
 public:
  Reader(const Json& json, const std::string& source) : json_(json), source_(source) {}

  Vocabulary read() {
    const Json* model = json_.find("model");
    if (!model || !model->object()) unusable(source_, ": no \"model\"");
    std::string type = text_of(*model, "type", model->find("merges") ? "BPE" : "?");
    if (type != "BPE") unusable(source_, ": a model of type ", type, ", only BPE is supported");
    if (const Json* cutter = json_.find("pre_tokenizer")) read_cutter(*cutter);
    v_.kind = byte_level_ ? TokenizerKind::bytes : TokenizerKind::characters;
    v_.kind_name = byte_level_ ? "tokenizer.json, byte-level BPE" : "tokenizer.json, SentencePiece BPE";
    if (const Json* normalizer = json_.find("normalizer")) read_normalizer(*normalizer);
    v_.normalizes = json_.find("normalizer");
    v_.prepends = prepends_;
    read_model(*model);
    read_added();
    if (const Json* decoder = json_.find("decoder")) read_decoder(*decoder);
    if (const Json* post = json_.find("post_processor")) read_post(*post);
    check();
    return std::move(v_);
  }

 private:
  std::string text_of(const Json& json, const char* key, const char* otherwise) const {
    const Json* found = json.find(key);
    if (!found) return otherwise;
    if (!found->string()) unusable(source_, ": \"", key, "\" is not a text");
    return *found->string();
  }

  bool flag_of(const Json& json, const char* key, bool otherwise) const {
    const Json* found = json.find(key);
    if (!found) return otherwise;
    if (!found->boolean()) unusable(source_, ": \"", key, "\" is neither true nor false");
    return *found->boolean();
  }

  u32 id_of(const Json* json, const std::string& what) const {
    std::optional<i64> id = json ? json->whole(0, MAX_IDS - 1) : std::nullopt;
    if (!id) unusable(source_, ": the id of ", what);
    return static_cast<u32>(*id);
  }

  // The elements of a "Sequence", or the thing itself.
  std::vector<const Json*> steps(const Json& json, const char* key) const {
    if (text_of(json, "type", "?") != "Sequence") return {&json};
    std::vector<const Json*> out;
    const Json* list = json.find(key);
    if (!list || !list->array()) unusable(source_, ": a Sequence without \"", key, "\"");
    for (const Json& step : *list->array()) {
      for (const Json* inner : steps(step, key))
        out.push_back(inner);
    }
    return out;
  }

  void read_normalizer(const Json& json) {
    for (const Json* step : steps(json, "normalizers")) {
      std::string type = text_of(*step, "type", "?");
      const Json* pattern = step->find("pattern");
      if (type == "NFC") {
        v_.flags |= TOKENIZER_NFC;
      } else if (type == "Prepend" && !byte_level_ && text_of(*step, "prepend", "") == MARK && !marked_ && !prepends_) {
        v_.flags |= TOKENIZER_PREFIX;
        prepends_ = true;
      } else if (type == "Replace" && !byte_level_ && pattern && text_of(*pattern, "String", "") == " " &&
                 text_of(*step, "content", "") == MARK) {
        marked_ = normalizer_marks_ = true;
      } else {
        unusable(source_, ": the normaliser ", type, " is not supported here");
      }
    }
    if (marked_) v_.flags |= TOKENIZER_SPACE_MARK;
  }

  void read_cutter(const Json& json) {
    for (const Json* step : steps(json, "pretokenizers")) {
      std::string type = text_of(*step, "type", "?");
      if (byte_level_) unusable(source_, ": the pre-tokenizer ", type, " after ByteLevel is not supported");
      if (type == "ByteLevel") {
        byte_level_ = true;
        bool prefix = flag_of(*step, "add_prefix_space", true);
        if (prefix && !v_.splits.empty()) unusable(source_, ": ByteLevel with add_prefix_space after another pre-tokenizer");
        if (prefix) v_.flags |= TOKENIZER_PREFIX | TOKENIZER_PREFIX_MISSING;
        if (flag_of(*step, "use_regex", true)) v_.splits.push_back(WordSplit::gpt2);
      } else if (type == "Digits" && flag_of(*step, "individual_digits", false)) {
        v_.splits.push_back(WordSplit::digits);
      } else if (type == "Split") {
        read_split(*step);
      } else if (type == "Metaspace") {
        read_metaspace(*step);
      } else {
        unusable(source_, ": the pre-tokenizer ", type, " is not supported");
      }
    }
  }

  void read_split(const Json& step) {
    const Json* pattern = step.find("pattern");
    std::string regex = pattern ? text_of(*pattern, "Regex", "") : "";
    std::string behavior = text_of(step, "behavior", "?");
    const std::pair<const char*, WordSplit> known[] = {
        {GPT2, WordSplit::gpt2}, {LLAMA3, WordSplit::llama3}, {QWEN2, WordSplit::qwen2}};
    for (const auto& [expression, split] : known) {
      // With a pattern that matches everywhere, inverted and removed is the same as isolated.
      bool inverted = flag_of(step, "invert", false);
      if (regex == expression && ((behavior == "Isolated" && !inverted) || (behavior == "Removed" && inverted))) {
        v_.splits.push_back(split);
        splits_by_regex_ = true;
        return;
      }
    }
    // After spaces were replaced, by an earlier step or the normaliser, there is nothing left to split at.
    if (pattern && text_of(*pattern, "String", "") == " ") {
      needs_mark_ |= !marked_;
      return;
    }
    unusable(source_, ": the pre-tokenizer splits (", behavior, ") by a regular expression that is not known: ", regex);
  }

  void read_metaspace(const Json& step) {
    if (text_of(step, "replacement", MARK) != MARK) unusable(source_, ": Metaspace with a mark of its own");
    if (marked_) unusable(source_, ": the pre-tokenizer Metaspace is there twice");
    marked_ = true;
    std::string scheme = text_of(step, "prepend_scheme", flag_of(step, "add_prefix_space", true) ? "always" : "never");
    if (scheme != "never" && !v_.splits.empty())
      unusable(source_, ": Metaspace with prepend_scheme ", scheme, " after another pre-tokenizer");
    v_.flags |= TOKENIZER_SPACE_MARK;
    if (scheme != "never") v_.flags |= TOKENIZER_PREFIX | TOKENIZER_PREFIX_MISSING;
    if (scheme == "first") v_.flags |= TOKENIZER_PREFIX_FIRST;
    if (flag_of(step, "split", true)) v_.splits.push_back(WordSplit::spaces);
  }

  void read_model(const Json& model) {
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!text_of(model, key, "").empty()) unusable(source_, ": \"", key, "\" is not supported");
    }
    const Json* vocab = model.find("vocab");
    if (!vocab || !vocab->object()) unusable(source_, ": no \"vocab\"");
    for (const auto& [token, value] : *vocab->object()) {
      u32 id = id_of(&value, token);
      v_.resize(id + 1);
      ids_[token] = id;
    }
    if (flag_of(model, "fuse_unk", false)) v_.flags |= TOKENIZER_FUSE_UNKNOWN;
    if (std::string unknown = text_of(model, "unk_token", ""); !unknown.empty()) {
      auto found = ids_.find(unknown);
      if (found == ids_.end()) unusable(source_, ": the unknown token ", unknown, " is not in the vocabulary");
      v_.unknown = found->second;
    }
    byte_fallback_ = flag_of(model, "byte_fallback", false);
    if (byte_fallback_ && !byte_level_) v_.flags |= TOKENIZER_BYTE_FALLBACK;
    if (!byte_level_ && !byte_fallback_ && v_.unknown < 0) unusable(source_, ": neither byte_fallback nor an unknown token");
    bool whole_words = flag_of(model, "ignore_merges", false);
    if (whole_words) v_.flags |= TOKENIZER_WHOLE_WORDS;
    for (const auto& [token, id] : ids_)
      byte_level_ ? add_byte_token(token, id, whole_words) : add_character_token(token, id, whole_words);
    std::sort(v_.words.begin(), v_.words.end());  // the map has no order
    v_.words.erase(std::unique(v_.words.begin(), v_.words.end()), v_.words.end());
    read_merges(model);
  }

  // What a token that is not byte-level prints.
  std::string shown(const std::string& token) const { return marked_ ? unmark_spaces(token) : token; }

  void add_byte_token(const std::string& token, u32 id, bool whole_words) {
    std::optional<std::string> bytes = bytes_of_printable(token);
    v_.pieces[id] = bytes.value_or(token);
    if (!bytes) return;
    if (bytes->size() == 1) v_.byte_ids[static_cast<u8>((*bytes)[0])] = static_cast<i32>(id);
    if (whole_words) v_.words.push_back(id);
  }

  void add_character_token(const std::string& token, u32 id, bool whole_words) {
    v_.pieces[id] = shown(token);
    i32 byte = byte_of_name(token);
    if (byte >= 0 && (v_.flags & TOKENIZER_BYTE_FALLBACK)) {
      v_.byte_ids[static_cast<size_t>(byte)] = static_cast<i32>(id);
      v_.pieces[id] = std::string(1, static_cast<char>(byte));
      return;
    }
    // A space of the text is always marked, so that a piece with a bare one is never met.
    bool bare = (v_.flags & TOKENIZER_SPACE_MARK) && token.find(' ') != std::string::npos;
    if (!token.empty() && !bare && (whole_words || character_bytes(token, 0) == token.size())) v_.words.push_back(id);
  }

  void read_merges(const Json& model) {
    const Json* merges = model.find("merges");
    if (!merges || !merges->array()) unusable(source_, ": no \"merges\"");
    u32 rank = 0;
    for (const Json& merge : *merges->array()) {
      std::string left, right;
      if (const std::string* line = merge.string()) {
        size_t space = line->find(' ');
        if (space == std::string::npos || line->find(' ', space + 1) != std::string::npos) {
          unusable(source_, ": merge ", rank, " is not two tokens: ", *line);
        }
        left = line->substr(0, space);
        right = line->substr(space + 1);
      } else if (merge.array() && merge.array()->size() == 2 && (*merge.array())[0].string() &&
                 (*merge.array())[1].string()) {
        left = *(*merge.array())[0].string();
        right = *(*merge.array())[1].string();
      } else {
        unusable(source_, ": merge ", rank, " is not two tokens");
      }
      auto l = ids_.find(left), r = ids_.find(right), joined = ids_.find(left + right);
      if (l == ids_.end() || r == ids_.end() || joined == ids_.end()) {
        unusable(source_, ": merge ", rank, " of ", left, " and ", right, " is not in the vocabulary");
      }
      v_.pairs[{l->second, r->second}] = {rank++, joined->second};
    }
    bool space_known = std::any_of(v_.words.begin(), v_.words.end(), [&](u32 id) { return v_.pieces[id] == " "; });
    if (!byte_level_ && v_.splits.empty() && space_known && !(v_.flags & TOKENIZER_WHOLE_WORDS)) split_words_if_safe(&v_);
  }

  void read_added() {
    const Json* list = json_.find("added_tokens");
    if (!list || !list->array()) return;
    for (const Json& token : *list->array()) {
      std::string content = text_of(token, "content", "");
      if (flag_of(token, "single_word", false))
        unusable(source_, ": added token ", content, ": single_word is not supported");
      u16 flags = 0;
      if (flag_of(token, "special", false)) flags |= ADDED_SPECIAL;
      if (flag_of(token, "lstrip", false)) flags |= ADDED_STRIP_LEFT;
      if (flag_of(token, "rstrip", false)) flags |= ADDED_STRIP_RIGHT;
      // The vocabulary's own number goes before the one that is declared here.
      auto known = ids_.find(content);
      u32 id = known == ids_.end() ? id_of(token.find("id"), content) : known->second;
      add_token(&v_, content, id, flags, flag_of(token, "normalized", true), source_);
    }
  }

  void read_decoder(const Json& json) {
    for (const Json* step : steps(json, "decoders")) {
      std::string type = text_of(*step, "type", "?");
      if (type == "Strip" && text_of(*step, "content", "") == " ") {
        const Json* start = step->find("start");
        if (start && start->number() && *start->number() == 1) v_.flags |= TOKENIZER_STRIP_FIRST_SPACE;
      } else if (type == "Metaspace" && marked_) {
        std::string scheme = text_of(*step, "prepend_scheme", flag_of(*step, "add_prefix_space", true) ? "always" : "never");
        if (scheme != "never") v_.flags |= TOKENIZER_STRIP_FIRST_SPACES;
      } else if (type != "ByteLevel" && type != "ByteFallback" && type != "Fuse" && !shows_marks(*step)) {
        unusable(source_, ": the decoder ", type, " is not supported");
      }
    }
  }

  // The decoder's step that undoes the marks of spaces, as every piece of ours does.
  bool shows_marks(const Json& step) const {
    const Json* pattern = step.find("pattern");
    return marked_ && text_of(step, "type", "?") == "Replace" && pattern && text_of(*pattern, "String", "") == MARK &&
           text_of(step, "content", "") == " ";
  }

  // A template that starts with a special token.
  void read_post(const Json& json) {
    for (const Json* step : steps(json, "processors")) {
      if (text_of(*step, "type", "?") != "TemplateProcessing") continue;
      const Json* single = step->find("single");
      if (!single || !single->array() || single->array()->empty()) continue;
      const Json* first = single->array()->front().find("SpecialToken");
      if (!first) continue;
      std::string token = text_of(*first, "id", "");
      v_.bos = v_.id_of(token);
      if (v_.bos < 0)
        unusable(source_, ": the template's token ", token, " is in neither the vocabulary nor the added tokens");
      v_.adds_bos = true;
    }
  }

  void check() const {
    bool whole = v_.flags & (TOKENIZER_SPACE_MARK | TOKENIZER_TRIM_SPACES);
    bool prefix = (v_.flags & TOKENIZER_PREFIX) && !(v_.flags & TOKENIZER_PREFIX_MISSING);
    if ((v_.flags & TOKENIZER_NFC) && (whole || prefix))
      unusable(source_, ": NFC together with marked spaces is not supported");
    if (!byte_level_ && v_.splits.empty() && !marked_ && json_.find("pre_tokenizer"))
      unusable(source_, ": an unknown pre-tokenizer");
    if (needs_mark_ && !normalizer_marks_) unusable(source_, ": the pre-tokenizer splits at spaces, which is not supported");
    if (splits_by_regex_ && marked_)
      unusable(source_, ": a pre-tokenizer that splits by a regular expression, with spaces that become U+2581");
    if (prepends_ && !marked_) unusable(source_, ": the normaliser prepends U+2581 and does not replace spaces");
    check_missing();
  }

  // The runtime puts what stands for a missing character in its place after the merges, the reference before them.
  void check_missing() const {
    const auto& ids = v_.byte_ids;
    const bool whole = byte_level_ && std::find(ids.begin(), ids.end(), -1) == ids.end();
    if (whole) return;
    for (const auto& [pair, merge] : v_.pairs) {
      for (u32 id : {pair.first, pair.second}) {
        const i32 part = static_cast<i32>(id);
        if (part == v_.unknown || (!byte_level_ && std::find(ids.begin(), ids.end(), part) != ids.end()))
          unusable(source_, ": merge ", merge.rank, " joins ", v_.pieces[id], ", which stands for missing characters");
      }
    }
    for (const auto& [token, id] : ids_) {
      if (byte_level_ && byte_fallback_ && byte_of_name(token) >= 0)
        unusable(source_, ": byte_fallback with ByteLevel, and bytes are missing");
    }
  }

  const Json& json_;
  const std::string& source_;
  Vocabulary v_;
  std::unordered_map<std::string, u32>& ids_ = v_.names;
  bool byte_level_ = false;
  bool byte_fallback_ = false;
  bool marked_ = false;            // spaces are U+2581
  bool normalizer_marks_ = false;  // before any pre-tokenizer
  bool prepends_ = false;          // by the normaliser, so also to the text of added tokens
  bool needs_mark_ = false;        // a pre-tokenizer relies on the normaliser's marks
  bool splits_by_regex_ = false;
};

}  // namespace

Vocabulary read_tokenizer_json(const Json& json, const std::string& source) {
  return Reader(json, source).read();
}

}  // namespace edgellm::convert
