#include "convert/output/text_side.h"

#include <algorithm>
#include <utility>

#include "convert/base/error.h"
#include "convert/base/mapped_file.h"
#include "convert/tokenizer/folder.h"
#include "convert/tokenizer/tokenized.h"
#include "convert/tokenizer/tokenizer.h"
#include "text/chat_template.h"

namespace edgellm::convert {
namespace {

struct BuiltTokenizer {
  std::vector<u8> section;  // empty: none
  TokenizerInfo info;
};

Span<const u8> span(const std::vector<u8>& section) {
  return {section.data(), static_cast<i64>(section.size())};
}

// What a model brings along for a conversation, whatever becomes of its tokenizer.
struct OwnChat {
  BuiltTokenizer tokenizer;           // without a section where there is none, or one that cannot be read
  std::vector<DeclaredToken> tokens;  // that its folder names
};

OwnChat read_own_chat(const std::string& source, const Model& model) {
  OwnChat own;
  TokenizerInfo& info = own.tokenizer.info;
  if (is_folder(source)) {
    const TokenizerFolder folder = read_tokenizer_folder(source, model.config.get());
    own.tokens = folder.tokens;
    info.chat_template = folder.chat_template;
    info.bos_token = folder.bos_token, info.eos_token = folder.eos_token;
  }
  if (model.tokenizer.empty()) return own;
  try {
    TokenizerInfo built;
    own.tokenizer.section = build_tokenizer_section(model.tokenizer, model.vocab, &built, model.config.get());
    info = built;
  } catch (const Error&) {
    // Maybe that is why another one was asked for.
  }
  return own;
}

// The special tokens in some words of a template: as its tokenizer reads them, or without one those that the folder names, and
// what is written as <|such|>.
std::vector<std::string> specials_in(const std::string& words, const OwnChat& own, i64 vocab) {
  std::vector<std::string> found;
  if (!own.tokenizer.section.empty()) {
    const Tokenizer tokenizer = open_tokenizer(span(own.tokenizer.section), vocab);
    for (i32 id : encode_text(tokenizer, words, true)) {
      const Text piece = tokenizer.piece(id);
      if (tokenizer.special(id)) found.emplace_back(piece.data, static_cast<size_t>(piece.size));
    }
    return found;
  }
  for (const DeclaredToken& token : own.tokens) {
    if ((token.flags & ADDED_SPECIAL) && words.find(token.content) != std::string::npos) found.push_back(token.content);
  }
  for (size_t at = 0; (at = words.find("<|", at)) != std::string::npos; at++) {
    const size_t end = words.find("|>", at + 2);
    if (end != std::string::npos) found.push_back(words.substr(at, end + 2 - at));
  }
  return found;
}

// A special token in the words of the template that `other` does not have; empty if it has them all.
std::string special_that_lacks(const Chat& chat, const OwnChat& own, const BuiltTokenizer& other, i64 vocab) {
  const Tokenizer tokenizer = open_tokenizer(span(other.section), vocab);
  for (const std::string& words : {chat.start, chat.system, chat.user, chat.answer, chat.assistant}) {
    for (const std::string& special : specials_in(words, own, vocab)) {
      if (tokenizer.find_added(text_view(special)) < 0) return special;
    }
  }
  return {};
}

// The template in a tokenizer's files; one that cannot be used is left out, and said.
std::optional<Chat> own_chat(const TokenizerInfo& info, Model* model) {
  if (info.chat_template.empty()) return std::nullopt;
  try {
    return chat_of_jinja(info.chat_template, info.bos_token, info.eos_token);
  } catch (const Error& error) {
    model->notes.push_back(
        text("the chat template is left out: ", error.what(), "; edgellm-convert --chat NAME puts one in"));
    return std::nullopt;
  }
}

// Where --tokenizer names another one than the model's, or none: its own template, if it has one, and else the model's, if the
// tokenizer has the special tokens in it. What is dropped is said.
std::optional<Chat> chat_with_other_tokenizer(const Options& options, const BuiltTokenizer& other, Model* model) {
  const OwnChat own = read_own_chat(options.source, *model);
  const TokenizerInfo& info = own.tokenizer.info;
  const std::string dropped = "the chat template of " + options.source + " is left out: ";
  if (info.chat_template.empty() || info.chat_template == other.info.chat_template) return own_chat(other.info, model);
  if (!other.info.chat_template.empty()) {
    model->notes.push_back(dropped + options.tokenizer + " has its own");
    return own_chat(other.info, model);
  }
  std::optional<Chat> chat = own_chat(info, model);
  if (!chat) return std::nullopt;
  const std::string lacks = other.section.empty() ? "" : special_that_lacks(*chat, own, other, model->vocab);
  if (lacks.empty()) return chat;
  model->notes.push_back(text(dropped, options.tokenizer, " has no ", lacks, "; edgellm-convert --chat NAME puts one in"));
  return std::nullopt;
}

// One that was asked for by its name, whatever the tokenizer has of its special tokens.
Chat named_chat(const std::string& name, const BuiltTokenizer& tokenizer, Model* model) {
  Chat chat = chat_named(name);
  const std::string lacks = tokenizer.section.empty() ? "" : special_that_lacks(chat, {}, tokenizer, model->vocab);
  if (!lacks.empty()) {
    model->notes.push_back(
        text("the tokenizer has no ", lacks, ", which the chat template ", name, " writes: it is read as text"));
  }
  return chat;
}

// The chat template that was asked for, or the source's own.
std::optional<Chat> make_chat(const Options& options, const BuiltTokenizer& tokenizer, Model* model) {
  if (options.chat == "none") return std::nullopt;
  if (!options.chat.empty()) return named_chat(options.chat, tokenizer, model);
  const bool other = !options.tokenizer.empty();
  std::optional<Chat> chat = other ? chat_with_other_tokenizer(options, tokenizer, model) : own_chat(tokenizer.info, model);
  if (chat)
    model->notes.push_back(text("chat template: ", chat->name, chat->system.empty() ? ", without a system text" : ""));
  return chat;
}

// What the tokenizer says of the start and end of a text overrides the model's own ids.
BuiltTokenizer make_tokenizer(const Options& options, Model* model) {
  if (options.tokenizer == "none") return {};
  const std::string& path = options.tokenizer.empty() ? model->tokenizer : options.tokenizer;
  if (path.empty()) {
    return {model->byte_tokenizer ? build_byte_tokenizer_section(model->vocab) : std::vector<u8>(), {}};
  }
  TokenizerInfo info;
  const Json* config = options.tokenizer.empty() ? model->config.get() : nullptr;
  std::vector<u8> section = build_tokenizer_section(path, model->vocab, &info, config);
  model->bos = info.bos < 0 ? std::nullopt : std::optional<u32>(static_cast<u32>(info.bos));
  for (u32 id : info.stop) {
    if (std::find(model->stop.begin(), model->stop.end(), id) == model->stop.end()) model->stop.push_back(id);
  }
  model->notes.push_back(text("tokenizer: ", info.kind, ", ", info.ids, " ids"));
  return {std::move(section), std::move(info)};
}

// In the words that are said again when the file is used. What was left out as asked for is no surprise.
std::string warning_of(const Options& options, const TextSide& side) {
  auto string = [](Text words) { return std::string(words.data, static_cast<size_t>(words.size)); };
  if (side.tokenizer.empty()) {
    return options.tokenizer == "none" ? "" : string(NO_TOKENIZER) + "; edgellm-convert --tokenizer PATH puts one in";
  }
  return side.chat || options.chat == "none" ? "" : string(NO_CHAT_TEMPLATE) + "; edgellm-convert --chat NAME puts one in";
}

}  // namespace

TextSide make_text_side(const Options& options, Model* model) {
  BuiltTokenizer built = make_tokenizer(options, model);
  TextSide side;
  side.chat = make_chat(options, built, model);
  side.tokenizer = std::move(built.section);
  side.warning = warning_of(options, side);
  return side;
}

}  // namespace edgellm::convert
