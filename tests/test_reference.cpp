// Real trained checkpoints against what independent programs computed from them: converted here, run by the engine.
#include <cmath>
#include <fstream>
#include <iterator>
#include <sstream>

#include "check.h"
#include "convert/base/json.h"
#include "convert/convert.h"
#include "data_path.h"
#include "engine/generate.h"
#include "make_model.h"

using namespace edgellm;
using convert::Json;

namespace {

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<i32> ids_of(const Json& list) {
  std::vector<i32> ids;
  for (const Json& id : *list.array())
    ids.push_back(static_cast<i32>(*id.number()));
  return ids;
}

std::string convert_checkpoint(const std::string& name, convert::Options options) {
  options.source = data_path("checkpoints/" + name).string();
  options.destination = temporary_path("reference.tm2");
  std::ostringstream report;
  convert::convert(options, report, false);
  return options.destination;
}

struct OpenModel {
  Engine engine;
  Span<const u8> map;

  OpenModel(const std::string& path, EngineOptions options) {
    CHECK(map_file(path.c_str(), {}, &map).ok());
    options.file = map;
    options.tokens = options.logits = 512;
    options.text_bytes = 64;
    Status status = open_engine(options, &engine);
    CHECK_EQ(std::string(status.text()), "");
  }
  ~OpenModel() {
    close_engine(engine);
    release_memory(map);
  }
  // Logits after each of the ids stand in the engine's rows.
  void run(const std::vector<i32>& ids) {
    engine.sessions[0].restart();
    Step step = {&engine.sessions[0], {ids.data(), static_cast<i64>(ids.size())}, Wanted::all};
    Status status = forward(engine, {&step, 1});
    CHECK_EQ(std::string(status.text()), "");
  }
  f64 mean_nll(const std::vector<i32>& ids) {
    run(ids);
    f64 total = 0;
    for (size_t i = 0; i + 1 < ids.size(); i++) {
      const f32* logits = logits_row(engine, static_cast<i32>(i));
      f64 sum = 0;
      for (i32 v = 0; v < engine.model.vocab; v++)
        sum += std::exp(static_cast<f64>(logits[v]));
      total += std::log(sum) - static_cast<f64>(logits[ids[i + 1]]);
    }
    return total / static_cast<f64>(ids.size() - 1);
  }
};

void check_bitllama(KvFormat kv) {
  if (!std::filesystem::exists(data_path("checkpoints/bitllama-3M"))) SKIP(no_data("checkpoints/bitllama-3M"));
  std::string path = convert_checkpoint("bitllama-3M", {});
  Json expected = convert::parse_json(read_text(data_path("checkpoints/bitllama-3M/expected.json")), "expected.json");
  EngineOptions options;
  options.kv = kv;
  OpenModel model(path, options);

  i32 equal = 0, positions = 0;
  for (const Json& greedy : *expected.find("greedy")->array()) {
    std::vector<i32> prompt = ids_of(*greedy.find("prompt_ids")), ids = ids_of(*greedy.find("ids")), all = prompt;
    const Json::Array& margins = *greedy.find("margins")->array();
    all.insert(all.end(), ids.begin(), ids.end() - 1);
    model.run(all);
    for (size_t i = 0; i < ids.size(); i++) {
      i32 row = static_cast<i32>(prompt.size() + i) - 1;
      bool same = model.engine.kernels.argmax(logits_row(model.engine, row), model.engine.model.vocab) == ids[i];
      CHECK(same || *margins[i].number() <= 0.15);
      equal += same;
      positions++;
    }
  }
  std::printf("top id equal at %d of %d positions\n", equal, positions);
  CHECK_EQ(positions, 300);
  CHECK(equal >= 295);

  for (const Json& part : *expected.find("nll")->array()) {
    f64 actual = model.mean_nll(ids_of(*part.find("ids"))), wanted = *part.find("mean_nll_nats_per_token")->number();
    std::printf("mean nll %.5f, expected %.5f\n", actual, wanted);
    CHECK(std::abs(actual - wanted) <= 0.002);
  }
}

bool append(void* context, Text text) {
  static_cast<std::string*>(context)->append(text.data, static_cast<size_t>(text.size));
  return true;
}

}  // namespace

TEST(bitllama_with_an_i8_cache) {
  check_bitllama(KvFormat::I8);
}

TEST(bitllama_with_an_f16_cache) {
  check_bitllama(KvFormat::F16);
}

TEST(stories260k_tells_its_story) {
  if (!std::filesystem::exists(data_path("checkpoints/stories260K"))) SKIP(no_data("checkpoints/stories260K"));
  convert::Options options;
  options.formats = {Format::F32, Format::F32, Format::F32};
  options.tokenizer = data_path("checkpoints/stories260K/tok512.bin").string();
  std::string path = convert_checkpoint("stories260K/stories260K.bin", options);
  EngineOptions engine;
  engine.kv = KvFormat::F16;
  OpenModel model(path, engine);
  GenerateOptions generation;
  generation.sampling.temperature = 0;
  generation.count = 200;
  i32 bos = model.engine.bos;
  std::string story;
  Generated made;
  CHECK(generate(model.engine, model.engine.sessions[0], {&bos, 1}, generation, append, &story, &made).ok());
  std::string wanted = read_text(data_path("checkpoints/stories260K/expected-greedy-200.txt"));
  while (!wanted.empty() && wanted.back() == '\n')
    wanted.pop_back();
  while (!story.empty() && story.back() == '\n')
    story.pop_back();
  CHECK_EQ(story, wanted);
}
