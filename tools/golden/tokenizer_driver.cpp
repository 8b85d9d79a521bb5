// Encodes and decodes for tokenizer_cases.py, over pipes.
//   tokenizer_driver TOKENIZER VOCAB
// Requests: u32 what (bit 0: parse special tokens, bit 1: add bos, bit 2: decode, bit 3: with special tokens), u32 bytes, then text
// or ids. Answers: u32 bytes, then i32 ids or text.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "convert/tokenizer/tokenizer.h"
#include "text/tokenizer.h"

using namespace edgellm;

static bool read(void* to, size_t bytes) {
  return std::fread(to, 1, bytes, stdin) == bytes;
}

static void answer(const void* data, size_t bytes) {
  u32 size = static_cast<u32>(bytes);
  std::fwrite(&size, 1, sizeof size, stdout);
  std::fwrite(data, 1, bytes, stdout);
  std::fflush(stdout);
}

static void encode(const Tokenizer& tokenizer, u32 what, const std::string& text) {
  static std::vector<u64> workspace;
  static std::vector<i32> ids;
  i64 size = static_cast<i64>(text.size());
  workspace.resize(static_cast<size_t>(tokenizer.workspace_bytes(size)) / 8);
  ids.resize(static_cast<size_t>(tokenizer.max_ids(size)));
  i32 count = 0;
  Span<u8> space{reinterpret_cast<u8*>(workspace.data()), static_cast<i64>(workspace.size() * 8)};
  EncodeOptions options{.add_bos = (what & 2) != 0, .parse_special = (what & 1) != 0};
  Status status = tokenizer.encode({text.data(), size}, options, space, {ids.data(), static_cast<i64>(ids.size())}, &count);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.text());
    std::exit(1);
  }
  answer(ids.data(), static_cast<size_t>(count) * sizeof(i32));
}

static void decode(const Tokenizer& tokenizer, u32 what, const std::string& ids) {
  Decoder decoder(tokenizer, {.specials = (what & 8) != 0});
  std::string out;
  auto take = [&] {
    for (Text text; (text = decoder.take()).size != 0;)
      out.append(text.data, static_cast<size_t>(text.size));
  };
  for (size_t i = 0; i + 4 <= ids.size(); i += 4) {
    i32 id;
    __builtin_memcpy(&id, ids.data() + i, 4);
    decoder.push(id);
    take();
  }
  decoder.finish();
  take();
  answer(out.data(), out.size());
}

int main(int count, char** arguments) {
  if (count != 3) return 2;
  try {
    convert::TokenizerInfo info;
    int vocab = std::atoi(arguments[2]);
    std::vector<u8> section = convert::build_tokenizer_section(arguments[1], vocab, &info);
    Tokenizer tokenizer;
    Status status = tokenizer.open({section.data(), static_cast<i64>(section.size())}, vocab);
    if (!status.ok()) throw std::runtime_error(status.text());
    std::fprintf(stderr, "%s: %s, %lld ids, %zu bytes\n", arguments[1], info.kind.c_str(), static_cast<long long>(info.ids),
                 section.size());
    u32 head[2];
    while (read(head, sizeof head)) {
      std::string data(head[1], '\0');
      if (!read(data.data(), data.size())) break;
      if (head[0] & 4)
        decode(tokenizer, head[0], data);
      else
        encode(tokenizer, head[0], data);
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
