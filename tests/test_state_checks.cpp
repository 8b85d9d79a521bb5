// Saved states, field by field: what is written, what is refused with a checksum that fits, and which options bind a state.
#include <algorithm>

#include "check.h"
#include "files.h"
#include "make_model.h"
#include "state_image.h"

using namespace edgellm;

namespace {

constexpr i32 VOCAB = 67;

EngineOptions plain() {
  EngineOptions options;
  options.threads = 1;
  options.tokens = 16;
  return options;
}

// 3 or 60, then 7, then any number of 9, then 2: three states.
std::string model_file(bool grammar = false, u64 seed = 1) {
  ModelRecipe recipe;
  if (grammar) recipe.grammar = {3, 2, 3, 5, 3, 1, 60, 1, 7, 2, 2, 0, 9, 2};
  const std::string path = temporary_path("model_" + std::to_string(grammar) + std::to_string(seed) + ".tm2");
  write_model(recipe, path, seed);
  return path;
}

std::string restored(OpenEngine& open, const StateImage& image, i32 session = 0) {
  Status status = restore_state(open.engine, image.span(), &open.engine.sessions[session]);
  CHECK(status.ok() || status.code() == Code::failed);
  return status.text();
}

#define AT(member) offsetof(StateHeader, member)

}  // namespace

TEST(what_is_written) {
  EngineOptions options = plain();
  options.kv = KvFormat::F16;
  options.window = 8;
  options.f32_activations = true;
  options.context = 64;
  OpenEngine open(options, model_file());
  open.run(0, {5, 6, 7});
  Session& session = open.engine.sessions[0];
  session.pending = 11;
  const StateImage image(open.engine, 0, 0x123456789);
  const u8* file = open.map.data;
  const std::vector<u8> checksums(file + 48, file + 64);
  CHECK_EQ(std::string(image.bytes.begin(), image.bytes.begin() + 4), "ESS2");
  CHECK_EQ(image.get<i32>(4), 3);
  CHECK_EQ(image.get<i32>(8), 11);
  CHECK_EQ(image.get<i32>(12), 3);
  CHECK_EQ(image.get<u64>(16), u64{0x123456789});
  CHECK_EQ(image.get<u64>(24), model_reader::xxh64(checksums));
  CHECK_EQ(image.get<u64>(32), static_cast<u64>(open.engine.model.state_bytes));
  CHECK_EQ(image.get<u64>(40), image.checksum());
  for (size_t i = 0; i < REPEAT_SPAN; i++)
    CHECK_EQ(image.get<i32>(48 + 4 * i), i < 3 ? 5 + static_cast<i32>(i) : 0);
  const size_t behind = 48 + 4 * REPEAT_SPAN;
  const i32 others[] = {0, 1, 8, 64, 1, 0};  // grammar_state, kv, window, context, f32_activations, recurrent
  for (size_t i = 0; i < 6; i++)
    CHECK_EQ(image.get<i32>(behind + 4 * i), others[i]);
  for (size_t i = behind + 24; i < 512; i++)
    CHECK_EQ(static_cast<i32>(image.bytes[i]), 0);
  CHECK_EQ(image.bytes.size(), 512 + static_cast<size_t>(open.engine.model.state_bytes));
  CHECK(std::memcmp(image.bytes.data() + 512, session.state, image.bytes.size() - 512) == 0);
}

TEST(all_of_a_session_comes_back) {
  EngineOptions options = plain();
  options.sessions = 2;
  OpenEngine open(options, model_file(true));
  Session &from = open.engine.sessions[0], &to = open.engine.sessions[1];
  for (i32 count : {0, 1, REPEAT_SPAN - 1, REPEAT_SPAN, REPEAT_SPAN + 1, 2 * REPEAT_SPAN}) {
    from.restart();
    open.run(0, {1, 2});
    from.recent_count = count;
    for (i32 i = 0; i < count; i++)
      from.recent[i] = (i * 7 + 3) % VOCAB;
    from.pending = 60;
    from.grammar_state = 1;
    to.restart();
    open.run(1, {9, 9, 9});
    const StateImage image(open.engine);
    CHECK_EQ(restored(open, image, 1), "");
    CHECK_EQ(to.position, 2);
    CHECK_EQ(to.pending, 60);
    CHECK_EQ(to.grammar_state, 1);
    CHECK_EQ(to.recent_count, std::min(count, REPEAT_SPAN));
    for (i32 i = 0; i < to.recent_count; i++)
      CHECK_EQ(to.recent[i], from.recent[count - to.recent_count + i]);
    CHECK(std::memcmp(to.state, from.state, static_cast<size_t>(open.engine.model.state_bytes)) == 0);
  }
}

TEST(fields_out_of_range_under_a_checksum_that_fits) {
  OpenEngine open(plain(), model_file()), grammar(plain(), model_file(true));
  open.run(0, {1, 2, 3});
  grammar.run(0, {1, 2, 3});
  const std::string nonsense = "state: its header makes no sense";
  const struct {
    size_t at;
    i32 value;
    bool sane;
    bool of_grammar = false;  // of the model that has one
  } cases[] = {
      {AT(position), -1, false},
      {AT(position), 0, true},
      {AT(position), 96, true},
      {AT(pending), -2, false},
      {AT(pending), -1, true},
      {AT(pending), 0, true},
      {AT(pending), VOCAB - 1, true},
      {AT(pending), VOCAB, false},
      {AT(recent_count), -1, false},
      {AT(recent_count), 0, true},
      {AT(recent_count), REPEAT_SPAN, true},
      {AT(recent_count), REPEAT_SPAN + 1, false},
      {AT(recent), -1, false},
      {AT(recent), 0, true},
      {AT(recent), VOCAB - 1, true},
      {AT(recent), VOCAB, false},
      {AT(recent) + 8, VOCAB, false},
      {AT(recent) + 12, VOCAB, true},  // past those there are
      {AT(grammar_state), -1, false},
      {AT(grammar_state), 0, true},
      {AT(grammar_state), 1, false},
      {AT(grammar_state), -1, false, true},
      {AT(grammar_state), 2, true, true},
      {AT(grammar_state), 3, false, true},
  };
  for (const auto& one : cases) {
    OpenEngine& engine = one.of_grammar ? grammar : open;
    Session& session = engine.engine.sessions[0];
    session.restart();
    engine.run(0, {1, 2, 3});
    StateImage image(engine.engine);
    image.set(one.at, one.value);
    image.repair();
    session.position = 77;
    const std::string what = std::to_string(one.at) + " " + std::to_string(one.value) + " ";
    CHECK_EQ(what + restored(engine, image), what + (one.sane ? "" : nonsense));
    CHECK_EQ(session.position == 77, !one.sane);  // what is refused touches nothing
  }
}

TEST(identities_that_differ_under_a_checksum_that_fits) {
  OpenEngine open(plain(), model_file()), windowed(
                                              [] {
                                                EngineOptions options = plain();
                                                options.window = 8;
                                                return options;
                                              }(),
                                              model_file());
  open.run(0, {1, 2, 3});
  windowed.run(0, {1, 2, 3});
  auto with = [](OpenEngine& engine, auto change) {
    StateImage image(engine.engine);
    change(image);
    image.repair();
    return restored(engine, image);
  };
  auto i32_at = [&](size_t at, i32 value) { return with(open, [&](StateImage& image) { image.set(at, value); }); };
  const std::string older = "state: it was saved by an older version, which did not note every option; make it anew",
                    another =
                        "state: it was saved by another version, where the states of recurrent models lie otherwise; "
                        "make it anew";
  CHECK_EQ(i32_at(AT(magic), 0x31535345), older);
  CHECK_EQ(i32_at(AT(magic), 0x33535345), "state: not a saved state (it begins with 45535333)");
  CHECK_EQ(i32_at(AT(model), 1), "state: it was saved from another model");
  CHECK_EQ(i32_at(AT(model) + 4, 1), "state: it was saved from another model");
  CHECK_EQ(i32_at(AT(recurrent), 1), another);
  CHECK_EQ(i32_at(AT(f32_activations), 1), "state: it was saved with --activations f32, and this is --activations int8");
  CHECK_EQ(i32_at(AT(f32_activations), 2), "state: it was saved with --activations f32, and this is --activations int8");
  CHECK_EQ(i32_at(AT(kv), 1), "state: it was saved with --kv f16, and this is --kv i8");
  CHECK_EQ(i32_at(AT(kv), 2), "state: it was saved with --kv f32, and this is --kv i8");
  CHECK_EQ(i32_at(AT(kv), 3), "state: it was saved with --kv unknown, and this is --kv i8");
  CHECK_EQ(i32_at(AT(kv), -1), "state: it was saved with --kv unknown, and this is --kv i8");
  CHECK_EQ(i32_at(AT(window), 8), "state: it was saved with a --window of 8, and this has one of 0 (0: none)");
  CHECK_EQ(i32_at(AT(context), 48), "");  // for words alone
  CHECK_EQ(i32_at(AT(reserved), 1), "");
  const std::string bytes = std::to_string(open.engine.model.state_bytes);
  auto fewer = [](StateImage& image) { image.set(AT(state_bytes), image.get<u64>(AT(state_bytes)) - 64); };
  CHECK_EQ(with(open, fewer),
           "state: it has " + std::to_string(open.engine.model.state_bytes - 64) + " bytes, expected " + bytes);
  CHECK_EQ(with(open,
                [&](StateImage& image) {
                  fewer(image);
                  image.set(AT(context), 95);
                }),
           "state: it was saved with --ctx 95, and this is --ctx 96");
  CHECK_EQ(with(windowed,
                [&](StateImage& image) {
                  fewer(image);
                  image.set(AT(context), 95);
                }),
           "state: it was saved with another chunk: it has " + std::to_string(windowed.engine.model.state_bytes - 64) +
               " bytes, expected " + std::to_string(windowed.engine.model.state_bytes));
}

TEST(images_that_are_cut_or_damaged) {
  OpenEngine open(plain(), model_file());
  open.run(0, {1, 2, 3});
  const StateImage whole(open.engine);
  auto with_size = [&](size_t size) {
    StateImage image = whole;
    image.bytes.resize(size);
    return restored(open, image);
  };
  const size_t size = whole.bytes.size();
  CHECK_EQ(with_size(0), "state: 0 bytes are less than a header");
  CHECK_EQ(with_size(511), "state: 511 bytes are less than a header");
  CHECK_EQ(with_size(512), "state: 512 bytes, expected " + std::to_string(size));
  CHECK_EQ(with_size(size - 1), "state: " + std::to_string(size - 1) + " bytes, expected " + std::to_string(size));
  CHECK_EQ(with_size(size), "");
  CHECK_EQ(with_size(size + 100), "");  // what is behind it is not its own
  for (u64 said : {u64{0}, ~u64{0}, whole.checksum() ^ 1}) {
    StateImage image = whole;
    image.set(AT(checksum), said);
    CHECK_EQ(restored(open, image), "state: damaged, its checksum is " + hex(whole.checksum()) + ", it says " + hex(said));
  }
  for (size_t at : {AT(position), AT(reserved) + sizeof(StateHeader::reserved) - 1, size_t{512}, size - 1}) {
    StateImage image = whole;
    image.bytes[at] ^= 1;
    CHECK_EQ(restored(open, image),
             "state: damaged, its checksum is " + hex(image.checksum()) + ", it says " + hex(whole.checksum()));
  }
}

// Each option alone: what it says to a state of an engine without it and to the other way round, or the same bits.
TEST(options_that_bind_a_state_and_those_that_do_not) {
  const std::string path = model_file(), other = model_file(false, 2);
  struct Option {
    void (*set)(EngineOptions&);
    const char *of_plain, *to_plain;  // empty: the state is taken
    bool windowed = false;            // both engines have a window
  };
  const Option all[] = {
      {[](EngineOptions& o) { o.window = 8; }, "it was saved with a --window of 0, and this has one of 8 (0: none)",
       "it was saved with a --window of 8, and this has one of 0 (0: none)"},
      {[](EngineOptions& o) { o.kv = KvFormat::F16; }, "it was saved with --kv i8, and this is --kv f16",
       "it was saved with --kv f16, and this is --kv i8"},
      {[](EngineOptions& o) { o.kv = KvFormat::F32; }, "it was saved with --kv i8, and this is --kv f32",
       "it was saved with --kv f32, and this is --kv i8"},
      {[](EngineOptions& o) { o.f32_activations = true; },
       "it was saved with --activations int8, and this is --activations f32",
       "it was saved with --activations f32, and this is --activations int8"},
      {[](EngineOptions& o) { o.context = 48; }, "it was saved with --ctx 96, and this is --ctx 48",
       "it was saved with --ctx 48, and this is --ctx 96"},
      {[](EngineOptions& o) { o.context = 90; }, "", ""},  // as many slots
      {[](EngineOptions& o) { o.threads = 3; }, "", ""},
      {[](EngineOptions& o) { o.isa = "ref"; }, "", ""},
      {[](EngineOptions& o) { o.sessions = 3; }, "", ""},
      {[](EngineOptions& o) { o.tokens = 5; }, "", ""},
      {[](EngineOptions& o) { o.logits = 4; }, "", ""},
      {[](EngineOptions& o) { o.check = true; }, "", ""},
      {[](EngineOptions& o) { o.half_rope = true; }, "", ""},  // of version 1 files
      {[](EngineOptions& o) { o.default_context = 96; }, "", ""},
      {[](EngineOptions& o) { o.window = 9; }, "it was saved with a --window of 8, and this has one of 9 (0: none)",
       "it was saved with a --window of 9, and this has one of 8 (0: none)", true},
      {[](EngineOptions& o) { o.context = 48; }, "", "", true},
  };
  auto refusal = [&](const EngineOptions& saved, const EngineOptions& here) -> std::string {
    OpenEngine from(saved, path), to(here, path);
    from.run(0, {1, 2, 3});
    const std::string text = restored(to, StateImage(from.engine));
    if (!text.empty()) return text.substr(7);
    from.run(0, {4});
    to.run(0, {4});
    CHECK_EQ(logits_hash(to.engine, 0), logits_hash(from.engine, 0));
    return text;
  };
  for (const Option& one : all) {
    EngineOptions without = plain(), with = plain();
    if (one.windowed) without.window = with.window = 8;
    one.set(with);
    CHECK_EQ(refusal(without, with), one.of_plain);
    CHECK_EQ(refusal(with, without), one.to_plain);
  }
  OpenEngine here(plain(), path), there(plain(), other);
  here.run(0, {1});
  CHECK_EQ(restored(there, StateImage(here.engine)), "state: it was saved from another model");
}

// Another chunk makes room for more positions of a window.
TEST(a_window_is_bound_to_its_chunk) {
  EngineOptions narrow = plain(), wide = plain();
  narrow.window = wide.window = 8;
  wide.tokens = 64;
  OpenEngine from(narrow, model_file()), to(wide, model_file());
  from.run(0, {1, 2, 3});
  CHECK_EQ(restored(to, StateImage(from.engine)), "state: it was saved with another chunk: it has " +
                                                      std::to_string(from.engine.model.state_bytes) + " bytes, expected " +
                                                      std::to_string(to.engine.model.state_bytes));
}

// Models that keep no positions have no cache: what is said of one changes nothing.
TEST(a_recurrent_state_is_bound_to_less) {
  const std::string path = "tests/golden/state/mamba2.tm2";
  for (i32 option = 0; option < 4; option++) {
    EngineOptions options = plain();
    if (option == 0) options.kv = KvFormat::F32;
    if (option == 1) options.window = 8;
    if (option == 2) options.context = 48;
    if (option == 3) options.f32_activations = true;
    OpenEngine from(options, path), to(plain(), path);
    from.run(0, {1, 2, 3});
    const StateImage image(from.engine);
    CHECK_EQ(image.get<i32>(AT(recurrent)), 1);
    CHECK_EQ(image.get<i32>(AT(kv)), 0);
    CHECK_EQ(image.get<i32>(AT(window)), 0);
    CHECK_EQ(restored(to, image),
             option == 3 ? "state: it was saved with --activations f32, and this is --activations int8" : "");
  }
}

// Its checksums are the model: of the tables, and of the data.
TEST(either_checksum_makes_another_model) {
  const std::string path = model_file(), changed = temporary_path("changed.tm2");
  OpenEngine from(plain(), path);
  from.run(0, {1});
  std::string bytes = read_file(path);
  bytes[60] = static_cast<char>(bytes[60] ^ 1);  // that of the data, which is not looked at here
  write_file(changed, bytes);
  OpenEngine to(plain(), changed);
  CHECK_EQ(restored(to, StateImage(from.engine)), "state: it was saved from another model");
  ModelRecipe renamed;
  renamed.more = {{"name", std::string("another")}};
  write_model(renamed, changed);
  OpenEngine named(plain(), changed);
  CHECK_EQ(restored(named, StateImage(from.engine)), "state: it was saved from another model");
}
