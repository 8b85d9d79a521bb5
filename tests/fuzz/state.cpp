// A saved state with other numbers in its header and other bytes behind it, under a checksum that fits: what is taken is gone on
// from, what is refused has touched nothing. The first byte chooses a model and whether the state lies in a file, in the newer of
// its two slots. Then come a word of the header and its value, five bytes, again and again up to a 255, and then the state.
#include "engine/state.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "base/checksum.h"
#include "input.h"
#include "make_model.h"

using namespace edgellm;

namespace {

constexpr i32 POSITION = 3;  // where a session stands that a state is restored to

void check(bool holds) {
  if (!holds) abort();
}

ModelRecipe recipe(bool recurrent) {
  ModelRecipe recipe;
  recipe.blocks = recurrent ? "retention ffn | mamba ffn" : "attention ffn";
  recipe.dim = 16, recipe.ffn_dim = 32, recipe.head_dim = 4, recipe.inner = 32, recipe.value_dim = 32, recipe.states = 4;
  recipe.vocab = 20, recipe.context = 8;
  recipe.grammar = {3, 2, 3, 5, 3, 1, 16, 1, 7, 2, 2, 0, 9, 2};
  return recipe;
}

// An engine, and the image of a state of its first session.
struct Opened {
  Engine engine;
  std::vector<u64> image;

  explicit Opened(bool recurrent) {
    const std::string path = temporary_path(recurrent ? "recurrent.srnn" : "attention.tm2");
    write_model(recipe(recurrent), path);
    EngineOptions options;
    check(map_file(path.c_str(), {}, &options.file).ok());
    options.threads = 1;
    options.tokens = 4;
    check(open_engine(options, &engine).ok());
    run({1, 2, 3});
    image.resize(static_cast<size_t>(state_image_bytes(engine)) / 8);
    save_state(engine, engine.sessions[0], 1, bytes());
  }

  u8* bytes() { return reinterpret_cast<u8*>(image.data()); }
  i64 size() { return static_cast<i64>(image.size() * 8); }

  bool run(const std::vector<i32>& ids) {
    const Step step = {&engine.sessions[0], {ids.data(), static_cast<i64>(ids.size())}, Wanted::last};
    return forward(engine, {&step, 1}).ok();
  }
};

Opened& opened(bool recurrent) {
  static Opened attention(false), other(true);
  return recurrent ? other : attention;
}

void damage(Input& input, u8* bytes, i64 size) {
  StateHeader header;
  while (input.left()) {
    const u8 word = input.take<u8>();
    if (word == 255) break;
    const u32 value = input.take<u32>();
    memcpy(bytes + word % (sizeof header / 4) * 4, &value, sizeof value);
  }
  const std::string state = input.text(static_cast<size_t>(size) - sizeof header);
  memcpy(bytes + sizeof header, state.data(), state.size());
  memcpy(&header, bytes, sizeof header);
  header.checksum = 0;
  memcpy(bytes, &header, sizeof header);
  header.checksum = checksum(bytes, size);
  memcpy(bytes, &header, sizeof header);
}

void go_on(Opened& from) {
  const Engine& engine = from.engine;
  const Session& session = engine.sessions[0];
  check(session.position >= 0 && session.pending >= -1 && session.pending < engine.model.vocab);
  check(session.recent_count >= 0 && session.recent_count <= 2 * REPEAT_SPAN);
  check(session.grammar_state >= 0 && session.grammar_state < engine.grammar.states());
  i32 id = -1;
  if (!from.run({max(session.pending, 0), 1})) return;
  if (!draw_id(from.engine, from.engine.sessions[0], 0, {.temperature = 1, .repeat_penalty = 2}, &id).ok()) return;
  check(engine.grammar.after(Grammar::START, id) >= 0);
}

// The slot before it is whole, so there is always a state to go on from, and its place is never the next to be written.
void use_file(Opened& from, const std::vector<u64>& damaged) {
  static const i32 fd = memfd_create("state", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const i64 bytes = from.size();
  std::vector<u64> buffer(damaged.size());
  u8* space = reinterpret_cast<u8*>(buffer.data());
  check(ftruncate(fd, 0) == 0 && pwrite(fd, from.bytes(), static_cast<size_t>(bytes), 0) == bytes);
  check(pwrite(fd, damaged.data(), static_cast<size_t>(bytes), bytes) == bytes);
  Session& session = from.engine.sessions[0];
  check(load_state_file(from.engine, path.c_str(), space, &session).ok());
  go_on(from);
  StateFile file;
  check(open_state_file(from.engine, path.c_str(), space, &file).ok());
  check(save_state_file(from.engine, session, space, file).ok());
  close(file.fd);
  const i32 position = session.position;
  session.restart();
  // A sequence that cannot grow would hide what was saved last.
  const bool grew = file.sequence > 0;
  check(load_state_file(from.engine, path.c_str(), space, &session).ok());
  check(!grew || session.position == position);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const u8 how = input.take<u8>();
  Opened& from = opened(how & 1);
  std::vector<u64> image = from.image;
  damage(input, reinterpret_cast<u8*>(image.data()), from.size());
  Session& session = from.engine.sessions[0];
  session.restart();
  session.position = POSITION;
  if (how & 2) {
    use_file(from, image);
  } else if (restore_state(from.engine, {reinterpret_cast<u8*>(image.data()), from.size()}, &session).ok()) {
    go_on(from);
  } else {
    check(session.position == POSITION && session.recent_count == 0 && session.pending == -1);
  }
  return 0;
}
