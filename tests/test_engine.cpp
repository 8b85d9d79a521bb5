// The promise of the same bits, over whole models: kernel sets, thread counts, chunks, batches, and, through committed hashes,
// compilers and machines.
#include <cstring>
#include <vector>

#include "base/checksum.h"
#include "check.h"
#include "edgellm.h"
#include "engine/generate.h"
#include "engine/state.h"
#include "make_model.h"
#include "platform/cpu.h"

using namespace edgellm;

namespace {

struct Variant {
  const char* name;
  ModelRecipe recipe;
  i32 window;
  KvFormat kv;
  bool f32_activations;
  u64 hash;  // of the logits after `timeline`, the same on every machine
};

const std::vector<Variant>& variants() {
  static const std::vector<Variant> list = {
#include "engine_variants.def"
  };
  return list;
}

constexpr i32 TOKENS = 45;

std::vector<i32> timeline(i32 vocab) {
  std::vector<i32> ids;
  for (i32 i = 0; i < TOKENS; i++)
    ids.push_back((i * i * 31 + 7 * i + 1) % vocab);
  return ids;
}

EngineOptions options_for(const Variant& variant) {
  EngineOptions options;
  options.threads = 1;
  options.window = variant.window;
  options.kv = variant.kv;
  options.f32_activations = variant.f32_activations;
  options.columns = 16;
  return options;
}

struct OpenEngine {
  Engine engine;
  Span<const u8> map;
  OpenEngine(EngineOptions options, const std::string& path) {
    CHECK(map_file(path.c_str(), {}, &map).ok());
    options.file = map;
    Status status = open_engine(options, &engine);
    CHECK_EQ(std::string(status.text()), "");
  }
  ~OpenEngine() {
    close_engine(engine);
    release_memory(map);
  }
};

u64 run(Engine& engine, i32 step) {
  std::vector<i32> ids = timeline(engine.model.vocab);
  Session& session = engine.sessions[0];
  session.position = 0;
  for (i32 at = 0; at < TOKENS; at += step) {
    Step part = {&session, {ids.data() + at, min(step, TOKENS - at)}, Wanted::last};
    Status status = forward(engine, {&part, 1});
    CHECK_EQ(std::string(status.text()), "");
    if (!status.ok()) return 0;
  }
  return logits_hash(engine, 0);
}

template <class Body>
void for_each_variant(Body body) {
  for (const Variant& variant : variants()) {
    std::string path = temporary_path("engine.tm2");
    write_model(variant.recipe, path);
    body(variant, path);
  }
}

}  // namespace

TEST(committed_hashes_hold) {
  for_each_variant([](const Variant& variant, const std::string& path) {
    OpenEngine open(options_for(variant), path);
    u64 hash = run(open.engine, TOKENS);
    if (hash != variant.hash) std::fprintf(stderr, "%s: 0x%016llx\n", variant.name, static_cast<unsigned long long>(hash));
    CHECK_EQ(hash, variant.hash);
  });
}

TEST(every_kernel_set_and_step) {
  for_each_variant([](const Variant& variant, const std::string& path) {
    for (i32 isa = 0; isa_name(isa); isa++) {
      if (isa_features(isa) & ~cpu_features()) continue;
      EngineOptions options = options_for(variant);
      options.isa = isa_name(isa);
      OpenEngine open(options, path);
      for (i32 step : {TOKENS, 7, 1})
        CHECK_EQ(run(open.engine, step), variant.hash);
    }
  });
}

TEST(every_thread_count) {
  for_each_variant([](const Variant& variant, const std::string& path) {
    for (i32 threads : {2, 3, 8}) {
      EngineOptions options = options_for(variant);
      options.threads = threads;
      OpenEngine open(options, path);
      for (i32 step : {TOKENS, 1})
        CHECK_EQ(run(open.engine, step), variant.hash);
    }
  });
}

// Five sessions at different places of different texts, in one batch: each as if it were alone.
TEST(a_batch_is_each_alone) {
  constexpr i32 SESSIONS = 5;
  for_each_variant([](const Variant& variant, const std::string& path) {
    EngineOptions options = options_for(variant);
    options.sessions = SESSIONS;
    OpenEngine open(options, path);
    Engine& engine = open.engine;
    std::vector<i32> texts[SESSIONS];
    Step steps[SESSIONS];
    for (i32 s = 0; s < SESSIONS; s++) {
      for (i32 i = 0; i < 9 + 6 * s; i++)
        texts[s].push_back((i * (s + 3) + s) % engine.model.vocab);
      steps[s] = {&engine.sessions[s], {texts[s].data(), static_cast<i64>(texts[s].size())}, Wanted::last};
    }
    CHECK(forward(engine, {steps, SESSIONS}).ok());
    u64 together[SESSIONS];
    for (i32 s = 0; s < SESSIONS; s++)
      together[s] = logits_hash(engine, s);
    for (i32 s = 0; s < SESSIONS; s++) {
      engine.sessions[s].position = 0;
      CHECK(forward(engine, {&steps[s], 1}).ok());
      CHECK_EQ(logits_hash(engine, 0), together[s]);
    }
  });
}

TEST(all_rows_are_the_rows_of_single_steps) {
  for_each_variant([](const Variant& variant, const std::string& path) {
    EngineOptions options = options_for(variant);
    options.logits = TOKENS;
    options.columns = TOKENS;
    OpenEngine open(options, path);
    Engine& engine = open.engine;
    std::vector<i32> ids = timeline(engine.model.vocab);
    Step all = {&engine.sessions[0], {ids.data(), TOKENS}, Wanted::all};
    CHECK(forward(engine, {&all, 1}).ok());
    u64 rows[TOKENS];
    for (i32 i = 0; i < TOKENS; i++)
      rows[i] = logits_hash(engine, i);
    engine.sessions[0].position = 0;
    for (i32 i = 0; i < TOKENS; i++) {
      Step one = {&engine.sessions[0], {&ids[static_cast<size_t>(i)], 1}, Wanted::last};
      CHECK(forward(engine, {&one, 1}).ok());
      CHECK_EQ(logits_hash(engine, 0), rows[i]);
    }
  });
}

// With a window wider than the text nothing is hidden: the same bits as without. With a narrow one, a token far behind it no
// longer matters, and the text may be longer than the context.
TEST(windows) {
  ModelRecipe recipe;
  std::string path = temporary_path("window.tm2");
  write_model(recipe, path);
  Variant plain = {"", recipe, 0, KvFormat::I8, false, 0};
  Variant wide = plain, narrow = plain;
  wide.window = 64;
  narrow.window = 8;
  OpenEngine a(options_for(plain), path), b(options_for(wide), path);
  CHECK_EQ(run(a.engine, TOKENS), run(b.engine, TOKENS));

  OpenEngine c(options_for(narrow), path);
  u64 hashes[2];
  for (i32 changed = 0; changed < 2; changed++) {
    std::vector<i32> ids;
    for (i32 i = 0; i < 300; i++)
      ids.push_back((i * 5 + 2) % recipe.vocab);
    if (changed) ids[20] = (ids[20] + 1) % recipe.vocab;
    c.engine.sessions[0].position = 0;
    Step step = {&c.engine.sessions[0], {ids.data(), static_cast<i64>(ids.size())}, Wanted::last};
    CHECK(forward(c.engine, {&step, 1}).ok());
    hashes[changed] = logits_hash(c.engine, 0);
  }
  CHECK_EQ(hashes[0], hashes[1]);  // 2 layers of a window of 8 reach 16 tokens back
}

TEST(a_full_context_is_an_error_that_names_the_sizes) {
  ModelRecipe recipe;
  std::string path = temporary_path("full.tm2");
  write_model(recipe, path);
  EngineOptions options = options_for({"", recipe, 0, KvFormat::I8, false, 0});
  options.context = 20;
  OpenEngine open(options, path);
  std::vector<i32> ids = timeline(recipe.vocab);
  Step step = {&open.engine.sessions[0], {ids.data(), 21}, Wanted::last};
  Status status = forward(open.engine, {&step, 1});
  CHECK(!status.ok());
  CHECK(std::strstr(status.text(), "21") && std::strstr(status.text(), "20"));
  step.ids.count = 20;
  CHECK(forward(open.engine, {&step, 1}).ok());
}

namespace {

// A model that is trained for 96 positions, and whose numbers hold for 40.
ModelRecipe limited() {
  ModelRecipe recipe;
  recipe.more = {{"context_limit", 40u}};
  return recipe;
}

// Whether an engine of this context and window opens; if not, the words say what does.
bool opens_within_limit(Span<const u8> map, i32 context, i32 window) {
  EngineOptions options = options_for({"", {}, window, KvFormat::I8, false, 0});
  options.context = context;
  options.file = map;
  Engine engine;
  Status status = open_engine(options, &engine);
  edgellm_config config = {};
  config.model = map.data;
  config.model_bytes = static_cast<size_t>(map.count);
  config.context = context;
  config.window = window;
  edgellm_facts facts;
  edgellm_error error;
  edgellm_code code = edgellm_plan(&config, &facts, &error);
  CHECK_EQ(static_cast<i32>(code), static_cast<i32>(status.code()));
  if (status.ok()) {
    close_engine(engine);
    return true;
  }
  CHECK(status.code() == Code::usage);
  CHECK(std::strstr(status.text(), "--ctx 40") && std::strstr(status.text(), "--window 36"));
  CHECK_EQ(std::string(error.text), status.text());
  return false;
}

// The error of a session whose context is full.
std::string full_at(const std::string& path, i32 context) {
  EngineOptions options = options_for({"", {}, 0, KvFormat::I8, false, 0});
  options.context = context;
  OpenEngine open(options, path);
  std::vector<i32> ids(static_cast<size_t>(open.engine.limits.context) + 1, 3);
  Step step = {&open.engine.sessions[0], {ids.data(), static_cast<i64>(ids.size())}, Wanted::last};
  Status status = forward(open.engine, {&step, 1});
  CHECK(status.code() == Code::failed);
  return status.text();
}

bool has(const std::string& text, const char* words) {
  return text.find(words) != std::string::npos;
}

}  // namespace

TEST(a_context_beyond_what_the_numbers_hold_for_is_refused) {
  std::string path = temporary_path("limited.tm2");
  write_model(limited(), path);
  Span<const u8> map;
  CHECK(map_file(path.c_str(), {}, &map).ok());
  CHECK(opens_within_limit(map, 0, 0));
  CHECK(opens_within_limit(map, 40, 0));
  CHECK(!opens_within_limit(map, 41, 0));
  CHECK(!opens_within_limit(map, 1 << 24, 0));
  CHECK(opens_within_limit(map, 0, 36));
  CHECK(opens_within_limit(map, 96, 36));  // a window holds no more for it
  CHECK(!opens_within_limit(map, 0, 37));
  CHECK(!opens_within_limit(map, 0, 1 << 24));
  CHECK(!opens_within_limit(map, 8, 64));
  release_memory(map);
}

// The default is what the numbers hold for; the key changes none of them.
TEST(a_limited_model_computes_what_an_unlimited_one_does) {
  std::string path = temporary_path("limited.tm2"), plain_path = temporary_path("plain.tm2");
  write_model(limited(), path);
  write_model({}, plain_path);
  for (i32 window : {0, 36}) {
    const Variant variant = {"", {}, window, KvFormat::I8, false, 0};
    OpenEngine open(options_for(variant), path), plain(options_for(variant), plain_path);
    CHECK_EQ(open.engine.limits.context, 40);
    std::vector<i32> ids = timeline(ModelRecipe().vocab);
    const i64 count = window ? TOKENS : 40;
    for (Engine* engine : {&open.engine, &plain.engine}) {
      Step step = {&engine->sessions[0], {ids.data(), count}, Wanted::last};
      CHECK(forward(*engine, {&step, 1}).ok());
    }
    CHECK_EQ(logits_hash(open.engine, 0), logits_hash(plain.engine, 0));
  }
}

TEST(a_full_context_recommends_what_is_not_refused) {
  std::string path = temporary_path("limited.tm2"), plain_path = temporary_path("plain.tm2");
  write_model(limited(), path);
  write_model({}, plain_path);
  std::string text = full_at(path, 20);
  CHECK(has(text, "--ctx, up to 40") && has(text, "--window W, W up to 36"));
  for (i32 context : {0, 40}) {
    text = full_at(path, context);
    CHECK(!has(text, "--ctx") && has(text, "--window W, W up to 36"));
  }
  text = full_at(plain_path, 20);
  CHECK(has(text, "--ctx, up to 96") && has(text, "--window W)"));
  text = full_at(plain_path, 96);
  CHECK(!has(text, "--ctx") && has(text, "--window W)"));
}

TEST(an_id_outside_the_vocabulary_is_refused) {
  ModelRecipe recipe;
  std::string path = temporary_path("id.tm2");
  write_model(recipe, path);
  OpenEngine open(options_for({"", recipe, 0, KvFormat::I8, false, 0}), path);
  for (i32 id : {-1, recipe.vocab}) {
    Step step = {&open.engine.sessions[0], {&id, 1}, Wanted::last};
    CHECK(!forward(open.engine, {&step, 1}).ok());
  }
}

// Saved in the middle, restored into another engine, continued: the bits of a straight run.
TEST(a_saved_session_goes_on_with_the_same_bits) {
  for_each_variant([](const Variant& variant, const std::string& path) {
    OpenEngine first(options_for(variant), path), second(options_for(variant), path);
    std::vector<i32> ids = timeline(first.engine.model.vocab);
    Step start = {&first.engine.sessions[0], {ids.data(), 20}, Wanted::last};
    CHECK(forward(first.engine, {&start, 1}).ok());
    std::vector<u64> image(static_cast<size_t>(state_image_bytes(first.engine) / 8));
    u8* bytes = reinterpret_cast<u8*>(image.data());
    save_state(first.engine, first.engine.sessions[0], 1, bytes);

    Session& session = second.engine.sessions[0];
    Status status = restore_state(second.engine, {bytes, state_image_bytes(first.engine)}, &session);
    CHECK_EQ(std::string(status.text()), "");
    CHECK_EQ(session.position, 20);
    Step rest = {&session, {ids.data() + 20, TOKENS - 20}, Wanted::last};
    CHECK(forward(second.engine, {&rest, 1}).ok());
    CHECK_EQ(logits_hash(second.engine, 0), variant.hash);
  });
}

TEST(a_damaged_or_foreign_state_is_refused) {
  ModelRecipe recipe;
  std::string path = temporary_path("state.tm2"), other_path = temporary_path("other.tm2");
  write_model(recipe, path);
  write_model(recipe, other_path, 2);
  const Variant plain = {"", recipe, 0, KvFormat::I8, false, 0}, f16 = {"", recipe, 0, KvFormat::F16, false, 0};
  OpenEngine a(options_for(plain), path), b(options_for(plain), other_path), c(options_for(f16), path);
  i32 ids[] = {1, 2, 3};
  Step step = {&a.engine.sessions[0], {ids, 3}, Wanted::last};
  CHECK(forward(a.engine, {&step, 1}).ok());
  i64 size = state_image_bytes(a.engine);
  std::vector<u64> image(static_cast<size_t>(size / 8));
  u8* bytes = reinterpret_cast<u8*>(image.data());
  save_state(a.engine, a.engine.sessions[0], 1, bytes);
  Session& session = a.engine.sessions[0];
  CHECK(restore_state(a.engine, {bytes, size}, &session).ok());
  CHECK(!restore_state(b.engine, {bytes, size}, &b.engine.sessions[0]).ok());
  CHECK(!restore_state(c.engine, {bytes, size}, &c.engine.sessions[0]).ok());
  for (i64 cut : {i64{0}, i64{100}, i64{512}, size - 1})
    CHECK(!restore_state(a.engine, {bytes, cut}, &session).ok());
  for (i64 at = 0; at < size; at += at < 512 ? 1 : 97) {
    bytes[at] = static_cast<u8>(~bytes[at]);
    CHECK(!restore_state(a.engine, {bytes, size}, &session).ok());
    bytes[at] = static_cast<u8>(~bytes[at]);
  }
  CHECK_EQ(session.position, 3);  // refused states touched nothing
}
