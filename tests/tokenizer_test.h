// A tokenizer built from its source and used with memory of exactly the promised size.
#pragma once
#include <algorithm>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "check.h"
#include "convert/base/json.h"
#include "convert/tokenizer/tokenizer.h"
#include "files.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace edgellm {

struct Ids : std::vector<i32> {
  using std::vector<i32>::vector;
};

inline std::ostream& operator<<(std::ostream& out, const Ids& ids) {
  for (i32 id : ids)
    out << id << ' ';
  return out;
}

inline const std::string GOLDEN_TOKENIZERS = "tests/golden/tokenizer/";

inline convert::Json golden(const std::string& name) {
  return convert::read_json(GOLDEN_TOKENIZERS + name);
}

inline Ids ids_of(const convert::Json& list) {
  Ids out;
  for (const convert::Json& id : *list.array())
    out.push_back(static_cast<i32>(*id.number()));
  return out;
}

inline Text view(const std::string& text) {
  return {text.data(), static_cast<i64>(text.size())};
}

// A copy of the bytes at a 64-byte boundary whose end the sanitizers watch.
struct Section {
  std::unique_ptr<u64[]> words;
  i64 bytes;

  explicit Section(const std::vector<u8>& from) : words(new u64[from.size() / 8 + 1]), bytes(static_cast<i64>(from.size())) {
    std::copy(from.begin(), from.end(), data());
  }
  u8* data() { return reinterpret_cast<u8*>(words.get()); }
  Span<const u8> span() { return {data(), bytes}; }
};

// `status` of the call when given; else the call must succeed.
inline Ids encode_view(const Tokenizer& tokenizer, Text text, EncodeOptions options = {}, Status* status = nullptr) {
  size_t needed = static_cast<size_t>(tokenizer.workspace_bytes(text.size));
  std::unique_ptr<u64[]> workspace(new u64[needed / 8]);
  Ids ids(static_cast<size_t>(tokenizer.max_ids(text.size)));
  i32 count = 0;
  Span<u8> space{reinterpret_cast<u8*>(workspace.get()), static_cast<i64>(needed)};
  Status result = tokenizer.encode(text, options, space, {ids.data(), static_cast<i64>(ids.size())}, &count);
  if (status)
    *status = result;
  else if (!result.ok())
    check::failed(__FILE__, __LINE__, result.text());
  ids.resize(static_cast<size_t>(count));
  return ids;
}

inline Ids encode(const Tokenizer& tokenizer, const std::string& text, EncodeOptions options = {},
                  Status* status = nullptr) {
  return encode_view(tokenizer, view(text), options, status);
}

inline bool whole_characters(Text text) {
  for (i64 i = 0; i < text.size;) {
    i32 length = utf8_length(text.data + i, text.size - i);
    if (length <= 0) return false;
    i += length;
  }
  return true;
}

inline std::string decode(const Tokenizer& tokenizer, const Ids& ids, DecodeOptions options = {}) {
  Decoder decoder(tokenizer, options);
  std::string out;
  auto take = [&] {
    for (Text text; (text = decoder.take()).size != 0;) {
      if (!whole_characters(text)) check::failed(__FILE__, __LINE__, "half a character was given out");
      out.append(text.data, static_cast<size_t>(text.size));
    }
  };
  for (i32 id : ids) {
    decoder.push(id);
    take();
  }
  decoder.finish();
  take();
  return out;
}

}  // namespace edgellm
