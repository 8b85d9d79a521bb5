// The first bytes say how the rest is used: a text for a good section (0 to 2), damage to a good section and a text (3 to 5), or a
// section as it is and a text (6 and more).
#include <stdlib.h>

#include <algorithm>
#include <string>
#include <vector>

#include "convert/tokenizer/tokenizer.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

using namespace edgellm;

static const std::vector<u8>& good_section(u8 which) {
  static convert::TokenizerInfo info;
  static const std::vector<u8> sections[] = {
      convert::build_tokenizer_section("tests/golden/tokenizer/llama3", 1000, &info),
      convert::build_tokenizer_section("tests/golden/tokenizer/sentencepiece", 1000, &info),
      convert::build_tokenizer_section("tests/golden/tokenizer/world", 1000, &info),
  };
  return sections[which];
}

static void decode_all(const Tokenizer& tokenizer, const std::vector<i32>& ids, DecodeOptions options) {
  Decoder decoder(tokenizer, options);
  auto take = [&] {
    for (Text text; (text = decoder.take()).size != 0;) {
      for (i64 i = 0; i < text.size;) {
        i32 length = utf8_length(text.data + i, text.size - i);
        if (length <= 0) abort();
        i += length;
      }
    }
  };
  for (i32 id : ids) {
    decoder.push(id);
    take();
  }
  decoder.finish();
  take();
}

// `damaged`: any piece may be wrong, so each is printed.
static void use(const std::vector<u8>& section, const std::string& text, bool special, bool damaged) {
  std::vector<u64> aligned(section.size() / 8 + 1);
  u8* end = reinterpret_cast<u8*>(aligned.data() + aligned.size());
  u8* start = end - align_up<size_t>(section.size(), 8);  // so that the sanitizer sees a read past the end
  std::copy(section.begin(), section.end(), start);
  Tokenizer tokenizer;
  if (!tokenizer.open({start, static_cast<i64>(section.size())}, 1000).ok()) return;
  i64 size = static_cast<i64>(text.size());
  std::vector<u64> workspace(static_cast<size_t>(tokenizer.workspace_bytes(size)) / 8);
  std::vector<i32> ids(static_cast<size_t>(tokenizer.max_ids(size)));
  Span<u8> space{reinterpret_cast<u8*>(workspace.data()), static_cast<i64>(workspace.size() * 8)};
  i32 count = 0;
  EncodeOptions options{.add_bos = special, .parse_special = special};
  Status status = tokenizer.encode({text.data(), size}, options, space, {ids.data(), static_cast<i64>(ids.size())}, &count);
  if (status.code() == Code::failed) abort();  // the promised sizes are enough
  ids.resize(static_cast<size_t>(count));
  for (i32 id : ids) {
    if (id < 0 || id >= 1000) abort();
  }
  for (i32 id = 0; id < 1000 && damaged; id++)
    ids.push_back(id);
  decode_all(tokenizer, ids, {.specials = special, .continues = text.size() % 2 != 0});
  (void)tokenizer.find_added({text.data(), size});
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4) return 0;
  u8 how = data[0];
  size_t length = static_cast<size_t>(data[1] | data[2] << 8);
  bool special = data[3] & 1;
  data += 4;
  size -= 4;
  length = length < size ? length : size;
  std::string text(reinterpret_cast<const char*>(data + length), size - length);
  if (how < 3) {
    use(good_section(how), {reinterpret_cast<const char*>(data), size}, special, false);
    return 0;
  }
  std::vector<u8> section(data, data + length);
  if (how < 6) {
    section = good_section(how % 3);
    // Triples of position and change.
    for (size_t i = 0; i + 3 <= length; i += 3) {
      size_t at = static_cast<size_t>(data[i] | data[i + 1] << 8);
      section[at % section.size()] ^= data[i + 2];
    }
  }
  use(section, text, special, true);
  return 0;
}
