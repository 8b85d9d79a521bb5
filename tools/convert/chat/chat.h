// Chat templates: how a source writes a conversation, turned into the texts that a model file holds (docs/FILE.md, "Chat").
#pragma once
#include <string>

#include "convert/base/model.h"
#include "text/chat_template.h"

namespace edgellm::convert {

struct Chat {
  std::string name, start, system, user, answer, assistant;
  bool bos = false, trim = false;
};

// Runs a Jinja template, as tokenizer_config.json, chat_template.jinja and GGUF files have them, on a few conversations, takes what it
// writes apart, and accepts the result only if it writes the same for them all. The tokens are given by their texts. A place
// for a system text that cannot be had this way is left out. Throws an Error (bad_model) that says what is in the way.
Chat chat_of_jinja(const std::string& source, const std::string& bos_token, const std::string& eos_token);

// "llama3, chatml, ..."
std::string chat_names();

// The template of one of these names; another is wrong usage.
Chat chat_named(const std::string& name);

// Valid as long as `chat` is.
ChatTemplate view(const Chat& chat);

void add_chat(const Chat& chat, Metadata* metadata);

}  // namespace edgellm::convert
