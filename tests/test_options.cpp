// The command line as it is parsed: every option of every command, the ends of every range, and what is said of what is refused.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "check.h"
#include "child.h"
#include "cli/options.h"
#include "files.h"
#include "platform/console.h"

using namespace edgellm;

namespace {

using Words = std::vector<std::string>;

const Words COMMANDS = {"run", "chat", "bench", "eval", "info", "selftest", "tokenize", "detokenize"};

Words split(const std::string& line) {
  Words words;
  for (size_t at = 0; at < line.size();) {
    size_t end = std::min(line.find(' ', at), line.size());
    if (end > at) words.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

// An argument "''" is empty. The words must outlive the options, which point into them.
std::string parse(Words& words, Options* options) {
  std::vector<char*> arguments = {const_cast<char*>("edgellm")};
  for (std::string& word : words) {
    if (word == "''") word.clear();
    arguments.push_back(word.data());
  }
  Status status = parse_options(static_cast<i32>(arguments.size()), arguments.data(), options);
  CHECK(status.ok() || status.code() == Code::usage);
  return status.text();
}

std::string error_of(const std::string& line) {
  Words words = split(line);
  Options options;
  return parse(words, &options);
}

// Every member, those of two options apart by "key=value".
std::string described(const Options& o) {
  std::ostringstream out;
  auto say = [&](const char* key, const auto& value) { out << " " << key << "=" << value; };
  auto text = [](const char* value) { return value ? value : "(null)"; };
  say("command", o.command), say("model", text(o.model));
  say("map.prefault", o.map.prefault), say("map.lock", o.map.lock);
  const EngineOptions& e = o.engine;
  say("isa", text(e.isa)), say("threads", e.threads), say("context", e.context), say("window", e.window);
  say("kv", static_cast<i32>(e.kv)), say("f32_activations", e.f32_activations), say("half_rope", e.half_rope);
  say("check", e.check), say("lock", e.lock), say("sessions", e.sessions);
  const GenerateOptions& g = o.generate;
  say("count", g.count), say("hash", g.hash), say("pace", g.pace);
  const SamplingOptions& s = g.sampling;
  say("temperature", s.temperature), say("top_p", s.top_p), say("top_k", s.top_k), say("min_p", s.min_p);
  say("repeat_penalty", s.repeat_penalty), say("seed", s.seed);
  say("prompt", text(o.prompt)), say("text_file", text(o.text_file)), say("from_stdin", o.from_stdin);
  say("no_stdin", o.no_stdin), say("special", o.special);
  std::string ids;
  for (i32 id : g.stop_ids.ids())
    ids += (ids.empty() ? "" : ",") + std::to_string(id);
  say("stop_ids", ids);
  say("ids", text(o.ids)), say("logits_file", text(o.logits_file)), say("tokenizer_file", text(o.tokenizer_file));
  say("system", text(o.system)), say("chat_template", text(o.chat_template));
  say("state_load", text(o.state_load)), say("state_save", text(o.state_save));
  say("max_tokens", o.max_tokens), say("bench_prompt", o.bench_prompt), say("bench_at", text(o.bench_at));
  say("repeat", o.repeat), say("count_given", o.count_given), say("seed_given", o.seed_given);
  say("temperature_given", o.temperature_given), say("threads_auto", o.threads_auto), say("realtime", o.realtime);
  say("json", o.json), say("verbose", o.verbose), say("help", o.help), say("version", o.version);
  say("seal", static_cast<i32>(o.seal));
  return out.str();
}

// The members that are not as in new options, or the error.
std::string changed(const std::string& line) {
  Words words = split(line);
  Options options;
  if (std::string error = parse(words, &options); !error.empty()) return error;
  Words now = split(described(options)), before = split(described(Options()));
  std::string out;
  for (size_t i = 0; i < now.size(); i++) {
    if (now[i] != before[i]) out += (out.empty() ? "" : " ") + now[i];
  }
  return out;
}

// What a command needs beside an option to be complete.
std::string base(const std::string& command) {
  if (command == "eval") return "eval m --ids 1,2";
  if (command == "detokenize") return "detokenize m --ids 1";
  return command + " m";
}

}  // namespace

TEST(defaults) {
  CHECK_EQ(
      described(Options()),
      std::string(" command=1 model=(null) map.prefault=0 map.lock=0 isa=(null) threads=0 context=0 window=0 kv=0"
                  " f32_activations=0 half_rope=0 check=0 lock=0 sessions=1 count=32 hash=0 pace=0 temperature=0.7"
                  " top_p=0.9 top_k=0 min_p=0 repeat_penalty=1 seed=0 prompt=(null) text_file=(null) from_stdin=0"
                  " no_stdin=0 special=0 stop_ids="
                  " ids=(null) logits_file=(null) tokenizer_file=(null) system=(null) chat_template=(null)"
                  " state_load=(null) state_save=(null) max_tokens=0 bench_prompt=64 bench_at=0 repeat=3 count_given=0"
                  " seed_given=0 temperature_given=0 threads_auto=0 realtime=0 json=0 verbose=0 help=0 version=0 seal=0"));
}

TEST(commands) {
  struct Row {
    const char *line, *expected;
  };
  for (Row row : {Row{"m", "model=m"},
                  {"run m", "model=m"},
                  {"chat m", "command=128 model=m"},
                  {"bench", "command=2"},
                  {"bench m", "command=2 model=m"},
                  {"info", "command=8"},
                  {"selftest", "command=16"},
                  {"tokenize m", "command=32 model=m"},
                  {"eval m --text t", "command=4 model=m text_file=t"},
                  {"detokenize m --ids 1", "command=64 model=m ids=1"},
                  {"m run", "unexpected argument \"run\": the model is \"m\""},
                  {"run m n", "unexpected argument \"n\": the model is \"m\""},
                  {"''", "model="},
                  {"--help", "help=1"},
                  {"--version", "version=1"},
                  {"eval --help", "command=4 help=1"},
                  {"", "no model file given; --help shows how"},
                  {"chat", "no model file given; --help shows how"},
                  {"eval --ids 1,2", "no model file given; --help shows how"},
                  {"tokenize", "no model file given; --help shows how"},
                  {"detokenize --ids 1", "no model file given; --help shows how"}}) {
    CHECK_EQ(changed(row.line), std::string(row.expected));
  }
}

// Where each option is known, and what it sets there. RUN is 1, BENCH 2, EVAL 4, INFO 8, SELFTEST 16, TOKENIZE 32,
// DETOKENIZE 64, CHAT 128.
TEST(options) {
  struct Row {
    const char *name, *value;  // null: a switch
    const char* commands;
    const char* expected;
  };
  const char *samples = "run chat", *loads = "run chat bench eval selftest",
             *all = "run chat bench eval info selftest tokenize detokenize";
  const Row rows[] = {
      {"-i", "a", "run tokenize", "prompt=a"},
      {"-f", "a", "run tokenize", "text_file=a"},
      {"-", nullptr, "run tokenize", "from_stdin=1"},
      {"-n", "5", "run chat bench", "count=5 count_given=1"},
      {"-t", "1.5", samples, "temperature=1.5 temperature_given=1"},
      {"-p", "0.25", samples, "top_p=0.25"},
      {"-k", "40", samples, "top_k=40"},
      {"-s", "18446744073709551615", samples, "seed=18446744073709551615 seed_given=1"},
      {"--min-p", ".5", samples, "min_p=0.5"},
      {"--repeat-penalty", "1.25", samples, "repeat_penalty=1.25"},
      {"--stop", "x", samples, ""},
      {"--stop-id", "2", samples, "stop_ids=2"},
      {"--stop-id", "2,300", samples, "stop_ids=2,300"},
      {"--no-stdin", nullptr, "run tokenize", "no_stdin=1"},
      {"--special", nullptr, "run tokenize eval", "special=1"},
      {"--pace", "12.5", samples, "pace=12.5"},
      {"--state-save", "a", samples, "state_save=a"},
      {"--state-load", "a", samples, "state_load=a"},
      {"--system", "a", "chat", "system=a"},
      {"--template", "a", "chat", "chat_template=a"},
      {"--max-tokens", "7", "eval", "max_tokens=7"},
      {"--logits", "a", "eval", "logits_file=a"},
      {"--prompt-tokens", "7", "bench", "bench_prompt=7"},
      {"--at", "1,2", "bench", "bench_at=1,2"},
      {"--sessions", "7", "bench", "sessions=7"},
      {"--repeat", "7", "bench", "repeat=7"},
      {"--json", nullptr, "bench eval info", "json=1"},
      {"--threads", "7", "run chat bench eval selftest info", "threads=7"},
      {"--threads", "auto", "run chat bench eval selftest info", "threads_auto=1"},
      {"--isa", "a", "run chat bench eval selftest info", "isa=a"},
      {"--ctx", "7", loads, "context=7"},
      {"--window", "7", loads, "window=7"},
      {"--kv", "i8", loads, ""},
      {"--kv", "f16", loads, "kv=1"},
      {"--kv", "f32", loads, "kv=2"},
      {"--activations", "int8", loads, ""},
      {"--activations", "f32", loads, "f32_activations=1"},
      {"--mlock", nullptr, loads, "lock=1"},
      {"--prefault", nullptr, loads, "map.prefault=1"},
      {"--hash", nullptr, loads, "hash=1"},
      {"--seal", "yes", loads, ""},
      {"--seal", "no", loads, "seal=1"},
      {"--seal", "require", loads, "seal=2"},
      {"--check", nullptr, "run chat bench eval selftest info", "check=1"},
      {"--tokenizer", "a", "run chat bench eval selftest tokenize detokenize", "tokenizer_file=a"},
      {"--rope", "interleaved", loads, ""},
      {"--rope", "half", loads, "half_rope=1"},
      {"--verbose", nullptr, loads, "verbose=1"},
      {"--version", nullptr, all, "version=1"},
      {"--help", nullptr, all, "help=1"},
  };
  for (const Row& row : rows) {
    const std::string option = row.name, value = row.value ? row.value : "";
    const Words known = split(row.commands);
    for (const std::string& command : COMMANDS) {
      const std::string line = base(command), without = changed(line), given = line + " " + option + " " + value;
      if (std::find(known.begin(), known.end(), command) == known.end()) {
        CHECK_EQ(error_of(given), option + " is not an option of \"" + command + "\"; --help lists them");
        continue;
      }
      const std::string expected = row.expected;
      const std::string now = changed(given);
      CHECK_EQ(error_of(given), std::string());
      for (const std::string& part : split(expected))
        CHECK(contains(" " + now + " ", " " + part + " "));
      CHECK_EQ(split(now).size(), split(without).size() + split(expected).size());
      if (option.substr(0, 2) != "--") continue;
      if (!row.value) {
        CHECK_EQ(error_of(line + " " + option + "=1"), option + " takes no value");
      } else {
        CHECK_EQ(changed(line + " " + option + "=" + value), now);
        CHECK(contains(error_of(line + " " + option), option + " needs a value: "));
      }
    }
  }
  CHECK_EQ(changed("eval m --text t"), std::string("command=4 model=m text_file=t"));
  CHECK_EQ(changed("run m --realtime --pace 1"), std::string("model=m pace=1 realtime=1"));
  CHECK_EQ(changed("m -i=5"), std::string("unknown option -i=5; --help lists them"));
  CHECK_EQ(changed("m --seal=a=b"), std::string("--seal: \"a=b\" is none of yes, no, require"));
  CHECK_EQ(changed("m -i --json"), std::string("model=m prompt=--json"));
  CHECK_EQ(changed("m --state-save="), std::string("model=m state_save="));
  CHECK_EQ(changed("m -n 5 -n 6 --ctx 8 --ctx=9"), std::string("model=m context=9 count=6 count_given=1"));
  CHECK_EQ(changed("m --stop-id 5 --stop-id=6,7"), std::string("model=m stop_ids=5,6,7"));
  CHECK_EQ(changed("m --threads 5 --threads auto"), std::string("model=m threads=5 threads_auto=1"));
  CHECK_EQ(changed("m --threads auto --threads 5"), std::string("model=m threads=5"));
  for (const char* unknown : {"--frob", "-x", "--", "--n", "-ii", "--ctx2", "---ctx", "--isa-"})
    CHECK_EQ(error_of(std::string("m ") + unknown), std::string("unknown option ") + unknown + "; --help lists them");
  CHECK_EQ(error_of("m --frob=3"), std::string("unknown option --frob; --help lists them"));
  CHECK_EQ(error_of("m -n"), std::string("-n needs a value: N"));
  CHECK_EQ(error_of("m --kv"), std::string("--kv needs a value: i8|f16|f32"));
}

TEST(whole_numbers) {
  struct Row {
    const char *command, *option;
    long low, high;
    const char* key;
  };
  for (Row row : {Row{"run", "-n", 0, 1l << 30, "count"},
                  {"run", "-k", 0, 1l << 24, "top_k"},
                  {"eval", "--max-tokens", 1, 1l << 30, "max_tokens"},
                  {"bench", "--prompt-tokens", 1, 1l << 24, "bench_prompt"},
                  {"bench", "--sessions", 1, 256, "sessions"},
                  {"bench", "--repeat", 1, 1000, "repeat"},
                  {"info", "--threads", 1, 64, "threads"},
                  {"run", "--ctx", 1, 1l << 24, "context"},
                  {"run", "--window", 1, 1l << 24, "window"}}) {
    const std::string line = base(row.command) + " " + row.option + " ";
    auto refused = [&](const std::string& value) {
      CHECK_EQ(error_of(line + value), std::string(row.option) + ": \"" + (value == "''" ? "" : value) +
                                           "\" is not a whole number from " + std::to_string(row.low) + " to " +
                                           std::to_string(row.high));
    };
    for (long value : {row.low, row.low + 1, row.high - 1, row.high}) {
      Words words = split(line + std::to_string(value));
      Options options;
      CHECK_EQ(parse(words, &options), std::string());
      CHECK(contains(described(options) + " ", " " + std::string(row.key) + "=" + std::to_string(value) + " "));
    }
    CHECK_EQ(error_of(line + "00" + std::to_string(row.high)), std::string());
    if (row.low > 0) refused(std::to_string(row.low - 1));
    for (const char* value :
         {"''", "-1", "+1", "1.0", "0x1", "1e3", "1/", "1:", "a", "99999999999999999999", "18446744073709551617"})
      refused(value);
    refused(std::to_string(row.high + 1));
  }
  CHECK_EQ(error_of("m -s 0"), std::string());
  for (const char* value : {"18446744073709551616", "18446744073709551620", "-1", "1x", "''", "1.5"}) {
    const std::string shown = std::string(value) == "''" ? "" : value;
    CHECK_EQ(error_of(std::string("m -s ") + value), "-s: \"" + shown + "\" is not a whole number below 2^64");
  }
  CHECK(contains(changed("m -s 18446744073709551609"), "seed=18446744073709551609"));
}

TEST(decimal_numbers) {
  struct Row {
    const char *option, *low, *high, *below, *above, *range;
  };
  for (Row row : {Row{"-t", "0", "100", "", "100.00001", "0.00 to 100"},
                  {"-p", "0", "1", "", "1.000001", "0.00 to 1"},
                  {"--min-p", "0", "1", "", "1.000001", "0.00 to 1"},
                  {"--repeat-penalty", "0.01", "100", "0.0099999", "100.00001", "0.01 to 100"},
                  {"--pace", "0.01", "10000", "0.0099999", "10000.00001", "0.01 to 10000"}}) {
    const std::string line = std::string("m ") + row.option + " ";
    for (const char* value : {row.low, row.high, "1", "1.", "0.5", ".5", "0.5000000000000000"})
      CHECK_EQ(error_of(line + value), std::string());
    for (const char* value :
         {row.below, row.above, "''", ".", "-1", "+1", "1..", "0.5.", "1e0", "nan", "inf", "1x", "0.50000000000000000"}) {
      if (!*value) continue;
      const std::string shown = std::string(value) == "''" ? "" : value;
      CHECK_EQ(error_of(line + value), std::string(row.option) + ": \"" + shown + "\" is not a number from " + row.range);
    }
  }
  // The values that strtod reads.
  u64 state = 1;
  for (int i = 0; i < 2000; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    std::string digits = std::to_string(state >> 34);
    const size_t point = state % (digits.size() + 1);
    digits = digits.substr(0, point) + "." + digits.substr(point);
    const f64 expected = std::strtod(digits.c_str(), nullptr);
    if (expected < 0.01 || expected > 10000) continue;
    Words words = split("m --pace " + digits);
    Options options;
    CHECK_EQ(parse(words, &options), std::string());
    CHECK_EQ(options.generate.pace, expected);
  }
}

TEST(words) {
  for (const char* value : {"i4", "''", "I8", "i8 ", "f"}) {
    const std::string shown = std::string(value) == "''" ? "" : split(value)[0];
    if (shown != "i8") CHECK_EQ(error_of(std::string("m --kv ") + value), "--kv: \"" + shown + "\" is none of i8, f16, f32");
  }
  CHECK_EQ(error_of("m --activations f16"), std::string("--activations: \"f16\" is none of int8, f32"));
  CHECK_EQ(error_of("m --rope none"), std::string("--rope: \"none\" is none of interleaved, half"));
  CHECK_EQ(error_of("m --seal 1"), std::string("--seal: \"1\" is none of yes, no, require"));
}

TEST(stop_strings) {
  std::string line = "m";
  for (int i = 0; i < 16; i++)
    line += " --stop " + std::string(i == 0 ? 256 : 1, 'x');
  CHECK_EQ(error_of(line), std::string());
  const std::string words = "--stop: at most 16 texts of 1 to 256 bytes";
  CHECK_EQ(error_of(line + " --stop y"), words);
  CHECK_EQ(error_of("m --stop ''"), words);
  CHECK_EQ(error_of("m --stop " + std::string(257, 'x')), words);
}

TEST(together) {
  const std::string one_text = "only one of -i, -f and - can give the text";
  struct Row {
    const char* line;
    std::string expected;
  };
  for (const Row& row :
       {Row{"m -i a -f b", one_text},
        {"m -i a -", one_text},
        {"tokenize m -f a -", one_text},
        {"m -i a -f b -", one_text},
        {"m -i a -i b", ""},
        {"eval m", "eval: give either --text FILE or --ids 1,2,3"},
        {"eval m --text a --ids 1,2", "eval: give either --text FILE or --ids 1,2,3"},
        {"eval m --text a --logits b", "--logits goes with --ids"},
        {"eval m --ids 1 --logits b", ""},
        {"detokenize m", "detokenize: give --ids 1,2,3"},
        {"chat m --system a --state-load b", "--system begins a conversation, --state-load goes on with one"},
        {"chat m -n 0", "-n: an answer has at least one token"},
        {"chat m -n 1", ""},
        {"m -n 0", ""},
        {"bench m -n 0", ""},
        {"m --realtime", "--realtime: only with --pace"},
        {"m --pace 1 --realtime", ""}}) {
    CHECK_EQ(error_of(row.line), row.expected);
    CHECK_EQ(error_of(std::string(row.line) + " --help"), std::string());  // nothing else counts then
    CHECK_EQ(error_of(std::string(row.line) + " --version"), std::string());
  }
}

TEST(lists) {
  struct Row {
    const char *list, *expected;
  };
  for (Row row : {Row{"", ""},
                  {"7", "7 "},
                  {"1,2,3", "1 2 3 "},
                  {"0,1073741824", "0 1073741824 "},
                  {"000000000000001", "1 "},
                  {"1073741825", "#: \"1073741825\" is not a whole number in a list such as 1,2,3"},
                  {"1,", "#: \"1\" is not a whole number in a list such as 1,2,3"},
                  {",1", "#: \"\" is not a whole number in a list such as 1,2,3"},
                  {"1,,2", "1 #: \"\" is not a whole number in a list such as 1,2,3"},
                  {"1, 2", "1 #: \" 2\" is not a whole number in a list such as 1,2,3"},
                  {"1;2", "#: \"1;2\" is not a whole number in a list such as 1,2,3"},
                  {"-1", "#: \"-1\" is not a whole number in a list such as 1,2,3"},
                  {"0000000000000001", "#: \"000000000000000\" is not a whole number in a list such as 1,2,3"}}) {
    std::string got;
    auto add = [](void* context, i32 number) { *static_cast<std::string*>(context) += std::to_string(number) + " "; };
    Status status = parse_list("#", row.list, add, &got);
    CHECK(status.ok() || status.code() == Code::usage);
    CHECK_EQ(got + status.text(), std::string(row.expected));
  }
}

// Line by line what is printed; defaults and ranges that it names are those of the tests above.
TEST(help) {
  check::Child child = check::in_child([] {
    print_help();
    return 0;
  });
  CHECK(child.output == read_file("tests/golden/cli/help.txt"));
}
