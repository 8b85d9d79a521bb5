#include "convert/chat/chat.h"

#include "convert/base/error.h"
#include "convert/chat/jinja.h"

namespace edgellm::convert {
namespace {

// What is said when a template is run: nothing that a template would write itself.
const std::string SYSTEM = "q0sys0q", USER = "q1usr1q", ASSISTANT = "q2ast2q", LATER = "q3usr3q";

// A template and what it writes for one conversation.
struct Source {
  JinjaTemplate jinja;
  const std::string &bos, &eos;

  std::string write(const std::vector<ChatMessage>& messages, bool asks) const {
    return jinja.render(messages, asks, bos, eos);
  }
};

size_t place(const std::string& text, const std::string& what, const char* who) {
  size_t at = text.find(what);
  if (at == std::string::npos) unusable("it does not write what the ", who, " says");
  if (text.find(what, at + 1) != std::string::npos) unusable("it writes what the ", who, " says more than once");
  return at;
}

// `text` without `end`, which it ends with.
std::string before(const std::string& text, const std::string& end, const char* what) {
  if (!text.ends_with(end)) unusable("it writes ", what, " in more than one way");
  return text.substr(0, text.size() - end.size());
}

size_t common_end(const std::string& a, const std::string& b) {
  size_t n = 0;
  while (n < a.size() && n < b.size() && a[a.size() - 1 - n] == b[b.size() - 1 - n])
    n++;
  return n;
}

void replace(std::string* text, const std::string& what, const std::string& by) {
  if (size_t at = text->find(what); at != std::string::npos) text->replace(at, what.size(), by);
}

// The texts of turns, from three messages with and without the question for an answer.
Chat take_apart(const Source& source) {
  const std::vector<ChatMessage> three = {{"user", USER}, {"assistant", ASSISTANT}, {"user", LATER}};
  std::string all = source.write(three, true), turns = source.write(three, false);
  // Some write the end of the text where no answer is asked for.
  std::string eos = all.starts_with(turns) ? "" : source.eos;
  turns = before(turns, eos, "the end of a text");
  if (!all.starts_with(turns)) unusable("asking for an answer changes what was written before");
  Chat chat;
  chat.answer = all.substr(turns.size());
  size_t user = place(turns, USER, "user"), assistant = place(turns, ASSISTANT, "assistant"),
         later = place(turns, LATER, "user");
  if (user > assistant || assistant > later) unusable("it does not keep the order of what is said");
  std::string head = turns.substr(0, user), tail = turns.substr(later + LATER.size());
  std::string middle = turns.substr(user + USER.size(), assistant - user - USER.size());
  std::string next = turns.substr(assistant + ASSISTANT.size(), later - assistant - ASSISTANT.size());
  if (!middle.starts_with(tail)) unusable("it writes the last turn of the user in another way");

  // Between an answer and the next turn: what belongs to the answer is what also stands when it is the last, or more of it.
  std::string two = before(source.write({{"user", USER}, {"assistant", ASSISTANT}}, false), eos, "the end of a text");
  std::string last = two.substr(place(two, ASSISTANT, "assistant") + ASSISTANT.size());
  std::string opening = next.starts_with(last) ? next.substr(last.size()) : next;
  opening = opening.substr(opening.size() - common_end(opening, head));
  chat.start = before(head, opening, "turns of the user");
  chat.user = opening + "{user}" + tail;
  chat.assistant = middle.substr(tail.size()) + "{assistant}" + before(next, opening, "turns of the user");
  return chat;
}

// The place of a system text: a turn of its own, or inside the first one.
std::string system_of(const Source& source, const Chat& chat) {
  std::string written =
      before(source.write({{"system", SYSTEM}, {"user", USER}}, true), chat.answer, "the question for an answer");
  place(written, SYSTEM, "system");
  place(written, USER, "user");
  replace(&written, SYSTEM, "{system}");
  replace(&written, USER, "{user}");
  return written.ends_with(chat.user) ? before(written, chat.user, "") : written;
}

std::string written(const Chat& chat, const std::vector<ChatMessage>& messages) {
  std::string text(1 << 16, '\0');
  Text said[16];
  ChatTemplate form = view(chat);
  ChatWriter writer(form, {text.data(), static_cast<i64>(text.size())}, {said, 16});
  bool system = messages[0].role == "system";
  auto as_text = [](const std::string& s) { return Text(s.data(), static_cast<i64>(s.size())); };
  writer.begin(system ? as_text(messages[0].content) : Text());
  for (size_t i = system; i < messages.size(); i++) {
    if (messages[i].role == "user")
      writer.user(as_text(messages[i].content));
    else
      writer.assistant(as_text(messages[i].content));
  }
  writer.answer();
  return std::string(writer.text().data, static_cast<size_t>(writer.text().size));
}

// Conversations of one to four turns, and words of one letter, of two lines, and with blanks around them.
bool same(const Source& source, const Chat& chat, bool system) {
  std::string blank = chat.trim ? " " : "";
  for (size_t turns = 1; turns <= 4; turns++) {
    std::vector<ChatMessage> messages;
    if (system) messages.push_back({"system", blank + "Be brief.\nBe kind." + blank});
    for (size_t i = 0; i < turns; i++) {
      if (i > 0) messages.push_back({"assistant", blank + "Yes,\n\n" + std::to_string(i) + blank});
      messages.push_back({"user", i % 2 ? "a" : blank + "Is it " + std::to_string(i) + "?\nOr not?"});
    }
    if (source.write(messages, true) != written(chat, messages)) return false;
  }
  return true;
}

Text text_of(const std::string& s) {
  return {s.data(), static_cast<i64>(s.size())};
}
std::string string_of(Text text) {
  return {text.data, static_cast<size_t>(text.size)};
}

// The family that writes turns in the same way.
std::string family(const Chat& chat) {
  for (const ChatTemplate& known : chat_templates()) {
    if (text_of(chat.user) == known.user && text_of(chat.assistant) == known.assistant &&
        text_of(chat.answer) == known.answer) {
      return string_of(known.name);
    }
  }
  return "own";
}

}  // namespace

Chat chat_of_jinja(const std::string& source_text, const std::string& bos_token, const std::string& eos_token) {
  Source source{JinjaTemplate(source_text), bos_token, eos_token};
  Chat chat = take_apart(source);
  chat.trim = source.write({{"user", "\n " + USER + " \n"}}, true) == source.write({{"user", USER}}, true);
  if (!same(source, chat, false)) unusable("it writes more than texts around what is said");
  try {
    chat.system = system_of(source, chat);
    if (!same(source, chat, true)) chat.system.clear();
  } catch (const Error&) {
    chat.system.clear();
  }
  chat.name = family(chat);
  if (Status status = view(chat).check(); !status.ok()) unusable(status.text());
  return chat;
}

std::string chat_names() {
  std::vector<std::string> names;
  for (const ChatTemplate& known : chat_templates())
    names.push_back(string_of(known.name));
  return list_text(names);
}

Chat chat_named(const std::string& name) {
  for (const ChatTemplate& known : chat_templates()) {
    if (string_of(known.name) == name) {
      return {name,
              string_of(known.start),
              string_of(known.system),
              string_of(known.user),
              string_of(known.answer),
              string_of(known.assistant),
              known.bos,
              known.trim};
    }
  }
  wrong_usage("--chat ", name, ": expected none, ", chat_names());
}

ChatTemplate view(const Chat& chat) {
  return {.name = text_of(chat.name),
          .start = text_of(chat.start),
          .system = text_of(chat.system),
          .user = text_of(chat.user),
          .answer = text_of(chat.answer),
          .assistant = text_of(chat.assistant),
          .bos = chat.bos,
          .trim = chat.trim};
}

void add_chat(const Chat& chat, Metadata* metadata) {
  metadata->emplace_back("chat", chat.name);
  const std::pair<const char*, const std::string&> texts[] = {{"chat.start", chat.start},
                                                              {"chat.system", chat.system},
                                                              {"chat.user", chat.user},
                                                              {"chat.answer", chat.answer},
                                                              {"chat.assistant", chat.assistant}};
  for (const auto& [key, text] : texts) {
    if (!text.empty()) metadata->emplace_back(key, text);
  }
  if (chat.bos) metadata->emplace_back("chat.bos", u32{1});
  if (chat.trim) metadata->emplace_back("chat.trim", u32{1});
}

}  // namespace edgellm::convert
