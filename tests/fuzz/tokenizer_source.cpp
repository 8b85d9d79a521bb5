// Any bytes as the files of a tokenizer: what is accepted makes a section that the runtime opens and uses. The first byte says which:
//   j  up to a zero byte tokenizer_config.json (none if empty), then tokenizer.json
//   m  the same, then a file known by what is in it: SentencePiece, tiktoken, llama2.c, RWKV
//   v  up to a zero byte merges.txt, then vocab.json
#include <stdlib.h>

#include <algorithm>

#include "convert/base/error.h"
#include "convert/base/mapped_file.h"
#include "convert/tokenizer/tokenizer.h"
#include "convert_sources.h"
#include "text/tokenizer.h"

using namespace edgellm;

constexpr i64 VOCAB = 1000;

static void use(const std::vector<u8>& section) {
  std::vector<u64> aligned(section.size() / 8 + 1);
  std::copy(section.begin(), section.end(), reinterpret_cast<u8*>(aligned.data()));
  Tokenizer tokenizer;
  if (!tokenizer.open({reinterpret_cast<u8*>(aligned.data()), static_cast<i64>(section.size())}, VOCAB).ok()) abort();
  const std::string text = "Once  upon a time,\n\tab 12 \xc3\xa9 <s>\xff";
  const i64 size = static_cast<i64>(text.size());
  std::vector<u64> workspace(static_cast<size_t>(tokenizer.workspace_bytes(size)) / 8);
  std::vector<i32> ids(static_cast<size_t>(tokenizer.max_ids(size)));
  i32 count = 0;
  Status status = tokenizer.encode({text.data(), size}, {.add_bos = true, .parse_special = true},
                                   {reinterpret_cast<u8*>(workspace.data()), static_cast<i64>(workspace.size() * 8)},
                                   {ids.data(), static_cast<i64>(ids.size())}, &count);
  if (status.code() == Code::failed) abort();  // the promised sizes are enough
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const char kind = static_cast<char>(data[0]);
  const std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const size_t zero = std::min(bytes.find('\0'), bytes.size());
  const std::string beside = bytes.substr(0, zero);
  const Folder folder;
  if (!beside.empty()) write_file(folder / (kind == 'v' ? "merges.txt" : "tokenizer_config.json"), beside);
  const std::string path = folder / (kind == 'j' ? "tokenizer.json" : kind == 'v' ? "vocab.json" : "tokenizer.model");
  write_file(path, bytes.substr(std::min(zero + 1, bytes.size())));
  try {
    convert::TokenizerInfo info;
    use(convert::build_tokenizer_section(path, VOCAB, &info));
  } catch (const convert::Error&) {
  }
  convert::forget_opened();
  return 0;
}
