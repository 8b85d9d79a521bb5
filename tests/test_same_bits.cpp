// The promise of the same bits, over whole models of every family: kernel sets, thread counts, chunks, batches, saved states,
// and, through committed hashes, compilers and machines.
#include <cstring>
#include <string>
#include <variant>
#include <vector>

#include "check.h"
#include "engine/state.h"
#include "make_model.h"
#include "make_recurrent.h"
#include "open_engine.h"
#include "platform/cpu.h"

using namespace edgellm;

namespace {

struct Variant {
  const char* name;
  std::variant<ModelRecipe, RecurrentRecipe> model;
  i32 window = 0;
  KvFormat kv = KvFormat::I8;
  bool f32_activations = false;
  u64 hash;  // of the logits after `timeline`
};

const std::vector<Variant>& variants() {
  static const std::vector<Variant> list = {
#include "variants.def"
  };
  return list;
}

constexpr i32 TOKENS = 45;

EngineOptions options_for(const Variant& variant) {
  EngineOptions options;
  options.threads = 1;
  options.window = variant.window;
  options.kv = variant.kv;
  options.f32_activations = variant.f32_activations;
  options.tokens = 16;
  return options;
}

// After the timeline, `step` ids at a time.
u64 hash_of(OpenEngine& open, i32 step) {
  return open.run_anew(timeline(TOKENS, open.engine.model.vocab), step);
}

void same_bits(const Variant& variant, const std::string& how, u64 hash) {
  if (hash != variant.hash) {
    std::fprintf(stderr, "%s, %s: 0x%016llx\n", variant.name, how.c_str(), static_cast<unsigned long long>(hash));
  }
  CHECK_EQ(hash, variant.hash);
}

template <class Body>
void for_each_variant(Body body) {
  const std::string path = temporary_path("variant.tm2");
  for (const Variant& variant : variants()) {
    std::visit([&](const auto& recipe) { write_model(recipe, path); }, variant.model);
    body(variant, path);
  }
}

}  // namespace

TEST(names_are_different) {
  for (const Variant& variant : variants()) {
    for (const Variant* other = variants().data(); other < &variant; other++)
      CHECK(std::strcmp(other->name, variant.name) != 0);
  }
}

TEST(committed_hashes_hold) {
  for_each_variant([](const Variant& variant, const std::string& path) {
    OpenEngine open(options_for(variant), path);
    same_bits(variant, "at once", hash_of(open, TOKENS));
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
        same_bits(variant, std::string(options.isa) + " in steps of " + std::to_string(step), hash_of(open, step));
    }
  });
}

// Rows are computed in groups of several sizes: a text is cut at each of them, by the caller and by the engine.
TEST(any_number_of_ids_at_a_time) {
  i32 number = 0;
  for_each_variant([&](const Variant& variant, const std::string& path) {
    if (number++ % 7) return;
    EngineOptions options = options_for(variant);
    options.tokens = TOKENS;
    OpenEngine whole(options, path);
    for (i32 step : {2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 15, 16, 17, 31, 32, 33, 34})
      same_bits(variant, "in steps of " + std::to_string(step), hash_of(whole, step));
    for (i32 tokens : {1, 2, 3, 7, 8, 9}) {
      options.tokens = tokens;
      OpenEngine open(options, path);
      same_bits(variant, "in passes of " + std::to_string(tokens), hash_of(open, TOKENS));
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
        same_bits(variant, std::to_string(threads) + " threads in steps of " + std::to_string(step), hash_of(open, step));
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
      const i64 all = static_cast<i64>(texts[s].size());
      CHECK_EQ(open.run_anew(texts[s], all), together[s]);
    }
  });
}

TEST(all_rows_are_the_rows_of_single_steps) {
  for_each_variant([](const Variant& variant, const std::string& path) {
    EngineOptions options = options_for(variant);
    options.logits = options.tokens = TOKENS;
    OpenEngine open(options, path);
    const std::vector<i32> ids = timeline(TOKENS, open.engine.model.vocab);
    open.run(0, ids, Wanted::all);
    u64 rows[TOKENS];
    for (i32 i = 0; i < TOKENS; i++)
      rows[i] = logits_hash(open.engine, i);
    open.engine.sessions[0].restart();
    for (i32 i = 0; i < TOKENS; i++) {
      open.run(0, {ids[static_cast<size_t>(i)]});
      CHECK_EQ(logits_hash(open.engine, 0), rows[i]);
    }
    same_bits(variant, "row by row", rows[TOKENS - 1]);
  });
}

// Saved in the middle, restored into another engine, continued: the bits of a straight run.
TEST(a_saved_session_goes_on_with_the_same_bits) {
  for_each_variant([](const Variant& variant, const std::string& path) {
    OpenEngine first(options_for(variant), path), second(options_for(variant), path);
    const std::vector<i32> ids = timeline(TOKENS, first.engine.model.vocab);
    first.run(0, {ids.begin(), ids.begin() + 20});
    std::vector<u64> image(static_cast<size_t>(state_image_bytes(first.engine) / 8));
    u8* bytes = reinterpret_cast<u8*>(image.data());
    save_state(first.engine, first.engine.sessions[0], 1, bytes);

    Session& session = second.engine.sessions[0];
    Status status = restore_state(second.engine, {bytes, state_image_bytes(first.engine)}, &session);
    CHECK_EQ(std::string(status.text()), "");
    CHECK_EQ(session.position, 20);
    second.run(0, {ids.begin() + 20, ids.end()});
    same_bits(variant, "saved and restored", logits_hash(second.engine, 0));
  });
}

// A state is flat bytes: copied into another session, the timeline goes on there.
TEST(a_copied_state_goes_on_with_the_same_bits) {
  for_each_variant([](const Variant& variant, const std::string& path) {
    EngineOptions options = options_for(variant);
    options.sessions = 2;
    OpenEngine open(options, path);
    const std::vector<i32> ids = timeline(TOKENS, open.engine.model.vocab);
    Session *from = &open.engine.sessions[0], *to = &open.engine.sessions[1];
    open.run(0, {ids.begin(), ids.begin() + 20});
    std::memcpy(to->state, from->state, static_cast<size_t>(open.engine.model.state_bytes));
    to->position = from->position;
    open.run(1, {ids.begin() + 20, ids.end()});
    same_bits(variant, "copied", logits_hash(open.engine, 0));
  });
}
