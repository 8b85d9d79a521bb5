// The rows of the command line, and what each option does with its value.
#include <string.h>

#include "cli/option_table.h"
#include "text/chat_template.h"

namespace edgellm {

namespace {

constexpr u32 SAMPLES = RUN | CHAT;                               // commands that make text
constexpr u32 LOADS = SAMPLES | BENCH | EVAL | SELFTEST | SERVE;  // commands that run a model

Status set_number(Text name, const char* value, i32 low, i32 high, i32* number) {
  u64 parsed;
  if (!parse_whole(value, static_cast<u64>(high), &parsed) || parsed < static_cast<u64>(low)) {
    return usage_error(name, ": \"", value, "\" is not a whole number from ", low, " to ", high);
  }
  *number = static_cast<i32>(parsed);
  return {};
}

Status set_real(Text name, const char* value, f64 low, f64 high, f64* number) {
  if (!parse_decimal(value, number) || *number < low || *number > high) {
    return usage_error(name, ": \"", value, "\" is not a number from ", Fixed{low, 2}, " to ", Fixed{high, 0});
  }
  return {};
}

Status set_float(Text name, const char* value, f64 low, f64 high, f32* number) {
  f64 parsed;
  EDGELLM_TRY(set_real(name, value, low, high, &parsed));
  *number = static_cast<f32>(parsed);
  if (parsed > 0 && !(*number > 0)) return usage_error(name, ": \"", value, "\" is 0 as an f32");
  return {};
}

// The index of a word in a list is the value that it stands for: of an enumeration, or false and true.
template <size_t COUNT, class Value>
Status set_word(Text name, const char* value, const char* const (&words)[COUNT], Value* chosen) {
  for (size_t i = 0; i < COUNT; i++) {
    if (strcmp(value, words[i]) == 0) {
      *chosen = static_cast<Value>(i);
      return {};
    }
  }
  const char* third = COUNT > 2 ? words[COUNT - 1] : "";
  return usage_error(name, ": \"", value, "\" is none of ", words[0], ", ", words[1], COUNT > 2 ? ", " : "", third);
}

constexpr const char* ROPE_NAMES[] = {"interleaved", "half"};
constexpr const char* SEAL_NAMES[] = {"yes", "no", "require"};  // of SealMode

using O = Options&;
using N = Text;
using S = const char*;

// o.*first.*second, and so on.
template <auto first, auto... others>
auto& member(auto& o) {
  if constexpr (sizeof...(others) == 0) {
    return o.*first;
  } else {
    return member<others...>(o.*first);
  }
}

// Options that only store: a switch or a text.
template <auto... path>
Status set_flag(O o, N, S) {
  member<path...>(o) = true;
  return {};
}

template <auto... path>
Status set_text(O o, N, S value) {
  member<path...>(o) = value;
  return {};
}

// The text that a command begins with comes from one place; of one option given twice the last counts.
Status check_sources(O o, N name) {
  if ((o.prompt != nullptr) + (o.text_file != nullptr) + o.from_stdin > 1)
    return usage_error(o.text_from, " and ", name, " both give the text: only one can");
  o.text_from = name;
  return {};
}

Status set_count(O o, N n, S v) {
  o.count_given = true;
  return set_number(n, v, o.command == CHAT ? 1 : 0, 1 << 30, &o.generate.count);
}

// "-" and "/dev/stdin", which cannot be mapped, are standard input.
Status set_file(O o, N n, S v) {
  const bool input = strcmp(v, "-") == 0 || strcmp(v, "/dev/stdin") == 0;
  o.from_stdin |= input;
  if (!input) o.text_file = v;
  return check_sources(o, n);
}

Status set_stop(O o, N n, S v) {
  if (o.generate.stop.add(v)) return {};
  return usage_error(n, ": at most ", StopStrings::MAX_STRINGS, " texts of 1 to ", StopStrings::MAX_BYTES, " bytes");
}

Status set_stop_ids(O o, N n, S v) {
  StopIds& ids = o.generate.stop_ids;
  const i64 before = ids.ids().count;
  EDGELLM_TRY(parse_list(n, v, [](void* to, i32 id) { static_cast<StopIds*>(to)->add(id); }, &ids));
  const i64 count = ids.ids().count;
  if (count > before && count <= StopIds::MAX_IDS) return {};
  return usage_error(n, ": 1 to ", StopIds::MAX_IDS, " ids, such as 2 or 1,2");
}

Status set_seed(O o, N n, S v) {
  o.seed_given = true;
  if (parse_whole(v, ~u64{0}, &o.generate.sampling.seed)) return {};
  return usage_error(n, ": \"", v, "\" is not a whole number below 2^64");
}

// NAME=FILE, or a file alone.
Status set_model(O o, N n, S v) {
  if (o.model_count == Options::MAX_MODELS) return usage_error(n, ": at most ", Options::MAX_MODELS, " models");
  const char* equals = strchr(v, '=');
  if (equals == v || (equals && !equals[1])) return usage_error(n, ": \"", v, "\" is neither NAME=FILE nor a file");
  Text name = equals ? Text(v, equals - v) : Text();
  for (i32 i = 0; i < o.model_count && name.size; i++) {
    if (o.model_names[i] == name) return usage_error(n, ": two models are called ", name);
  }
  o.model_names[o.model_count] = name;
  o.models[o.model_count++] = equals ? equals + 1 : v;
  return {};
}

Status set_origin(O o, N n, S v) {
  ServeOptions& serve = o.serve;
  if (!is_origin(v)) return usage_error(n, ": \"", v, "\" is neither * nor an origin such as https://example.org:8443");
  if (serve.origin_count == ServeOptions::MAX_ORIGINS) {
    return usage_error(n, ": at most ", ServeOptions::MAX_ORIGINS, " origins; * is any");
  }
  serve.origins[serve.origin_count++] = v;
  return {};
}

// A whole number of something, kept in bytes.
template <i64 unit, i32 low, i32 high, auto... path>
Status set_bytes(O o, N n, S v) {
  i32 units;
  EDGELLM_TRY(set_number(n, v, low, high, &units));
  member<&Options::serve, path...>(o) = units * unit;
  return {};
}

// A time that is kept in nanoseconds.
template <auto... path>
Status set_seconds(O o, N n, S v) {
  f64 seconds;
  EDGELLM_TRY(set_real(n, v, 0.1, 86400, &seconds));
  member<&Options::serve, path...>(o) = static_cast<i64>(seconds * 1e9);
  return {};
}

Status set_template(O o, N n, S v) {
  o.chat_template = v;
  if (find_chat_template(v)) return {};
  char names[128];
  Writer writer(names);
  for (const ChatTemplate& one : chat_templates())
    write(writer, " ", one.name);
  return usage_error(n, ": \"", v, "\" is none of", names);
}

Status set_threads(O o, N n, S v) {
  o.threads_auto = strcmp(v, "auto") == 0;
  return o.threads_auto ? Status() : set_number(n, v, 1, Threads::MAX, &o.engine.threads);
}

const Option OPTIONS[] = {
    {"-m, --model", "[NAME=]FILE", SERVE, Group::server,
     "a model, in place of MODEL; up to 16 times, requests name one of them", set_model},
    {"--host", "ADDRESS", SERVE, Group::server,
     "where it listens (127.0.0.1: this machine alone); 0.0.0.0 or :: is everywhere",
     set_text<&Options::serve, &ServeOptions::host>},
    {"--port", "N", SERVE, Group::server, "port (8081; 8090 with --experts-service); 0 is any that is free",
     [](O o, N n, S v) -> Status { return set_number(n, v, 0, 65535, &o.serve.port); }},
    {"--experts-service", nullptr, SERVE, Group::server, "be found where the expert-model service is looked for",
     set_flag<&Options::serve, &ServeOptions::experts_service>},
    {"--api-key-file", "FILE", SERVE, Group::server, "ask for one of the keys in this file, one a line, but for health",
     set_text<&Options::serve, &ServeOptions::key_file>},
    {"--cors-origin", "ORIGIN", SERVE, Group::server,
     "scripts of pages from here may ask, as in https://example.org; up to 16 times; * is everywhere", set_origin},
    {"--node", "NAME", SERVE, Group::server, "what answers call this machine (its host name)",
     set_text<&Options::serve, &ServeOptions::node>},
    {"--log", nullptr, SERVE, Group::server, "a line of JSON on standard error for each request",
     set_flag<&Options::serve, &ServeOptions::log>},
    {"--stop-repeats", nullptr, SERVE, Group::server, "end texts that go in a circle: 64 tokens or more of one cycle",
     set_flag<&Options::serve, &ServeOptions::stop_repeats>},

    {"--slots", "N", SERVE, Group::limits, "texts that are made at the same time, of each model (4; up to 256)",
     [](O o, N n, S v) -> Status { return set_number(n, v, 1, MAX_SESSIONS, &o.serve.slots); }},
    {"--queue", "N", SERVE, Group::limits, "texts that wait for a slot, of each model (32; up to 4096); then 429",
     [](O o, N n, S v) -> Status { return set_number(n, v, 0, 4096, &o.serve.queue); }},
    {"--connections", "N", SERVE, Group::limits, "connections at once (256; up to 16384)",
     [](O o, N n, S v) -> Status { return set_number(n, v, 1, 16384, &o.serve.connections.connections); }},
    {"--max-tokens", "N", SERVE, Group::limits, "most tokens of a text of the edge routes (200) and OpenAI's (all)",
     [](O o, N n, S v) -> Status {
       EDGELLM_TRY(set_number(n, v, 1, MAX_CONTEXT, &o.serve.edge_tokens));
       o.serve.most_tokens = o.serve.edge_tokens;
       return {};
     }},
    {"--max-memory-mb", "N", SERVE, Group::limits, "model files and memory together take at most this, or it does not start",
     set_bytes<1'000'000, 1, 1 << 24, &ServeOptions::max_memory>},
    {"--max-body-kb", "N", SERVE, Group::limits, "longest body of a request (256; up to 65536); then 413",
     set_bytes<1024, 1, 65536, &ServeOptions::connections, &ConnectionLimits::http, &HttpLimits::body>},
    {"--answer-kb", "N", SERVE, Group::limits, "room for an answer that its client has not taken (128; 16 to 65536)",
     set_bytes<1024, 16, 65536, &ServeOptions::connections, &ConnectionLimits::answer>},
    {"--idle-seconds", "S", SERVE, Group::limits, "a connection without a request (60)",
     set_seconds<&ServeOptions::connections, &ConnectionLimits::idle>},
    {"--head-seconds", "S", SERVE, Group::limits, "the head of a request (10); then 408",
     set_seconds<&ServeOptions::connections, &ConnectionLimits::head>},
    {"--body-seconds", "S", SERVE, Group::limits, "its body (60); then 408",
     set_seconds<&ServeOptions::connections, &ConnectionLimits::body>},
    {"--write-seconds", "S", SERVE, Group::limits, "a client that takes nothing of its answer (30)",
     set_seconds<&ServeOptions::connections, &ConnectionLimits::write>},
    {"--drain-seconds", "S", SERVE, Group::limits, "what runs when SIGTERM or Ctrl-C comes has this long (30)",
     set_seconds<&ServeOptions::drain>},

    {"-i, --prompt", "TEXT", RUN | TOKENIZE, Group::text, "the text; what stands behind MODEL is the same",
     [](O o, N n, S v) -> Status {
       o.prompt = v;
       return check_sources(o, n);
     }},
    {"-f, --file", "FILE", RUN | TOKENIZE, Group::text, "read the text from a file; - is standard input", set_file},
    {"-, --stdin", nullptr, RUN | TOKENIZE, Group::text,
     "read standard input; a file or a pipe there is read anyway if no text is given",
     [](O o, N n, S) -> Status {
       o.from_stdin = true;
       return check_sources(o, n);
     }},
    {"--no-stdin", nullptr, RUN | TOKENIZE, Group::text, "leave standard input alone", set_flag<&Options::no_stdin>},
    {"--text", "FILE", EVAL, Group::text, "the text to score", set_text<&Options::text_file>},
    {"--ids", "1,2,3", EVAL | DETOKENIZE, Group::text, "token ids", set_text<&Options::ids>},
    {"--special", nullptr, RUN | TOKENIZE | EVAL, Group::text,
     "the names of special tokens in the text, such as <|im_end|>, are their ids and not only text",
     set_flag<&Options::special>},
    {"--max-tokens", "N", EVAL, Group::text, "score at most N tokens",
     [](O o, N n, S v) -> Status { return set_number(n, v, 1, 1 << 30, &o.max_tokens); }},
    {"--system", "TEXT", CHAT, Group::text, "what the model is told before the conversation", set_text<&Options::system>},
    {"--template", "NAME", CHAT | SERVE, Group::text,
     "how the conversation is written, where the file does not say or is wrong", set_template},
    {"--history", "FILE", CHAT, Group::text, "on a terminal: what was typed before comes back, and what is typed is added",
     set_text<&Options::history>},
    {"-n, --tokens", "N", RUN, Group::text,
     "tokens to make (32; with a chat template or a grammar to the end of the answer, at most --ctx)", set_count},
    {"-n, --tokens", "N", CHAT, Group::text,
     "most tokens of an answer (512; with a chat template or a grammar to its end, at most --ctx)", set_count},
    {"-n, --tokens", "N", BENCH, Group::text, "tokens to make (64)", set_count},
    {"--stop", "TEXT", SAMPLES, Group::text, "end before this text, or at this special token; up to 16 times", set_stop},
    {"--stop-id", "ID[,ID]", SAMPLES, Group::text, "end at these ids as at the model's own; up to 16", set_stop_ids},

    {"-t, --temperature, --temp", "T", SAMPLES, Group::sampling, "temperature (the model's, or 0.7); 0 is greedy",
     [](O o, N n, S v) -> Status {
       o.temperature_given = true;
       return set_float(n, v, 0, MAX_TEMPERATURE, &o.generate.sampling.temperature);
     }},
    {"-p, --top-p", "P", SAMPLES, Group::sampling, "draw from the likeliest tokens that make up this share (0.9)",
     [](O o, N n, S v) -> Status { return set_float(n, v, 0, 1, &o.generate.sampling.top_p); }},
    {"-k, --top-k", "K", SAMPLES, Group::sampling, "draw from the K likeliest tokens (0: all)",
     [](O o, N n, S v) -> Status { return set_number(n, v, 0, MAX_VOCAB, &o.generate.sampling.top_k); }},
    {"--min-p", "X", SAMPLES, Group::sampling, "least share of the best probability (0)",
     [](O o, N n, S v) -> Status { return set_float(n, v, 0, 1, &o.generate.sampling.min_p); }},
    {"-s, --seed", "SEED", SAMPLES, Group::sampling, "seed of the draws; without it one is drawn and printed", set_seed},
    {"--repeat-penalty", "X", SAMPLES, Group::sampling, "divides the logits of the last 64 tokens (1)",
     [](O o, N n, S v) -> Status {
       return set_float(n, v, MIN_REPEAT_PENALTY, MAX_REPEAT_PENALTY, &o.generate.sampling.repeat_penalty);
     }},

    {"--state-save", "FILE", SAMPLES, Group::state,
     "keep the state in a file at the end, also after Ctrl-C, SIGTERM, SIGHUP", set_text<&Options::state_save>},
    {"--state-load", "FILE", SAMPLES, Group::state, "go on from a saved state; the text, if any, is what follows",
     set_text<&Options::state_load>},

    {"--prompt-tokens", "N", BENCH, Group::measuring, "tokens of the prompt (64)",
     [](O o, N n, S v) -> Status { return set_number(n, v, 1, MAX_CONTEXT, &o.bench_prompt); }},
    {"--at", "0,1024", BENCH, Group::measuring, "positions at which decoding is timed (0)", set_text<&Options::bench_at>},
    {"--sessions", "N", BENCH, Group::measuring, "sessions that decode in one batch (1; up to 256)",
     [](O o, N n, S v) -> Status { return set_number(n, v, 1, MAX_SESSIONS, &o.engine.sessions); }},
    {"--repeat", "N", BENCH, Group::measuring, "repetitions; medians are reported (3)",
     [](O o, N n, S v) -> Status { return set_number(n, v, 1, 1000, &o.repeat); }},

    {"--json", nullptr, BENCH | EVAL | INFO, Group::output, "figures as JSON on standard output", set_flag<&Options::json>},
    {"--tensors", nullptr, INFO, Group::output, "all metadata and tensors of the file, too", set_flag<&Options::tensors>},
    {"--logits", "FILE", EVAL, Group::output, "write the last logits, f32 little endian, at the end (with --ids)",
     set_text<&Options::logits_file>},
    {"--pace", "R", SAMPLES, Group::output, "R tokens a second on absolute deadlines; missed ones are counted",
     [](O o, N n, S v) -> Status { return set_real(n, v, 0.01, 10000, &o.generate.pace); }},
    {"--realtime", nullptr, RUN, Group::output, "fixed-priority scheduling, memory pinned; only with --pace",
     set_flag<&Options::realtime>},
    {"--verbose", nullptr, LOADS, Group::output, "say more on standard error", set_flag<&Options::verbose>},

    {"--threads", "N|auto", LOADS | INFO, Group::model,
     "threads (one a performance core); auto measures what the memory rewards", set_threads},
    {"--isa", "NAME", LOADS | INFO, Group::model, "kernel set; `edgellm info` lists them (the best the CPU has)",
     set_text<&Options::engine, &EngineOptions::isa>},
    {"--ctx", "N", LOADS, Group::model, "positions to hold (the model's, at most 2048)",
     [](O o, N n, S v) -> Status { return set_number(n, v, 1, MAX_CONTEXT, &o.engine.context); }},
    {"--window", "W", LOADS, Group::model, "see the first 4 and the last W positions; the text may go on for ever",
     [](O o, N n, S v) -> Status { return set_number(n, v, 1, MAX_CONTEXT, &o.engine.window); }},
    {"--kv", "i8|f16|f32", LOADS, Group::model, "format of the attention cache (i8); f32 for checking",
     [](O o, N n, S v) -> Status { return set_word(n, v, KV_NAMES, &o.engine.kv); }},
    {"--tokenizer", "FILE", LOADS | TOKENIZE | DETOKENIZE, Group::model,
     "a model file whose tokenizer serves one that has none", set_text<&Options::tokenizer_file>},
    {"--no-convert", nullptr, ALL_COMMANDS, Group::model, "of a GGUF file, a folder and so on only say how to convert it",
     set_flag<&Options::no_convert>},
    {"--mlock", nullptr, LOADS, Group::model, "pin weights and memory in RAM",
     set_flag<&Options::engine, &EngineOptions::lock>},
    {"--prefault", nullptr, LOADS, Group::model, "read the weights before the first token",
     set_flag<&Options::map, &MapOptions::prefault>},
    {"--rope", "half|interleaved", LOADS, Group::model, "rotary pairs of a TM2 version 1 file (interleaved)",
     [](O o, N n, S v) -> Status { return set_word(n, v, ROPE_NAMES, &o.engine.half_rope); }},

    {"--check", nullptr, LOADS | INFO, Group::checking, "read the whole file and compare its checksum",
     set_flag<&Options::engine, &EngineOptions::check>},
    {"--hash", nullptr, LOADS & ~SERVE, Group::checking, "print a hash of the last logits",
     set_flag<&Options::generate, &GenerateOptions::hash>},
    {"--activations", "int8|f32", LOADS, Group::checking, "f32: no quantisation of activations",
     [](O o, N n, S v) -> Status { return set_word(n, v, ACTIVATION_NAMES, &o.engine.f32_activations); }},
    {"--seal", "yes|no|require", LOADS, Group::checking, "refuse system calls that generation does not need (yes)",
     [](O o, N n, S v) -> Status { return set_word(n, v, SEAL_NAMES, &o.seal); }},

    {"-h, --help", nullptr, ALL_COMMANDS, Group::other, "print this", set_flag<&Options::help>},
    {"--version", nullptr, ALL_COMMANDS, Group::other, "print the version", set_flag<&Options::version>},
};

// help and version are words for options of the same name.
const Command COMMANDS[] = {
    {"run", RUN, 2, true, "MODEL [TEXT]", "go on from a text; `run` can be left out",
     "Goes on from a text, on standard output; figures go to standard error. The text\n"
     "stands behind the model, or -i or -f gives it, or a file or a pipe on standard\n"
     "input. What is typed is only text: the name of a special token in it stays text\n"
     "(without --special).\n",
     "edgellm model.tm2 \"Once upon a time\" -n 64 -t 0.7\n"
     "edgellm model.tm2 -f prompt.txt --seed 1 --state-save story.state\n"
     "edgellm model.tm2 -n 100 --state-load story.state\n"
     "echo \"Once upon a time\" | edgellm model.tm2\n"},
    {"chat", CHAT, 1, true, "MODEL", "a conversation, a line a message",
     "A conversation: a line is a message, and one that ends with \\ goes on in the\n"
     "next. /reset begins a new one, /system TEXT one with another system text, /quit\n"
     "or Ctrl-D ends it, /help shows this and the keys. Ctrl-C stops an answer, or\n"
     "clears what is typed. With a model that has a grammar and no chat template each\n"
     "message is a request of its own.\n",
     "edgellm chat model.tm2\n"
     "edgellm chat model.tm2 --template chatml --system \"Be brief.\"\n"
     "edgellm chat model.tm2 --history ~/.edgellm_history\n"
     "printf 'Hello\\nWhy?\\n' | edgellm chat model.tm2 -n 40 -s 1\n"},
    {"serve", SERVE, 1, false, "[MODEL]", "answer requests over HTTP",
     "Answers requests over HTTP: OpenAI's API at http://127.0.0.1:8081/v1, the edge\n"
     "routes, health and metrics. Several texts are made at the same time, each what\n"
     "it would be alone. All memory is taken at the start. SIGTERM or Ctrl-C ends it\n"
     "when what has begun is answered, a second one at once. Without MODEL health says\n"
     "no_model, and texts are refused. See docs/SERVE.md.\n",
     "edgellm serve model.tm2\n"
     "edgellm serve --model small=model.tm2 --model large=model.tm2 --slots 2\n"
     "edgellm serve model.tm2 --host 0.0.0.0 --api-key-file keys.txt --log\n"
     "edgellm serve model.tm2 --max-memory-mb 500 --connections 1000\n"},
    {"bench", BENCH, Options::MAX_MODELS, false, "[MODEL...]", "measure speed",
     "Measures how fast MODEL reads a prompt (prefill) and writes an answer (decode),\n"
     "and what that takes; the bundled model if none is given. Of several models\n"
     "each has a row of one table. +- is half the range of the repetitions.\n",
     "edgellm bench\n"
     "edgellm bench model.tm2 model.tm2\n"
     "edgellm bench model.tm2 --threads auto --json\n"
     "edgellm bench model.tm2 --at 0,100 --repeat 5\n"},
    {"eval", EVAL, 1, true, "MODEL", "how well the model predicts a text, or ids",
     "Scores how well the model predicts a text (--text), or ids (--ids).\n",
     "edgellm eval model.tm2 --text prompt.txt --max-tokens 1000\n"
     "edgellm eval model.tm2 --ids 1,2,3 --json --logits last.f32\n"},
    {"info", INFO, 1, false, "[MODEL]", "this machine; what is in a model file",
     "Without MODEL what this machine is. With it what the file holds, in words: its\n"
     "family, size, context, the memory that it needs, how it is talked to.\n",
     "edgellm info\n"
     "edgellm info model.tm2\n"
     "edgellm info model.tm2 --tensors --check\n"},
    {"selftest", SELFTEST, 1, false, "[MODEL]", "prove kernels and model on this machine",
     "Holds every kernel set of this CPU against its digests, and computes the model,\n"
     "or the bundled one, with each of them: the same bits, or exit code 1.\n",
     "edgellm selftest\n"
     "edgellm selftest model.tm2\n"},
    {"tokenize", TOKENIZE, 2, true, "MODEL [TEXT]", "the ids of a text", "Prints the ids of a text.\n",
     "edgellm tokenize model.tm2 \"Once upon a time\"\n"
     "edgellm tokenize model.tm2 -f prompt.txt\n"},
    {"detokenize", DETOKENIZE, 1, true, "MODEL --ids 1,2,3", "the text of ids", "Prints the text of ids.\n",
     "edgellm detokenize model.tm2 --ids 1,2,3\n"},
    {"help", HELP, 1, false, "[COMMAND]", "this; or a command with its options and examples", "", ""},
    {"version", VERSION, 0, false, "", "the version", "", ""},
};

const Variable VARIABLES[] = {
    {MODEL_VARIABLE, nullptr, nullptr, "the model, where none is named (for info: none)"},
    {"EDGELLM_THREADS", "--threads", [](const Options& o) { return o.engine.threads > 0 || o.threads_auto; },
     "as --threads"},
    {"EDGELLM_TEMPLATE", "--template", [](const Options& o) { return o.chat_template != nullptr; }, "as --template"},
};

template <class Row, size_t COUNT>
Span<const Row> rows(const Row (&table)[COUNT]) {
  return {table, COUNT};
}

}  // namespace

Span<const Option> all_options() {
  return rows(OPTIONS);
}

Span<const Command> all_commands() {
  return rows(COMMANDS);
}

Span<const Variable> all_variables() {
  return rows(VARIABLES);
}

const Command& command_of(u32 bit) {
  for (const Command& command : COMMANDS) {
    if (command.bit == bit) return command;
  }
  return COMMANDS[0];
}

bool next_name(Text* left, Text* name) {
  if (left->size == 0) return false;
  i64 size = 0;
  while (size < left->size && (*left)[size] != ',')
    size++;
  *name = left->slice(0, size);
  *left = left->from(min(size + 2, left->size));
  return true;
}

const Option* find_option(Text name, u32 commands) {
  for (const Option& option : OPTIONS) {
    Text names = option.names;
    for (Text one; (option.commands & commands) && next_name(&names, &one);) {
      if (one == name) return &option;
    }
  }
  return nullptr;
}

}  // namespace edgellm
