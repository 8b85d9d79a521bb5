// What an engine holds and refuses: windows, contexts, ids. (That the bits are the same however it runs: test_same_bits.cpp.)
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "edgellm.h"
#include "files.h"
#include "make_model.h"
#include "open_engine.h"

using namespace edgellm;

namespace {

constexpr i32 TOKENS = 45;

EngineOptions small(i32 window = 0) {
  EngineOptions options;
  options.threads = 1;
  options.window = window;
  options.tokens = 16;
  return options;
}

}  // namespace

// With a window wider than the text nothing is hidden: the same bits as without. With a narrow one, a token far behind it no
// longer matters, and the text may be longer than the context.
TEST(windows) {
  ModelRecipe recipe;
  std::string path = temporary_path("window.tm2");
  write_model(recipe, path);
  OpenEngine none(small(), path), wide(small(64), path), narrow(small(8), path);
  const std::vector<i32> shorter = timeline(TOKENS, recipe.vocab);
  CHECK_EQ(none.run_anew(shorter, TOKENS), wide.run_anew(shorter, TOKENS));

  u64 hashes[2];
  for (i32 changed = 0; changed < 2; changed++) {
    std::vector<i32> ids;
    for (i32 i = 0; i < 300; i++)
      ids.push_back((i * 5 + 2) % recipe.vocab);
    if (changed) ids[20] = (ids[20] + 1) % recipe.vocab;
    hashes[changed] = narrow.run_anew(ids, static_cast<i64>(ids.size()));
  }
  CHECK_EQ(hashes[0], hashes[1]);  // 2 layers of a window of 8 reach 16 tokens back
}

TEST(a_full_context_is_an_error_that_names_the_sizes) {
  ModelRecipe recipe;
  std::string path = temporary_path("full.tm2");
  write_model(recipe, path);
  EngineOptions options = small();
  options.context = 20;
  OpenEngine open(options, path);
  std::vector<i32> ids = timeline(TOKENS, recipe.vocab);
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
  EngineOptions options = small(window);
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
  EngineOptions options = small();
  options.context = context;
  OpenEngine open(options, path);
  std::vector<i32> ids(static_cast<size_t>(open.engine.limits.context) + 1, 3);
  Step step = {&open.engine.sessions[0], {ids.data(), static_cast<i64>(ids.size())}, Wanted::last};
  Status status = forward(open.engine, {&step, 1});
  CHECK(status.code() == Code::failed);
  return status.text();
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
    OpenEngine open(small(window), path), plain(small(window), plain_path);
    CHECK_EQ(open.engine.limits.context, 40);
    std::vector<i32> ids = timeline(TOKENS, ModelRecipe().vocab);
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
  CHECK(contains(text, "--ctx, up to 40") && contains(text, "--window W, W up to 36"));
  for (i32 context : {0, 40}) {
    text = full_at(path, context);
    CHECK(!contains(text, "--ctx") && contains(text, "--window W, W up to 36"));
  }
  text = full_at(plain_path, 20);
  CHECK(contains(text, "--ctx, up to 96") && contains(text, "--window W)"));
  text = full_at(plain_path, 96);
  CHECK(!contains(text, "--ctx") && contains(text, "--window W)"));
}

TEST(an_id_outside_the_vocabulary_is_refused) {
  ModelRecipe recipe;
  std::string path = temporary_path("id.tm2");
  write_model(recipe, path);
  OpenEngine open(small(), path);
  for (i32 id : {-1, recipe.vocab}) {
    Step step = {&open.engine.sessions[0], {&id, 1}, Wanted::last};
    CHECK(!forward(open.engine, {&step, 1}).ok());
  }
}
