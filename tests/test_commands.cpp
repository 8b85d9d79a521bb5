// What the commands share: the figures of a generation in words, the threads that `auto` takes, prompts of models without a
// tokenizer, and how JSON is written.
#if defined(__linux__)
#include <sched.h>
#endif

#include <cmath>
#include <cstdlib>

#include "check.h"
#include "cli/command.h"
#include "cli/json_output.h"
#include "command.h"
#include "files.h"
#include "make_model.h"
#include "platform/bandwidth.h"
#include "platform/heap.h"
#include "platform/seal.h"
#include "platform/signals.h"

namespace edgellm {

static Machine made_up;
static f64 made_rates[Threads::MAX + 1];  // by the number of threads
static i64 wanted_buffer[2];              // what the size of the buffer is made of

static Machine made_machine() {
  return made_up;
}
static f64 made_bandwidth(Threads& threads, Span<const u8> buffer, i32 passes) {
  CHECK(buffer.count >= 1 << 20 && passes == 5);
  return made_rates[threads.count()];
}
static i64 small_buffer(i64 cache, i64 usable) {
  wanted_buffer[0] = cache, wanted_buffer[1] = usable;
  return 1 << 20;
}

// The seal that the process asks for.
static Seal seal_answer = Seal::sealed;
static u32 seal_extra;
static Seal made_seal(u32 extra, Writer& why) {
  seal_extra = extra;
  if (seal_answer != Seal::sealed) write(why, "because");
  return seal_answer;
}

}  // namespace edgellm

#define this_machine made_machine
#define read_bandwidth made_bandwidth
#define bandwidth_buffer_bytes small_buffer
#define seal_process made_seal
#include "../src/cli/common.cpp"
#undef this_machine
#undef read_bandwidth
#undef bandwidth_buffer_bytes
#undef seal_process

using namespace edgellm;

namespace {

template <class Body>
std::string output_of(const Body& body) {
  check::Child child = check::in_child([&] {
    body();
    return 0;
  });
  CHECK_EQ(child.exit_code, 0);
  return child.output;
}

std::string figures(const Generated& made_text, i64 prompt, f64 temperature, f64 pace, u64 seed = 0) {
  Options options;
  options.generate.sampling.temperature = static_cast<f32>(temperature);
  options.generate.sampling.seed = seed;
  options.generate.pace = pace;
  return output_of([&] { note_figures(made_text, prompt, options); });
}

}  // namespace

TEST(figures_in_words) {
  Generated made_text;
  made_text.prompt_ns = 12345678, made_text.decode_ns = 2000000000, made_text.missed_deadlines = 3;
  CHECK_EQ(figures(made_text, 7, 0, 0), std::string("\n7 tokens in, 0 out\n"));
  CHECK_EQ(figures(made_text, 7, 0, 5), std::string("\n7 tokens in, 0 out\nmissed deadlines: 3 of 0\n"));
  made_text.count = 1;
  CHECK_EQ(figures(made_text, 7, 0, 0), std::string("\n7 tokens in, first out after 12.3 ms; 1 out\n"));
  CHECK_EQ(figures(made_text, 7, 0, 5),
           std::string("\n7 tokens in, first out after 12.3 ms; 1 out\nmissed deadlines: 3 of 0\n"));
  made_text.count = 12;
  CHECK_EQ(figures(made_text, 7, 0.5, 0, ~u64{0}),
           std::string("\n7 tokens in, first out after 12.3 ms; 12 out, 5.5 tok/s; seed 18446744073709551615\n"));
  CHECK_EQ(figures(made_text, 1, 0, 0.5),
           std::string("\n1 tokens in, first out after 12.3 ms; 12 out, 5.5 tok/s\nmissed deadlines: 3 of 11\n"));
  made_text.decode_ns = 0;
  CHECK_EQ(figures(made_text, 7, 0, 0), std::string("\n7 tokens in, first out after 12.3 ms; 12 out\n"));
  CHECK_EQ(output_of([] { note_hash(0xabc); }), std::string("logits hash: 0000000000000abc\n"));
}

// The fewest threads within 3 % of the best, of the performance cores at most.
TEST(threads_that_the_memory_rewards) {
  made_up = {};
  made_up.cache_bytes = 1000, made_up.memory_bytes = 5000, made_up.memory_limit = 4000;
  struct Row {
    i32 cores, expected;
    std::vector<f64> rates;
  };
  for (const Row& row : {Row{4, 1, {100, 100, 100, 100}}, Row{4, 4, {10, 20, 30, 40}}, Row{4, 2, {50, 97.1, 99, 100}},
                         Row{4, 3, {50, 96.9, 97, 100}}, Row{2, 2, {10, 20, 30, 40}}, Row{4, 2, {10, 100, 20, 20}},
                         Row{1, 1, {10}}, Row{4, 1, {97, 100, 99, 98}}, Row{4, 3, {1, 2, 300, 4}}}) {
    made_up.performance_cores = row.cores;
    for (size_t i = 0; i < row.rates.size(); i++)
      made_rates[i + 1] = row.rates[i];
    i32 best = 0;
    Status status = rewarding_threads(&best);
    CHECK(status.ok());
    CHECK_EQ(best, row.expected);
  }
  CHECK_EQ(wanted_buffer[0], 1000);
  CHECK_EQ(wanted_buffer[1], 4000);
  set_interrupted(true);
  i32 best = 0;
  CHECK(rewarding_threads(&best).code() == Code::interrupted);
  set_interrupted(false);
}

TEST(sealing) {
  struct Row {
    SealMode mode;
    Seal answer;
    bool verbose;
    const char* expected;
  };
  const char* words = "note: the process is not sealed: because\n";
  const char* refused = "--seal=require: because";
  for (Row row : {Row{SealMode::yes, Seal::sealed, true, ""},
                  {SealMode::yes, Seal::unavailable, false, ""},
                  {SealMode::yes, Seal::unavailable, true, words},
                  {SealMode::yes, Seal::failed, false, words},
                  {SealMode::no, Seal::failed, true, ""},
                  {SealMode::require, Seal::sealed, false, ""},
                  {SealMode::require, Seal::unavailable, false, refused},
                  {SealMode::require, Seal::failed, false, refused}}) {
    seal_answer = row.answer;
    Options options;
    options.seal = row.mode, options.verbose = row.verbose;
    CHECK_EQ(output_of([&] {
               heap_watch.closed.store(false);
               Status status = seal_as_asked(options);
               CHECK_EQ(status.ok(), row.expected != refused);
               CHECK(heap_watch.closed.load());
               note(status.text());
             }),
             std::string(row.expected));
  }
  Options options;
  seal_answer = Seal::sealed;
  auto extra = [&](u32 more) {
    seal_extra = ~0u;
    CHECK(seal_as_asked(options, more).ok());
    heap_watch.closed.store(false);
    return seal_extra;
  };
  CHECK_EQ(extra(0), 0u);
  CHECK_EQ(extra(SEAL_FIGURES), u32{SEAL_FIGURES});
  options.state_load = "x";
  CHECK_EQ(extra(0), 0u);
  options.state_save = "x";
  CHECK_EQ(extra(0), u32{SEAL_FILES});
  options.state_save = nullptr, options.logits_file = "x";
  CHECK_EQ(extra(SEAL_FIGURES), u32{SEAL_FILES | SEAL_FIGURES});
  options.seal = SealMode::no;
  CHECK_EQ(extra(0), ~0u);
}

#if defined(__linux__)
// --mlock, and --realtime as well, pin the file and all that is taken.
TEST(locked_models) {
  auto locked = [] {
    std::string status = read_file("/proc/self/status");
    const size_t at = status.find("VmLck:");
    return at == std::string::npos ? 0 : std::atoll(status.c_str() + at + 6) * 1024;
  };
  const char* emulator = std::getenv("EDGELLM_EMULATOR");
  if (emulator && *emulator) SKIP("an emulator has memory of its own");
  std::string path = temporary_path("locked.tm2");
  write_model({}, path);
  const i64 file = static_cast<i64>(read_file(path).size());
  for (int way = 0; way < 3; way++) {
    Options options;
    options.model = path.c_str();
    options.engine.threads = 1;
    options.engine.lock = way == 1, options.realtime = way == 2;
    Engine engine;
    const i64 before = locked();
    if (Status status = open_model(options, &engine); !status.ok()) SKIP("locking is not allowed here");
    if (way == 1 && locked() == before) SKIP("locking is not counted here (sanitizers pretend)");
    if (way > 0) {
      CHECK(locked() - before >= file + engine.arena_bytes);
    } else {
      CHECK_EQ(locked(), before);
    }
    const Span<const u8> map = engine.file.bytes();
    close_engine(engine);
    release_memory(map);
    CHECK_EQ(locked(), before);
  }
}

// A run with --realtime has a fixed priority, or says why not.
TEST(a_fixed_priority_for_a_run) {
  auto run = [](Options& options) {
    Status status = run_command(options);
    note(sched_getscheduler(0) == SCHED_FIFO ? "fixed" : "shared", "\n");
    return status;
  };
  std::vector<std::string> words = {"edgellm", "models/stories.tm2", "--seal=no", "-i", "a", "-n", "1", "-s", "1",
                                    "--pace=9"};
  check::Child child = check::run_command(run, words);
  CHECK(child.exit_code == 0 && child.output.find("shared\n") != std::string::npos);
  words.push_back("--realtime");
  child = check::run_command(run, words);
  CHECK(child.output.find("fixed\n") != std::string::npos ||
        child.output.find("SCHED_FIFO was refused") != std::string::npos);
}
#endif

// Without a tokenizer a prompt is a list of ids; the "bos" of the file stands for an empty one at the beginning.
TEST(prompts_of_ids) {
  for (bool first_id : {false, true}) {
    std::string path = temporary_path("ids.tm2");
    ModelRecipe recipe;
    recipe.more = {{"bos", u32{5}}};
    write_model(recipe, path);
    Options options;
    options.model = path.c_str();
    options.engine.threads = 1;
    options.engine.text_bytes = 4;
    Engine engine;
    CHECK_EQ(std::string(open_model(options, &engine).text()), std::string());
    CHECK_EQ(engine.bos, 5);
    if (!first_id) engine.bos = -1;
    auto ids_of = [&](const std::string& text, bool start) {
      Span<const i32> ids;
      Status status = prompt_ids(engine, {text.data(), static_cast<i64>(text.size())}, {.add_bos = start}, &ids);
      std::string out = status.text();
      if (!out.empty()) return out;
      for (i32 id : ids)
        out += std::to_string(id) + " ";
      return out;
    };
    const std::string none =
        "the model has no tokenizer: it takes and gives ids, and names no first id; give ids with -i 1,2,3";
    CHECK_EQ(ids_of("", true), first_id ? std::string("5 ") : none);
    CHECK_EQ(ids_of("", false), none);
    CHECK_EQ(ids_of("7", true), std::string("7 "));
    CHECK_EQ(ids_of("7,8", false), std::string("7 8 "));
    CHECK_EQ(
        ids_of("a", true),
        std::string("without a tokenizer the text is a list of ids: \"a\" is not a whole number in a list such as 1,2,3"));
    CHECK_EQ(ids_of("1,2,3,4,5,6,7,8", true).substr(0, 8), std::string("1 2 3 4 "));
    std::string longest(4095, '0');
    for (size_t i = 1; i < longest.size(); i += 2)
      longest[i] = ',';
    CHECK_EQ(ids_of(longest, true).substr(0, 2), std::string("0 "));
    CHECK_EQ(ids_of(longest + "0", true),
             std::string("the model has no tokenizer: it takes and gives ids; the list of ids is too long"));
    close_engine(engine);
  }
}

TEST(json) {
  std::string said = output_of([] {
    JsonOutput writer(STDOUT);
    writer.text("a\"\\\n", Text("b\0\x1f\x20\x7f\xc3\xa4", 7));
    writer.number("n", -9223372036854775807 - 1);
    const i32 list[] = {1, -2, 3};
    writer.numbers("none", {list, 0});
    writer.numbers("some", {list, 3});
    writer.real("r", {1.25, 1});
    writer.real("inf", {HUGE_VAL, 1});
    writer.real("minus", {-HUGE_VAL, 1});
    writer.real("nan", {std::nan(""), 1});
    writer.open("empty");
    writer.close();
    writer.open("o");
    writer.flag("y", true);
    writer.open("p");
    writer.number("q", 0);
    writer.close();
    writer.number("r", 1);
    writer.close();
    writer.flag("z", false);
    writer.open_list("list");
    writer.open({});
    writer.number("s", 1);
    writer.close();
    writer.open_list({});
    writer.text({}, "");
    writer.real({}, {0.5, 1});
    writer.close_list();
    writer.flag({}, true);
    writer.close_list();
    writer.number("last", 2);
    CHECK(writer.finish());
  });
  CHECK_EQ(said, std::string("{\"a\\\"\\\\\\n\":\"b\\u0000\\u001f "
                             "\x7f\xc3\xa4\",\"n\":-9223372036854775808,\"none\":[],\"some\":[1,-2,3],\"r\":1.2,"
                             "\"inf\":null,\"minus\":null,\"nan\":null,\"empty\":{},\"o\":{\"y\":true,\"p\":{\"q\":0},\"r\":"
                             "1},\"z\":false,\"list\":[{\"s\":1},[\"\",0.5],true],"
                             "\"last\":2}\n"));
}
