#include "load/requests.h"

#include <fstream>
#include <stdexcept>

#include "base/json_writer.h"
#include "base/random.h"

namespace edgellm::load {
namespace {

// Short beginnings: the time goes into what is made.
const char* const BEGINNINGS[] = {"Once upon a time", "One day",  "There was",     "Tom found a red",
                                  "The little dog",   "Lily had", "In the garden", "Mia and"};

std::vector<std::string> prompts_of(const Options& options) {
  if (options.prompts.empty()) return {std::begin(BEGINNINGS), std::end(BEGINNINGS)};
  std::ifstream in(options.prompts);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    if (!line.empty()) lines.push_back(line);
  if (lines.empty())
    throw std::runtime_error("--prompts " + options.prompts + ": expected a file with a prompt in each line");
  return lines;
}

Text view(const std::string& text) {
  return {text.data(), static_cast<i64>(text.size())};
}

std::string body_of(const Options& options, const std::string& prompt, int tokens, u64 seed, bool stream) {
  std::string body;
  JsonWriter json(
      [](void* to, Text piece) { static_cast<std::string*>(to)->append(piece.data, static_cast<size_t>(piece.size)); },
      &body);
  json.open({});
  if (options.path.ends_with("/chat/completions")) {
    json.open_list("messages");
    json.open({});
    json.text("role", "user");
    json.text("content", view(prompt));
    json.close();
    json.close_list();
  } else {
    json.text("prompt", view(prompt));
  }
  json.number("max_tokens", tokens);
  json.number("seed", static_cast<i64>(seed));
  json.real("temperature", {options.temperature, 3});
  if (stream) {
    json.flag("stream", true);
    json.open("stream_options");
    json.flag("include_usage", true);
    json.close();
  }
  json.close();
  return body;
}

std::string request_of(const Options& options, const std::string& body) {
  std::string head = "POST " + options.path + " HTTP/1.1\r\nHost: " + options.host + ":" + std::to_string(options.port) +
                     "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  if (!options.key.empty()) head += "Authorization: Bearer " + options.key + "\r\n";
  return head + "\r\n" + body;
}

}  // namespace

std::vector<Kind> make_kinds(const Options& options) {
  const std::vector<std::string> prompts = prompts_of(options);
  std::vector<Kind> kinds;
  for (int i = 0; i < options.kinds; i++) {
    const u64 bits = random_bits(options.seed, static_cast<u64>(i));
    const std::string& prompt = prompts[static_cast<size_t>(i) % prompts.size()];
    const int range = options.most_tokens - options.least_tokens + 1;
    const int tokens = options.least_tokens + static_cast<int>((bits >> 32) % static_cast<u64>(range));
    const u64 seed = bits & 0xffffff;
    kinds.push_back({});
    kinds.back().name =
        "\"" + prompt.substr(0, 30) + "\", max_tokens " + std::to_string(tokens) + ", seed " + std::to_string(seed);
    kinds.back().alone = request_of(options, body_of(options, prompt, tokens, seed, false));
    kinds.back().load = request_of(options, body_of(options, prompt, tokens, seed, options.stream));
  }
  return kinds;
}

}  // namespace edgellm::load
