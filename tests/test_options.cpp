// The command line as it is parsed: every option of every command, the ends of every range, and what is said of what is refused.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "check.h"
#include "child.h"
#include "cli/option_table.h"
#include "files.h"
#include "platform/console.h"

using namespace edgellm;

namespace {

using Words = std::vector<std::string>;

const Words COMMANDS = {"run", "chat", "serve", "bench", "eval", "info", "selftest", "tokenize", "detokenize"};

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

std::string string_of(Text text) {
  return std::string(text.data, static_cast<size_t>(text.size));
}

std::string described(const ServeOptions& o) {
  std::ostringstream out;
  auto say = [&](const char* key, const auto& value) { out << " " << key << "=" << value; };
  say("host", o.host), say("port", o.port), say("experts_service", o.experts_service), say("node", o.node);
  say("slots", o.slots), say("queue", o.queue), say("edge_tokens", o.edge_tokens), say("max_memory", o.max_memory);
  say("drain", o.drain), say("log", o.log), say("stop_repeats", o.stop_repeats),
      say("key_file", o.key_file ? o.key_file : "(null)");
  for (i32 i = 0; i < o.origin_count; i++)
    say("origin", string_of(o.origins[i]));
  const ConnectionLimits& c = o.connections;
  say("connections", c.connections), say("answer", c.answer), say("body", c.http.body);
  say("idle_ns", c.idle), say("head_ns", c.head), say("body_ns", c.body), say("write_ns", c.write);
  return out.str();
}

// Every member, those of two options apart by "key=value".
std::string described(const Options& o) {
  std::ostringstream out;
  auto say = [&](const char* key, const auto& value) { out << " " << key << "=" << value; };
  auto text = [](const char* value) { return value ? value : "(null)"; };
  say("command", o.command), say("command_given", o.command_given), say("model", text(o.model));
  for (i32 i = 1; i < o.model_count; i++)
    say("further", text(o.models[i]));
  for (i32 i = 0; i < o.model_count; i++) {
    if (o.model_names[i].size) say("name", string_of(o.model_names[i]));
  }
  CHECK(o.model_count == 0 ? !o.model : o.model == o.models[0]);
  say("model_from_variable", o.model_from_variable);
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
  say("history", text(o.history));
  say("state_load", text(o.state_load)), say("state_save", text(o.state_save));
  say("max_tokens", o.max_tokens), say("bench_prompt", o.bench_prompt), say("bench_at", text(o.bench_at));
  say("repeat", o.repeat), say("count_given", o.count_given), say("seed_given", o.seed_given);
  say("temperature_given", o.temperature_given), say("threads_auto", o.threads_auto), say("realtime", o.realtime);
  say("json", o.json), say("tensors", o.tensors), say("verbose", o.verbose), say("help", o.help), say("version", o.version);
  say("no_convert", o.no_convert);
  say("seal", static_cast<i32>(o.seal));
  return out.str() + described(o.serve);
}

// The members that are not as in new options, or the error.
std::string changed(const std::string& line) {
  Words words = split(line);
  Options options;
  if (std::string error = parse(words, &options); !error.empty()) return error;
  const Words now = split(described(options)), before = split(described(Options()));
  std::string out;
  for (const std::string& part : now) {
    const bool same = std::find(before.begin(), before.end(), part) != before.end();
    if (!same && part != "command_given=1") out += (out.empty() ? "" : " ") + part;
  }
  return out;
}

// Sets a variable of the environment for as long as it lives.
struct Environment {
  const char* name;
  Environment(const char* variable, const std::string& value) : name(variable) { setenv(name, value.c_str(), 1); }
  ~Environment() { unsetenv(name); }
};

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
      std::string(" command=1 command_given=0 model=(null) model_from_variable=0 map.prefault=0 map.lock=0 isa=(null) "
                  "threads=0 context=0 window=0 kv=0"
                  " f32_activations=0 half_rope=0 check=0 lock=0 sessions=1 count=32 hash=0 pace=0 temperature=0.7"
                  " top_p=0.9 top_k=0 min_p=0 repeat_penalty=1 seed=0 prompt=(null) text_file=(null) from_stdin=0"
                  " no_stdin=0 special=0 stop_ids="
                  " ids=(null) logits_file=(null) tokenizer_file=(null) system=(null) chat_template=(null) history=(null)"
                  " state_load=(null) state_save=(null) max_tokens=0 bench_prompt=64 bench_at=0 repeat=3 count_given=0"
                  " seed_given=0 temperature_given=0 threads_auto=0 realtime=0 json=0 tensors=0 verbose=0 help=0 "
                  "version=0 no_convert=0 seal=0"
                  " host=127.0.0.1 port=-1 experts_service=0 node= slots=4 queue=32 edge_tokens=200 max_memory=0"
                  " drain=30000000000 log=0 stop_repeats=0 key_file=(null) connections=256 answer=131072 body=262144"
                  " idle_ns=60000000000 head_ns=10000000000 body_ns=60000000000 write_ns=30000000000"));
}

TEST(commands) {
  {
    Words none;
    Options options;
    CHECK_EQ(parse(none, &options), std::string());  // without words
    std::string name = "edgellm";
    char* alone[] = {name.data()};
    CHECK(parse_options(1, alone, &options).code() == Code::usage);
  }
  struct Row {
    const char *line, *expected;
  };
  for (Row row :
       {Row{"m", "model=m"},
        {"run m", "model=m"},
        {"chat m", "command=128 model=m"},
        {"bench", "command=2"},
        {"bench m", "command=2 model=m"},
        {"info", "command=8"},
        {"selftest", "command=16"},
        {"tokenize m", "command=32 model=m"},
        {"eval m --text t", "command=4 model=m text_file=t"},
        {"detokenize m --ids 1", "command=64 model=m ids=1"},
        {"serve m", "command=256 model=m"},
        {"serve -m m", "command=256 model=m"},
        {"serve --model=a=m", "command=256 model=m name=a"},
        {"serve --model a=m --model n -m c=o", "command=256 model=m further=n further=o name=a name=c"},
        {"serve m --model n", "\"m\" and --model both name models: --model NAME=FILE for all of them"},
        {"serve --model a=m -m a=n", "-m: two models are called a"},
        {"serve --model =m", "--model: \"=m\" is neither NAME=FILE nor a file"},
        {"serve x=m", "there is no file \"x=m\": if that is NAME=FILE, --model stands before it"},
        {"serve --model a=", "--model: \"a=\" is neither NAME=FILE nor a file"},
        {"serve m n", "unexpected argument \"n\": --model NAME=FILE names each of several models"},
        {"serve", "command=256"},
        {"serve m --cors-origin http://a --cors-origin *", "command=256 model=m origin=http://a origin=*"},
        {"serve m --cors-origin a", "--cors-origin: \"a\" is neither * nor an origin such as https://example.org:8443"},
        {"m n", "model=m prompt=n"},
        {"m run", "model=m prompt=run"},
        {"run m n", "model=m prompt=n"},
        {"m -- -5", "model=m prompt=-5"},
        {"-- run --", "model=run prompt=--"},
        {"chat -- -m", "command=128 model=-m"},
        {"m -n 5 -- -n 5",
         "unexpected argument \"5\": the model is \"m\", the text \"-n\"; a text of several words is put in "
         "quotes"},
        {"run run run", "model=run prompt=run"},
        {"tokenize m n", "command=32 model=m prompt=n"},
        {"m -n 5 text -t 0", "model=m count=5 temperature=0 prompt=text count_given=1 temperature_given=1"},
        {"m once upon a time",
         "unexpected argument \"upon\": the model is \"m\", the text \"once\"; a text of several words is put in "
         "quotes"},
        {"-m m", "-m: the model is named without an option: edgellm run MODEL [TEXT]"},
        {"info --model=m", "--model: the model is named without an option: edgellm info [MODEL]"},
        {"chat m n", "unexpected argument \"n\": the model is \"m\" (edgellm help chat shows how)"},
        {"detokenize m 1", "unexpected argument \"1\": the model is \"m\" (edgellm help detokenize shows how)"},
        {"bench m n o", "command=2 model=m further=n further=o"},
        {"bench 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7", "bench: at most 16 models"},
        {"''", "model="},
        {"--threads 2 bench m", "command=2 model=m threads=2"},
        {"--threads=2 bench m", "command=2 model=m threads=2"},
        {"--temp run chat", "--temp: \"run\" is not a number from 0.00 to 100"},
        {"-n chat 5 m", "-n: \"chat\" is not a whole number from 0 to 1073741824"},
        {"m -n", "-n needs a value: N"},
        {"-n chat", "-n: \"chat\" is not a whole number from 0 to 1073741824"},
        {"--json info", "command=8 json=1"},
        {"-h --help", "help=1"},
        {"-h", "help=1"},
        {"help", "command=512 help=1"},
        {"help help", "command=512 help=1"},
        {"help chat", "command=128 help=1"},
        {"chat help", "command=128 model=help"},
        {"-h chat", "command=128 help=1"},
        {"chat -h", "command=128 help=1"},
        {"--version", "version=1"},
        {"version", "command=1024 version=1"},
        {"version m", "unexpected argument \"m\""},
        {"help chat bench", "unexpected argument \"bench\""},
        {"help version", "command=1024 help=1"},
        {"help --frob -h", "command=512 help=1"},
        {"eval --help", "command=4 help=1"},
        {"--frob -h", "help=1"},
        {"bench --repeat -h m", "command=2 help=1"},
        {"bench --repeat --help m", "command=2 help=1"},
        {"help chta", "there is no command \"chta\": did you mean chat? (edgellm help lists them)"},
        {"help frob", "there is no command \"frob\" (edgellm help lists them)"},
        {"-n 5", "no model is given: edgellm run MODEL [TEXT] (edgellm help run shows how)"},
        {"chat", "no model is given: edgellm chat MODEL (edgellm help chat shows how)"},
        {"eval --ids 1,2", "no model is given: edgellm eval MODEL (edgellm help eval shows how)"},
        {"tokenize", "no model is given: edgellm tokenize MODEL [TEXT] (edgellm help tokenize shows how)"},
        {"detokenize --ids 1",
         "no model is given: edgellm detokenize MODEL --ids 1,2,3 (edgellm help detokenize shows how)"}}) {
    CHECK_EQ(changed(row.line), std::string(row.expected));
  }
}

// What other programs call an option, and -p, which is their prompt.
TEST(names_from_elsewhere) {
  struct Row {
    const char *line, *expected;
  };
  for (Row row :
       {Row{"m -c 5", "unknown option -c: here it is --ctx (edgellm help run lists them)"},
        {"m --ctx-size=5", "unknown option --ctx-size: here it is --ctx (edgellm help run lists them)"},
        {"bench m --n-predict 5", "unknown option --n-predict: here it is --tokens (edgellm help bench lists them)"},
        {"m --max-tokens 5", "unknown option --max-tokens: here it is --tokens (edgellm help run lists them)"},
        {"eval m --text t --max-tokens 5", "command=4 model=m text_file=t max_tokens=5"},
        {"chat m --chat x", "unknown option --chat: here it is --template (edgellm help chat lists them)"},
        {"m --chat x", "unknown option --chat (edgellm help run lists them)"},
        {"m -n5", "unknown option -n5: did you mean -n 5? (edgellm help run lists them)"},
        {"m -t=0.5", "unknown option -t=0.5: did you mean -t 0.5? (edgellm help run lists them)"},
        {"bench m -t1", "unknown option -t1 (edgellm help bench lists them)"},
        {"m -hn", "unknown option -hn (edgellm help run lists them)"},
        {"m -v", "unknown option -v: here it is --verbose (edgellm help run lists them)"},
        {"-V", "unknown option -V: here it is --version (edgellm help run lists them)"},
        {"serve m -np 2", "unknown option -np: here it is --slots (edgellm help serve lists them)"},
        {"serve m --parallel 2", "unknown option --parallel: here it is --slots (edgellm help serve lists them)"},
        {"serve m --alias n", "unknown option --alias: here it is --model (edgellm help serve lists them)"},
        {"serve m -a n", "unknown option -a: here it is --model (edgellm help serve lists them)"},
        {"serve m --cors", "unknown option --cors: here it is --cors-origin (edgellm help serve lists them)"},
        {"serve m --api-key k", "unknown option --api-key: here it is --api-key-file (edgellm help serve lists them)"},
        {"m -p hi", "-p: \"hi\" is not a number from 0.00 to 1; the text is what follows the model, or -i"},
        {"m -p 0.5", "model=m top_p=0.5"},
        {"chat m -p hi", "-p: \"hi\" is not a number from 0.00 to 1"}}) {
    CHECK_EQ(changed(row.line), std::string(row.expected));
  }
}

// Where each option is known, by all of its names, and what it sets there. RUN is 1, BENCH 2, EVAL 4, INFO 8, SELFTEST 16, TOKENIZE 32,
// DETOKENIZE 64, CHAT 128.
TEST(options) {
  struct Row {
    const char *names, *value;  // null: a switch
    const char* commands;
    const char* expected;
  };
  const char *samples = "run chat", *loads = "run chat serve bench eval selftest",
             *all = "run chat serve bench eval info selftest tokenize detokenize";
  const Row rows[] = {
      {"-i --prompt", "a", "run tokenize", "prompt=a"},
      {"-f --file", "a", "run tokenize", "text_file=a"},
      {"-f --file", "-", "run tokenize", "from_stdin=1"},
      {"-f --file", "/dev/stdin", "run tokenize", "from_stdin=1"},
      {"- --stdin", nullptr, "run tokenize", "from_stdin=1"},
      {"-n --tokens", "5", "run chat bench", "count=5 count_given=1"},
      {"-t --temperature --temp", "1.5", samples, "temperature=1.5 temperature_given=1"},
      {"-p --top-p", "0.25", samples, "top_p=0.25"},
      {"-k --top-k", "40", samples, "top_k=40"},
      {"-s --seed", "18446744073709551615", samples, "seed=18446744073709551615 seed_given=1"},
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
      {"--template", "chatml", "chat serve", "chat_template=chatml"},
      {"--history", "f", "chat", "history=f"},
      {"--max-tokens", "7", "eval serve", ""},
      {"--host", "::1", "serve", "host=::1"},
      {"--port", "7", "serve", "port=7"},
      {"--experts-service", nullptr, "serve", "experts_service=1"},
      {"--api-key-file", "k", "serve", "key_file=k"},
      {"--cors-origin", "http://a", "serve", "origin=http://a"},
      {"--node", "n", "serve", "node=n"},
      {"--log", nullptr, "serve", "log=1"},
      {"--stop-repeats", nullptr, "serve", "stop_repeats=1"},
      {"--slots", "7", "serve", "slots=7"},
      {"--queue", "7", "serve", "queue=7"},
      {"--connections", "7", "serve", "connections=7"},
      {"--max-memory-mb", "7", "serve", "max_memory=7000000"},
      {"--max-body-kb", "7", "serve", "body=7168"},
      {"--answer-kb", "17", "serve", "answer=17408"},
      {"--idle-seconds", "7", "serve", "idle_ns=7000000000"},
      {"--head-seconds", "0.5", "serve", "head_ns=500000000"},
      {"--body-seconds", "7", "serve", "body_ns=7000000000"},
      {"--write-seconds", "7", "serve", "write_ns=7000000000"},
      {"--drain-seconds", "7", "serve", "drain=7000000000"},
      {"--logits", "a", "eval", "logits_file=a"},
      {"--prompt-tokens", "7", "bench", "bench_prompt=7"},
      {"--at", "1,2", "bench", "bench_at=1,2"},
      {"--sessions", "7", "bench", "sessions=7"},
      {"--repeat", "7", "bench", "repeat=7"},
      {"--json", nullptr, "bench eval info", "json=1"},
      {"--tensors", nullptr, "info", "tensors=1"},
      {"--threads", "7", "run chat serve bench eval selftest info", "threads=7"},
      {"--threads", "auto", "run chat serve bench eval selftest info", "threads_auto=1"},
      {"--isa", "a", "run chat serve bench eval selftest info", "isa=a"},
      {"--ctx", "7", loads, "context=7"},
      {"--window", "7", loads, "window=7"},
      {"--kv", "i8", loads, ""},
      {"--kv", "f16", loads, "kv=1"},
      {"--kv", "f32", loads, "kv=2"},
      {"--activations", "int8", loads, ""},
      {"--activations", "f32", loads, "f32_activations=1"},
      {"--no-convert", nullptr, all, "no_convert=1"},
      {"--mlock", nullptr, loads, "lock=1"},
      {"--prefault", nullptr, loads, "map.prefault=1"},
      {"--hash", nullptr, "run chat bench eval selftest", "hash=1"},
      {"--seal", "yes", loads, ""},
      {"--seal", "no", loads, "seal=1"},
      {"--seal", "require", loads, "seal=2"},
      {"--check", nullptr, "run chat serve bench eval selftest info", "check=1"},
      {"--tokenizer", "a", "run chat serve bench eval selftest tokenize detokenize", "tokenizer_file=a"},
      {"--rope", "interleaved", loads, ""},
      {"--rope", "half", loads, "half_rope=1"},
      {"--verbose", nullptr, loads, "verbose=1"},
      {"--version", nullptr, all, "version=1"},
      {"-h --help", nullptr, all, "help=1"},
  };
  std::vector<std::string> names = {"--text", "--ids", "--realtime", "-m", "--model"};  // not without each other, and below
  for (const Row& row : rows) {
    const std::string value = row.value ? row.value : "";
    const Words known = split(row.commands);
    for (const std::string& option : split(row.names)) {
      names.push_back(option);
      for (const std::string& command : COMMANDS) {
        const std::string line = base(command), without = changed(line), given = line + " " + option + " " + value;
        if (std::find(known.begin(), known.end(), command) == known.end()) {
          const Words makers = {"run", "chat", "bench"};  // there --max-tokens is --tokens
          if (option == "--max-tokens" && std::find(makers.begin(), makers.end(), command) != makers.end()) continue;
          std::string others;
          for (const std::string& one : COMMANDS) {
            if (std::find(known.begin(), known.end(), one) != known.end()) others += (others.empty() ? "" : ", ") + one;
          }
          CHECK_EQ(error_of(given), option + " is not an option of \"" + command + "\", but of " + others +
                                        " (edgellm help " + command + " lists them)");
          continue;
        }
        const std::string expected = row.expected, now = changed(given);
        CHECK_EQ(error_of(given), std::string());
        for (const std::string& part : split(expected))
          CHECK(contains(" " + now + " ", " " + part + " "));
        if (option == "--max-tokens") continue;                              // of two commands: below
        const bool alone = expected == "help=1" || expected == "version=1";  // the model is of no interest then
        CHECK_EQ(split(now).size() + alone, split(without).size() + split(expected).size());
        if (option.substr(0, 2) != "--") continue;
        if (!row.value) {
          CHECK_EQ(error_of(line + " " + option + "=1"), option + " takes no value");
        } else {
          CHECK_EQ(changed(line + " " + option + "=" + value), now);
          CHECK(contains(error_of(line + " " + option), option + " needs a value: "));
        }
      }
    }
  }
  for (const Option& option : all_options()) {  // none is forgotten above
    Text left = option.names;
    for (Text name; next_name(&left, &name);)
      CHECK(std::find(names.begin(), names.end(), string_of(name)) != names.end());
  }
  CHECK_EQ(changed("eval m --text t"), std::string("command=4 model=m text_file=t"));
  CHECK_EQ(changed("eval m --ids 1 --max-tokens 7"), std::string("command=4 model=m ids=1 max_tokens=7"));
  CHECK_EQ(changed("serve m --max-tokens 7"), std::string("command=256 model=m edge_tokens=7"));
  CHECK_EQ(changed("run m --realtime --pace 1"), std::string("model=m pace=1 realtime=1"));
  CHECK_EQ(changed("m --seal=a=b"), std::string("--seal: \"a=b\" is none of yes, no, require"));
  CHECK_EQ(changed("m -i --json"), std::string("model=m prompt=--json"));
  CHECK_EQ(changed("m --prompt -h"), std::string("model=m prompt=-h"));
  CHECK_EQ(changed("m --state-save="), std::string("model=m state_save="));
  CHECK_EQ(changed("m -n 5 -n 6 --ctx 8 --ctx=9"), std::string("model=m context=9 count=6 count_given=1"));
  CHECK_EQ(changed("m --stop-id 5 --stop-id=6,7"), std::string("model=m stop_ids=5,6,7"));
  CHECK_EQ(changed("m --threads 5 --threads auto"), std::string("model=m threads=5 threads_auto=1"));
  CHECK_EQ(changed("m --threads auto --threads 5"), std::string("model=m threads=5"));
  CHECK_EQ(error_of("m -n"), std::string("-n needs a value: N"));
  CHECK_EQ(error_of("m --kv"), std::string("--kv needs a value: i8|f16|f32"));
}

// What is mistyped: the nearest name, if there is a near one.
TEST(unknown_options) {
  struct Row {
    const char *line, *option, *nearest;
  };
  for (Row row : {Row{"m --frob", "--frob", ""},
                  {"m --frob=3", "--frob", ""},
                  {"m -x", "-x", ""},
                  {"m --n", "--n", "-n"},
                  {"m -ii", "-ii", ""},
                  {"m -i=5", "-i=5", "-i 5"},
                  {"m -tokens", "-tokens", "--tokens"},
                  {"m ---ctx", "---ctx", "--ctx"},
                  {"m --ctx2", "--ctx2", "--ctx"},
                  {"m --isa-", "--isa-", "--isa"},
                  {"m --tokns=5", "--tokns", "--tokens"},
                  {"m --top_p 1", "--top_p", "--top-p"},
                  {"m --temprature 1", "--temprature", "--temperature"},
                  {"m --pormpt 1", "--pormpt", "--prompt"},
                  {"m --sed 1", "--sed", "--seed"},
                  {"m --vesrion", "--vesrion", "--version"},
                  {"chat m --promt x", "--promt", ""},  // not an option of chat
                  {"bench --sesions 3", "--sesions", "--sessions"},
                  {"help --frob", "--frob", ""}}) {
    std::string command = split(row.line)[0], nearest = row.nearest;
    if (command == "m") command = "run";
    CHECK_EQ(error_of(row.line), std::string("unknown option ") + row.option +
                                     (nearest.empty() ? "" : ": did you mean " + nearest + "?") + " (edgellm help " +
                                     command + " lists them)");
  }
}

// A first word that is neither a command nor a file, but nearly a command.
TEST(mistyped_commands) {
  struct Row {
    const char *line, *command;
  };
  for (Row row : {Row{"bnech", "bench"},
                  {"caht m", "chat"},
                  {"bnech m --json", "bench"},
                  {"--json bnech", "bench"},
                  {"ifno", "info"},
                  {"hlep", "help"},
                  {"hlep chat", "help"},
                  {"verison", "version"},
                  {"tokenise m -f file", "tokenize"}}) {
    const Words words = split(row.line);
    CHECK_EQ(error_of(row.line),
             "there is no file \"" + words[words[0] == "--json"] + "\": did you mean the command " + row.command + "?");
    CHECK_EQ(error_of(std::string(row.line) + " --help"), std::string());
  }
  CHECK_EQ(changed("frob"), std::string("model=frob"));
  CHECK(contains(error_of("frob --json"), "--json is not an option of \"run\""));
  CHECK_EQ(changed("run caht"), std::string("model=caht"));  // a command was named
  Folder folder;
  write_file(folder / "caht", "");
  // A file is a file, whatever its name.
  check::Child child =
      check::in_child([&] { return chdir(folder.path.c_str()) == 0 && changed("caht") == "model=caht" ? 7 : 1; });
  CHECK_EQ(child.exit_code, 7);
}

// One text from one place. What was typed is what an error names.
TEST(sources_of_a_text) {
  struct Row {
    const char *line, *expected;
  };
  for (Row row : {Row{"m -i a -f b", "-i and -f both give the text: only one can"},
                  {"m --prompt a --file b", "--prompt and --file both give the text: only one can"},
                  {"m -i a -", "-i and - both give the text: only one can"},
                  {"tokenize m --file=a --stdin", "--file and --stdin both give the text: only one can"},
                  {"m - --prompt=a", "- and --prompt both give the text: only one can"},
                  {"m -i a -f b -", "-i and -f both give the text: only one can"},
                  {"m text -i a", "\"text\" and -i both give the text: only one can"},
                  {"m -i a text", "\"text\" and -i both give the text: only one can"},
                  {"m --prompt once text", "\"text\" and --prompt both give the text: only one can"},
                  {"tokenize m text --file a", "\"text\" and --file both give the text: only one can"},
                  {"m text -", "\"text\" and - both give the text: only one can"},
                  {"m -i a --prompt b", ""},
                  {"m -f a -f b", ""},
                  {"m - --stdin", ""}}) {
    CHECK_EQ(error_of(row.line), std::string(row.expected));
  }
}

// A text without a model.
TEST(texts_alone) {
  auto said = [](std::vector<std::string> words) {
    Options options;
    return parse(words, &options);
  };
  const std::string hint =
      "\"once upon\" is no file; if it is the text, name the model before it: edgellm MODEL \"TEXT\", or in "
      "EDGELLM_MODEL";
  CHECK_EQ(said({"once upon"}), hint);
  CHECK_EQ(said({"run", "once upon", "-n", "5"}), hint);
  CHECK_EQ(said({"tokenize", "once upon"}), hint);
  CHECK_EQ(said({"once upon.tm2"}), std::string());
  CHECK_EQ(said({"once upon", "a time"}), std::string());  // a model that is not there, and a text
  CHECK_EQ(said({"once upon", "-i", "a time"}), std::string());
  CHECK_EQ(said({"chat", "once upon"}), std::string());
  Folder folder;
  write_file(folder / "once upon", "");
  CHECK_EQ(said({folder / "once upon"}), std::string());
  Environment model("EDGELLM_MODEL", "e e.tm");
  CHECK_EQ(said({"once upon"}), std::string());
  CHECK_EQ(said({"-i", "once upon"}), std::string());
  CHECK_EQ(said({"-n", "5"}), std::string());
}

// What the environment says where no option does.
TEST(variables) {
  {
    Environment model("EDGELLM_MODEL", "e.tm2");
    Folder folder;
    write_file(folder / "there", "");
    struct Row {
      std::string line, expected;
    };
    for (const Row& row :
         {Row{"-n 5", "model=e.tm2 model_from_variable=1 count=5 count_given=1"},
          {"chat", "command=128 model=e.tm2 model_from_variable=1"},
          {"bench", "command=2 model=e.tm2 model_from_variable=1"},
          {"selftest", "command=16 model=e.tm2 model_from_variable=1"},
          {"info", "command=8"},
          {"info m", "command=8 model=m"},
          {"chat m", "command=128 model=m"},
          {"bench m n", "command=2 model=m further=n"},
          {"hello", "model=e.tm2 model_from_variable=1 prompt=hello"},
          {"tokenize hello", "command=32 model=e.tm2 model_from_variable=1 prompt=hello"},
          {"run caht", "model=e.tm2 model_from_variable=1 prompt=caht"},
          {"fun", "model=e.tm2 model_from_variable=1 prompt=fun"},
          {"bnech --json", "there is no file \"bnech\": did you mean the command bench?"},
          {"m hello", "model=m prompt=hello"},
          {"m.tm2", "model=m.tm2"},
          {"m.srnn", "model=m.srnn"},
          {"m.gguf", "model=m.gguf"},
          {"m.bin", "model=m.bin"},
          {"m.pth", "model=m.pth"},
          {"m.safetensors", "model=m.safetensors"},
          {".tm2", "model=e.tm2 model_from_variable=1 prompt=.tm2"},
          {"m.tm", "model=e.tm2 model_from_variable=1 prompt=m.tm"},
          {folder / "there", "model=" + (folder / "there")},
          {folder.path, "model=" + folder.path},
          {"hello -i a", "\"hello\" and -i both give the text: only one can (there is no model file of that name)"},
          {"m.tm2 -i a", "model=m.tm2 prompt=a"},
          {"detokenize --ids 1", "command=64 model=e.tm2 model_from_variable=1 ids=1"}}) {
      CHECK_EQ(changed(row.line), row.expected);
    }
    std::string name = "edgellm";
    char* alone[] = {name.data()};
    Options options;
    CHECK(parse_options(1, alone, &options).ok() && std::string(options.model) == "e.tm2");
  }
  {
    Environment threads("EDGELLM_THREADS", "7"), form("EDGELLM_TEMPLATE", "phi");
    CHECK_EQ(changed("m"), std::string("model=m threads=7"));
    CHECK_EQ(changed("info"), std::string("command=8 threads=7"));
    CHECK_EQ(changed("m --threads 5"), std::string("model=m threads=5"));
    CHECK_EQ(changed("m --threads auto"), std::string("model=m threads_auto=1"));
    CHECK_EQ(changed("tokenize m"), std::string("command=32 model=m"));
    CHECK_EQ(changed("chat m"), std::string("command=128 model=m threads=7 chat_template=phi"));
    CHECK_EQ(changed("chat m --template llama3"), std::string("command=128 model=m threads=7 chat_template=llama3"));
  }
  {
    Environment model("EDGELLM_MODEL", ""), threads("EDGELLM_THREADS", ""), form("EDGELLM_TEMPLATE", "");
    CHECK_EQ(changed("chat m"), std::string("command=128 model=m"));
    CHECK_EQ(error_of("chat"), std::string("no model is given: edgellm chat MODEL (edgellm help chat shows how)"));
    std::string name = "edgellm";
    char* alone[] = {name.data()};
    Options options;
    CHECK(parse_options(1, alone, &options).code() == Code::usage);
  }
  {
    Environment threads("EDGELLM_THREADS", "auto");
    CHECK_EQ(changed("m"), std::string("model=m threads_auto=1"));
  }
  {
    Environment threads("EDGELLM_THREADS", "0"), form("EDGELLM_TEMPLATE", "llama");
    CHECK_EQ(error_of("m"), std::string("EDGELLM_THREADS: \"0\" is not a whole number from 1 to 64"));
    CHECK_EQ(error_of("m --threads 2"), std::string());
    CHECK_EQ(error_of("m --help"), std::string());
    CHECK_EQ(
        error_of("chat m --threads 2"),
        std::string("EDGELLM_TEMPLATE: \"llama\" is none of llama3 chatml bitnet mistral llama2 zephyr falcon3 phi rwkv "
                    "plain"));
    CHECK_EQ(error_of("chat m --threads 2 --template phi"), std::string());
  }
}

TEST(whole_numbers) {
  struct Row {
    const char *command, *option;
    long low, high;
    const char* key;
    long long unit = 1;
  };
  for (Row row : {Row{"run", "-n", 0, 1l << 30, "count"},
                  {"run", "-k", 0, 1l << 24, "top_k"},
                  {"eval", "--max-tokens", 1, 1l << 30, "max_tokens"},
                  {"bench", "--prompt-tokens", 1, 1l << 24, "bench_prompt"},
                  {"bench", "--sessions", 1, 256, "sessions"},
                  {"bench", "--repeat", 1, 1000, "repeat"},
                  {"info", "--threads", 1, 64, "threads"},
                  {"run", "--ctx", 1, 1l << 24, "context"},
                  {"run", "--window", 1, 1l << 24, "window"},
                  {"serve", "--port", 0, 65535, "port"},
                  {"serve", "--slots", 1, 256, "slots"},
                  {"serve", "--queue", 0, 4096, "queue"},
                  {"serve", "--connections", 1, 16384, "connections"},
                  {"serve", "--max-tokens", 1, 1l << 24, "edge_tokens"},
                  {"serve", "--max-memory-mb", 1, 1l << 24, "max_memory", 1000000},
                  {"serve", "--max-body-kb", 1, 65536, "body", 1024},
                  {"serve", "--answer-kb", 16, 65536, "answer", 1024}}) {
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
      CHECK(contains(described(options) + " ", " " + std::string(row.key) + "=" + std::to_string(value * row.unit) + " "));
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
    const char* command = "m";
  };
  for (Row row : {Row{"-t", "0", "100", "", "100.00001", "0.00 to 100"},
                  {"-p", "0", "1", "", "1.000001", "0.00 to 1"},
                  {"--min-p", "0", "1", "", "1.000001", "0.00 to 1"},
                  {"--repeat-penalty", "0.01", "100", "0.0099999", "100.00001", "0.01 to 100"},
                  {"--pace", "0.01", "10000", "0.0099999", "10000.00001", "0.01 to 10000"},
                  {"--idle-seconds", "0.1", "86400", "0.09999", "86400.0001", "0.10 to 86400", "serve m"},
                  {"--head-seconds", "0.1", "86400", "0.09999", "86400.0001", "0.10 to 86400", "serve m"},
                  {"--body-seconds", "0.1", "86400", "0.09999", "86400.0001", "0.10 to 86400", "serve m"},
                  {"--write-seconds", "0.1", "86400", "0.09999", "86400.0001", "0.10 to 86400", "serve m"},
                  {"--drain-seconds", "0.1", "86400", "0.09999", "86400.0001", "0.10 to 86400", "serve m"}}) {
    const std::string line = std::string(row.command) + " " + row.option + " ";
    for (const char* value : {row.low, row.high, "1", "1.", "0.5", ".5", "0.5000000000000000", "1e0", "5e-1", "5E-1",
                              ".5e+0", "5.e-01", "0.00005e004", "1000000e-6"})
      CHECK_EQ(error_of(line + value), std::string());
    for (const char* value : {row.below,
                              row.above,
                              "''",
                              ".",
                              "-1",
                              "+1",
                              "1..",
                              "0.5.",
                              "nan",
                              "inf",
                              "1x",
                              "0.50000000000000000",
                              "e",
                              "1e",
                              "e1",
                              ".e1",
                              "1e+",
                              "1e-",
                              "1e1.",
                              "1e.5",
                              "1ee1",
                              "1e--1",
                              "1e+-1",
                              "-1e0",
                              "+1e0",
                              "1e100",
                              "1e-100",
                              "1e999",
                              "1e99999999999999999999",
                              "1e99"}) {
      if (!*value) continue;
      const std::string shown = std::string(value) == "''" ? "" : value;
      const char* more = std::string(row.option) == "-p" ? "; the text is what follows the model, or -i" : "";
      CHECK_EQ(error_of(line + value),
               std::string(row.option) + ": \"" + shown + "\" is not a number from " + row.range + more);
    }
  }
  CHECK_EQ(error_of("m -t 1e-50"), std::string("-t: \"1e-50\" is 0 as an f32"));
  CHECK_EQ(changed("m --temp 1e-3"), std::string("model=m temperature=0.001 temperature_given=1"));
  CHECK_EQ(changed("m -t 0e99"), std::string("model=m temperature=0 temperature_given=1"));
  // The values that strtod reads, plain and with an exponent.
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
  for (int i = 0; i < 2000; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const i32 exponent = static_cast<i32>(state >> 40) % 13;
    const std::string digits = std::to_string(state >> 44) + "." + std::to_string((state >> 20) % 1000);
    const std::string typed = digits + "e" + std::to_string(-exponent);
    const f64 expected = std::strtod(typed.c_str(), nullptr);
    f64 got = -1;
    CHECK(parse_decimal(typed.c_str(), &got));
    CHECK_EQ(got, expected);
    CHECK(parse_decimal((digits + "E+" + std::to_string(exponent)).c_str(), &got));
    CHECK_EQ(got, std::strtod((digits + "e" + std::to_string(exponent)).c_str(), nullptr));
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

TEST(many_models_and_origins) {
  std::string models = "serve", origins = "serve m";
  for (int i = 0; i < 16; i++) {
    models += " -m m" + std::to_string(i);
    origins += " --cors-origin http://a" + std::to_string(i);
  }
  CHECK_EQ(error_of(models), std::string());
  CHECK_EQ(error_of(models + " --model n"), std::string("--model: at most 16 models"));
  CHECK_EQ(error_of(origins), std::string());
  CHECK_EQ(error_of(origins + " --cors-origin *"), std::string("--cors-origin: at most 16 origins; * is any"));
}

TEST(together) {
  struct Row {
    const char* line;
    std::string expected;
  };
  for (const Row& row :
       {Row{"m -i a -i b", ""},
        {"eval m", "eval: give either --text FILE or --ids 1,2,3"},
        {"eval m --text a --ids 1,2", "eval: give either --text FILE or --ids 1,2,3"},
        {"eval m --text a --logits b", "--logits goes with --ids"},
        {"eval m --ids 1 --logits b", ""},
        {"detokenize m", "detokenize: give --ids 1,2,3"},
        {"chat m --system a --state-load b", "--system begins a conversation, --state-load goes on with one"},
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

// What the program prints for a command line that asks for help.
static std::string help_of(const std::string& line) {
  check::Child child = check::in_child([&] {
    Words words = split(line);
    Options options;
    if (!parse(words, &options).empty() || !options.help) return 1;
    print_help(options);
    return 0;
  });
  CHECK_EQ(child.exit_code, 0);
  return child.output;
}

static std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    lines.push_back(line);
  return lines;
}

// Line by line what is printed; defaults and ranges that it names are those of the tests above.
TEST(help) {
  CHECK(help_of("help") == read_file("tests/golden/cli/help.txt"));
  for (const char* line :
       {"--help", "-h", "m -h", "help help", "help version", "version -h", "help --frob -h", "help frob -h"})
    CHECK(help_of(line) == help_of("help"));
  for (const std::string& command : COMMANDS) {
    const std::string help = help_of("help " + command);
    CHECK(
        help == read_file("tests/golden/cli/help-" + command + ".txt") ||
        (std::printf("tests/golden/cli/help-%s.txt is not what help %s prints\n", command.c_str(), command.c_str()), false));
    CHECK(help_of(command + " --help") == help && help_of("-h " + command) == help);
    for (const std::string& line : lines_of(help))
      CHECK(line.size() <= 80 && !line.empty() ? line.back() != ' ' : line.empty());
  }
  for (const std::string& line : lines_of(help_of("help")))
    CHECK(line.size() <= 80);
  check::Child use = check::in_child([] {
    note_use();
    return 0;
  });
  CHECK_EQ(lines_of(use.output).size(), size_t{3});
  for (const std::string& line : lines_of(use.output))
    CHECK(line.size() <= 80);
}

static std::string words_of(const std::string& text) {
  std::istringstream words(text);
  std::string all;
  for (std::string word; words >> word;)
    all += word + " ";
  return all;
}

// Every option stands in the help of each of its commands and in no other, and in the document of commands.
TEST(help_has_every_option) {
  const std::string document = read_file("docs/COMMANDS.md");
  for (const Command& command : all_commands()) {
    CHECK(contains(help_of("help"), std::string("\n  ") + command.name));
    if (!(command.bit & ALL_COMMANDS)) continue;
    const std::string help = help_of(std::string("help ") + command.name);
    for (const Option& option : all_options()) {
      const std::string names =
          std::string("\n  ") + option.names + (option.argument ? std::string(" ") + option.argument : "");
      Text left = option.names, name;
      CHECK(next_name(&left, &name));
      CHECK_EQ(contains(help, names + " ") || contains(help, names + "\n"), find_option(name, command.bit) != nullptr);
      if (option.commands & command.bit) CHECK(contains(words_of(help), words_of(option.help)));
    }
  }
  for (const Option& option : all_options()) {
    Text left = option.names;
    for (Text name; next_name(&left, &name);) {
      CHECK(contains(document, "`" + string_of(name)) ||
            (std::printf("docs/COMMANDS.md does not tell of %s\n", option.names), false));
      for (const Option& other : all_options())  // one row for a name and a command
        CHECK(&other == &option || !(other.commands & option.commands) || find_option(name, option.commands) == &option);
    }
  }
  for (const Variable& variable : all_variables())
    CHECK(contains(help_of("help"), variable.name) && contains(document, variable.name));
}

// The words of a line as a shell splits them, quotes and a pipe in front taken away.
static Words shell_words(std::string line) {
  const size_t program = line.rfind("edgellm ");
  line = line.substr(program + 8);
  Words words;
  std::string word;
  bool quoted = false;
  for (char letter : line + " ") {
    if (letter == '"') {
      quoted = !quoted;
    } else if (letter == ' ' && !quoted) {
      if (!word.empty()) words.push_back(word);
      word.clear();
    } else {
      word += letter;
    }
  }
  CHECK(!quoted);
  return words;
}

TEST(examples_are_command_lines) {
  for (const Command& command : all_commands()) {
    const std::vector<std::string> examples = lines_of(command.examples);
    CHECK(!examples.empty() || !(command.bit & ALL_COMMANDS));
    for (const std::string& example : examples) {
      Words words = shell_words(example);
      Options options;
      CHECK_EQ(parse(words, &options), std::string());
      CHECK_EQ(options.command, command.bit);
    }
  }
}
