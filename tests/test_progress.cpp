// The line of progress: when it is drawn and what is in it, under a clock that a test holds; what the stages count; and the
// program at a terminal.
#include "cli/progress.h"

#include <algorithm>
#include <cstdlib>

#include "check.h"
#include "engine/generate.h"
#include "files.h"
#include "make_model.h"
#include "open_engine.h"
#include "platform/clock.h"
#include "platform/console.h"
#include "platform/stage.h"
#if defined(__linux__)
#include "terminal.h"
#endif

namespace edgellm {

static i64 held_ms;
static i64 held_clock() {
  return held_ms * 1000000;
}

static i32 held_columns;
static i32 columns_of(i32 fd) {
  CHECK_EQ(fd, STDERR);
  return held_columns;
}

static std::string written;
static bool held_write(i32 fd, Text text) {
  CHECK_EQ(fd, STDERR);
  written.append(text.data, static_cast<size_t>(text.size));
  return true;
}

}  // namespace edgellm

#define now_ns held_clock
#define terminal_columns columns_of
#define write_all held_write
#include "../src/cli/progress.cpp"
#undef now_ns
#undef terminal_columns
#undef write_all

using namespace edgellm;

namespace {

// What is written when the clock stands at `ms` and so many more are done.
std::string at(i64 ms, i64 more, Unit unit = Unit::tokens) {
  written.clear();
  held_ms = ms;
  advance_stage(more, unit);
  return written;
}

std::string end_at(i64 ms) {
  written.clear();
  held_ms = ms;
  end_stage();
  return written;
}

void begin_at(i64 ms, const char* doing, i64 all, Unit unit = Unit::tokens) {
  held_ms = ms;
  begin_stage(doing, all, unit);
}

// All stages that are told, as "doing done/all unit", and their ends as ".".
std::vector<std::string> told;
void tell(const Stage& stage) {
  if (!stage.doing) {
    told.push_back(".");
    return;
  }
  told.push_back(stage.doing + (" " + std::to_string(stage.done)) + "/" + std::to_string(stage.all));
}

}  // namespace

TEST(the_line) {
  held_columns = 80;
  show_progress();
  written.clear();
  begin_at(1000, "counting", 5000);
  CHECK_EQ(written, "");
  CHECK_EQ(at(1499, 10), "");
  CHECK_EQ(at(1500, 20), "\rcounting  30 of 5000 tokens");
  CHECK_EQ(at(1599, 1000), "");
  CHECK_EQ(at(1600, 2000), "\rcounting  3030 of 5000 tokens");
  CHECK_EQ(at(1700, 1, Unit::bytes) + at(1700, 0) + at(1700, 9, Unit::model_tokens), "");  // other counts, and nothing
  CHECK_EQ(at(9000, 1970), "\rcounting  5000 of 5000 tokens");
  CHECK_EQ(end_at(9001), "\r" + std::string(29, ' ') + "\r");
  CHECK_EQ(end_at(9002) + at(20000, 1), "");  // nothing after the end

  // A stage after another begins anew, and takes its line away. A shorter line leaves nothing of a longer one.
  begin_at(20000, "counting", 5000);
  CHECK_EQ(at(20500, 1000), "\rcounting  1000 of 5000 tokens");
  written.clear();
  begin_at(20700, "reading", 1999999, Unit::bytes);
  CHECK_EQ(written, "\r" + std::string(29, ' ') + "\r");
  CHECK_EQ(at(21199, 1, Unit::bytes), "");
  CHECK_EQ(at(21200, 1000000, Unit::bytes), "\rreading  1 of 2 MB");
  CHECK_EQ(end_at(21200), "\r" + std::string(18, ' ') + "\r");

  // What takes less than half a second is never said.
  begin_at(30000, "hurrying", 100);
  CHECK_EQ(at(30499, 100) + end_at(30600), "");
}

TEST(a_narrow_terminal_and_none) {
  held_columns = 12;
  show_progress();
  begin_at(0, "counting", 5000);
  CHECK_EQ(at(500, 1), "\rcounting  1");  // a last column that is written to may begin a new line
  CHECK_EQ(end_at(501), "\r" + std::string(11, ' ') + "\r");
  watch_stages(nullptr);
  held_columns = 0;
  show_progress();
  begin_at(1000, "counting", 5000);
  CHECK_EQ(at(9000, 1) + end_at(9001), "");
}

TEST(a_prompt) {
  const std::string path = temporary_path("progress.tm2");
  write_model({}, path);
  EngineOptions options;
  options.threads = 1, options.tokens = 4;
  OpenEngine open(options, path);
  const std::vector<i32> ids = timeline(10, open.engine.model.vocab);
  GenerateOptions generating;
  generating.count = 3;
  generating.sampling.temperature = 0;
  Generated made;
  auto run = [&](i64 count) {
    told.clear();
    open.engine.sessions[0].restart();
    auto sink = [](void*, Text) { return true; };
    CHECK(generate(open.engine, open.engine.sessions[0], {ids.data(), count}, generating, sink, nullptr, &made).ok());
    CHECK_EQ(made.count, 3);
  };
  run(10);
  CHECK(told.empty());  // nobody watches
  watch_stages(tell);
  run(10);  // passes of 4, 4 and 2 tokens over 4 blocks
  std::vector<std::string> expected = {"reading the prompt 0/10"};
  for (const char* done : {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"})
    expected.push_back(std::string("reading the prompt ") + done + "/10");
  expected.push_back(".");
  CHECK(told == expected);
  run(1);
  CHECK(told.empty());  // no prompt to wait for, and none in what is made
  watch_stages(nullptr);
}

TEST(what_is_read_and_taken) {
  const std::string path = temporary_path("large");
  write_file(path, "");
  constexpr i64 BYTES = (33 << 20) + 5, MIB = 1 << 20;
  std::filesystem::resize_file(path, BYTES);
  watch_stages(tell);
  told.clear();
  Span<const u8> map;
  CHECK(map_file(path.c_str(), {.prefault = true}, &map).ok());
  release_memory(map);
  const std::string all = "/" + std::to_string(BYTES), reading = "reading the file ";
  const std::vector<std::string> expected = {reading + "0" + all, reading + std::to_string(16 * MIB) + all,
                                             reading + std::to_string(32 * MIB) + all, reading + std::to_string(BYTES) + all,
                                             "."};
  CHECK(told == expected);

  told.clear();
  Span<u8> block;
  CHECK(take_memory(20 * MIB, {.huge_pages = false}, &block).ok());
  release_memory(block);
  CHECK_EQ(told.size(), size_t{4});
  CHECK_EQ(told.front(), "taking memory 0/" + std::to_string(20 * MIB));
  CHECK_EQ(told[2], "taking memory " + std::to_string(20 * MIB) + "/" + std::to_string(20 * MIB));

  told.clear();
  if (take_memory(20 * MIB, {.huge_pages = false, .lock = true}, &block).ok()) {
    release_memory(block);
    CHECK_EQ(told.front(), "pinning in memory 0/" + std::to_string(20 * MIB));
    CHECK_EQ(told[2], "pinning in memory " + std::to_string(20 * MIB) + "/" + std::to_string(20 * MIB));
  }

  const std::string model = temporary_path("progress.tm2");
  write_model({.vocab = 50000}, model);
  const std::string bytes = read_file(model);
  CHECK(map_file(model.c_str(), {}, &map).ok());
  ModelFile file;
  CHECK(file.open(map).ok());
  told.clear();
  CHECK(file.check_data().ok());
  FileHeader header;
  std::memcpy(&header, map.data, sizeof header);
  const std::string size = std::to_string(map.count - data_start(header));
  CHECK_EQ(static_cast<i64>(told.size()), div_up(map.count - data_start(header), MIB) + 2);
  CHECK_EQ(told[1], "checking the file " + std::to_string(MIB) + "/" + size);
  CHECK_EQ(told[told.size() - 2], "checking the file " + size + "/" + size);
  CHECK_EQ(told.back(), ".");
  release_memory(map);
  watch_stages(nullptr);
}

#if defined(__linux__)
// What goes on until somebody stops it shows its line on any machine, sealed as usual, and takes it away before it says more.
TEST(the_program_at_a_terminal) {
  const Folder folder;
  std::string text;
  for (int i = 0; i < 60000; i++)
    text += "Once upon a time there was a dog. ";
  write_file(folder / "text", text);
  const std::string edgellm = std::getenv("EDGELLM"), model = "models/stories.tm2", out = folder / "out";
  struct Row {
    std::string words, line;
  };
  for (const Row& row : {Row{model + " -f " + (folder / "text") + " --window 64 --threads 1", "reading the prompt  "},
                         Row{"eval " + model + " --text " + (folder / "text") + " --threads 1", "scoring the text  "}}) {
    AtTerminal terminal(edgellm + " " + row.words + " >" + out);
    if (terminal.pid < 0) SKIP("no terminals here");
    CHECK(terminal.wait_for("\r" + row.line));
    kill(terminal.pid, SIGINT);
    CHECK_EQ(terminal.exit_code(), 130);
    // After the last line of progress there are the spaces over it, and no other.
    const std::string after = terminal.seen.substr(std::min(terminal.seen.rfind(row.line), terminal.seen.size()));
    CHECK(contains(after, "tokens"));
    const size_t spaces = after.find("\r ");
    CHECK(spaces != std::string::npos && after.find('\r', spaces + 1) >= spaces + 1 + row.line.size());
    CHECK(!contains(read_file(out), row.line));
  }
  // Where stderr is none, nothing is there but what always is.
  AtTerminal terminal(edgellm + " eval " + model + " --text " + (folder / "text") + " --max-tokens 5000 --threads 2 2>" +
                      out);
  CHECK_EQ(terminal.exit_code(), 0);
  CHECK_EQ(read_file(out), "");
  CHECK(terminal.seen.starts_with("mean nll "));
}
#endif
