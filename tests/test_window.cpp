// What attention sees at each position: against a plain transformer that keeps everything, for windows of the cache and of layers,
// before they are full, at their edge, and while the ring goes round and round.
#include <algorithm>
#include <cmath>

#include "open_engine.h"
#include "plain_transformer.h"

using namespace edgellm;

namespace {

ModelRecipe in_f32(ModelRecipe recipe = {}) {
  recipe.matrices = recipe.embedding = Format::F32;
  recipe.scale = Scale::none;
  recipe.activations = Quantization::none;
  recipe.vocab = 33;
  return recipe;
}

// Logits at each of `count` positions, `step` ids at a time, are those of the plain transformer.
void check_positions(const std::string& name, const ModelRecipe& recipe, i32 window, i32 count,
                     const std::vector<i32>& steps, KvFormat kv = KvFormat::F32) {
  const std::string path = temporary_path("window.tm2");
  write_model(recipe, path);
  const std::vector<i32> ids = timeline(count, recipe.vocab);
  PlainTransformer plain(recipe, path, window);
  std::vector<PlainTransformer::Vector> expected;
  for (i32 id : ids)
    expected.push_back(plain.next(id));
  for (i32 step : steps) {
    EngineOptions options;
    options.threads = 1;
    options.window = window;
    options.context = count;
    options.tokens = options.logits = step;
    options.kv = kv;
    OpenEngine open(options, path);
    i32 worst_at = 0;
    f64 worst = 0;
    for (i32 at = 0; at < count; at += step) {
      const i32 n = std::min(step, count - at);
      CHECK(open.run(0, {ids.begin() + at, ids.begin() + at + n}, Wanted::all));
      for (i32 row = 0; row < n; row++) {
        const PlainTransformer::Vector& logits = expected[static_cast<size_t>(at + row)];
        for (size_t i = 0; i < logits.size(); i++) {
          const f64 difference = std::abs(logits[i] - static_cast<f64>(logits_row(open.engine, row)[i]));
          if (!(difference <= worst)) worst = difference, worst_at = at + row;
        }
      }
    }
    const bool same = worst < (kv == KvFormat::F32 ? 2e-5 : kv == KvFormat::F16 ? 1e-3 : 5e-2);
    CHECK(same);
    if (!same) {
      std::fprintf(stderr, "%s, window %d, %d at a time: %g away at position %d\n", name.c_str(), window, step, worst,
                   worst_at);
    }
  }
}

}  // namespace

// A ring holds the window and one chunk, rounded up to 16 slots with the sinks: each is gone round at least three times.
TEST(windows_of_the_cache) {
  for (i32 window : {1, 2, 3, 4, 5, 8, 11, 12, 13, 27}) {
    const i32 ring = (4 + window + 16 + 15) / 16 * 16 - 4;
    check_positions("plain", in_f32(), window, 3 * ring + 7, {1, 2, 5, 16});
  }
  check_positions("plain", in_f32(), 28, 200, {7, 33});
  check_positions("plain", in_f32(), 0, 60, {1, 7, 60});
}

TEST(windows_of_layers) {
  const ModelRecipe one = in_f32({.layers = 3, .window = {0, 11, 5}}), narrow = in_f32({.window = 1});
  check_positions("layers", one, 0, 60, {1, 7, 60});
  for (i32 window : {1, 4, 5, 6, 10, 11, 12, 17})
    check_positions("layers", one, window, 90, {1, 9});
  check_positions("narrow", narrow, 0, 40, {1, 40});
  check_positions("narrow", narrow, 6, 40, {1, 16});
}

// Every way in which a transformer here may differ from another one.
TEST(kinds_of_transformers) {
  const ModelRecipe kinds[] = {
      in_f32({.relu2 = false}),
      in_f32({.sub_norms = false, .biases = true, .head_norms = true, .interleaved = true}),
      in_f32({.layers = 1, .heads = 6, .kv_heads = 6, .head_dim = 8, .tied = false, .layer_norm_kind = false}),
      in_f32({.dim = 50, .ffn_dim = 37, .heads = 5, .kv_heads = 1, .head_dim = 10}),
      in_f32({.heads = 2, .kv_heads = 1, .head_dim = 32, .interleaved = true}),
      in_f32({.dim = 70,
              .ffn_dim = 93,
              .heads = 5,
              .kv_heads = 1,
              .head_dim = 14,
              .tied = false,
              .sub_norms = false,
              .biases = true,
              .layer_norm_kind = true,
              .phi = true}),
      in_f32({.layers = 3, .ffn_dim = {80, 33, 48}, .heads = {4, 6, 2}, .kv_heads = {2, 3, 1}, .head_dim = {12, 12, 12}}),
  };
  i32 number = 0;
  for (const ModelRecipe& recipe : kinds) {
    for (i32 window : {0, 3, 13})
      check_positions("kind " + std::to_string(number), recipe, window, 45, {1, 6, 45});
    number++;
  }
  for (KvFormat kv : {KvFormat::F16, KvFormat::I8}) {
    for (i32 window : {0, 3, 13})
      check_positions("cache " + std::to_string(static_cast<i32>(kv)), in_f32({.sub_norms = false, .relu2 = false}), window,
                      70, {1, 6}, kv);
  }
}

// Many sessions in a window, each at another place of the ring: as if it were alone.
TEST(sessions_in_a_window) {
  const std::string path = temporary_path("sessions.tm2");
  write_model(in_f32(), path);
  EngineOptions options;
  options.threads = 1;
  options.window = 3;
  options.tokens = 8;
  EngineOptions several = options;
  several.sessions = 5;
  OpenEngine open(several, path);
  several.sessions = 1;
  OpenEngine alone(several, path);
  std::vector<i32> texts[5];
  for (i32 round = 0; round < 30; round++) {
    std::vector<i32> more[5];
    Step steps[5];
    for (i32 s = 0; s < 5; s++) {
      for (i32 i = 0; i <= (s * 7 + round) % 6; i++)
        more[s].push_back((round * 5 + s * 3 + i) % 33);
      texts[s].insert(texts[s].end(), more[s].begin(), more[s].end());
      steps[s] = {&open.engine.sessions[s], {more[s].data(), static_cast<i64>(more[s].size())}, Wanted::last};
    }
    CHECK(forward(open.engine, {steps, 5}).ok());
    if (round % 7 != 2) continue;
    for (i32 s = 0; s < 5; s++)
      CHECK_EQ(alone.run_anew(texts[s], 8), logits_hash(open.engine, s));
  }
}
