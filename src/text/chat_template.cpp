#include "text/chat_template.h"

#include <string.h>

#include "text/unicode.h"

namespace edgellm {

namespace {

constexpr Text SYSTEM = "{system}", USER = "{user}", ASSISTANT = "{assistant}";

// The last three are plain text, for models without special tokens.
constexpr ChatTemplate TEMPLATES[] = {
    {.name = "llama3",
     .system = "<|start_header_id|>system<|end_header_id|>\n\n{system}<|eot_id|>",
     .user = "<|start_header_id|>user<|end_header_id|>\n\n{user}<|eot_id|>",
     .answer = "<|start_header_id|>assistant<|end_header_id|>\n\n",
     .assistant = "<|start_header_id|>assistant<|end_header_id|>\n\n{assistant}<|eot_id|>",
     .bos = true,
     .trim = true},
    {.name = "chatml",
     .system = "<|im_start|>system\n{system}<|im_end|>\n",
     .user = "<|im_start|>user\n{user}<|im_end|>\n",
     .answer = "<|im_start|>assistant\n",
     .assistant = "<|im_start|>assistant\n{assistant}<|im_end|>\n"},
    {.name = "bitnet",
     .system = "System: {system}<|eot_id|>",
     .user = "User: {user}<|eot_id|>",
     .answer = "Assistant: ",
     .assistant = "Assistant: {assistant}<|eot_id|>",
     .trim = true},
    {.name = "mistral",
     .system = "[INST] {system}\n\n{user} [/INST]",
     .user = "[INST] {user} [/INST]",
     .assistant = "{assistant}</s>",
     .bos = true},
    {.name = "llama2",
     .system = "<s>[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{user} [/INST]",
     .user = "<s>[INST] {user} [/INST]",
     .assistant = " {assistant} </s>",
     .trim = true},
    {.name = "zephyr",
     .system = "<|system|>\n{system}</s>\n",
     .user = "<|user|>\n{user}</s>\n",
     .answer = "<|assistant|>\n",
     .assistant = "<|assistant|>\n{assistant}</s>\n"},
    {.name = "falcon3",
     .system = "<|system|>\n{system}\n",
     .user = "<|user|>\n{user}\n",
     .answer = "<|assistant|>\n",
     .assistant = "<|assistant|>\n{assistant}<|endoftext|>\n"},
    {.name = "phi", .user = "Instruct: {user}\n", .answer = "Output:", .assistant = "Output: {assistant}\n", .bos = true},
    {.name = "rwkv",
     .system = "System: {system}\n\n",
     .user = "User: {user}\n\n",
     .answer = "Assistant:",
     .assistant = "Assistant: {assistant}\n\n",
     .bos = true,
     .trim = true},
    {.name = "plain",
     .system = "{system}\n",
     .user = "User: {user}\n",
     .answer = "Assistant:",
     .assistant = "Assistant: {assistant}\n",
     .bos = true},
};

// Where `part` starts, -1 if it is not there.
i64 find(Text text, Text part) {
  for (i64 i = 0; i + part.size <= text.size; i++) {
    if (text.slice(i, part.size) == part) return i;
  }
  return -1;
}

Text trimmed(Text text) {
  for (Char c; is_space(c = char_at(text, 0));)
    text = text.from(c.bytes);
  return text.slice(0, space_before(text, 0, text.size));
}

Status check_place(const char* key, Text text, Text place) {
  if (find(text, place) >= 0) return {};
  return bad_model("chat template: \"chat.", key, "\" lacks ", place);
}

}  // namespace

Status ChatTemplate::check() const {
  const Text texts[] = {start, system, user, answer, assistant};
  for (Text text : texts) {
    if (text.size > MAX_TEXT) return bad_model("chat template: a text of ", text.size, " bytes, at most ", MAX_TEXT);
  }
  if (system.size) EDGELLM_TRY(check_place("system", system, SYSTEM));
  EDGELLM_TRY(check_place("user", user, USER));
  return check_place("assistant", assistant, ASSISTANT);
}

Text ChatTemplate::before_user() const {
  return user.slice(0, find(user, USER));
}

Text ChatTemplate::close() const {
  return assistant.from(find(assistant, ASSISTANT) + ASSISTANT.size);
}

bool ChatTemplate::takes_turns() const {
  return answer.size == 0 || find(system, USER) >= 0;
}

bool ChatTemplate::spaces_answer() const {
  const Text before = assistant.slice(0, find(assistant, ASSISTANT));
  return before.size == answer.size + 1 && before.slice(0, answer.size) == answer && before[answer.size] == ' ';
}

const ChatTemplate* find_chat_template(Text name) {
  for (const ChatTemplate& chat : TEMPLATES) {
    if (chat.name == name) return &chat;
  }
  return nullptr;
}

Span<const ChatTemplate> chat_templates() {
  return {TEMPLATES, sizeof TEMPLATES / sizeof TEMPLATES[0]};
}

void ChatWriter::begin(Text system) {
  system_ = system;
  if (system.size == 0) {
    add(chat_.start);
  } else if (find(chat_.system, USER) < 0) {
    fill(chat_.system, {});
    system_ = {};
  }
}

void ChatWriter::user(Text text) {
  fill(system_.size ? chat_.system : chat_.user, text);
  system_ = {};
}

void ChatWriter::assistant(Text text) {
  fill(chat_.assistant, text);
}

// Writes a text of the template with what is said in its places.
void ChatWriter::fill(Text pattern, Text text) {
  while (pattern.size > 0) {
    i64 size = 0;  // of the words before the next place
    Text place;
    for (; size < pattern.size && place.size == 0; size += place.size == 0) {
      const Text places[] = {SYSTEM, USER, ASSISTANT};
      for (Text one : places) {
        if (pattern.size - size >= one.size && pattern.slice(size, one.size) == one) place = one;
      }
    }
    add(pattern.slice(0, size));
    if (place.size) say(place == SYSTEM ? system_ : text);
    pattern = pattern.from(size + place.size);
  }
}

void ChatWriter::say(Text text) {
  if (chat_.trim) text = trimmed(text);
  full_ |= said_count_ == said_.count;
  if (full_) return;
  said_[said_count_++] = {text_.data + size_, text.size};
  add(text);
}

void ChatWriter::add(Text text) {
  full_ |= text.size > text_.count - size_;
  if (full_ || text.size == 0) return;  // memcpy takes no null, not even for nothing
  memcpy(text_.data + size_, text.data, static_cast<size_t>(text.size));
  size_ += text.size;
}

}  // namespace edgellm
