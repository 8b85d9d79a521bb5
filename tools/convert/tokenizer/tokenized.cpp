#include "convert/tokenizer/tokenized.h"

#include "convert/base/error.h"

namespace edgellm::convert {

Tokenizer open_tokenizer(Span<const u8> section, i64 vocab) {
  Tokenizer tokenizer;
  if (Status status = tokenizer.open(section, static_cast<i32>(vocab)); !status.ok()) unusable(status.text());
  return tokenizer;
}

std::vector<i32> encode_text(const Tokenizer& tokenizer, const std::string& text, bool specials) {
  const i64 size = static_cast<i64>(text.size()), bytes = tokenizer.workspace_bytes(size);
  std::vector<u64> workspace(static_cast<size_t>(div_up<i64>(bytes, sizeof(u64))));
  std::vector<i32> ids(static_cast<size_t>(tokenizer.max_ids(size)));
  i32 count = 0;
  const Status status =
      tokenizer.encode(text_view(text), {.parse_special = specials}, {reinterpret_cast<u8*>(workspace.data()), bytes},
                       {ids.data(), static_cast<i64>(ids.size())}, &count);
  if (!status.ok()) unusable(status.text());
  ids.resize(static_cast<size_t>(count));
  return ids;
}

std::string decode_ids(const Tokenizer& tokenizer, const std::vector<i32>& ids) {
  Decoder decoder(tokenizer);
  std::string out;
  auto take = [&] {
    for (Text part; (part = decoder.take()).size != 0;)
      out.append(part.data, static_cast<size_t>(part.size));
  };
  for (i32 id : ids) {
    decoder.push(id);
    take();
  }
  decoder.finish();
  take();
  return out;
}

}  // namespace edgellm::convert
