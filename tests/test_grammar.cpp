// Answers within a grammar: from the file's automaton to the ids that are drawn.
#include "engine/state.h"
#include "make_model.h"
#include "open_engine.h"

using namespace edgellm;

namespace {

constexpr i32 VOCAB = 67;

// 3 or 60, then 7, then any number of 9, then 2 and from the start again.
const std::vector<u32> GRAMMAR = {3, 2, 3, 5, 3, 1, 60, 1, 7, 2, 2, 0, 9, 2};

std::string model_with(const std::vector<u32>& grammar) {
  ModelRecipe recipe;
  recipe.vocab = VOCAB;
  recipe.grammar = grammar;
  std::string path = temporary_path("grammar.tm2");
  write_model(recipe, path);
  return path;
}

EngineOptions options() {
  EngineOptions options;
  options.threads = 1;
  options.sessions = 2;
  return options;
}

SamplingOptions hot(u64 seed) {
  SamplingOptions sampling;
  sampling.temperature = 100;
  sampling.top_p = 1;
  sampling.seed = seed;
  return sampling;
}

i32 next_id(OpenEngine& open, i32 session, const SamplingOptions& sampling) {
  i32 id = -1;
  Status status = draw_id(open.engine, open.engine.sessions[session], 0, sampling, &id);
  return status.ok() ? id : -1;
}

// Ids as the grammar has them: the place each leads to, -1 for one that it does not have.
i32 place_after(i32 place, i32 id) {
  if (place == 0) return id == 3 || id == 60 ? 1 : -1;
  if (place == 1) return id == 7 ? 2 : -1;
  return id == 9 ? 2 : id == 2 ? 0 : -1;
}

std::string refusal_of_file(const std::string& path) {
  Span<const u8> map;
  CHECK(map_file(path.c_str(), {}, &map).ok());
  EngineOptions wanted = options();
  wanted.file = map;
  Engine engine;
  Status status = plan_engine(wanted, &engine);
  std::string text = status.ok() ? "" : status.text();
  release_memory(map);
  return text;
}

std::string refusal(const std::vector<u32>& grammar) {
  return refusal_of_file(model_with(grammar));
}

}  // namespace

TEST(only_what_the_grammar_has_is_drawn) {
  OpenEngine open(options(), model_with(GRAMMAR));
  std::vector<i32> seen(VOCAB);
  for (u64 seed = 0; seed < 40; seed++) {
    Session& session = open.engine.sessions[0];
    session.restart();
    i32 place = 0;
    CHECK(open.run(0, {1, 2, 3}));
    for (i32 i = 0; i < 20; i++) {
      i32 id = next_id(open, 0, hot(seed));
      place = place_after(place, id);
      CHECK(place >= 0);
      seen[static_cast<size_t>(id)]++;
      CHECK(open.run(0, {id}));
    }
  }
  for (i32 id : {2, 3, 7, 9, 60})
    CHECK(seen[static_cast<size_t>(id)] > 0);
}

TEST(greedy_takes_the_best_that_the_grammar_has) {
  OpenEngine open(options(), model_with(GRAMMAR)), free(options(), model_with({}));
  SamplingOptions greedy;
  greedy.temperature = 0;
  for (i32 first = 0; first < VOCAB; first++) {
    open.engine.sessions[0].restart();
    free.engine.sessions[0].restart();
    CHECK(open.run(0, {first}) && free.run(0, {first}));
    const f32* logits = logits_row(free.engine, 0);
    CHECK_EQ(next_id(open, 0, greedy), logits[60] > logits[3] ? 60 : 3);
  }
}

TEST(a_saved_answer_goes_on_where_it_was) {
  OpenEngine open(options(), model_with(GRAMMAR));
  Session* sessions = open.engine.sessions;
  std::vector<u8> image(static_cast<size_t>(state_image_bytes(open.engine)));
  CHECK(open.run(0, {5}));
  i32 id = next_id(open, 0, hot(1));
  CHECK(id == 3 || id == 60);
  save_state(open.engine, sessions[0], 0, image.data());
  CHECK(restore_state(open.engine, {image.data(), static_cast<i64>(image.size())}, &sessions[1]).ok());
  CHECK(open.run(1, {id}));
  CHECK_EQ(next_id(open, 1, hot(1)), 7);
}

TEST(other_ids_begin_a_new_answer) {
  OpenEngine open(options(), model_with(GRAMMAR));
  CHECK(open.run(0, {5}));
  CHECK_EQ(place_after(0, next_id(open, 0, hot(1))), 1);
  CHECK(open.run(0, {8}));  // not what was drawn
  CHECK_EQ(place_after(0, next_id(open, 0, hot(2))), 1);
}

TEST(a_grammar_that_makes_no_sense_is_refused) {
  const struct {
    std::vector<u32> grammar;
    const char* says;
  } cases[] = {
      {GRAMMAR, ""},
      {{1, 1, 66, 0}, ""},
      {{1, 2, 0, 0, 1, 0}, ""},
      {{2, 1, 2, 3, 1, 5, 1}, ""},
      {{0}, "0 states in 1 numbers"},
      {{0, 1, 3, 0}, "0 states in 4 numbers"},
      {{1}, "1 states in 1 numbers"},
      {{4, 1, 3, 0}, "4 states in 4 numbers"},
      {{3, 1, 3, 0}, "state 0 has numbers 0 to 2 of 0"},
      {{9, 1, 3, 0}, "9 states in 4 numbers"},
      {{4294967295u, 1, 3, 0}, "4294967295 states in 4 numbers"},
      {{1, 0}, "state 0 has numbers 0 to 0 of 0"},
      {{1, 0, 3, 0}, "state 0 has numbers 0 to 0 of 2"},
      {{1, 2, 3, 0}, "state 0 has numbers 0 to 4 of 2"},
      {{1, 1, 3}, "state 0 has numbers 0 to 2 of 1"},
      {{1, 2147483648u, 3, 0}, "state 0 has numbers 0 to 4294967296 of 2"},
      {{2, 1, 1, 3, 0, 4, 0}, "state 1 has numbers 2 to 2 of 4"},
      {{2, 2, 1, 3, 0, 4, 0}, "state 1 has numbers 4 to 2 of 4"},
      {{2, 1, 2, 3, 0, 4, 0, 5, 0}, "state 1 has numbers 2 to 4 of 6"},
      {{2, 1, 3, 3, 0, 4, 0}, "state 1 has numbers 2 to 6 of 4"},
      {{1, 1, 3, 0, 4}, "state 0 has numbers 0 to 2 of 3"},
      {{1, 1, 67, 0}, "state 0: id 67 to state 0; expected ascending ids below 67, states below 1"},
      {{1, 1, 4294967295u, 0}, "state 0: id 4294967295 to state 0; expected ascending ids below 67, states below 1"},
      {{1, 1, 3, 1}, "state 0: id 3 to state 1; expected ascending ids below 67, states below 1"},
      {{1, 2, 5, 0, 5, 0}, "state 0: id 5 to state 0; expected ascending ids below 67, states below 1"},
      {{1, 2, 5, 0, 4, 0}, "state 0: id 4 to state 0; expected ascending ids below 67, states below 1"},
      {{2, 1, 3, 9, 1, 5, 0, 66, 2}, "state 1: id 66 to state 2; expected ascending ids below 67, states below 2"},
      {{2, 1, 3, 9, 1, 5, 0, 4, 1}, "state 1: id 4 to state 1; expected ascending ids below 67, states below 2"},
  };
  for (const auto& c : cases)
    CHECK_EQ(refusal(c.grammar), c.says[0] ? "grammar: " + std::string(c.says) : "");
}

// Each state, each id: where it leads, and which logits are left.
TEST(states_of_a_grammar) {
  OpenEngine open(options(), model_with(GRAMMAR)), free(options(), model_with({}));
  const Grammar &grammar = open.engine.grammar, &none = free.engine.grammar;
  CHECK_EQ(grammar.states(), 3);
  CHECK_EQ(none.states(), 0);
  for (i32 state = 0; state < 3; state++) {
    f32 logits[VOCAB], unrestricted[VOCAB];
    i32 scratch[VOCAB];
    for (i32 id = 0; id < VOCAB; id++)
      logits[id] = unrestricted[id] = static_cast<f32>(id) - 30.5f;
    grammar.restrict(state, logits, VOCAB, scratch);
    none.restrict(0, unrestricted, VOCAB, scratch);
    i64 allowed = 0;
    for (i32 id = 0; id < VOCAB; id++) {
      const bool has = place_after(state, id) >= 0;
      allowed += has;
      CHECK_EQ(grammar.after(state, id), place_after(state, id));
      CHECK_EQ(none.after(0, id), 0);
      CHECK_EQ(logits[id], has ? static_cast<f32>(id) - 30.5f : -__builtin_inff());
      CHECK_EQ(unrestricted[id], static_cast<f32>(id) - 30.5f);
    }
    CHECK_EQ(grammar.from(state).count, allowed);
    CHECK_EQ(grammar.after(state, -1), -1);
  }
}

TEST(a_grammar_is_a_list) {
  ModelRecipe recipe;
  recipe.more = {{"grammar", 1u}};
  std::string path = temporary_path("grammar.tm2");
  write_model(recipe, path);
  CHECK_EQ(refusal_of_file(path), "metadata: \"grammar\" is not a list of whole numbers");
}
