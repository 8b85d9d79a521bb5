// What tests of OpenAI's routes share: a server with a scripted model, and what its answers say.
#pragma once
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "scripted_model.h"
#include "serving.h"

using namespace edgellm;

inline const std::string STORIES = "models/stories.tm2";
inline const char* const COMPLETIONS = "POST /v1/completions";
inline const char* const CHAT = "POST /v1/chat/completions";

// Without what is new in each answer: its name, the time, and a seed that was drawn.
inline std::string shape(std::string body) {
  static const std::regex id("\"id\":\"(chatcmpl|cmpl)-[0-9a-f]{16}\""), created("\"created\":[0-9]{10}"),
      seed("\"seed\":[0-9]{9,16}\\b"), value("-[0-9]+\\.[0-9]{6}");
  body = std::regex_replace(body, id, "\"id\":\"$1-ID\"");
  body = std::regex_replace(body, created, "\"created\":TIME");
  body = std::regex_replace(body, value, "-P");
  return std::regex_replace(body, seed, "\"seed\":DRAWN");
}

// JSON as our own reader has it.
class Json {
 public:
  explicit Json(std::string text) : text_(std::make_shared<std::string>(std::move(text))) {
    nodes_ = std::make_shared<std::vector<JsonNode>>(60000);
    const Status status =
        parse_json({text_->data(), static_cast<i64>(text_->size())}, {nodes_->data(), static_cast<i64>(nodes_->size())});
    CHECK_EQ(std::string(status.text()), "");
    if (status.ok()) node_ = nodes_->data();
  }
  Json operator[](const char* key) const { return at(node_ ? json_field(*node_, key).value : nullptr); }
  Json operator[](int index) const {
    const JsonNode* node = node_ ? json_first(*node_) : nullptr;
    for (; node && index > 0; index--)
      node = json_next(*node);
    return at(node);
  }
  int size() const { return node_ ? static_cast<int>(node_->size) : 0; }
  bool there() const { return node_ && node_->kind != JsonKind::null; }
  std::string text() const { return there() ? std::string(node_->data, node_->size) : ""; }
  double number() const { return there() ? std::stod(text()) : 0; }
  std::string key() const {
    return node_ && json_first(*node_) ? std::string(json_first(*node_)->data, json_first(*node_)->size) : "";
  }

 private:
  Json at(const JsonNode* node) const {
    Json json = *this;
    json.node_ = node;
    return json;
  }
  std::shared_ptr<std::string> text_;
  std::shared_ptr<std::vector<JsonNode>> nodes_;
  const JsonNode* node_ = nullptr;
};

// What a chunked body holds.
inline std::string unchunked(const std::string& body) {
  std::string out;
  for (size_t at = 0; at < body.size();) {
    const size_t line = body.find("\r\n", at), bytes = std::stoul(body.substr(at, line - at), nullptr, 16);
    if (bytes == 0) break;
    out += body.substr(line + 2, bytes);
    at = line + 2 + bytes + 2;
  }
  return out;
}

// The data of the events of a stream.
inline std::vector<std::string> events_of(const Answer& answer) {
  std::vector<std::string> events;
  const std::string body = unchunked(answer.body);
  for (size_t at = 0, end; (end = body.find("\n\n", at)) != std::string::npos; at = end + 2) {
    if (body.compare(at, 6, "data: ") == 0) events.push_back(body.substr(at + 6, end - at - 6));
  }
  return events;
}

// A text and all that is told of it, gathered from one answer or from events.
struct Gathered {
  std::string text, finish, tokens;
  std::vector<double> values;
  std::string bytes;
  int roles = 0;

  void add(const Json& choice, bool chat) {
    const Json said = chat ? (choice["delta"].there() ? choice["delta"] : choice["message"]) : choice;
    if (said["role"].there()) roles++;
    text += said[chat ? "content" : "text"].text();
    if (choice["finish_reason"].there()) finish += choice["finish_reason"].text();
    const Json content = choice["logprobs"]["content"], tokens_list = choice["logprobs"]["tokens"];
    for (int i = 0; i < content.size(); i++) {
      tokens += content[i]["token"].text();
      values.push_back(content[i]["logprob"].number());
      for (int b = 0; b < content[i]["bytes"].size(); b++)
        bytes += static_cast<char>(std::stoi(content[i]["bytes"][b].text()));
    }
    for (int i = 0; i < tokens_list.size(); i++) {
      tokens += tokens_list[i].text();
      values.push_back(choice["logprobs"]["token_logprobs"][i].number());
    }
  }
};

inline std::vector<Gathered> gathered(const Answer& answer, bool chat, int choices) {
  std::vector<Gathered> all(static_cast<size_t>(choices));
  CHECK_EQ(answer.status, 200);
  if (answer.field("Content-Type") == "application/json") {
    const Json json(answer.body);
    CHECK_EQ(json["choices"].size(), choices);
    for (int i = 0; i < choices; i++)
      all[static_cast<size_t>(i)].add(json["choices"][i], chat);
    return all;
  }
  CHECK_EQ(answer.field("Content-Type"), "text/event-stream");
  const std::vector<std::string> events = events_of(answer);
  CHECK(!events.empty() && events.back() == "[DONE]");
  std::string id;
  for (size_t i = 0; i + 1 < events.size(); i++) {
    const Json json(events[i]);
    CHECK(id.empty() || id == json["id"].text());
    id = json["id"].text();
    if (json["choices"].size() == 0) continue;
    const size_t index = static_cast<size_t>(std::stoi(json["choices"][0]["index"].text()));
    CHECK(index < all.size() && all[index].finish.empty());
    if (index >= all.size()) break;
    Gathered part;
    part.add(json["choices"][0], chat);
    if (!part.tokens.empty()) CHECK_EQ(part.tokens, part.text);
    if (!part.finish.empty()) CHECK_EQ(part.text, "");
    CHECK(!chat || (part.roles == 1) == (all[index].roles == 0));  // the first carries it
    all[index].add(json["choices"][0], chat);
  }
  return all;
}

inline std::string error(const std::string& message, const std::string& param, const std::string& code = "null",
                         const std::string& type = "invalid_request_error") {
  return "{\"error\":{\"message\":\"" + message + "\",\"type\":\"" + type +
         "\",\"param\":" + (param.empty() ? "null" : "\"" + param + "\"") + ",\"code\":" + code + "}}";
}

inline Script chatty(const std::string& says) {
  Script script(says);
  script.then(Script::STOP);
  script.specials = {"<|im_start|>", "<|im_end|>", "<|x|>"};
  script.context = 400;
  return script;
}

inline void use_template(Serving& serving, const char* name) {
  serving.server.models[0].chat = *find_chat_template(name);
  serving.server.models[0].has_chat = true;
}
