#include "convert/base/english.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "convert/base/error.h"
#include "engine/engine.h"

namespace edgellm::convert {
namespace {

const char ENGLISH[] =
    "Once upon a time there was a little girl who lived with her mother in a small house near the forest. Every morning she "
    "went "
    "to the river with her dog, and they played in the sun until it was time to go home. One day she found a red ball under "
    "a big "
    "tree. She was very happy and wanted to show it to all of her friends.";
constexpr i32 TOKENS = 64;

void require(const Status& status, const std::string& path) {
  if (!status.ok()) unusable(path, ": ", status.text());
}

// Minus the logarithm of the probability of `id`.
f64 nll(const f32* logits, i32 vocab, i32 id) {
  f64 top = static_cast<f64>(*std::max_element(logits, logits + vocab)), sum = 0;
  for (i32 i = 0; i < vocab; i++)
    sum += std::exp(static_cast<f64>(logits[i]) - top);
  return std::log(sum) + top - static_cast<f64>(logits[id]);
}

struct Running {
  Engine engine;
  Span<const u8> map;

  explicit Running(const std::string& path) {
    require(map_file(path.c_str(), {}, &map), path);
    EngineOptions options;
    options.file = map;
    options.default_context = TOKENS + 1;
    options.logits = options.tokens = TOKENS;
    options.text_bytes = sizeof ENGLISH;
    Status status = open_engine(options, &engine);
    if (status.ok()) return;
    release_memory(map);
    require(status, path);
  }
  ~Running() {
    close_engine(engine);
    release_memory(map);
  }
};

}  // namespace

Likelihood likelihood_of_english(const std::string& path) {
  Running running(path);
  Engine& engine = running.engine;
  if (!engine.has_tokenizer) unusable(path, ": there is no tokenizer");
  i32 count = 0;
  require(engine.tokenizer.encode({ENGLISH, sizeof ENGLISH - 1}, {.add_bos = false, .parse_special = false},
                                  engine.text_workspace, engine.text_ids, &count),
          path);
  const i32 most = std::min(engine.limits.context, TOKENS);
  std::vector<i32> ids(engine.bos >= 0, engine.bos);
  for (i32 i = 0; i < count && static_cast<i32>(ids.size()) < most; i++)
    ids.push_back(engine.text_ids.data[i]);
  Step step = {&engine.sessions[0], {ids.data(), static_cast<i64>(ids.size())}, Wanted::all};
  require(forward(engine, {&step, 1}), path);
  const i32 vocab = engine.model.vocab;
  f64 sum = 0;
  for (size_t i = 0; i + 1 < ids.size(); i++)
    sum += nll(logits_row(engine, static_cast<i32>(i)), vocab, ids[i + 1]);
  return {sum / static_cast<f64>(ids.size() - 1), std::log(static_cast<f64>(vocab))};
}

}  // namespace edgellm::convert
