// What ends a timeline ends all of it: after a reset, a restored state or a new text a session is as one that was never used.
#include <algorithm>
#include <cstring>

#include "engine/state.h"
#include "host.h"
#include "make_model.h"
#include "make_recurrent.h"
#include "open_engine.h"

using namespace edgellm;

namespace {

constexpr i32 VOCAB = 67;
const std::vector<i32> OTHER = {3, 9, 27, 14, 42, 59, 43, 62, 52, 22, 66, 64}, TEXT = {5, 6, 7, 8, 9};

// Hot, so that draws differ, and with a penalty that makes the recent ids count.
const edgellm_sampling HOT = {3, 0.95f, 0, 4, 0, 77};

// 3 or 60, then 7, then any number of 9, then 2 and from the start again.
const std::vector<u32> GRAMMAR = {3, 2, 3, 5, 3, 1, 60, 1, 7, 2, 2, 0, 9, 2};

struct Kind {
  const char* name;
  std::string path;
  i32 window = 0;
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> list = [] {
    auto made = [](const std::string& name, const auto& recipe) {
      const std::string path = temporary_path(name + ".tm2");
      write_model(recipe, path);
      return path;
    };
    return std::vector<Kind>{
        {"transformer", made("transformer", ModelRecipe{})},
        {"window", made("window", ModelRecipe{}), 9},
        {"grammar", made("grammar", ModelRecipe{.grammar = GRAMMAR})},
        {"mixed", made("mixed", ModelRecipe{.blocks = "mamba ffn | attention ffn | retention | mamba2 ffn", .layers = 4})},
        {"rwkv4", made("rwkv4", RecurrentRecipe{.shape = rwkv4(SMALL4), .weights = Format::I8})},
        {"rwkv7", made("rwkv7", RecurrentRecipe{.shape = rwkv7(SMALL7), .weights = Format::I8})},
    };
  }();
  return list;
}

edgellm_config config_of(const Kind& kind) {
  edgellm_config config = {};
  config.sessions = 2;
  config.window = kind.window;
  config.chunk = 5;
  return config;
}

// Everything that a session shows while a text is run and 30 ids are drawn.
std::vector<u64> shown(Host& host, i32 session) {
  auto number = [](i64 value) { return static_cast<u64>(value); };
  std::vector<u64> all = {number(edgellm_position(host.engine, session)), number(edgellm_pending(host.engine, session)),
                          edgellm_logits(host.engine, session) != nullptr, edgellm_logits_hash(host.engine, session)};
  all.push_back(host.run(session, TEXT));
  for (i32 i = 0; i < 30; i++) {
    const i32 id = host.sample(session, &HOT);
    all.push_back(number(id));
    all.push_back(number(edgellm_pending(host.engine, session)));
    all.push_back(host.run(session, {id}));
  }
  all.push_back(number(edgellm_position(host.engine, session)));
  return all;
}

// Leaves a session in the middle of things: far on, an id drawn and perhaps waiting, logits there or used up.
void use(Host& host, i32 session, i32 how) {
  host.run(session, OTHER);
  for (i32 i = 0; i < 20; i++)
    host.run(session, {host.sample(session, &HOT)});
  if (how > 0) host.sample(session, &HOT);
  if (how > 1) host.run(session, {edgellm_pending(host.engine, session)});
}

}  // namespace

TEST(a_reset_session_is_a_new_one) {
  for (const Kind& kind : kinds()) {
    Host fresh(kind.path, config_of(kind)), used(kind.path, config_of(kind));
    const std::vector<u64> expected = shown(fresh, 1);
    CHECK(expected[0] == 0 && expected[1] == static_cast<u64>(-1) && expected[2] == 0 && expected[3] == 0);
    for (i32 how = 0; how < 3; how++) {
      use(used, 1, how);
      CHECK_OK(edgellm_reset(used.engine, 1, &last_error));
      if (shown(used, 1) != expected) check::failed(__FILE__, __LINE__, std::string(kind.name) + " remembers");
      CHECK_OK(edgellm_reset(used.engine, 1, &last_error));
    }
    CHECK_SAYS(edgellm_reset(used.engine, 2, &last_error), "usage: session is 2, expected 0 to 1");
    CHECK_SAYS(edgellm_reset(nullptr, 0, &last_error), "usage: engine is NULL");
  }
}

// The other sessions go on as if nothing had been.
TEST(a_reset_is_of_one_session) {
  for (const Kind& kind : kinds()) {
    Host one(kind.path, config_of(kind)), both(kind.path, config_of(kind));
    use(one, 0, 0);
    use(both, 1, 2);
    use(both, 0, 0);
    CHECK_OK(edgellm_reset(both.engine, 1, &last_error));
    CHECK_EQ(edgellm_logits_hash(one.engine, 0), edgellm_logits_hash(both.engine, 0));
    CHECK_EQ(edgellm_position(both.engine, 0), edgellm_position(one.engine, 0));
    for (i32 i = 0; i < 10; i++) {
      const i32 id = one.sample(0, &HOT);
      CHECK_EQ(both.sample(0, &HOT), id);
      CHECK_EQ(one.run(0, {id}), both.run(0, {id}));
    }
  }
}

// A state of a session that stands at its beginning, in the middle with and without a pending id: restored over a used session it
// shows what the session showed that it was taken of.
TEST(a_restored_session_is_the_one_that_was_saved) {
  for (const Kind& kind : kinds()) {
    for (i32 at = 0; at < 3; at++) {
      Host straight(kind.path, config_of(kind)), used(kind.path, config_of(kind));
      if (at > 0) {
        straight.run(0, TEXT);
        straight.run(0, {straight.sample(0, &HOT)});
        straight.sample(0, &HOT);
      }
      if (at > 1) straight.run(0, {edgellm_pending(straight.engine, 0)});
      const std::vector<unsigned char> image = straight.save(0);
      const i32 position = edgellm_position(straight.engine, 0), pending = edgellm_pending(straight.engine, 0);
      CHECK_EQ(pending >= 0, at == 1);
      for (i32 how = 0; how < 3; how++) {
        use(used, 1, how);
        CHECK_OK(edgellm_restore(used.engine, 1, image.data(), image.size(), &last_error));
        CHECK_EQ(edgellm_position(used.engine, 1), position);
        CHECK_EQ(edgellm_pending(used.engine, 1), pending);
        CHECK(edgellm_logits(used.engine, 1) == nullptr && edgellm_logits_hash(used.engine, 1) == 0);
        int32_t id = 7;
        CHECK_SAYS(edgellm_sample(used.engine, 1, nullptr, &id, &last_error),
                   "usage: session 1 has no logits: ask edgellm_step for them");
        CHECK(used.save(1) == image);
        const i32 next = pending >= 0 ? pending : 11;
        Host other(kind.path, config_of(kind));
        CHECK_OK(edgellm_restore(other.engine, 0, image.data(), image.size(), &last_error));
        other.run(0, {next});
        used.run(1, {next});
        for (i32 i = 0; i < 20; i++) {
          const i32 drawn = used.sample(1, &HOT);
          CHECK_EQ(other.sample(0, &HOT), drawn);
          CHECK_EQ(other.run(0, {drawn}), used.run(1, {drawn}));
        }
        CHECK(other.save(0) == used.save(1));
      }
    }
  }
}

TEST(images_and_their_rooms) {
  const Kind& kind = kinds()[0];
  Host host(kind.path, config_of(kind));
  const size_t bytes = host.facts.state_bytes;
  std::vector<unsigned char> image(bytes + 1, 0x5a);
  auto saved = [&](edgellm_engine* engine, i32 session, void* to, size_t room) {
    return said(edgellm_save(engine, session, to, room, &last_error));
  };
  CHECK_EQ(saved(nullptr, 0, image.data(), bytes), "usage: engine is NULL");
  CHECK_EQ(saved(host.engine, 2, image.data(), bytes), "usage: session is 2, expected 0 to 1");
  CHECK_EQ(saved(host.engine, 0, nullptr, bytes), "usage: image is NULL");
  CHECK_EQ(saved(host.engine, 0, image.data(), bytes - 1),
           "usage: image has room for " + std::to_string(bytes - 1) + " bytes, " + std::to_string(bytes) + " are needed");
  CHECK_EQ(image[0], 0x5a);
  host.run(1, TEXT);
  const uint64_t hash = edgellm_logits_hash(host.engine, 1);
  CHECK_EQ(saved(host.engine, 1, image.data(), bytes + 1), "");
  CHECK_EQ(image[bytes], 0x5a);
  CHECK_EQ(edgellm_logits_hash(host.engine, 1), hash);  // saving ends nothing
  auto restored = [&](edgellm_engine* engine, i32 session, const void* from, size_t size) {
    return said(edgellm_restore(engine, session, from, size, &last_error));
  };
  CHECK_EQ(restored(nullptr, 0, image.data(), bytes), "usage: engine is NULL");
  CHECK_EQ(restored(host.engine, -1, image.data(), bytes), "usage: session is -1, expected 0 to 1");
  CHECK_EQ(restored(host.engine, 0, nullptr, bytes), "usage: image is NULL");
  image[600] ^= 1;
  CHECK(restored(host.engine, 1, image.data(), bytes) != "");
  CHECK_EQ(edgellm_logits_hash(host.engine, 1), hash);  // nor does what is refused
  CHECK_EQ(edgellm_position(host.engine, 1), static_cast<i32>(TEXT.size()));
}

// A step ends the logits of all sessions, an answer begins anew when other ids are run, and the recent ids are those that were run.
TEST(what_a_step_ends) {
  const Kind& kind = kinds()[2];
  Host host(kind.path, config_of(kind));
  host.run(0, TEXT);
  const i32 first = host.sample(0);
  CHECK(first == 3 || first == 60);
  host.run(1, OTHER);
  CHECK(edgellm_logits(host.engine, 0) == nullptr && edgellm_logits(host.engine, 1) != nullptr);
  CHECK_EQ(edgellm_pending(host.engine, 0), first);
  host.run(0, {first});
  CHECK(edgellm_logits(host.engine, 1) == nullptr);
  CHECK_EQ(edgellm_pending(host.engine, 0), -1);
  CHECK_EQ(host.sample(0), 7);
  host.run(0, {8});  // not what was drawn
  const i32 again = host.sample(0);
  CHECK(again == 3 || again == 60);
  host.run(0, {again, 7});  // more than what was drawn
  const i32 third = host.sample(0);
  CHECK(third == 3 || third == 60);
}

// The penalty sees the last 64 ids of the timeline, however they were run: one at a time, in chunks, far more of them.
TEST(recent_ids) {
  EngineOptions options;
  options.threads = 1;
  options.tokens = 16;
  OpenEngine open(options, kinds()[1].path);
  for (i64 step : {1, 3, 16, 200}) {
    for (i32 count : {1, 40, 63, 64, 65, 90}) {
      const std::vector<i32> ids = timeline(count, VOCAB);
      open.run_anew(ids, step);
      const Session& session = open.engine.sessions[0];
      const i32 held = session.recent_count, least = std::min(count, REPEAT_SPAN);
      CHECK(held >= least && held <= 2 * REPEAT_SPAN);
      CHECK(std::equal(ids.end() - least, ids.end(), session.recent + held - least));
    }
  }
  Session session;
  std::vector<i32> recent(2 * REPEAT_SPAN + 1, -9);
  session.recent = recent.data();
  for (i32 i = 0; i < 1000; i++) {
    session.remember(i);
    const i32 least = std::min(i + 1, REPEAT_SPAN);
    CHECK(session.recent_count >= least && session.recent_count <= 2 * REPEAT_SPAN);
    for (i32 j = 0; j < least; j++)
      CHECK_EQ(session.recent[session.recent_count - 1 - j], i - j);
  }
  CHECK_EQ(recent.back(), -9);
  session.position = session.pending = session.grammar_state = 5;
  session.restart();
  CHECK(session.position == 0 && session.pending == -1 && session.grammar_state == 0 && session.recent_count == 0);
  CHECK(session.recent == recent.data());
}
