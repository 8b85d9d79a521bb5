// A conversation: the system text and what each side says in turn, each up to a zero byte. Nothing that is said becomes a special
// id: there are those of the template and no others, as when each says "x". The first byte is a 1 where what is said is trimmed;
// 255: the five texts of another template come first.
#include <stdlib.h>

#include <vector>

#include "convert/tokenizer/tokenizer.h"
#include "input.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

using namespace edgellm;

constexpr i32 VOCAB = 1000;
constexpr size_t MOST_TURNS = 4;
constexpr i64 ROOM = 1 << 12;  // bytes of a conversation

static Text view(const std::string& text) {
  return {text.data(), static_cast<i64>(text.size())};
}

static const Tokenizer& tokenizer() {
  static convert::TokenizerInfo info;
  static const std::vector<u8> section = convert::build_tokenizer_section("tests/golden/tokenizer/llama3", VOCAB, &info);
  static const Tokenizer opened = [] {
    Tokenizer opened;
    if (!opened.open({section.data(), static_cast<i64>(section.size())}, VOCAB).ok()) abort();
    return opened;
  }();
  return opened;
}

// The special ids of a conversation, in their order; none when it is too long.
static std::vector<i32> specials(const ChatTemplate& form, const std::vector<std::string>& lines) {
  static char text[ROOM];
  static Text said[2 * MOST_TURNS];
  static std::vector<u64> workspace(static_cast<size_t>(tokenizer().workspace_bytes(ROOM)) / 8);
  static std::vector<i32> ids(static_cast<size_t>(tokenizer().max_ids(ROOM)));
  ChatWriter writer(form, {text, ROOM}, {said, 2 * MOST_TURNS});
  writer.begin(view(lines[0]));
  for (size_t i = 1; i < lines.size(); i++) {
    if (i % 2) writer.user(view(lines[i]));
    if (i % 2 == 0) writer.assistant(view(lines[i]));
  }
  writer.answer();
  if (writer.full()) return {};
  i32 count = 0;
  const Status status = tokenizer().encode(writer.text(), {.parse_special = true, .plain = writer.said()},
                                           {reinterpret_cast<u8*>(workspace.data()), static_cast<i64>(workspace.size() * 8)},
                                           {ids.data(), static_cast<i64>(ids.size())}, &count);
  if (!status.ok()) abort();
  std::vector<i32> found;
  for (i32 i = 0; i < count; i++) {
    if (tokenizer().special(ids[static_cast<size_t>(i)])) found.push_back(ids[static_cast<size_t>(i)]);
  }
  return found;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const u8 which = input.take<u8>();
  ChatTemplate form = {.system = "<|bos|>{system}<|end|>\n",
                       .user = "<|a|>{user}<|end|>",
                       .answer = "<|a|>",
                       .assistant = "<|a|>{assistant}<|end|>",
                       .trim = (which & 1) != 0};
  std::string texts[5];
  if (which == 255) {
    for (std::string& text : texts)
      text = input.line();
    form = {.start = view(texts[0]),
            .system = view(texts[1]),
            .user = view(texts[2]),
            .answer = view(texts[3]),
            .assistant = view(texts[4])};
    if (!form.check().ok()) return 0;
  }
  std::vector<std::string> lines;
  do
    lines.push_back(input.line());
  while (input.left() && lines.size() < 2 * MOST_TURNS);
  const std::vector<i32> found = specials(form, lines);
  for (std::string& line : lines)
    if (!line.empty()) line = "x";
  // In another template words around an empty text may become one.
  if (which != 255 && !found.empty() && found != specials(form, lines)) abort();
  return 0;
}
