// What an engine plans for: its limits, the bytes of every kind of state, what does not fit a machine; and what it says of a model
// whose numbers are not finite.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/generate.h"
#include "engine/state.h"
#include "files.h"
#include "host.h"
#include "make_model.h"
#include "make_recurrent.h"
#include "model_reader.h"
#include "open_engine.h"
#include "platform/machine.h"
#include "spoiled_model.h"

using namespace edgellm;

namespace {

// A plan over a file.
struct Plan {
  Span<const u8> map;
  Engine engine;
  std::string words;

  Plan(const std::string& path, EngineOptions options) {
    CHECK(map_file(path.c_str(), {}, &map).ok());
    options.file = map;
    const Status status = plan_engine(options, &engine);
    words = status.text();
  }
  ~Plan() { release_memory(map); }
};

template <class Recipe>
std::string made(const Recipe& recipe) {
  static i32 number = 0;
  const std::string path = temporary_path("plan" + std::to_string(number++) + ".tm2");
  write_model(recipe, path);
  return path;
}

EngineOptions one_thread() {
  EngineOptions options;
  options.threads = 1;
  return options;
}

}  // namespace

TEST(limits_follow_from_options) {
  ModelRecipe recipe, limited;
  recipe.context = 3000;
  limited.context = 3000;
  limited.more = {{"context_limit", 500u}};
  const std::string plain = made(recipe), limit = made(limited);
  const struct {
    i32 context, default_context, least_context, window, sessions, tokens, logits, threads;
    i32 context_is, limited_is, tokens_are, logits_are, threads_are;
  } cases[] = {
      {0, 2048, 0, 0, 1, 64, 1, 0, 2048, 500, 64, 1, 1},    {0, 4096, 0, 0, 1, 64, 1, 1, 3000, 500, 64, 1, 1},
      {0, 2048, 2500, 0, 1, 64, 1, 2, 2500, 500, 64, 1, 2}, {0, 2048, 3500, 0, 1, 64, 1, 64, 3500, 500, 64, 1, 64},
      {0, 100, 0, 0, 1, 64, 1, 1, 100, 100, 64, 1, 1},      {0, 100, 200, 0, 1, 64, 1, 1, 200, 200, 64, 1, 1},
      {7, 2048, 2500, 0, 1, 64, 1, 1, 7, 7, 64, 1, 1},      {0, 2048, 0, 0, 70, 64, 1, 1, 2048, 500, 70, 70, 1},
      {0, 2048, 0, 0, 3, 64, 80, 1, 2048, 500, 80, 80, 1},  {0, 2048, 0, 0, 3, 1, 1, 1, 2048, 500, 3, 3, 1},
      {0, 2048, 0, 496, 1, 1, 1, 1, 2048, 500, 1, 1, 1},    {500, 2048, 0, 0, 1, 5, 4, 1, 500, 500, 5, 4, 1},
  };
  for (const auto& one : cases) {
    for (bool has_limit : {false, true}) {
      EngineOptions options;
      options.context = one.context;
      options.default_context = one.default_context;
      options.least_context = one.least_context;
      options.window = one.window;
      options.sessions = one.sessions;
      options.tokens = one.tokens;
      options.logits = one.logits;
      options.threads = one.threads;
      options.kv = KvFormat::F16;
      options.f32_activations = one.sessions == 3;
      const Plan plan(has_limit ? limit : plain, options);
      const Limits& limits = plan.engine.limits;
      CHECK_EQ(plan.words, "");
      CHECK_EQ(limits.context, has_limit ? one.limited_is : one.context_is);
      CHECK_EQ(limits.window, one.window);
      CHECK_EQ(limits.tokens, one.tokens_are);
      CHECK_EQ(limits.logits, one.logits_are);
      CHECK_EQ(limits.threads, one.threads_are);
      CHECK(limits.kv == KvFormat::F16 && limits.f32_activations == options.f32_activations);
    }
  }
  const std::string end =
      " positions, but the numbers in the file are the model's for 500 at most; take --ctx 500, or --window 496 "
      "to go on without an end";
  EngineOptions beyond = one_thread();
  beyond.context = 501;
  CHECK_EQ(Plan(limit, beyond).words, "--ctx 501: a token could see 501" + end);
  CHECK_EQ(Plan(plain, beyond).words, "");
  beyond.window = 497;
  CHECK_EQ(Plan(limit, beyond).words, "--window 497: a token could see 501" + end);
  beyond.window = 496;
  CHECK_EQ(Plan(limit, beyond).words, "");
  CHECK(Plan(limit, beyond).engine.context_limit == 500 && Plan(plain, beyond).engine.context_limit == 0);
}

// What --help and the documents say of options that were not given.
TEST(defaults) {
  const GenerateOptions generate = {};
  CHECK_EQ(generate.count, 32);
  CHECK(generate.end_id == -1 && !generate.ignore_stop_ids && !generate.hash && generate.pace == 0 &&
        generate.most_duty == 0);
  const SamplingOptions& sampling = generate.sampling;
  CHECK(sampling.temperature == 0.7f && sampling.top_p == 0.9f && sampling.min_p == 0 && sampling.repeat_penalty == 1);
  CHECK(sampling.top_k == 0 && sampling.seed == 0);
  const EngineOptions engine = {};
  CHECK(engine.context == 0 && engine.default_context == 2048 && engine.least_context == 0 && engine.window == 0);
  CHECK(engine.tokens == 64 && engine.sessions == 1 && engine.logits == 1 && engine.text_bytes == 0 && engine.threads == 0);
  CHECK(engine.kv == KvFormat::I8 && !engine.f32_activations && !engine.half_rope && !engine.check && !engine.lock);
  const Session session = {};
  CHECK(session.pending == -1 && session.position == 0 && session.recent_count == 0 && session.grammar_state == 0);
}

namespace {

i64 in_lines(i64 bytes) {
  return (bytes + 63) / 64 * 64;
}

}  // namespace

// From the comments of src/arch, where each state is described.
TEST(bytes_of_states) {
  const struct {
    const char* name;
    std::string path;
    i64 recurrent, growing;  // bytes of one session, with a context of 40: 48 slots
  } cases[] = {
      {"attention", made(ModelRecipe{.layers = 3}), 0, 3 * 2 * (2 * 48 * 16 + 2 * 48 * 4)},
      {"mamba", made(ModelRecipe{.blocks = "mamba", .inner = 90, .states = 5, .taps = 3}),
       2 * in_lines(4 * (2 * 90 + 5 * 90)), 0},
      {"mamba2", made(ModelRecipe{.blocks = "mamba2", .heads = 6, .head_dim = 10, .groups = 3, .states = 7, .taps = 2}),
       2 * in_lines(4 * ((60 + 2 * 3 * 7) + 60 * 7)), 0},
      {"retention", made(ModelRecipe{.blocks = "retention ffn", .layers = 1, .dim = 48, .heads = 3, .value_dim = 90}),
       in_lines(4 * (3 + 16 * 90)), 0},
      {"rwkv4", made(RecurrentRecipe{.shape = rwkv4(ODD4), .weights = Format::F32}),
       2 * (in_lines(4 * (35 + 3 * 301)) + in_lines(4 * 35)), 0},
      {"rwkv7", made(RecurrentRecipe{.shape = rwkv7(ODD7), .weights = Format::F32}),
       2 * (in_lines(4 * (35 + 35 * 7)) + in_lines(4 * 35)), 0},
      {"mixed", made(ModelRecipe{.blocks = "mamba ffn | attention ffn", .layers = 4, .inner = 90, .states = 5, .taps = 3}),
       2 * in_lines(4 * (2 * 90 + 5 * 90)), 2 * 2 * (2 * 48 * 16 + 2 * 48 * 4)},
  };
  for (const auto& one : cases) {
    EngineOptions options = one_thread();
    options.context = 40;
    const Plan plan(one.path, options);
    const Model& model = plan.engine.model;
    CHECK_EQ(one.name + plan.words, one.name);
    CHECK_EQ(one.name + std::to_string(model.recurrent_bytes), one.name + std::to_string(one.recurrent));
    CHECK_EQ(one.name + std::to_string(model.state_bytes), one.name + std::to_string(one.recurrent + one.growing));
    CHECK_EQ(model.unbounded(), one.growing == 0);
    CHECK_EQ(state_image_bytes(plan.engine), 512 + one.recurrent + one.growing);
  }
}

// What is taken is what was planned; beyond the machine's memory the largest context that fits is named.
TEST(memory_of_the_machine) {
  const std::string path = made(ModelRecipe{});
  EngineOptions options = one_thread();
  options.context = 100;
  {
    const Plan plan(path, options);
    OpenEngine open(options, path);
    CHECK_EQ(open.engine.arena_bytes, plan.engine.arena_bytes);
    CHECK(open.engine.block.count >= plan.engine.arena_bytes);
    close_engine(open.engine);
    CHECK(open.engine.block.count == 0 && !open.engine.sessions && open.engine.arena_bytes == 0);
  }
  const i64 usable = usable_memory(this_machine());
  if (usable == 0) SKIP("nothing tells how much memory this machine has");
  Span<const u8> map;
  CHECK(map_file(path.c_str(), {}, &map).ok());
  options.file = map;
  options.context = 1 << 24;
  options.kv = KvFormat::F32;
  options.sessions = 256;
  auto megabytes_of = [](i64 bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f MB", static_cast<f64>(bytes) / 1e6);
    return std::string(text);
  };
  auto refusal = [&] {
    Engine engine;
    const Status status = open_engine(options, &engine);
    CHECK(status.code() == Code::failed);
    close_engine(engine);
    return std::string(status.text());
  };
  const std::string expected = "not enough memory: " + megabytes_of(Plan(path, options).engine.arena_bytes) +
                               " are needed beside the model file, " + megabytes_of(usable) + " can be used";
  const std::string words = refusal();
  CHECK_EQ(words.substr(0, expected.size()), expected);
  const std::string advice = words.substr(std::min(words.size(), expected.size()));
  CHECK(advice.starts_with("; --ctx ") && advice.ends_with(" fits"));
  options.context = std::atoi(advice.c_str() + std::min(advice.size(), size_t{8}));
  CHECK(options.context > 0 && options.context % 64 == 0);
  CHECK(Plan(path, options).engine.arena_bytes <= usable);
  options.context += 64;
  CHECK(Plan(path, options).engine.arena_bytes > usable);
  options.context = 40;
  options.window = 1 << 24;
  CHECK_EQ(refusal(), "not enough memory: " + megabytes_of(Plan(path, options).engine.arena_bytes) +
                          " are needed beside the model file, " + megabytes_of(usable) + " can be used");
  release_memory(map);
}

TEST(options_choose_threads_and_kernels) {
  const std::string path = made(ModelRecipe{});
  EngineOptions options;
  {
    OpenEngine open(options, path);
    CHECK_EQ(open.engine.limits.threads, default_threads(this_machine()));
    CHECK_EQ(open.engine.threads.count(), default_threads(this_machine()));
  }
  options.threads = 3;
  options.isa = "ref";
  OpenEngine open(options, path);
  CHECK_EQ(open.engine.threads.count(), 3);
  CHECK_EQ(std::string(open.engine.kernels.isa), "ref");
}

// --- Numbers that are not finite -------------------------------------------------------------------------------------------

namespace {

// A model of f32 weights with one number changed.
std::string spoiled(const std::string& tensor, u64 index, f32 value) {
  const std::string path = made(ModelRecipe{.layers = 3,
                                            .matrices = Format::F32,
                                            .scale = Scale::none,
                                            .activations = Quantization::none,
                                            .embedding = Format::F32,
                                            .tied = false,
                                            .relu2 = false});
  spoil(path, tensor, index, value);
  return path;
}

}  // namespace

// The first layer and the first position at which it shows.
TEST(numbers_that_are_not_finite) {
  constexpr f32 NAN_F32 = std::numeric_limits<f32>::quiet_NaN(), INF_F32 = std::numeric_limits<f32>::infinity();
  const std::vector<i32> ids = {1, 2, 3, 19, 4, 19};  // 19: row 3 of the second panel of the embedding
  const struct {
    std::string path, words;
  } cases[] = {
      {spoiled("layers.0.o", 0, NAN_F32), "layer 0 gave values that are not finite at position 0"},
      {spoiled("layers.0.down", 0, INF_F32), "layer 0 gave values that are not finite at position 0"},
      {spoiled("layers.2.ffn_norm", 5, NAN_F32), "layer 2 gave values that are not finite at position 0"},
      {spoiled("layers.1.up", 0, NAN_F32), "layer 1 gave values that are not finite at position 0"},
      {spoiled("embed", 16 * 48 + 3, INF_F32), "layer 0 gave values that are not finite at position 3"},
      {spoiled("norm", 3, NAN_F32), "the output head gave logits that are not finite at position 5"},
      {spoiled("head", 66 % 16, INF_F32), "the output head gave logits that are not finite at position 5"},
  };
  for (const auto& one : cases) {
    for (i32 tokens : {1, 4, 16}) {
      EngineOptions options = one_thread();
      options.tokens = tokens;
      OpenEngine open(options, one.path);
      Step step = {&open.engine.sessions[0], {ids.data(), static_cast<i64>(ids.size())}, Wanted::last};
      const Status status = forward(open.engine, {&step, 1});
      CHECK(status.code() == Code::failed);
      CHECK_EQ(std::string(status.text()), one.words);
    }
  }
  // Where nobody wants logits, the head is not asked.
  OpenEngine open(one_thread(), cases[5].path);
  CHECK(open.run(0, ids, Wanted::nothing));
  CHECK_EQ(open.engine.sessions[0].position, 6);
}

TEST(logits_that_are_not_numbers) {
  const std::string path = made(ModelRecipe{});
  edgellm_config config = {};
  Host host(path, config);
  CHECK_OK(host.step(0, {1, 2, 3}));
  float* logits = edgellm_logits(host.engine, 0);
  model_reader::Buffer bytes(67 * sizeof(float));
  std::memcpy(bytes.data(), logits, bytes.size());
  CHECK_EQ(edgellm_logits_hash(host.engine, 0), model_reader::xxh64(bytes));
  std::fill(logits, logits + 67, std::numeric_limits<float>::quiet_NaN());
  int32_t id = 77;
  CHECK_SAYS(edgellm_sample(host.engine, 0, nullptr, &id, &last_error), "failed: every logit at position 2 is not a number");
  CHECK(id == 77 && edgellm_pending(host.engine, 0) == -1);
}

// --- Positions -------------------------------------------------------------------------------------------------------------

TEST(positions_that_cannot_be_counted) {
  constexpr i32 LAST = INT32_MAX / 2;
  for (i32 window : {0, 8}) {
    const std::string path = window ? made(ModelRecipe{}) : made(ModelRecipe{.blocks = "mamba"});
    EngineOptions options = one_thread();
    options.window = window;
    OpenEngine open(options, path);
    CHECK(open.run(0, {1}));
    Session& session = open.engine.sessions[0];
    session.position = LAST - 1;
    CHECK(open.run(0, {1}));
    CHECK_EQ(session.position, LAST);
    const i32 id = 1;
    Step step = {&session, {&id, 1}, Wanted::last};
    CHECK_EQ(std::string(forward(open.engine, {&step, 1}).text()), "position 1073741824 is beyond what a session can count");
    CHECK_EQ(session.position, LAST);
  }
}

TEST(codes_that_are_zero) {
  EngineOptions options = one_thread();
  options.tokens = 7;
  OpenEngine open(options, made(ModelRecipe{.layers = 3, .ffn_dim = {80, 33, 50}}));
  ZeroCodes& codes = *open.engine.model.zero_codes;
  CHECK(open.run(0, {1, 2, 3}));
  CHECK(codes.zeros == 0 && codes.codes == 0 && codes.percent() == 0);
  codes.counting = true;
  CHECK(open.run(0, timeline(20, 67)));
  CHECK_EQ(codes.codes, i64{20 * (80 + 33 + 50)});
  CHECK(codes.percent() > 20 && codes.percent() < 95);
  CHECK_EQ(codes.percent(), 100 * static_cast<f64>(codes.zeros) / static_cast<f64>(codes.codes));
  OpenEngine without(options, made(ModelRecipe{.relu2 = false}));
  CHECK(without.engine.model.zero_codes == nullptr);
  options.f32_activations = true;
  OpenEngine floats(options, made(ModelRecipe{}));
  floats.engine.model.zero_codes->counting = true;
  CHECK(floats.run(0, {1, 2, 3}));
  CHECK_EQ(floats.engine.model.zero_codes->codes, i64{0});  // there are none
}
