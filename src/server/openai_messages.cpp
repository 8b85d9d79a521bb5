// The messages of a chat become a conversation in the words of the model's template.
#include <string.h>

#include "engine/conversation.h"
#include "server/openai.h"

namespace edgellm {

namespace {

enum class Role : u8 { system, user, assistant };

struct RoleName {
  Text name;
  Role role;
};
constexpr RoleName ROLES[] = {
    {"system", Role::system}, {"developer", Role::system}, {"user", Role::user}, {"assistant", Role::assistant}};

// Where an error is: messages[2].content.
struct Place {
  char text[96];

  explicit Place(i64 message, Text rest = {}, i64 part = -1, Text last = {}) {
    Writer writer(text);
    write(writer, "messages[", message, "]", rest);
    if (part >= 0) write(writer, "[", part, "]", last);
  }
  operator Text() const { return text; }
};

Status read_role(const JsonNode& message, i64 index, Role* role) {
  const Place place(index, ".role");
  const JsonField field = {place, json_field(message, "role").value};
  if (!field.value) return usage_error(place.text, ": expected system, developer, user or assistant, there is none");
  for (const RoleName& one : ROLES) {
    *role = one.role;
    if (field.value->kind == JsonKind::string && field.value->text() == one.name) return {};
  }
  return expected(field, "system, developer, user or assistant");
}

// Fields of a message that say something that no template has a place for; clients send those of answers back, empty.
Status check_message_fields(const JsonNode& message, i64 index) {
  for (const JsonNode* key = json_first(message); key; key = json_next(*key)) {
    const Text name = key->text();
    const bool nothing = key[1].kind == JsonKind::null || (key[1].kind >= JsonKind::string && key[1].size == 0);
    if (name == "role" || name == "content" || nothing) continue;
    const Place place(index);
    return usage_error(place.text, ".", shortened(name),
                       ": expected null, nothing or no such field: no chat template has a place for it");
  }
  return {};
}

// The texts are all that is read of parts.
Status check_part(const JsonNode& part, i64 message, i64 number) {
  const Place place(message, ".content", number), type_place(message, ".content", number, ".type"),
      text_place(message, ".content", number, ".text");
  if (part.kind != JsonKind::object) return expected({place, &part}, "an object with \"type\" and \"text\"");
  const JsonField type = {type_place, json_field(part, "type").value}, text = {text_place, json_field(part, "text").value};
  if (!type.value) return usage_error(type.name, ": expected \"text\", there is none");
  if (type.value->kind != JsonKind::string || !(type.value->text() == "text")) return expected(type, "\"text\"");
  if (!text.value) return usage_error(text.name, ": expected a string, there is none");
  Text said;
  EDGELLM_TRY(read_string(text, &said));
  constexpr Text known[] = {"type", "text"};
  const JsonNode* unknown = json_unknown(part, {known, 2});
  return unknown ? usage_error(place.text, ".", shortened(unknown->text()), ": not a field of a part; there are type, text")
                 : Status();
}

// Texts of a list of parts, a line feed between two. They are put together where the first stands: in the request there is more
// between two of them than that.
Text join_parts(const JsonNode& list) {
  Text joined;
  for (const JsonNode* part = json_first(list); part; part = json_next(*part)) {
    const Text text = json_field(*part, "text").value->text();
    if (part == json_first(list)) {
      joined = text;
      continue;
    }
    char* end = const_cast<char*>(joined.data) + joined.size;  // of the request's body, which is ours to write
    *end = '\n';
    memmove(end + 1, text.data, static_cast<size_t>(text.size));
    joined.size += 1 + text.size;
  }
  return joined;
}

Status read_content(const JsonNode& message, i64 index, Text* text) {
  const Place place(index, ".content");
  const JsonField field = {place, json_field(message, "content").value};
  if (!field.value) return usage_error(place.text, ": expected a string or a list of parts, there is none");
  if (field.value->kind == JsonKind::string) return read_string(field, text);
  if (field.value->kind != JsonKind::list) return expected(field, "a string or a list of parts");
  i64 number = 0;
  for (const JsonNode* part = json_first(*field.value); part; part = json_next(*part), number++)
    EDGELLM_TRY(check_part(*part, index, number));
  *text = join_parts(*field.value);
  return {};
}

// What a template can say, in which order.
struct Order {
  const ChatTemplate& form;
  Role last = Role::assistant;

  Status check(Role role, i64 index) {
    const Place place(index, ".role");
    if (role == Role::system) {
      if (index > 0)
        return usage_error(place.text, ": expected user or assistant: a system text can only be the first message");
      if (form.system.size > 0) return {};
      return usage_error(place.text, ": expected user: the chat template \"", form.name,
                         "\" has no place for a system text");
    }
    if (form.takes_turns() && role == last) {
      return usage_error(place.text, ": expected ", role == Role::user ? "assistant" : "user", ": in the chat template \"",
                         form.name, "\" user and assistant take turns");
    }
    last = role;
    return {};
  }
};

struct Message {
  Role role;
  Text text;
};

Status read_message(const JsonNode& message, i64 index, Message* read) {
  const Place place(index);
  if (message.kind != JsonKind::object) return expected({place, &message}, "an object with \"role\" and \"content\"");
  EDGELLM_TRY(read_role(message, index, &read->role));
  EDGELLM_TRY(check_message_fields(message, index));
  return read_content(message, index, &read->text);
}

Status write_conversation(const JsonNode& messages, const ChatTemplate& form, ChatWriter& writer) {
  Order order{form};
  i64 index = 0;
  for (const JsonNode* one = json_first(messages); one; one = json_next(*one), index++) {
    Message message;
    EDGELLM_TRY(read_message(*one, index, &message));
    EDGELLM_TRY(order.check(message.role, index));
    if (index == 0) writer.begin(message.role == Role::system ? message.text : Text());
    if (message.role == Role::user) writer.user(message.text);
    if (message.role == Role::assistant) writer.assistant(message.text);
  }
  if (order.last == Role::user) return {};
  const Place place(index - 1, ".role");
  return usage_error(place.text, ": expected user: the last message is what is to be answered");
}

// A model with a grammar and without a template knows what it wants to be asked.
Status read_alone(const JsonNode& messages, OpenAiPrompt* prompt) {
  Message message;
  EDGELLM_TRY(read_message(messages, 0, &message));
  if (message.role == Role::user && !json_next(messages)) {
    prompt->text = message.text;
    return {};
  }
  return usage_error(
      "messages: expected one message, of the user: the model has a grammar and no chat template, so that each is a request "
      "of "
      "its own");
}

}  // namespace

Status read_openai_messages(Server& server, OpenAiRequest* request) {
  const JsonField field = json_field(*request->object, "messages");
  const JsonNode* messages = nullptr;
  EDGELLM_TRY(read_list(field, &messages));
  const JsonNode* first = messages ? json_first(*messages) : nullptr;
  if (!first) return usage_error("messages: expected a list with a message, there is none");
  const ServedModel& model = *request->model;
  const Engine& engine = model.engine;
  if (!engine.has_tokenizer) return usage_error("messages: ", NO_TOKENIZER);
  OpenAiPrompt& prompt = request->prompts[request->prompt_count++];
  if (!model.has_chat && engine.grammar.states() > 0) return read_alone(*first, &prompt);
  const ChatTemplate& form = model.has_chat ? model.chat : *find_chat_template("plain");
  ChatWriter writer(form, server.conversation, server.said);
  EDGELLM_TRY(write_conversation(*messages, form, writer));
  writer.answer();
  if (writer.full()) {
    request->code = TOO_LONG;
    return usage_error("messages: expected at most ", server.said.count, " texts and, with the words of the chat template, ",
                       server.conversation.count, " bytes");
  }
  prompt.text = writer.text();
  prompt.how = {.add_bos = form.bos, .parse_special = true, .plain = writer.said()};
  request->spaced = form.spaces_answer();
  EDGELLM_TRY(find_end_of_turn(engine, form, &request->end));
  GenerateOptions options = request->completion.options;
  if (request->end.add_to(&options)) return {};
  return usage_error("stop: expected at most ", StopStrings::MAX_STRINGS - 1, " strings: the chat template \"", form.name,
                     "\" needs one of the ", StopStrings::MAX_STRINGS, " places");
}

}  // namespace edgellm
