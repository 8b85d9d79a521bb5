// edgellm bench under a clock that a test holds: each figure is then known, and the whole output with it.
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>

#include "check.h"
#include "cli/command.h"
#include "command.h"
#include "files.h"
#include "make_model.h"
#include "open_engine.h"

#include "platform/bandwidth.h"
#include "platform/clock.h"
#include "platform/memory.h"
#if defined(__linux__)
#include "terminal.h"
#endif

namespace edgellm {

// How long it is from the look at the clock before to look number `look`, in ms. A pass lies between two looks.
static i64 slow_look = -1;  // this one takes long
static f64 lasted(i64 look) {
  return look == slow_look ? 1e6 : static_cast<f64>(1 + (look * look * 7919 + look * 31) % 997) / 10;
}

static i64 held_clock() {
  static i64 look = 0, now = 5;
  now += static_cast<i64>(lasted(look++) * 1e6 + 0.5);
  return now;
}

constexpr f64 READ = 8e9;  // bytes a second
static f64 held_bandwidth(Threads& threads, Span<const u8> buffer, i32 passes) {
  CHECK(threads.count() >= 1 && buffer.count == 1 << 20 && passes == BANDWIDTH_PASSES);
  return READ;
}

// How many models were begun, in all processes, and which of them is killed.
static std::atomic<int>* begun;
static int killed = 0;

static Status small_buffer(const Machine&, Span<u8>* buffer) {
  if (begun && ++*begun == killed) std::raise(SIGKILL);
  return take_memory(1 << 20, {.huge_pages = false}, buffer);
}

static i64 made_cpu() {
  static i64 call = 0;
  return call++ * 700000000;
}

static Machine made_machine() {
  Machine machine = {};
  std::strcpy(machine.name, "A CPU");
  return machine;
}

static PageFaults made_faults() {
  static i64 call = 0;
  call++;
  return {100 + 5 * call, 7 * call};  // 12 more each time
}

static i64 made_resident() {
  return (1 << 20) + 12340000;
}

}  // namespace edgellm

#define now_ns held_clock
#define process_cpu_ns made_cpu
#define this_machine made_machine
#define read_bandwidth held_bandwidth
#define take_bandwidth_buffer small_buffer
#define page_faults made_faults
#define peak_resident_bytes made_resident
#include "../src/cli/bench.cpp"
#undef now_ns
#undef process_cpu_ns
#undef this_machine
#undef read_bandwidth
#undef take_bandwidth_buffer
#undef page_faults
#undef peak_resident_bytes

using namespace edgellm;

namespace {

std::string fixed(f64 value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string best_kernels() {
  Kernels kernels;
  CHECK(choose_kernels(nullptr, &kernels).ok());
  return kernels.isa;
}

// What a run is asked for, in words and in numbers.
struct Case {
  std::string words;
  int count, repeat, prompt;
  std::vector<int> places;
  int sessions = 1, context = 512, window = 0;
  int kv_bytes = 1;  // of a value in the cache
};

// The samples of one stretch of looks, `stride` apart, and what is said of them.
struct Times {
  std::vector<f64> ms;
  f64 at(f64 share) const {
    const size_t n = ms.size();
    return ms[std::min(n - 1, static_cast<size_t>(share * static_cast<f64>(n)))];
  }
  std::string json() const {
    return "{\"p50\":" + fixed(at(0.5), 4) + ",\"p99\":" + fixed(at(0.99), 4) + ",\"p999\":" + fixed(at(0.999), 4) +
           ",\"max\":" + fixed(ms.back(), 4) + "}";
  }
};

Times sorted(std::vector<f64> ms) {
  std::sort(ms.begin(), ms.end());
  return {ms};
}

f64 middle(std::vector<f64> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Half the distance from the slowest to the fastest in percent of the median, of `tokens` in each of these times.
f64 spread(std::vector<f64> times) {
  std::sort(times.begin(), times.end());
  return 50 * (1 / times.front() - 1 / times.back()) * middle(times);
}

// The figures of a case, by the looks at the clock: two around loading, around each prompt, around each pass, and around all
// passes at a position.
struct Expected {
  f64 load, ttft, ttft_spread;
  std::vector<f64> rates, spreads, cpu;  // of each place: tokens a second, and percent
  std::vector<Times> passes;
  Times alternating, empty;
  i64 slow;  // the look after the trial of the empty loop

  explicit Expected(const Case& c) {
    i64 look = 1;
    load = lasted(look), look += 2;
    std::vector<f64> prompts;
    for (int r = 0; r < c.repeat; r++, look += 2)
      prompts.push_back(lasted(look));
    ttft = middle(prompts), ttft_spread = spread(prompts);
    for (size_t place = 0; place < c.places.size(); place++) {
      std::vector<f64> all, totals;
      const i64 begin = look - 1;
      look++;
      for (int r = 0; r < c.repeat; r++) {
        f64 total = 0;
        for (int i = 0; i < c.count; i++, look += 2) {
          all.push_back(lasted(look));
          total += lasted(look);
        }
        totals.push_back(total / 1e3);
      }
      passes.push_back(sorted(all));
      rates.push_back(c.count * c.sessions / middle(totals));
      spreads.push_back(spread(totals));
      f64 wall = 0;
      for (i64 i = begin + 1; i < look; i++)
        wall += lasted(i);
      cpu.push_back(7e8 / 1e4 / wall);
      look++;
    }
    slow = look, look += 2;
    std::vector<f64> tokens, loops;
    for (int i = 0; i < c.repeat * c.count; i++, look += 4) {
      tokens.push_back(lasted(look));
      loops.push_back(lasted(look + 2));
    }
    alternating = sorted(tokens), empty = sorted(loops);
  }
};

// The same model outside of bench: bytes, and what is computed.
struct Outside {
  i64 weights = 0, planned = 0;
  std::string hash, zeros;

  Outside(const std::string& path, const Case& c) {
    EngineOptions options;
    options.threads = 1, options.context = c.context, options.window = c.window;
    options.kv = c.kv_bytes == 1 ? KvFormat::I8 : KvFormat::F16;
    options.sessions = options.logits = c.sessions;
    OpenEngine open(options, path);
    for (const TensorEntry& entry : open.engine.file.tensors())
      weights += tensor_bytes(entry);
    planned = open.engine.arena_bytes;
    ZeroCodes& codes = *open.engine.model.zero_codes;
    // Each place's timeline is filled once and decoded from again and again; later ones lie over earlier ones.
    auto decode = [&](int place) {
      open.engine.sessions[0].position = place;
      for (i32 i = 0, next = 1; i < c.count; i++) {
        open.run(0, {next});
        char text[20];
        Writer writer(text);
        write(writer, Hex{logits_hash(open.engine, 0), 16});
        hash = text;
        next = std::max(0, open.engine.kernels.argmax(logits_row(open.engine, 0), open.engine.model.vocab));
      }
    };
    for (int place : c.places) {
      std::vector<i32> ids;
      for (int i = 0; i < place; i++)
        ids.push_back((i * 7919 + 1) % open.engine.model.vocab);
      open.engine.sessions[0].restart();
      if (!ids.empty()) open.run(0, ids);
      decode(place);
    }
    decode(c.places[0]);
    codes.counting = true;
    const std::string last = hash;
    decode(c.places[0]);
    hash = last;
    zeros = fixed(codes.percent() / 100, 4);
    CHECK(codes.zeros > 0 && codes.zeros < codes.codes);
  }
};

// Of the recipe's default: 2 layers, 2 heads, keys and values of 12 in room for 16, a scale of 4 bytes each.
i64 bytes_per_token(const Case& c, i64 weights, int position) {
  const int slots = c.window ? (SINKS + c.window + 64 + 15) / 16 * 16 : c.context;
  const i64 slot = 2 * 2 * 2 * (16 * c.kv_bytes + (c.kv_bytes == 1 ? 4 : 0));
  return (weights + c.sessions * slot * std::min(position, slots)) / c.sessions;
}

std::string expected_json(const std::string& path, const Case& c, const Expected& e, const Outside& o) {
  auto place = [&](size_t i) {
    const i64 bytes = bytes_per_token(c, o.weights, c.places[i]);
    return "\"bytes_per_token\":" + std::to_string(bytes) +
           ",\"gb_s\":" + fixed(static_cast<f64>(bytes) * e.rates[i] / 1e9, 2);
  };
  auto speed = [&](const std::string& name, f64 rate, f64 percent) {
    return "\"" + name + "_tok_s\":" + fixed(rate, 2) + ",\"" + name +
           "_spread_percent\":" + (c.repeat > 1 ? fixed(percent, 2) : "null");
  };
  const i64 bytes = bytes_per_token(c, o.weights, c.places[0]);
  std::string json =
      "{\"model\":\"" + path + "\",\"isa\":\"" + best_kernels() + "\",\"threads\":1,\"ctx\":" + std::to_string(c.context) +
      "," + speed("decode", e.rates[0], e.spreads[0]) + "," + speed("prefill", c.prompt / e.ttft * 1e3, e.ttft_spread) +
      ",\"sessions\":" + std::to_string(c.sessions) + ",\"ms_per_token\":" + e.passes[0].json() +
      ",\"ms_alternating\":" + e.alternating.json() + ",\"ms_empty_loop\":" + e.empty.json() +
      ",\"ttft_ms\":" + fixed(e.ttft, 3) + ",\"load_ms\":" + fixed(e.load, 3) + "," + place(0) +
      ",\"read_gb_s\":8.00,\"bandwidth_share\":" + fixed(static_cast<f64>(bytes) * e.rates[0] / READ, 3) +
      ",\"cpu_percent\":" + fixed(e.cpu[0], 1) +
      ",\"rss_mb\":12.34,\"planned_mb\":" + fixed(static_cast<f64>(o.planned) / 1e6, 2) +
      ",\"page_faults_per_token\":" + fixed(12.0 / (c.count * c.repeat), 3) + ",\"zero_activations\":" + o.zeros +
      ",\"allocations_after_seal\":0,\"logits_hash\":\"" + o.hash + "\"";
  if (c.places.size() > 1) {
    json += ",\"at\":{";
    for (size_t i = 0; i < c.places.size(); i++) {
      json += (i ? ",\"" : "\"") + std::to_string(c.places[i]) + "\":{" + speed("decode", e.rates[i], e.spreads[i]) + "," +
              place(i) + ",\"cpu_percent\":" + fixed(e.cpu[i], 1) + ",\"ms_per_token\":" + e.passes[i].json() + "}";
    }
    json += "}";
  }
  return json + "}\n";
}

std::string plus_minus(const Case& c, f64 percent) {
  return c.repeat > 1 ? " +- " + fixed(percent, 1) + " %" : "";
}

std::string expected_text(const std::string& path, const Case& c, const Expected& e, const Outside& o) {
  auto within = [](const Times& t) { return fixed(t.at(0.5), 3) + " ms (median; 99 of 100 within " + fixed(t.at(0.99), 3); };
  std::string text = "model       " + path + "; kernels " + best_kernels() + ", threads 1, context " +
                     std::to_string(c.context) + "\nloading     " + fixed(e.load, 2) + " ms\nprefill     " +
                     fixed(c.prompt / e.ttft * 1e3, 1) + " tok/s" + plus_minus(c, e.ttft_spread) + ": reads a prompt of " +
                     std::to_string(c.prompt) + " tokens; the first of the answer comes after " + fixed(e.ttft, 2) + " ms\n";
  for (size_t i = 0; i < c.places.size(); i++) {
    const Times& t = e.passes[i];
    const f64 rate = static_cast<f64>(bytes_per_token(c, o.weights, c.places[i])) * e.rates[i];
    text += "decode      " + fixed(e.rates[i], 2) + " tok/s" + plus_minus(c, e.spreads[i]) + ": writes an answer, after " +
            std::to_string(c.places[i]) + " tokens\n            " +
            (c.sessions > 1 ? std::to_string(c.sessions) + " answers at once; a token of each takes " : "a token takes ") +
            within(t) + ", 999 of 1000 within " + fixed(t.at(0.999), 3) + ", all within " + fixed(t.ms.back(), 3) +
            ")\n            it reads " + fixed(rate / 1e9, 1) + " GB/s, " + fixed(100 * rate / READ, 0) +
            " % of the 8.0 that the memory gave, with " + fixed(e.cpu[i], 0) + " % of a core\n";
  }
  const f64 file = static_cast<f64>(read_file(path).size());
  return text + "memory      12.3 MB at most: the file has " + fixed(file / 1e6, 1) + ", " +
         fixed(static_cast<f64>(o.planned) / 1e6, 1) + " were taken at the start\nsteadiness  " +
         fixed(12.0 / (c.count * c.repeat), 3) +
         " page faults a token, 0 allocations since the start\n            what the machine does to any program: in turn "
         "with a "
         "loop that only counts,\n            a token takes " +
         within(e.alternating) + "), the loop " + within(e.empty) + ")\nzeros       " +
         fixed(std::strtod(o.zeros.c_str(), nullptr) * 100, 1) +
         " % of the values inside the feed-forward (after its squared ReLU)\nlogits hash: " + o.hash + "\n" +
         (c.repeat > 1 ? "tok/s are medians of " + std::to_string(c.repeat) + " repetitions, +- half their range\n" : "");
}

// The rows of a model in a table whose names take so many columns.
std::string expected_rows(const std::string& path, const Case& c, const Expected& e, size_t columns) {
  auto padded = [](const std::string& text, size_t width, bool left = false) {
    const std::string space(width > text.size() ? width - text.size() : 0, ' ');
    return left ? text + space : space + text;
  };
  auto rate = [&](f64 tok_s, f64 percent) { return padded(fixed(tok_s, 1), 11) + padded(plus_minus(c, percent), 11, true); };
  std::string rows;
  for (size_t i = 0; i < c.places.size(); i++) {
    if (i == 0) {
      rows += padded(path, columns, true) + padded(fixed(static_cast<f64>(read_file(path).size()) / 1e6, 1), 10) +
              rate(c.prompt / e.ttft * 1e3, e.ttft_spread);
    } else {
      rows += padded("  after " + std::to_string(c.places[i]) + " tokens", columns + 32, true);
    }
    rows += rate(e.rates[i], e.spreads[i]) + padded(fixed(e.passes[i].at(0.5), 3), 10) +
            padded(fixed(e.passes[i].at(0.99), 3), 10) + (i == 0 ? padded("12.3", 10) : "") + "\n";
  }
  return rows;
}

check::Child bench(const std::string& path, const std::string& more) {
  std::vector<std::string> words = {"edgellm", "bench", path, "--threads=1", "--seal=no"};
  std::istringstream in(more);
  for (std::string word; in >> word;)
    words.push_back(word);
  return check::run_command(bench_command, words);
}

std::string a_model(ModelRecipe recipe = {}) {
  std::string path = temporary_path("bench.tm2");
  write_model(recipe, path);
  return path;
}

}  // namespace

TEST(every_figure) {
  const std::string path = a_model();
  for (const Case& c : {Case{"-n 40 --repeat 5 --prompt-tokens 9", 40, 5, 9, {0}},
                        Case{"-n 3 --repeat 4 --prompt-tokens 1 --at 7,0,500", 3, 4, 1, {7, 0, 500}},
                        Case{"-n 5 --repeat 1 --sessions 3 --at 20", 5, 1, 64, {20}, 3},
                        Case{"-n 4 --repeat 2 --at 600,5", 4, 2, 64, {600, 5}, 1, 604},
                        Case{"-n 4 --repeat 2 --at 6 --prompt-tokens 700 --kv f16", 4, 2, 700, {6}, 1, 700, 0, 2},
                        Case{"-n 1 --repeat 2 --at 300,83,16 --window 20 --ctx 96", 1, 2, 64, {300, 83, 16}, 1, 96, 20},
                        Case{"--repeat 1 --prompt-tokens 2", 64, 1, 2, {0}}, Case{"-n 0 --repeat 2", 1, 2, 64, {0}}}) {
    slow_look = -1;
    Expected expected(c);
    Outside outside(path, c);
    slow_look = expected.slow;
    for (bool json : {true, false}) {
      check::Child child = bench(path, c.words + (json ? " --json" : ""));
      CHECK_EQ(child.exit_code, 0);
      CHECK_EQ(child.output, (json ? expected_json : expected_text)(path, c, expected, outside));
    }
  }
}

// A recurrent state is read whole at every position; a model without a squared ReLU has no figure of its zeros.
TEST(recurrent_models) {
  const std::string path = a_model({.blocks = "mamba2 | attention ffn", .relu2 = false});
  EngineOptions options;
  options.threads = 1, options.context = 512;
  OpenEngine open(options, path);
  const Model& model = open.engine.model;
  slow_look = -1;
  slow_look = Expected(Case{"", 2, 1, 64, {0, 32}}).slow;
  check::Child child = bench(path, "-n 2 --repeat 1 --at 0,32 --json");
  CHECK_EQ(child.exit_code, 0);
  CHECK(model.recurrent_bytes > 0 && model.recurrent_bytes < model.state_bytes);
  CHECK(contains(child.output, "\"bytes_per_token\":" + std::to_string(model.weight_bytes + model.recurrent_bytes)));
  CHECK(contains(child.output, "\"bytes_per_token\":" +
                                   std::to_string(model.weight_bytes + model.recurrent_bytes + 2 * 2 * (16 + 4) * 32)));
  CHECK(!contains(child.output, "zero_activations"));
}

TEST(places_that_cannot_be) {
  const std::string path = a_model();
  struct Row {
    std::string words;
    const char* expected;
  };
  std::string most = "0";
  for (int i = 0; i < 15; i++)
    most += ",1";
  const char* too_many = "--at: give 1 to 16 positions\n";
  for (const Row& row :
       {Row{"-n 1 --repeat 1 --at " + most, ""}, Row{"--at " + most + ",1", too_many}, Row{"--at=", too_many},
        Row{"--at 1,x", "--at: \"x\" is not a whole number in a list such as 1,2,3\n"},
        Row{"--at 16777153", "bench: 16777217 positions are needed, at most 16777216 can be held\n"},
        Row{"--at 100 --ctx 164 -n 65 --repeat 1", "165 positions are needed, there are 164"}}) {
    slow_look = 2 + 2 + 16 * 2 + 1;
    check::Child child = bench(path, row.words);
    CHECK_EQ(child.exit_code != 0, *row.expected != 0);
    CHECK(contains(child.output, row.expected));
  }
}

// Each model has a row, or says why it has none; the first failure is the exit code.
TEST(several_models) {
  const std::string one = a_model(), other = temporary_path("a_second_model.tm2"), none = temporary_path("none.tm2");
  write_model({.layers = 3}, other);
  write_file(none, "no model, but a text that is longer than the header of one, which has sixty-four bytes");
  const size_t columns = other.size();
  for (const Case& c : {Case{"-n 3 --repeat 4 --prompt-tokens 1 --at 7,0,50", 3, 4, 1, {7, 0, 50}},
                        Case{"-n 5 --repeat 1 --prompt-tokens 2", 5, 1, 2, {0}}}) {
    slow_look = -1;
    Expected expected(c);
    Outside outside(one, c);
    slow_look = expected.slow;
    check::Child child = bench(one, none + " " + other + " " + c.words);
    CHECK_EQ(child.exit_code, 3);
    const std::string head =
        "A CPU; kernels " + best_kernels() + ", threads 1, memory is read at 8.0 GB/s\nprefill: reads a prompt of " +
        std::to_string(c.prompt) + " tokens. decode: writes " + std::to_string(c.count) + " tokens of an answer" +
        (c.repeat > 1 ? ". Medians of 4 repetitions, +- half their range" : "") + "\n\nmodel" +
        std::string(columns - 5, ' ') +
        "   file MB         prefill tok/s          decode tok/s    ms p50    ms p99 memory MB\n";
    const std::string why = none + std::string(columns - none.size(), ' ') + "  " + none + " is a text: ";
    const std::string first = head + expected_rows(one, c, expected, columns) + why;
    CHECK_EQ(child.output.substr(0, first.size()), first);
    const std::string last = expected_rows(other, c, expected, columns) + "bench: " + none + " failed\n";
    CHECK(child.output.ends_with("\n" + last));
    CHECK_EQ(std::count(child.output.begin(), child.output.end(), '\n'),
             std::count(first.begin(), first.end(), '\n') + 1 + std::count(last.begin(), last.end(), '\n'));

    child = bench(one, none + " " + other + " --json " + c.words);
    CHECK_EQ(child.exit_code, 3);
    const std::string object =
        "[" + expected_json(one, c, expected, outside) + ",{\"model\":\"" + none + "\",\"error\":\"" + none + " is a text: ";
    CHECK_EQ(child.output.substr(0, object.size()), object);
    CHECK(contains(child.output, "\"exit_code\":3}\n,{\"model\":\"" + other + "\",\"isa\":"));
    CHECK(child.output.ends_with("}\n]\nbench: " + none + " failed\n"));
  }
  // When the first one fails, what stands above the rows comes with the second.
  check::Child child = bench(none, one + " -n 1 --repeat 1");
  CHECK_EQ(child.exit_code, 3);
  CHECK(child.output.starts_with(none + " ") && contains(child.output, "  " + none + " is a text: "));
  CHECK(contains(child.output, "\nA CPU; kernels "));
  // What is wrong with all of them is a usage error.
  child = bench(one, one + " --at 100 --ctx 164 -n 65 --repeat 1");
  CHECK(child.exit_code != 0 && contains(child.output, "165 positions are needed, there are 164"));
  child = bench(one, one + " --isa sse9");
  CHECK(child.exit_code == 2 && contains(child.output, "no kernel set \"sse9\""));
}

TEST(a_model_that_is_killed) {
  const std::string path = a_model();
  begun = static_cast<std::atomic<int>*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  killed = 2;
  slow_look = Expected(Case{"", 1, 1, 64, {0}}).slow;
  for (const char* form : {"", " --json"}) {
    *begun = 0;
    check::Child child = bench(path, path + " " + path + " -n 1 --repeat 1" + form);
    CHECK_EQ(child.exit_code, 1);
    CHECK_EQ(begun->load(), 3);
    const std::string why = "signal 9 ended it, perhaps for want of memory";
    CHECK(contains(child.output, *form ? "\n,{\"model\":\"" + path + "\",\"error\":\"" + why + "\",\"exit_code\":137}\n,{"
                                       : "\n" + path + "  " + why + "\n" + path + "  "));
  }
  begun = nullptr;
}

#if defined(__linux__)
// Ctrl-C goes to both processes, SIGTERM from elsewhere to the first alone, which passes it on. The model that is measured says
// what there is by then, and no other is begun.
TEST(several_models_at_a_terminal) {
  const Folder folder;
  const std::string out = folder / "out", model = "models/stories.tm2";
  for (int signal : {SIGINT, SIGTERM}) {
    const bool json = signal == SIGTERM;
    AtTerminal terminal(std::string(std::getenv("EDGELLM")) + " bench " + model + " " + model +
                        " -n 200000 --repeat 100 --window 64 --threads 1 --at 0,1" + (json ? " --json" : "") + " >" + out);
    if (terminal.pid < 0) SKIP("no terminals here");
    CHECK(terminal.wait_for("\rdecoding after 0 tokens  "));
    if (signal == SIGINT) CHECK(write(terminal.fd, "\x03", 1) == 1);
    if (signal == SIGTERM) kill(terminal.pid, signal);
    CHECK_EQ(terminal.exit_code(), 128 + signal);
    CHECK(contains(terminal.seen, "bench: interrupted before everything was measured"));
    CHECK(!contains(terminal.seen, "decoding after 1 tokens"));
    if (json) CHECK_EQ(read_file(out), "[]\n");
    if (!json) CHECK(contains(read_file(out), "decode tok/s") && !contains(read_file(out), "failed"));
  }
}
#endif
