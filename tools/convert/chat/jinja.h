// The part of Jinja (https://jinja.palletsprojects.com, as Hugging Face `transformers` sets it up) that chat templates are written
// in. The converter runs templates to see what they write; model files hold the result, and nothing of this is in the runtime.
// A template comes from strangers: its size, its depth, its steps and what it writes are bounded.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/types.h"

namespace edgellm::convert {

struct JinjaBody;  // jinja_syntax.h

struct ChatMessage {
  std::string role, content;
};

class JinjaTemplate {
 public:
  // Throws an Error (bad_model) that names the line and what is not understood there.
  explicit JinjaTemplate(const std::string& source);
  ~JinjaTemplate();

  // What the template writes for a conversation. Throws an Error when it asks for something that is not known here, or refuses
  // the conversation (raise_exception).
  std::string render(const std::vector<ChatMessage>& messages, bool add_generation_prompt, const std::string& bos_token,
                     const std::string& eos_token) const;

 private:
  std::unique_ptr<const JinjaBody> body_;
};

}  // namespace edgellm::convert
