// Saved states: whose they are, that a file never loses the newest whole one, and what a signal leaves of a prompt.
#include "engine/state.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "child.h"
#include "engine/conversation.h"
#include "engine/generate.h"
#include "files.h"
#include "make_model.h"
#include "open_engine.h"
#include "platform/clock.h"
#include "platform/signals.h"

using namespace edgellm;

namespace {

EngineOptions small(i32 window = 0) {
  EngineOptions options;
  options.window = window;
  options.threads = 1;
  options.tokens = 16;
  return options;
}

std::string model_file(const std::string& name, ModelRecipe recipe = {}, u64 seed = 1) {
  std::string path = temporary_path(name);
  write_model(recipe, path, seed);
  return path;
}

struct Image {
  std::vector<u64> memory;
  explicit Image(const Engine& engine) : memory(static_cast<size_t>(state_image_bytes(engine) / 8)) {}
  u8* bytes() { return reinterpret_cast<u8*>(memory.data()); }
  Span<const u8> all() { return {bytes(), static_cast<i64>(memory.size() * 8)}; }
};

// What restoring a state of `saved` says in an engine of `here`.
std::string refusal(EngineOptions saved, const std::string& saved_path, EngineOptions here, const std::string& here_path) {
  OpenEngine from(saved, saved_path), to(here, here_path);
  from.run(0, {1, 2, 3});
  Image image(from.engine);
  save_state(from.engine, from.engine.sessions[0], 1, image.bytes());
  return restore_state(to.engine, image.all(), &to.engine.sessions[0]).text();
}

TEST(a_state_is_bound_to_all_that_changes_its_bits) {
  std::string path = model_file("identity.tm2"), other = model_file("other.tm2", {}, 2);
  EngineOptions plain = small(), f32 = small(), f16 = small(), window = small(32), wide = small(), fewer = small();
  f32.f32_activations = true;
  f16.kv = KvFormat::F16;
  wide.context = 48;
  fewer.threads = 2;
  fewer.isa = "ref";
  fewer.sessions = 3;
  CHECK_EQ(refusal(plain, path, fewer, path), std::string());
  CHECK_EQ(refusal(plain, path, plain, other), std::string("state: it was saved from another model"));
  CHECK_EQ(refusal(f32, path, plain, path),
           std::string("state: it was saved with --activations f32, and this is --activations int8"));
  CHECK_EQ(refusal(plain, path, f32, path),
           std::string("state: it was saved with --activations int8, and this is --activations f32"));
  CHECK_EQ(refusal(f16, path, plain, path), std::string("state: it was saved with --kv f16, and this is --kv i8"));
  CHECK_EQ(refusal(window, path, plain, path),
           std::string("state: it was saved with a --window of 32, and this has one of 0 (0: none)"));
  CHECK_EQ(refusal(wide, path, plain, path), std::string("state: it was saved with --ctx 48, and this is --ctx 96"));
}

TEST(a_damaged_or_foreign_state_is_refused) {
  const std::string path = model_file("state.tm2"), other = model_file("other.tm2", {}, 2);
  EngineOptions f16 = small();
  f16.kv = KvFormat::F16;
  OpenEngine a(small(), path), b(small(), other), c(f16, path);
  a.run(0, {1, 2, 3});
  Image image(a.engine);
  u8* bytes = image.bytes();
  const i64 size = image.all().count;
  Session& session = a.engine.sessions[0];
  save_state(a.engine, session, 1, bytes);
  CHECK(restore_state(a.engine, image.all(), &session).ok());
  CHECK(!restore_state(b.engine, image.all(), &b.engine.sessions[0]).ok());
  CHECK(!restore_state(c.engine, image.all(), &c.engine.sessions[0]).ok());
  for (i64 cut : {i64{0}, i64{100}, i64{512}, size - 1})
    CHECK(!restore_state(a.engine, {bytes, cut}, &session).ok());
  for (i64 at = 0; at < size; at += at < 512 ? 1 : 97) {
    bytes[at] = static_cast<u8>(~bytes[at]);
    CHECK(!restore_state(a.engine, image.all(), &session).ok());
    bytes[at] = static_cast<u8>(~bytes[at]);
  }
  CHECK_EQ(session.position, 3);  // refused states touched nothing
}

TEST(an_older_state_is_refused_with_words) {
  OpenEngine open(small(), model_file("old.tm2"));
  open.run(0, {1});
  Image image(open.engine);
  save_state(open.engine, open.engine.sessions[0], 1, image.bytes());
  image.bytes()[3] = '1';
  CHECK(contains(restore_state(open.engine, image.all(), &open.engine.sessions[0]).text(), "saved by an older version"));
}

// What is in tests/golden/state/ is never made anew: states after 20 ids, and the models that they are of. A layout that moves needs
// another RECURRENT_LAYOUT or STATE_MAGIC, or it would take these for its own.
TEST(states_that_were_written_before_are_read_or_refused) {
  struct Written {
    const char *model, *state;
    i32 window;
    KvFormat kv;
    u64 hash;  // of the logits after the timeline
    bool moved = false;
  };
  const Written all[] = {{"transformer", "transformer", 0, KvFormat::I8, 0x59cb157689e3ebf4},
                         {"transformer", "transformer_window", 8, KvFormat::F16, 0x2394792ce2050de9},
                         {"rwkv7", "rwkv7_1", 0, KvFormat::I8, 0x53e4050d75a868da},
                         {"rwkv4", "rwkv4_1", 0, KvFormat::I8, 0x7e12e3d298cafc14},
                         {"mamba", "mamba_1", 0, KvFormat::I8, 0x5235f12319d3f995},
                         {"mamba2", "mamba2_1", 0, KvFormat::I8, 0xcd2c97513a800d16},
                         {"retnet", "retnet_1", 0, KvFormat::I8, 0x15e074a6608bc7fb},
                         {"rwkv7", "rwkv7", 0, KvFormat::I8, 0x53e4050d75a868da, true},
                         {"rwkv4", "rwkv4", 0, KvFormat::I8, 0x7e12e3d298cafc14, true},
                         {"mamba", "mamba", 0, KvFormat::I8, 0x5235f12319d3f995, true},
                         {"mamba2", "mamba2", 0, KvFormat::I8, 0xcd2c97513a800d16, true},
                         {"retnet", "retnet", 0, KvFormat::I8, 0x15e074a6608bc7fb, true}};
  constexpr i32 SAVED = 20, TOKENS = 45;
  const std::string folder = "tests/golden/state/";
  for (const Written& one : all) {
    EngineOptions options = small(one.window);
    options.kv = one.kv;
    OpenEngine open(options, folder + one.model + ".tm2");
    const std::vector<i32> ids = timeline(TOKENS, open.engine.model.vocab);
    CHECK_EQ(open.run_anew(ids, TOKENS), one.hash);
    Image image(open.engine);
    Session& session = open.engine.sessions[0];
    const std::string path = folder + one.state + ".state";
    Status status = load_state_file(open.engine, path.c_str(), image.bytes(), &session);
    if (one.moved) {
      CHECK(contains(status.text(), "another version, where the states of recurrent models lie otherwise"));
      continue;
    }
    CHECK_EQ(std::string(status.text()), "");
    CHECK_EQ(session.position, SAVED);
    open.run(0, {ids.begin() + SAVED, ids.end()});
    CHECK_EQ(logits_hash(open.engine, 0), one.hash);
  }
}

// --- Files --------------------------------------------------------------------------------------------------------------

// Runs one id and saves, `saves` times; the session then is at that position.
Status save_times(OpenEngine& open, StateFile& file, u8* buffer, i32 saves) {
  for (i32 i = 0; i < saves; i++) {
    open.run(0, {i});
    EDGELLM_TRY(save_state_file(open.engine, open.engine.sessions[0], buffer, file));
  }
  return {};
}

// The position that a state file holds, -1: it holds none.
i32 saved_position(const std::string& model, const std::string& path, std::string* error = nullptr) {
  OpenEngine open(small(), model);
  Image image(open.engine);
  Status status = load_state_file(open.engine, path.c_str(), image.bytes(), &open.engine.sessions[0]);
  if (error) *error = status.text();
  return status.ok() ? open.engine.sessions[0].position : -1;
}

void flip(const std::string& path, i64 at) {
  std::FILE* file = std::fopen(path.c_str(), "r+b");
  std::fseek(file, static_cast<long>(at), SEEK_SET);
  int byte = std::fgetc(file);
  std::fseek(file, static_cast<long>(at), SEEK_SET);
  std::fputc(byte ^ 1, file);
  std::fclose(file);
}

// Two slots: a save that was cut short leaves the one before it, and the next save does not go there.
TEST(a_damaged_slot_is_the_one_that_is_written) {
  std::string model = model_file("slots.tm2"), path = temporary_path("slots.state");
  OpenEngine open(small(), model);
  Image image(open.engine);
  StateFile file;
  CHECK(open_state_file(open.engine, path.c_str(), image.bytes(), &file).ok());
  std::string error;
  CHECK_EQ(saved_position(model, path, &error), -1);
  CHECK(contains(error, "no state was saved in it yet"));
  CHECK(save_times(open, file, image.bytes(), 3).ok());
  CHECK_EQ(saved_position(model, path), 3);
  i64 bytes = state_image_bytes(open.engine);
  CHECK_EQ(static_cast<i64>(read_array<u8>(path).size()), 2 * bytes);
  flip(path, bytes + 600);  // of the third save, which went to the second slot
  CHECK_EQ(saved_position(model, path), 2);

  close(file.fd);
  std::vector<u8> before = read_array<u8>(path);
  StateFile again;
  CHECK(open_state_file(open.engine, path.c_str(), image.bytes(), &again).ok());
  CHECK_EQ(again.next_slot, 1);
  CHECK(save_times(open, again, image.bytes(), 1).ok());
  std::vector<u8> after = read_array<u8>(path);
  CHECK(std::equal(before.begin(), before.begin() + bytes, after.begin()));
  CHECK_EQ(saved_position(model, path), 4);
}

// Killed at any moment, the file holds the last save that was reported, or the one after it.
TEST(a_save_that_is_killed_loses_nothing) {
  std::string model = model_file("killed.tm2"), path = temporary_path("killed.state");
  const EngineOptions endless = small(512);
  i32 reported = 0;
  for (i32 round = 0; round < 12; round++) {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    std::fflush(nullptr);
    pid_t pid = fork();
    if (pid == 0) {
      OpenEngine open(endless, model);
      Image image(open.engine);
      Session& session = open.engine.sessions[0];
      StateFile file;
      if (round > 0 && !load_state_file(open.engine, path.c_str(), image.bytes(), &session).ok()) _exit(2);
      if (!open_state_file(open.engine, path.c_str(), image.bytes(), &file).ok()) _exit(3);
      while (save_times(open, file, image.bytes(), 1).ok()) {
        if (write(ends[1], &session.position, sizeof session.position) != sizeof session.position) _exit(4);
      }
      _exit(5);
    }
    close(ends[1]);
    i32 position = -1;
    for (i32 saves = 0; saves < 3 && read(ends[0], &position, sizeof position) == sizeof position; saves++)
      reported = position;
    usleep(static_cast<useconds_t>(997 * round));
    kill(pid, SIGKILL);
    while (read(ends[0], &position, sizeof position) == sizeof position)
      reported = position;
    close(ends[0]);
    int status = 0;
    waitpid(pid, &status, 0);
    CHECK(WIFSIGNALED(status));
    OpenEngine open(endless, model);
    Image image(open.engine);
    CHECK(load_state_file(open.engine, path.c_str(), image.bytes(), &open.engine.sessions[0]).ok());
    i32 found = open.engine.sessions[0].position;
    CHECK(found == reported || found == reported + 1);
    reported = found;
  }
  CHECK(reported >= 36);
}

// A medium without space: an error with a reason, and the save before it.
TEST(a_write_that_fails_loses_nothing) {
  std::string model = model_file("full.tm2"), path = temporary_path("full.state");
  OpenEngine open(small(), model);
  Image image(open.engine);
  i64 bytes = state_image_bytes(open.engine);
  {
    StateFile file;
    CHECK(open_state_file(open.engine, path.c_str(), image.bytes(), &file).ok());
    CHECK(save_times(open, file, image.bytes(), 2).ok());  // the newest is in the first slot
    close(file.fd);
  }
  check::Child child = check::in_child([&] {
    signal(SIGXFSZ, SIG_IGN);
    StateFile file;
    if (!open_state_file(open.engine, path.c_str(), image.bytes(), &file).ok()) return 2;
    rlimit limit = {static_cast<rlim_t>(bytes + 5000), static_cast<rlim_t>(bytes + 5000)};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 3;
    Status status = save_times(open, file, image.bytes(), 1);
    std::printf("%s\n", status.text());
    std::fflush(stdout);
    return status.ok() ? 4 : 0;
  });
  if (child.exit_code == 4) SKIP("the size of files is not limited here");
  CHECK_EQ(child.exit_code, 0);
  CHECK(contains(child.output, "--state-save " + path + ": File too large; the state saved before is still there"));
  CHECK_EQ(saved_position(model, path), 2);
}

// Only a state of the same engine is ever written over.
TEST(another_file_is_no_state_file) {
  std::string model = model_file("mine.tm2"), wider = model_file("wider.tm2", {.layers = 3});
  OpenEngine open(small(), model);
  Image image(open.engine);
  auto refused = [&](const std::string& path, const std::string& why) {
    std::vector<u8> before = read_array<u8>(path);
    StateFile file;
    Status status = open_state_file(open.engine, path.c_str(), image.bytes(), &file);
    CHECK(!status.ok());
    CHECK(contains(status.text(), "--state-save " + path + ": ") && contains(status.text(), why));
    CHECK(read_array<u8>(path) == before);
  };
  auto write_file = [](const char* name, const std::string& bytes) {
    std::string path = temporary_path(name);
    std::FILE* file = std::fopen(path.c_str(), "wb");
    std::fwrite(bytes.data(), 1, bytes.size(), file);
    std::fclose(file);
    return path;
  };
  refused(write_file("notes", "my notes\n"), "9 bytes are less than a header");
  refused(write_file("long", std::string(5000, 'x')), "not a saved state");
  refused(write_file("zeros", std::string(5000, '\0')), "not a saved state");

  std::string path = temporary_path("foreign.state");
  {
    OpenEngine foreign(small(), wider);
    Image theirs(foreign.engine);
    StateFile file;
    CHECK(open_state_file(foreign.engine, path.c_str(), theirs.bytes(), &file).ok());
    refused(path, "another process has it open for writing");
    close(file.fd);
    refused(path, "saved from another model");  // before the first save, too
    CHECK(open_state_file(foreign.engine, path.c_str(), theirs.bytes(), &file).ok());
    CHECK(save_times(foreign, file, theirs.bytes(), 2).ok());
    close(file.fd);
  }
  refused(path, "saved from another model");
  CHECK_EQ(saved_position(wider, path), 2);

  // What a power cut in the first moments leaves is a new file.
  StateFile file;
  CHECK(open_state_file(open.engine, write_file("begun", std::string(300, '\0')).c_str(), image.bytes(), &file).ok());
}

// --- Signals ------------------------------------------------------------------------------------------------------------

void interrupt_after(i32 milliseconds) {
  struct sigaction action = {};
  action.sa_handler = [](int) { set_interrupted(true); };
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  itimerval timer = {{0, 0}, {0, milliseconds * 1000}};
  setitimer(ITIMER_REAL, &timer, nullptr);
}

// However far the prompt came, the session is as after so many ids.
TEST(an_interrupted_prompt_is_a_shorter_prompt) {
  std::string path = model_file("long.tm2", {.layers = 12, .dim = 96, .ffn_dim = 384, .heads = 8});
  const EngineOptions options = small(64);
  OpenEngine stopped(options, path), straight(options, path);
  std::vector<i32> ids(20000000);
  for (size_t i = 0; i < ids.size(); i++)
    ids[i] = static_cast<i32>((i * i * 31 + 7) % 67);
  Session& session = stopped.engine.sessions[0];
  Step step = {&session, {ids.data(), static_cast<i64>(ids.size())}, Wanted::last};
  interrupt_after(100);
  Status status = forward(stopped.engine, {&step, 1});
  CHECK(status.interrupted());
  CHECK_EQ(std::string(status.text()), std::string());
  // Once it is there, nothing more is run.
  i32 position = session.position;
  CHECK(forward(stopped.engine, {&step, 1}).code() == Code::interrupted);
  CHECK_EQ(session.position, position);
  set_interrupted(false);
  CHECK(position < static_cast<i32>(ids.size()));

  if (position > 0) straight.run(0, {ids.begin(), ids.begin() + position}, Wanted::nothing);
  Image a(stopped.engine), b(straight.engine);
  save_state(stopped.engine, session, 1, a.bytes());
  save_state(straight.engine, straight.engine.sessions[0], 1, b.bytes());
  CHECK(a.memory == b.memory);
}

TEST(reading_a_whole_file_ends_with_a_signal) {
  OpenEngine open(small(), model_file("check.tm2"));
  set_interrupted(true);
  CHECK(open.engine.file.check_data().code() == Code::interrupted);
  set_interrupted(false);
  CHECK(open.engine.file.check_data().ok());
}

TEST(a_signal_before_the_first_id_is_an_ending) {
  OpenEngine open(small(), model_file("generate.tm2"));
  Session& session = open.engine.sessions[0];
  const i32 prompt[] = {1, 2, 3};
  GenerateOptions options;
  Generated made;
  auto sink = [](void*, Text) { return true; };
  set_interrupted(true);
  Status status = generate(open.engine, session, {prompt, 3}, options, sink, nullptr, &made);
  set_interrupted(false);
  CHECK(status.ok());
  CHECK(made.ending == Ending::interrupted);
  CHECK_EQ(made.count, 0);
  CHECK_EQ(session.position, 0);
  // And with an id that waits: it still does.
  options.count = 1;
  CHECK(generate(open.engine, session, {prompt, 3}, options, sink, nullptr, &made).ok());
  i32 pending = session.pending;
  CHECK(pending >= 0);
  set_interrupted(true);
  CHECK(generate(open.engine, session, {}, options, sink, nullptr, &made).ok());
  CHECK(generate(open.engine, session, {prompt, 3}, options, sink, nullptr, &made).ok());
  set_interrupted(false);
  CHECK_EQ(session.pending, pending);
  CHECK_EQ(session.position, 3);
}

}  // namespace
