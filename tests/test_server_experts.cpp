// The expert-model service: its two routes, byte for byte but for what is measured.
#include <cmath>
#include <regex>

#include "scripted_model.h"
#include "serving.h"

using namespace edgellm;

static const std::string REFUSED_FIELD =
    "unknown field \\\"top_k\\\"; there are prompt, max_tokens, model, temperature, top_p, seed, stop, priority, timeout_ms";

// An answer without its two measured figures, which go together.
static std::string shape(const std::string& body, int tokens) {
  static const std::regex figures(
      "\"elapsed_seconds\":([0-9]+\\.[0-9]{6}),(\"tokens_generated\":[0-9]+),\"tokens_per_second\":([0-9]+\\.[0-9]{2})");
  std::smatch found;
  if (!std::regex_search(body, found, figures)) return body;
  const double seconds = std::stod(found[1]), rate = std::stod(found[3]);
  CHECK(seconds > 0);
  CHECK(std::abs(seconds * rate - tokens) <= 1e-6 * rate + 0.01 * seconds);  // both are rounded
  return std::regex_replace(body, figures, "\"elapsed_seconds\":S,$2,\"tokens_per_second\":R");
}

static std::string success(const std::string& text, int tokens) {
  return "{\"text\":\"" + text + "\",\"stats\":{\"elapsed_seconds\":S,\"tokens_generated\":" + std::to_string(tokens) +
         ",\"tokens_per_second\":R,\"device\":\"cpu\",\"model\":\"script\",\"tokens_processed\":0,\"important_tokens\":0,"
         "\"unimportant_tokens\":0,\"fallbacks\":0,\"cache_hits\":0},\"status\":\"success\"}";
}

static std::string error(const std::string& why) {
  return "{\"error\":\"" + why + "\",\"status\":\"error\"}";
}

TEST(generate) {
  std::string all;
  for (int i = 0; i < 300; i++)
    all += static_cast<char>('0' + i % 10);
  const struct {
    std::string body;
    int status;
    std::string answer;
    int tokens;
  } rows[] = {
      {"{\"prompt\":\"x\"}", 200, success(all.substr(0, 256), 256), 256},
      {"{\"prompt\":\"x\",\"max_tokens\":300}", 200, success(all, 300), 300},
      {"{\"prompt\":\"x\",\"max_tokens\":1,\"seed\":3,\"model\":\"mobile\"}", 200, success("0", 1), 1},
      {"{\"prompt\":\"x\",\"stop\":\"5\"}", 200, success("01234", 6), 6},
      {"{\"prompt\":\"x\",\"top_k\":3}", 400, error(REFUSED_FIELD), 0},
      {"{\"max_tokens\":3}", 400, error("prompt: expected a string, there is none"), 0},
      {"{", 400, error("not JSON at byte 1: expected '\\\"' at the start of a key, got the end"), 0},
  };
  Script script("0123456789");
  script.context = 400;
  Serving serving({{"script", write_script(script)}});
  for (const auto& row : rows) {
    const Answer answer = serving.ask("POST /generate", row.body);
    CHECK_EQ(answer.status, row.status);
    CHECK_EQ(shape(answer.body, row.tokens), row.answer);
  }
}

TEST(health) {
  Serving with({{"script", write_script(Script("0"))}}), without({});
  CHECK_EQ(with.ask("GET /health").body,
           "{\"status\":\"healthy\",\"device\":\"cpu\",\"model\":\"script\",\"mlx_available\":false}");
  CHECK_EQ(without.ask("GET /health").body,
           "{\"status\":\"initializing\",\"device\":\"cpu\",\"model\":null,\"mlx_available\":false}");
  const Answer answer = without.ask("POST /generate", "{\"prompt\":\"x\"}");
  CHECK_EQ(answer.status, 503);
  CHECK_EQ(answer.body, error("Model not loaded"));
}
