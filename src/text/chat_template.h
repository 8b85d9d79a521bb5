// How a conversation is written for a model: the texts around what each side says. A template is data, from the model file
// (docs/FILE.md, "Chat") or from the table here, and one writer serves them all. A conversation is
//
//   begin { user answer  what the model says  close }
//
// or, told from the outside, begin { user assistant } user answer.
#pragma once
#include "base/status.h"

namespace edgellm {

// Of a model file: when it is made, and when it is used.
inline constexpr Text NO_CHAT_TEMPLATE = "the model has no chat template: a conversation is written as plain text";

// In a text, "{system}", "{user}" and "{assistant}" stand for what is said.
struct ChatTemplate {
  static constexpr i64 MAX_TEXT = 4096;  // bytes of each text

  Text name = {};    // for people
  Text start = {};   // begins a conversation without a system text
  Text system = {};  // begins one with {system}; with {user} too where the first turn goes inside; empty: there is no place
  Text user = {};    // a turn: {user}
  Text answer = {};  // asks for an answer
  Text assistant = {};  // an answer that was given: {assistant}
  bool bos = false;     // the id that the model wants before a text, if it wants one, begins a conversation
  bool trim = false;    // white space at both ends of what is said is dropped

  // Every text has the places it needs. The error names the one that has not.
  Status check() const;

  Text before_user() const;  // of `user`, what stands before {user}
  Text close() const;        // of `assistant`, what stands after {assistant}

  // User and assistant take turns, the user first: no words begin an answer, or a system text goes into the first turn.
  bool takes_turns() const;
  // An answer that was given is written behind one space more than `answer` ends with: a space at its beginning is not its own.
  bool spaces_answer() const;
};

// The families that are known by name; null for another name.
const ChatTemplate* find_chat_template(Text name);
Span<const ChatTemplate> chat_templates();

// Writes a conversation, or the next part of one, into a caller's buffer, and keeps what was said apart from the template's own
// words: no special token may be seen in what somebody says (EncodeOptions::plain).
class ChatWriter {
 public:
  ChatWriter(const ChatTemplate& chat, Span<char> text, Span<Text> said) : chat_(chat), text_(text), said_(said) {}

  void begin(Text system);  // empty: none
  void user(Text text);
  void assistant(Text text);
  void answer() { fill(chat_.answer, {}); }
  void close() { fill(chat_.close(), {}); }

  Text text() const { return {text_.data, size_}; }
  Span<const Text> said() const { return said_.slice(0, said_count_); }
  bool full() const { return full_; }  // a buffer was too small: the text is not whole

 private:
  void fill(Text pattern, Text text);
  void add(Text text);
  void say(Text text);

  const ChatTemplate& chat_;
  Span<char> text_;
  Span<Text> said_;
  Text system_;  // still to be said, in the first turn
  i64 size_ = 0;
  i64 said_count_ = 0;
  bool full_ = false;
};

}  // namespace edgellm
