// The calls of edgellm.h over small models: the limits of every argument, the exact words of every error, every figure.
// (Against the program's own output, in plain C: test_engine_embedded.c.)
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <limits>

#include "files.h"
#include "host.h"
#include "make_model.h"
#include "open_engine.h"
#include "tokenizer_test.h"

using namespace edgellm;

namespace {

constexpr i32 VOCAB = 700;

// With SentencePiece's small vocabulary: 1 begins a text, 2 ends one.
const std::string& text_model() {
  static const std::string path = [] {
    convert::TokenizerInfo info;
    ModelRecipe recipe;
    recipe.vocab = VOCAB;
    recipe.tokenizer = convert::build_tokenizer_section(GOLDEN_TOKENIZERS + "sentencepiece", VOCAB, &info);
    const std::string made = temporary_path("text.tm2");
    write_model(recipe, made);
    return made;
  }();
  return path;
}

const std::string& plain_model() {
  static const std::string path = [] {
    const std::string made = temporary_path("plain.tm2");
    write_model({}, made);
    return made;
  }();
  return path;
}

edgellm_config with(int32_t sessions, int32_t context = 0, size_t text_bytes = 0) {
  edgellm_config config = {};
  config.sessions = sessions;
  config.context = context;
  config.text_bytes = text_bytes;
  return config;
}

std::string plan_says(edgellm_config config, edgellm_facts* facts = nullptr) {
  edgellm_facts unused;
  return said(edgellm_plan(&config, facts ? facts : &unused, &last_error));
}

}  // namespace

TEST(limits_of_a_configuration) {
  const struct {
    const char* name;
    int32_t edgellm_config::* member;
    int32_t most;
  } members[] = {{"sessions", &edgellm_config::sessions, 256},
                 {"context", &edgellm_config::context, 1 << 24},
                 {"window", &edgellm_config::window, 1 << 24},
                 {"chunk", &edgellm_config::chunk, 4096},
                 {"threads", &edgellm_config::threads, 64},
                 {"kv", &edgellm_config::kv, 1},
                 {"f32_activations", &edgellm_config::f32_activations, 1},
                 {"check", &edgellm_config::check, 1}};
  Host host(plain_model());
  for (const auto& member : members) {
    edgellm_config config = host.config;
    for (int32_t value : {-1, member.most + 1}) {
      config.*member.member = value;
      CHECK_EQ(plan_says(config), "usage: config." + std::string(member.name) + " is " + std::to_string(value) +
                                      ", expected 0 to " + std::to_string(member.most));
      void* const block = host.block();
      edgellm_engine* engine = nullptr;
      CHECK(edgellm_init(&config, block, 1 << 30, &engine, nullptr) == EDGELLM_USAGE && !engine);
    }
    for (int32_t value : {0, 1, member.most}) {
      config.*member.member = value;
      const std::string words = plan_says(config);
      CHECK(words.empty() || (sizeof(void*) == 4 && contains(words, "-bit machine can address")));
    }
  }
  edgellm_config config = host.config;
  config.text_bytes = size_t{1} << 28;
  CHECK_EQ(plan_says(config), "");
  config.text_bytes++;
  CHECK_EQ(plan_says(config), "usage: config.text_bytes is 268435457, expected 0 to 268435456");
  config.text_bytes = static_cast<size_t>(-1);
  CHECK_EQ(plan_says(config), "usage: config.text_bytes is " + std::to_string(PTRDIFF_MAX) + ", expected 0 to 268435456");
  config = host.config;
  config.kernels = "sse9";
  CHECK_EQ(plan_says(config), "usage: this CPU or this build has no kernel set \"sse9\": edgellm info lists what there is");
  config = host.config;
  config.model = nullptr;
  CHECK_EQ(plan_says(config), "usage: config.model is NULL");
  for (int32_t past : {1, 32, 63}) {
    config.model = host.map.data + past;
    CHECK_EQ(plan_says(config), "usage: config.model starts " + std::to_string(past) + " bytes past a multiple of 64");
  }
  edgellm_facts facts;
  CHECK_SAYS(edgellm_plan(nullptr, &facts, &last_error), "usage: config is NULL");
  CHECK_SAYS(edgellm_plan(&host.config, nullptr, &last_error), "usage: facts is NULL");
}

namespace {

// Of the keys and values of one layer of ModelRecipe: 2 kv heads, 12 values padded to 16.
size_t cache_bytes(size_t slots, size_t bytes_of_a_value, size_t scale_bytes) {
  return 2 * (2 * slots * 16 * bytes_of_a_value + 2 * slots * scale_bytes);
}

}  // namespace

TEST(facts) {
  constexpr size_t HEADER = 512;
  edgellm_config config = with(0);
  {
    const Host host(plain_model(), config);
    CHECK_EQ(host.facts.vocabulary, 67);
    CHECK_EQ(host.facts.trained_context, 96);
    CHECK_EQ(host.facts.layers, 2);
    CHECK_EQ(host.facts.first_id, 1);
    CHECK_EQ(host.facts.tokenizer, 0);
    CHECK_EQ(host.facts.unbounded, 0);
    CHECK_EQ(host.facts.sessions, 1);
    CHECK_EQ(host.facts.context, 96);
    CHECK_EQ(host.facts.chunk, 64);
    CHECK_EQ(host.facts.threads, 1);
    CHECK_EQ(std::string(host.facts.family), "transformer");
    CHECK_EQ(host.facts.state_bytes, HEADER + 2 * cache_bytes(96, 1, 4));
    ModelFile file;
    CHECK(file.open(host.map).ok());
    CHECK_EQ(host.facts.weight_bytes, static_cast<uint64_t>(file.bytes_per_token()));
  }
  {
    const Host host(text_model(), config);
    CHECK(host.facts.tokenizer == 1 && host.facts.first_id == 1 && host.facts.vocabulary == VOCAB);
  }
  const struct {
    int32_t context, window, chunk, kv, sessions;
    int32_t context_is, chunk_is, unbounded_is;
    size_t state;
  } cases[] = {
      {40, 0, 0, 0, 0, 40, 64, 0, 2 * cache_bytes(48, 1, 4)}, {48, 0, 0, 0, 2, 48, 64, 0, 2 * cache_bytes(48, 1, 4)},
      {49, 0, 5, 0, 5, 49, 5, 0, 2 * cache_bytes(64, 1, 4)},  {1, 0, 4096, 1, 1, 1, 4096, 0, 2 * cache_bytes(16, 2, 0)},
      {33, 0, 2, 1, 7, 33, 7, 0, 2 * cache_bytes(48, 2, 0)},  {0, 7, 5, 0, 1, 96, 5, 1, 2 * cache_bytes(16, 1, 4)},
      {0, 7, 6, 0, 1, 96, 6, 1, 2 * cache_bytes(32, 1, 4)},   {300, 1, 1, 1, 1, 300, 1, 1, 2 * cache_bytes(16, 2, 0)},
      {0, 7, 5, 0, 6, 96, 6, 1, 2 * cache_bytes(32, 1, 4)},   {500, 0, 1, 0, 256, 500, 256, 0, 2 * cache_bytes(512, 1, 4)}};
  for (const auto& one : cases) {
    config = with(one.sessions, one.context);
    config.window = one.window;
    config.chunk = one.chunk;
    config.kv = one.kv;
    const Host host(plain_model(), config);
    CHECK_EQ(host.facts.context, one.context_is);
    CHECK_EQ(host.facts.chunk, one.chunk_is);
    CHECK_EQ(host.facts.unbounded, one.unbounded_is);
    CHECK_EQ(host.facts.sessions, std::max(one.sessions, 1));
    CHECK_EQ(host.facts.state_bytes, HEADER + one.state);
  }
  // A checksum is looked at when an engine is built, not when it is planned.
  config = with(1);
  config.check = 1;
  config.threads = 3;
  config.kernels = "ref";
  const Host host(plain_model(), config);
  CHECK_EQ(host.facts.threads, 3);
  CHECK_EQ(std::string(host.facts.kernels), "ref");
  std::vector<u64> copy(host.config.model_bytes / 8 + 8);
  u8* bytes = reinterpret_cast<u8*>(copy.data());
  bytes += 64 - reinterpret_cast<uintptr_t>(bytes) % 64;
  std::memcpy(bytes, host.config.model, host.config.model_bytes);
  bytes[host.config.model_bytes - 100] ^= 1;
  edgellm_config damaged = host.config;
  damaged.model = bytes;
  CHECK_EQ(plan_says(damaged), "");
  std::vector<unsigned char> block(host.facts.block_bytes);
  edgellm_engine* engine = nullptr;
  CHECK(contains(said(edgellm_init(&damaged, block.data(), block.size(), &engine, &last_error)), "bad model: "));
  damaged.check = 0;
  CHECK_OK(edgellm_init(&damaged, block.data(), block.size(), &engine, &last_error));
  edgellm_close(engine);
}

// What a text takes: edgellm.h says 40 to 120 bytes for each of its own.
TEST(room_for_texts) {
  edgellm_facts none, some;
  const Host host(text_model(), with(1));
  edgellm_config config = host.config;
  CHECK_EQ(plan_says(config, &none), "");
  for (size_t bytes : {size_t{1000}, size_t{100000}}) {
    config.text_bytes = bytes;
    CHECK_EQ(plan_says(config, &some), "");
    CHECK(some.block_bytes - none.block_bytes >= 40 * bytes && some.block_bytes - none.block_bytes <= 120 * bytes);
  }
}

// The block may start anywhere; one byte less is refused; nothing of what was in it counts.
TEST(blocks) {
  const std::vector<i32> ids = timeline(20, 67);
  const edgellm_config config = with(3, 40);
  Host first(plain_model(), config, 0, 0);
  const uint64_t hash = first.run(2, ids);
  const std::vector<unsigned char> image = first.save(2);
  for (size_t offset : {size_t{1}, size_t{31}, size_t{63}}) {
    Host host(plain_model(), config, offset, 0xff);
    CHECK_EQ(host.facts.block_bytes, first.facts.block_bytes);
    for (int32_t s = -1; s <= 3; s++) {
      const bool there = s >= 0 && s < 3;
      CHECK(edgellm_logits(host.engine, s) == nullptr && edgellm_logits_hash(host.engine, s) == 0);
      CHECK_EQ(edgellm_position(host.engine, s), there ? 0 : -1);
      CHECK_EQ(edgellm_pending(host.engine, s), -1);
    }
    CHECK_EQ(host.run(2, ids), hash);
    CHECK(host.save(2) == image);  // where nothing was written yet, too
  }
  edgellm_engine* engine = nullptr;
  const size_t needed = first.facts.block_bytes;
  std::vector<unsigned char> block(needed);
  CHECK_SAYS(
      edgellm_init(&first.config, block.data(), needed - 1, &engine, &last_error),
      "usage: block has room for " + std::to_string(needed - 1) + " bytes, " + std::to_string(needed) + " are needed");
  CHECK_SAYS(edgellm_init(&first.config, nullptr, needed, &engine, &last_error), "usage: block is NULL");
  CHECK_SAYS(edgellm_init(&first.config, block.data(), needed, nullptr, &last_error), "usage: engine is NULL");
  CHECK_SAYS(edgellm_init(nullptr, block.data(), needed, &engine, &last_error), "usage: config is NULL");
  CHECK(!engine);
}

TEST(maps) {
  const void* model = nullptr;
  size_t bytes = 7;
  const std::string empty = temporary_path("empty");
  write_file(empty, "");
  CHECK_SAYS(edgellm_map(nullptr, &model, &bytes, &last_error), "usage: path is NULL");
  CHECK_SAYS(edgellm_map(empty.c_str(), nullptr, &bytes, &last_error), "usage: model is NULL");
  CHECK_SAYS(edgellm_map(empty.c_str(), &model, nullptr, &last_error), "usage: bytes is NULL");
  CHECK_SAYS(edgellm_map(empty.c_str(), &model, &bytes, &last_error), "bad model: " + empty + " is empty");
  CHECK(model == nullptr && bytes == 7);
  CHECK_OK(edgellm_map(plain_model().c_str(), &model, &bytes, &last_error));
  const std::string expected = read_file(plain_model());
  CHECK(expected.size() == bytes && std::memcmp(model, expected.data(), bytes) == 0);
  edgellm_unmap(model, bytes);
  edgellm_unmap(nullptr, 1);
  CHECK(contains(read_file("src/base/version.h"), "\"" + std::string(edgellm_version()) + "\""));
}

TEST(steps_that_are_refused_change_nothing) {
  Host host(plain_model(), with(3, 40));
  const std::vector<i32> ids = timeline(30, 67), wrong = {1, 67}, below = {-1};
  const uint64_t hash = host.run(1, ids);
  edgellm_input inputs[] = {{0, 1, ids.data(), 0}, {2, 1, ids.data(), 1}, {1, 1, ids.data(), 0}, {0, 1, ids.data(), 0}};
  auto says = [&](int32_t count) { return said(edgellm_step(host.engine, inputs, count, &last_error)); };
  CHECK_EQ(says(0), "usage: count is 0, expected 1 to 3");
  CHECK_EQ(says(-1), "usage: count is -1, expected 1 to 3");
  CHECK_EQ(says(4), "usage: count is 4, expected 1 to 3");
  for (int32_t session : {-1, 3}) {
    inputs[1].session = session;
    CHECK_EQ(says(2), "usage: session is " + std::to_string(session) + ", expected 0 to 2");
  }
  inputs[1].session = 2;
  for (int32_t same : {0, 2}) {
    inputs[2].session = same;
    CHECK_EQ(says(3), "usage: inputs: session " + std::to_string(same) + " is there twice");
  }
  inputs[2].session = 1;
  inputs[1].ids = nullptr;
  CHECK_EQ(says(2), "usage: inputs[].ids is NULL");
  inputs[1].ids = ids.data();
  for (int32_t count : {0, -5}) {
    inputs[1].count = count;
    CHECK_EQ(says(2), "usage: inputs[].count is " + std::to_string(count) + ", expected 1 to 2147483647");
  }
  inputs[1].count = 1;
  for (int32_t logits : {-1, 2}) {
    inputs[1].logits = logits;
    CHECK_EQ(says(2), "usage: inputs[].logits is " + std::to_string(logits) + ", expected 0 to 1");
  }
  CHECK_SAYS(edgellm_step(host.engine, nullptr, 1, &last_error), "usage: inputs is NULL");
  CHECK_SAYS(edgellm_step(nullptr, inputs, 1, &last_error), "usage: engine is NULL");
  CHECK_EQ(edgellm_logits_hash(host.engine, 1), hash);
  for (int32_t s = 0; s < 3; s++)
    CHECK_EQ(edgellm_position(host.engine, s), s == 1 ? 30 : 0);

  // Refused with FAILED, before anything is computed: of the other sessions too.
  inputs[0] = {0, 5, ids.data(), 1};
  inputs[1] = {1, 11, ids.data(), 1};
  CHECK_EQ(says(2),
           "failed: the context is full: 41 positions are needed, there are 40; take a larger context (--ctx, up to "
           "96) or a window (--window W) to go on with the last W");
  inputs[1] = {1, 2, wrong.data(), 1};
  CHECK_EQ(says(2), "failed: token id 67 is not in the vocabulary of 67 ids");
  inputs[1] = {1, 1, below.data(), 1};
  CHECK_EQ(says(2), "failed: token id -1 is not in the vocabulary of 67 ids");
  CHECK(edgellm_position(host.engine, 0) == 0 && edgellm_position(host.engine, 1) == 30);

  // To the limit exactly, where the bits are those of a straight run.
  std::vector<i32> whole = ids;
  whole.insert(whole.end(), ids.begin(), ids.begin() + 10);
  const uint64_t at_limit = host.run(1, {ids.begin(), ids.begin() + 10});
  CHECK_EQ(edgellm_position(host.engine, 1), 40);
  CHECK_EQ(host.run(2, whole), at_limit);
  CHECK_EQ(said(host.step(1, {1})),
           "failed: the context is full: 41 positions are needed, there are 40; take a larger context "
           "(--ctx, up to 96) or a window (--window W) to go on with the last W");
}

// Sessions of every kind in one step: each as if it were alone, its logits where they were asked for and nowhere else.
TEST(mixed_steps) {
  constexpr i32 SESSIONS = 6;
  edgellm_config config = with(SESSIONS, 90);
  for (int32_t chunk : {6, 7, 8, 16, 64}) {
    config.chunk = chunk;
    Host host(plain_model(), config), alone(plain_model(), with(1, 90));
    std::vector<i32> texts[SESSIONS];
    for (i32 s = 0; s < SESSIONS; s++) {
      for (i32 i = 0; i < 3 + 9 * s; i++)
        texts[s].push_back((i * (s + 3) + s) % 67);
      if (s % 2) CHECK_OK(host.step(s, {texts[s].begin(), texts[s].begin() + 2 * s}, 0));  // these have begun already
    }
    std::vector<edgellm_input> inputs;
    for (i32 s : {4, 1, 5, 0, 3}) {  // in any order, and without the third
      const i32 done = s % 2 ? 2 * s : 0;
      inputs.push_back({s, static_cast<i32>(texts[s].size()) - done, texts[s].data() + done, s != 1});
    }
    CHECK_OK(edgellm_step(host.engine, inputs.data(), static_cast<i32>(inputs.size()), &last_error));
    for (i32 s = 0; s < SESSIONS; s++) {
      CHECK_OK(edgellm_reset(alone.engine, 0, &last_error));
      const uint64_t expected = alone.run(0, texts[s]);
      const bool wanted = s != 1 && s != 2;
      CHECK_EQ(edgellm_logits_hash(host.engine, s), wanted ? expected : 0);
      CHECK_EQ(edgellm_logits(host.engine, s) != nullptr, wanted);
      CHECK_EQ(edgellm_position(host.engine, s), s == 2 ? 0 : static_cast<i32>(texts[s].size()));
    }
    for (i32 s : {4, 5, 0, 3}) {
      const float* logits = edgellm_logits(host.engine, s);
      CHECK_EQ(host.sample(s), static_cast<i32>(std::max_element(logits, logits + 67) - logits));
      CHECK(edgellm_logits(host.engine, s) == nullptr);
    }
    CHECK(edgellm_logits(host.engine, 1) == nullptr);
  }
}

// 256 sessions, all in one step, more than the chunk that was asked for.
TEST(as_many_sessions_as_there_may_be) {
  edgellm_config config = with(256, 16);
  config.chunk = 3;
  Host host(plain_model(), config), alone(plain_model(), with(1, 16));
  std::vector<i32> ids(256);
  std::vector<edgellm_input> inputs(256);
  for (i32 s = 0; s < 256; s++) {
    ids[static_cast<size_t>(s)] = s % 67;
    inputs[static_cast<size_t>(s)] = {255 - s, 1, &ids[static_cast<size_t>(s)], 1};
  }
  CHECK_OK(edgellm_step(host.engine, inputs.data(), 256, &last_error));
  for (i32 s : {0, 1, 100, 254, 255}) {
    CHECK_OK(edgellm_reset(alone.engine, 0, &last_error));
    CHECK_EQ(edgellm_logits_hash(host.engine, 255 - s), alone.run(0, {s % 67}));
  }
}

TEST(limits_of_sampling) {
  constexpr f32 NOT_A_NUMBER = std::numeric_limits<f32>::quiet_NaN();
  const struct {
    f32 edgellm_sampling::* member;
    std::vector<f32> fine;
    std::vector<std::pair<f32, const char*>> refused;
  } cases[] = {
      {&edgellm_sampling::temperature,
       {0, 1e-6f, 100},
       {{-0.5f, "temperature is -0.500000, expected 0.00 to 100.00"},
        {100.5f, "temperature is 100.500000, expected 0.00 to 100.00"},
        {NOT_A_NUMBER, "temperature is nan, expected 0.00 to 100.00"}}},
      {&edgellm_sampling::top_p,
       {0, 1e-6f, 1},
       {{-0.25f, "top_p is -0.250000, expected 0.00 to 1.00"}, {1.25f, "top_p is 1.250000, expected 0.00 to 1.00"}}},
      {&edgellm_sampling::min_p,
       {0, 1e-6f, 1},
       {{-0.25f, "min_p is -0.250000, expected 0.00 to 1.00"}, {1.25f, "min_p is 1.250000, expected 0.00 to 1.00"}}},
      {&edgellm_sampling::repeat_penalty,
       {0, 0.01f, 1, 100},
       {{-0.25f, "repeat_penalty is -0.250000, expected 0.01 to 100.00"},
        {0.0078125f, "repeat_penalty is 0.007812, expected 0.01 to 100.00"},
        {100.5f, "repeat_penalty is 100.500000, expected 0.01 to 100.00"}}},
  };
  Host host(plain_model(), with(1, 90));
  for (const auto& one : cases) {
    for (f32 value : one.fine) {
      edgellm_sampling how = {};
      how.*one.member = value;
      host.run(0, {5});
      const int32_t id = host.sample(0, &how);
      CHECK(id >= 0 && id < 67);
    }
    for (const auto& [value, words] : one.refused) {
      edgellm_sampling how = {};
      how.*one.member = value;
      const uint64_t hash = host.run(0, {5});
      int32_t id = 77;
      CHECK_SAYS(edgellm_sample(host.engine, 0, &how, &id, &last_error), "usage: sampling." + std::string(words));
      CHECK(id == 77 && edgellm_logits_hash(host.engine, 0) == hash && edgellm_pending(host.engine, 0) == -1);
    }
  }
  edgellm_sampling how = {};
  int32_t id = 77;
  how.top_k = -1;
  CHECK_SAYS(edgellm_sample(host.engine, 0, &how, &id, &last_error),
             "usage: sampling.top_k is -1, expected 0 to 2147483647");
  how.top_k = INT32_MAX;
  how.temperature = 1;
  CHECK_OK(edgellm_sample(host.engine, 0, &how, &id, &last_error));
  CHECK_SAYS(edgellm_sample(host.engine, 0, &how, &id, &last_error),
             "usage: session 0 has no logits: ask edgellm_step for them");
  CHECK_SAYS(edgellm_sample(host.engine, 1, &how, &id, &last_error), "usage: session is 1, expected 0 to 0");
  CHECK_SAYS(edgellm_sample(host.engine, 0, &how, nullptr, &last_error), "usage: id is NULL");
  CHECK_SAYS(edgellm_sample(nullptr, 0, &how, &id, &last_error), "usage: engine is NULL");
}

// Every member of edgellm_sampling reaches the draw, and zero means what the header says.
TEST(sampling_is_that_of_the_engine) {
  Host host(plain_model(), with(1, 96));
  EngineOptions options;
  options.threads = 1;
  OpenEngine open(options, plain_model());
  const edgellm_sampling all[] = {{},
                                  {1, 0, 0, 0, 0, 7},
                                  {2, 0.7f, 0, 0, 0, 7},
                                  {2, 0, 0.3f, 0, 0, 7},
                                  {2, 0, 0, 1.5f, 0, 7},
                                  {0, 0, 0, 3, 0, 7},
                                  {2, 0, 0, 0, 4, 7},
                                  {2, 0, 0, 0, 0, 8},
                                  {1.5f, 0.9f, 0.02f, 1.25f, 20, 18446744073709551557u}};
  for (const edgellm_sampling& how : all) {
    CHECK_OK(edgellm_reset(host.engine, 0, &last_error));
    open.engine.sessions[0].restart();
    const SamplingOptions same = {.temperature = how.temperature,
                                  .top_p = how.top_p == 0 ? 1 : how.top_p,
                                  .top_k = how.top_k,
                                  .min_p = how.min_p,
                                  .repeat_penalty = how.repeat_penalty == 0 ? 1 : how.repeat_penalty,
                                  .seed = how.seed};
    i32 id = 3;
    for (i32 i = 0; i < 90; i++) {
      host.run(0, {id});
      open.run(0, {id});
      const i32 drawn = host.sample(0, &how);
      CHECK(draw_id(open.engine, open.engine.sessions[0], 0, same, &id).ok());
      CHECK_EQ(drawn, id);
      CHECK_EQ(edgellm_pending(host.engine, 0), id);
      CHECK_EQ(edgellm_position(host.engine, 0), i + 1);
    }
  }
}

#if defined(__linux__)
namespace {

// Threads of this process, once there are `expected` of them; a thread that was waited for may take a moment to vanish.
i64 threads_of_process(i64 expected) {
  i64 count = 0;
  for (i32 tries = 0; tries < 2000; tries++) {
    const std::filesystem::directory_iterator all("/proc/self/task");
    count = std::distance(begin(all), end(all));
    if (count == expected) break;
    usleep(1000);
  }
  return count;
}

}  // namespace

TEST(threads_end_with_their_engine) {
  const i64 before = threads_of_process(1);  // a sanitizer may have one of its own
  for (int32_t threads : {0, 1, 2, 5}) {
    edgellm_config config = with(1, 16);
    config.threads = threads;
    {
      Host host(plain_model(), config);
      CHECK_EQ(threads_of_process(before + std::max(threads, 1) - 1), before + std::max(threads, 1) - 1);
      host.run(0, {1, 2, 3});
    }
    CHECK_EQ(threads_of_process(before), before);
  }
}
#endif
