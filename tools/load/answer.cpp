#include "load/answer.h"

#include <algorithm>
#include <cctype>

#include "server/json.h"

namespace edgellm::load {

void AnswerReader::fail(const std::string& why) {
  if (wrong_.empty()) wrong_ = why;
}

void AnswerReader::feed(std::string_view bytes) {
  begun_ = true;
  pending_ += bytes;
  while (wrong_.empty() && step()) {
  }
}

void AnswerReader::ended() {
  if (state_ == State::until_end) {
    state_ = State::whole;
  } else if (state_ != State::whole) {
    fail(begun_ ? "the connection ended within the answer" : "the connection ended before an answer");
  }
}

// One line up to CR LF, taken away; false: it has not come yet.
bool AnswerReader::take_line(std::string_view* line) {
  const size_t end = pending_.find('\n');
  if (end == std::string::npos) return false;
  line_ = pending_.substr(0, end);
  pending_.erase(0, end + 1);
  if (line_.empty() || line_.back() != '\r') {
    fail("a line of the answer does not end in CR LF");
  } else {
    line_.pop_back();
  }
  *line = line_;
  return true;
}

bool AnswerReader::step() {
  std::string_view line;
  switch (state_) {
    case State::head:
      if (!take_line(&line)) return false;
      if (!line.empty()) {
        read_head_line(line);
      } else {
        end_head();
      }
      return true;
    case State::chunk_size: {
      if (!take_line(&line)) return false;
      size_t digits = 0;
      left_ = 0;
      for (; digits < line.size() && std::isxdigit(static_cast<unsigned char>(line[digits])); digits++)
        left_ = left_ * 16 + static_cast<size_t>(std::stoi(std::string(1, line[digits]), nullptr, 16));
      if (digits == 0 || digits > 8 || digits < line.size()) fail("a chunk of no size: \"" + std::string(line) + "\"");
      state_ = left_ ? State::chunk : State::trailers;
      return true;
    }
    case State::chunk_end:
      if (!take_line(&line)) return false;
      if (!line.empty()) fail("a chunk that does not end where it says");
      state_ = State::chunk_size;
      return true;
    case State::trailers:
      if (!take_line(&line)) return false;
      if (line.empty()) state_ = State::whole;
      return true;
    case State::length:
    case State::chunk: {
      const size_t n = std::min(left_, pending_.size());
      body.append(pending_, 0, n);
      pending_.erase(0, n);
      left_ -= n;
      if (left_) return false;
      state_ = state_ == State::chunk ? State::chunk_end : State::whole;
      return true;
    }
    case State::until_end:
      body += pending_;
      pending_.clear();
      return false;
    case State::whole:
      if (!pending_.empty()) fail("bytes behind the answer: \"" + pending_.substr(0, 40) + "\"");
      return false;
  }
  return false;
}

void AnswerReader::read_head_line(std::string_view line) {
  if (status == 0) {
    const bool form = line.size() >= 12 && line.starts_with("HTTP/1.1 ") &&
                      std::all_of(line.begin() + 9, line.begin() + 12, [](unsigned char c) { return std::isdigit(c); }) &&
                      (line.size() == 12 || line[12] == ' ');
    if (!form) return fail("no status line: \"" + std::string(line.substr(0, 60)) + "\"");
    status = std::stoi(std::string(line.substr(9, 3)));
    return;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return fail("no header field: \"" + std::string(line) + "\"");
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && value.front() == ' ')
    value.remove_prefix(1);
  read_field(name, value);
}

void AnswerReader::read_field(const std::string& name, std::string_view value) {
  if (name == "content-length") {
    const bool digits = !value.empty() && value.size() < 10 &&
                        std::all_of(value.begin(), value.end(), [](unsigned char c) { return std::isdigit(c); });
    if (!digits || length_ >= 0) return fail("Content-Length: " + std::string(value));
    length_ = std::stol(std::string(value));
  } else if (name == "transfer-encoding") {
    if (value != "chunked" || chunked_) return fail("Transfer-Encoding: " + std::string(value));
    chunked_ = true;
  } else if (name == "connection") {
    keep = value != "close";
  } else if (name == "content-type") {
    type = value.substr(0, value.find(';'));
  } else if (name == "retry-after") {
    retry_after = value;
  }
}

void AnswerReader::end_head() {
  if (status == 0) return fail("an empty line before the status line");
  if (status == 100) {  // the answer follows
    status = 0;
    return;
  }
  if (chunked_ && length_ >= 0) return fail("both Content-Length and Transfer-Encoding");
  if (!chunked_ && length_ < 0 && keep)
    return fail("neither Content-Length nor Transfer-Encoding, and the connection goes on");
  left_ = length_ > 0 ? static_cast<size_t>(length_) : 0;
  state_ = chunked_ ? State::chunk_size : length_ > 0 ? State::length : length_ == 0 ? State::whole : State::until_end;
}

bool EventReader::next(const std::string& body, std::string* data) {
  data->clear();
  for (size_t from = at_;;) {
    const size_t end = body.find('\n', from);
    if (end == std::string::npos) return false;
    const std::string_view line(body.data() + from, end - from);
    from = end + 1;
    if (line.starts_with("data: ")) {
      if (!data->empty()) *data += '\n';
      *data += line.substr(6);
    } else if (line.empty()) {
      at_ = from;
      if (!data->empty()) return true;
    } else if (!line.starts_with(":")) {
      wrong = "no line of an event: \"" + std::string(line.substr(0, 60)) + "\"";
      return false;
    }
  }
}

namespace {

std::string string_at(const JsonNode& object, const char* key) {
  const JsonField field = json_field(object, key);
  if (!field.value || field.value->kind != JsonKind::string) return {};
  return {field.value->data, field.value->size};
}

long number_at(const JsonNode& object, const char* key) {
  i64 value = -1;
  return read_integer(json_field(object, key), 0, INT32_MAX, &value).ok() ? static_cast<long>(value) : -1;
}

bool is_object(const JsonField& field) {
  return field.value && field.value->kind == JsonKind::object;
}

// The first choice: a text, a message, or a piece of one.
void read_choice(const JsonNode& choice, Said* said) {
  said->text = string_at(choice, "text");
  said->finish = string_at(choice, "finish_reason");
  for (const char* key : {"message", "delta"}) {
    const JsonField message = json_field(choice, key);
    if (is_object(message)) said->text = string_at(*message.value, "content");
  }
}

}  // namespace

bool read_said(std::string json, Said* said, std::string* why) {
  *said = {};
  std::vector<JsonNode> nodes(json.size() + 1);
  const Status status =
      parse_json({json.data(), static_cast<i64>(json.size())}, {nodes.data(), static_cast<i64>(nodes.size())});
  if (!status.ok()) *why = status.text();
  if (status.ok() && nodes[0].kind != JsonKind::object) *why = "no object";
  if (!why->empty()) return false;
  const JsonNode& top = nodes[0];
  said->text = string_at(top, "response");
  said->tokens_out = number_at(top, "tokens_generated");
  const JsonField choices = json_field(top, "choices"), usage = json_field(top, "usage"), error = json_field(top, "error");
  if (choices.value && choices.value->kind == JsonKind::list) {
    const JsonNode* first = json_first(*choices.value);
    if (first && first->kind == JsonKind::object) read_choice(*first, said);
  }
  if (is_object(usage)) {
    said->tokens_in = number_at(*usage.value, "prompt_tokens");
    said->tokens_out = number_at(*usage.value, "completion_tokens");
  }
  if (error.value) said->error = is_object(error) ? string_at(*error.value, "message") : string_at(top, "error");
  return true;
}

}  // namespace edgellm::load
