#include "cli/options.h"

#include <string.h>

#include "platform/console.h"

namespace edgellm {

namespace {

constexpr u32 SAMPLES = RUN | CHAT;                       // commands that make text
constexpr u32 LOADS = SAMPLES | BENCH | EVAL | SELFTEST;  // commands that run a model

bool digit(char c) {
  return c >= '0' && c <= '9';
}

// A whole decimal number up to `most`; false for anything else.
bool parse_whole(const char* text, u64 most, u64* value) {
  u64 number = 0;
  if (!*text) return false;
  for (; *text; text++) {
    if (!digit(*text)) return false;
    u64 add = static_cast<u64>(*text - '0');
    if (number > (most - add) / 10) return false;
    number = number * 10 + add;
  }
  *value = number;
  return true;
}

// A plain decimal fraction: digits, at most one point.
bool parse_decimal(const char* text, f64* value) {
  f64 number = 0, unit = 0;
  i32 digits = 0;
  for (; *text; text++) {
    if (*text == '.' && unit == 0) {
      unit = 1;
    } else if (digit(*text) && digits < 17) {
      number = number * 10 + (*text - '0');
      unit *= 10;
      digits++;
    } else {
      return false;
    }
  }
  *value = unit > 0 ? number / unit : number;
  return digits > 0;
}

Status set_number(const char* name, const char* value, i32 low, i32 high, i32* number) {
  u64 parsed;
  if (!parse_whole(value, static_cast<u64>(high), &parsed) || parsed < static_cast<u64>(low)) {
    return usage_error(name, ": \"", value, "\" is not a whole number from ", low, " to ", high);
  }
  *number = static_cast<i32>(parsed);
  return {};
}

Status set_real(const char* name, const char* value, f64 low, f64 high, f64* number) {
  if (!parse_decimal(value, number) || *number < low || *number > high) {
    return usage_error(name, ": \"", value, "\" is not a number from ", Fixed{low, 2}, " to ", Fixed{high, 0});
  }
  return {};
}

Status set_float(const char* name, const char* value, f64 low, f64 high, f32* number) {
  f64 parsed;
  EDGELLM_TRY(set_real(name, value, low, high, &parsed));
  *number = static_cast<f32>(parsed);
  return {};
}

// The index of a word in a list is the value that it stands for: of an enumeration, or false and true.
template <size_t COUNT, class Value>
Status set_word(const char* name, const char* value, const char* const (&words)[COUNT], Value* chosen) {
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

struct Option {
  const char* name;
  const char* argument;  // null: a switch
  u32 commands;
  const char* help;
  Status (*set)(Options& o, const char* name, const char* value);
};

using O = Options&;
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
Status set_flag(O o, S, S) {
  member<path...>(o) = true;
  return {};
}

template <auto... path>
Status set_text(O o, S, S value) {
  member<path...>(o) = value;
  return {};
}

const Option OPTIONS[] = {
    {"-i", "PROMPT", RUN | TOKENIZE, "the text to go on from", set_text<&Options::prompt>},
    {"-f", "FILE", RUN | TOKENIZE, "read the text from a file", set_text<&Options::text_file>},
    {"-", nullptr, RUN | TOKENIZE, "read the text from standard input", set_flag<&Options::from_stdin>},
    {"-n", "N", SAMPLES | BENCH, "tokens to make (run 32, bench 64, chat 512 an answer)",
     [](O o, S n, S v) -> Status {
       o.count_given = true;
       return set_number(n, v, 0, 1 << 30, &o.generate.count);
     }},
    {"-t", "T", SAMPLES, "temperature (the model's, or 0.7); 0 is greedy",
     [](O o, S n, S v) -> Status {
       o.temperature_given = true;
       return set_float(n, v, 0, MAX_TEMPERATURE, &o.generate.sampling.temperature);
     }},
    {"-p", "P", SAMPLES, "top-p (0.9)",
     [](O o, S n, S v) -> Status { return set_float(n, v, 0, 1, &o.generate.sampling.top_p); }},
    {"-k", "K", SAMPLES, "top-k (0: all)",
     [](O o, S n, S v) -> Status { return set_number(n, v, 0, MAX_VOCAB, &o.generate.sampling.top_k); }},
    {"-s", "SEED", SAMPLES, "seed of the draws; without it one is drawn and printed",
     [](O o, S n, S v) -> Status {
       o.seed_given = true;
       if (parse_whole(v, ~u64{0}, &o.generate.sampling.seed)) return {};
       return usage_error(n, ": \"", v, "\" is not a whole number below 2^64");
     }},
    {"--min-p", "X", SAMPLES, "least share of the best probability (0)",
     [](O o, S n, S v) -> Status { return set_float(n, v, 0, 1, &o.generate.sampling.min_p); }},
    {"--repeat-penalty", "X", SAMPLES, "divides the logits of the last 64 tokens (1)",
     [](O o, S n, S v) -> Status {
       return set_float(n, v, MIN_REPEAT_PENALTY, MAX_REPEAT_PENALTY, &o.generate.sampling.repeat_penalty);
     }},
    {"--stop", "TEXT", SAMPLES, "end before this text; up to 16 times",
     [](O o, S n, S v) -> Status {
       if (o.generate.stop.add(v)) return {};
       return usage_error(n, ": at most ", StopStrings::MAX_STRINGS, " texts of 1 to ", StopStrings::MAX_BYTES, " bytes");
     }},
    {"--pace", "R", SAMPLES, "R tokens a second on absolute deadlines; missed ones are counted",
     [](O o, S n, S v) -> Status { return set_real(n, v, 0.01, 10000, &o.generate.pace); }},
    {"--realtime", nullptr, RUN, "fixed-priority scheduling, memory pinned; only with --pace", set_flag<&Options::realtime>},
    {"--state-save", "FILE", SAMPLES, "keep the state in a file at the end, also after Ctrl-C, SIGTERM, SIGHUP",
     set_text<&Options::state_save>},
    {"--state-load", "FILE", SAMPLES, "go on from a saved state; -i is what follows", set_text<&Options::state_load>},
    {"--system", "TEXT", CHAT, "what the model is told before the conversation", set_text<&Options::system>},
    {"--template", "NAME", CHAT, "how the conversation is written, where the file does not say or is wrong",
     set_text<&Options::chat_template>},
    {"--history", "FILE", CHAT, "on a terminal: bring back what was typed before, and add to it",
     set_text<&Options::history>},
    {"--text", "FILE", EVAL, "the text to score", set_text<&Options::text_file>},
    {"--ids", "1,2,3", EVAL | DETOKENIZE, "token ids", set_text<&Options::ids>},
    {"--max-tokens", "N", EVAL, "score at most N tokens",
     [](O o, S n, S v) -> Status { return set_number(n, v, 1, 1 << 30, &o.max_tokens); }},
    {"--logits", "FILE", EVAL, "write the last logits, f32 little endian, at the end (with --ids)",
     set_text<&Options::logits_file>},
    {"--prompt-tokens", "N", BENCH, "tokens of the prompt (64)",
     [](O o, S n, S v) -> Status { return set_number(n, v, 1, MAX_CONTEXT, &o.bench_prompt); }},
    {"--at", "0,1024", BENCH, "positions at which decoding is timed (0)", set_text<&Options::bench_at>},
    {"--sessions", "N", BENCH, "sessions that decode in one batch (1; up to 256)",
     [](O o, S n, S v) -> Status { return set_number(n, v, 1, MAX_SESSIONS, &o.engine.sessions); }},
    {"--repeat", "N", BENCH, "repetitions; medians are reported (3)",
     [](O o, S n, S v) -> Status { return set_number(n, v, 1, 1000, &o.repeat); }},
    {"--json", nullptr, BENCH | EVAL | INFO, "figures as JSON on standard output", set_flag<&Options::json>},
    {"--threads", "N|auto", LOADS | INFO, "threads (one a performance core); auto measures what the memory rewards",
     [](O o, S n, S v) -> Status {
       o.threads_auto = strcmp(v, "auto") == 0;
       return o.threads_auto ? Status() : set_number(n, v, 1, Threads::MAX, &o.engine.threads);
     }},
    {"--isa", "NAME", LOADS | INFO, "kernel set; `info` lists them (the best the CPU has)",
     set_text<&Options::engine, &EngineOptions::isa>},
    {"--ctx", "N", LOADS, "positions to hold (default: the model's, at most 2048)",
     [](O o, S n, S v) -> Status { return set_number(n, v, 1, MAX_CONTEXT, &o.engine.context); }},
    {"--window", "W", LOADS, "see the first 4 and the last W positions; the text may go on for ever",
     [](O o, S n, S v) -> Status { return set_number(n, v, 1, MAX_CONTEXT, &o.engine.window); }},
    {"--kv", "i8|f16|f32", LOADS, "format of the attention cache (i8); f32 for checking",
     [](O o, S n, S v) -> Status { return set_word(n, v, KV_NAMES, &o.engine.kv); }},
    {"--activations", "int8|f32", LOADS, "f32: no quantisation of activations, for checking",
     [](O o, S n, S v) -> Status { return set_word(n, v, ACTIVATION_NAMES, &o.engine.f32_activations); }},
    {"--mlock", nullptr, LOADS, "pin weights and memory in RAM", set_flag<&Options::engine, &EngineOptions::lock>},
    {"--prefault", nullptr, LOADS, "read the weights before the first token",
     set_flag<&Options::map, &MapOptions::prefault>},
    {"--hash", nullptr, LOADS, "print a hash of the last logits", set_flag<&Options::generate, &GenerateOptions::hash>},
    {"--seal", "yes|no|require", LOADS, "refuse system calls that generation does not need (yes)",
     [](O o, S n, S v) -> Status { return set_word(n, v, SEAL_NAMES, &o.seal); }},
    {"--check", nullptr, LOADS | INFO, "read the whole file and compare its checksum",
     set_flag<&Options::engine, &EngineOptions::check>},
    {"--tokenizer", "FILE", LOADS | TOKENIZE | DETOKENIZE, "a model file whose tokenizer serves one that has none",
     set_text<&Options::tokenizer_file>},
    {"--rope", "half|interleaved", LOADS, "rotary pairs of a TM2 version 1 file (interleaved)",
     [](O o, S n, S v) -> Status { return set_word(n, v, ROPE_NAMES, &o.engine.half_rope); }},
    {"--verbose", nullptr, LOADS, "say more on standard error", set_flag<&Options::verbose>},
    {"--version", nullptr, ALL_COMMANDS, "print the version", set_flag<&Options::version>},
    {"--help", nullptr, ALL_COMMANDS, "print this", set_flag<&Options::help>},
};

struct Command {
  const char* name;
  u32 bit;
  bool needs_model;
};

const Command COMMANDS[] = {
    {"run", RUN, true},    {"chat", CHAT, true},          {"bench", BENCH, false},      {"eval", EVAL, true},
    {"info", INFO, false}, {"selftest", SELFTEST, false}, {"tokenize", TOKENIZE, true}, {"detokenize", DETOKENIZE, true},
};

const Command& command_of(u32 bit) {
  for (const Command& command : COMMANDS) {
    if (command.bit == bit) return command;
  }
  return COMMANDS[0];
}

const Option* find_option(Text name) {
  for (const Option& option : OPTIONS) {
    if (name == Text(option.name)) return &option;
  }
  return nullptr;
}

// `--name=value` or `--name value`; *used counts the arguments taken.
Status take_option(Options* options, i32 count, char** arguments, i32* used) {
  const char* argument = arguments[0];
  const char* equals = argument[0] == '-' && argument[1] == '-' ? strchr(argument, '=') : nullptr;
  Text name = equals ? Text(argument, equals - argument) : Text(argument);
  const Option* option = find_option(name);
  if (!option) return usage_error("unknown option ", name, "; --help lists them");
  if (!(option->commands & options->command)) {
    return usage_error(name, " is not an option of \"", command_of(options->command).name, "\"; --help lists them");
  }
  *used = 1;
  if (!option->argument) {
    return equals ? usage_error(name, " takes no value") : option->set(*options, option->name, nullptr);
  }
  const char* value = equals ? equals + 1 : nullptr;
  if (!value) {
    if (count < 2) return usage_error(name, " needs a value: ", option->argument);
    value = arguments[1];
    *used = 2;
  }
  return option->set(*options, option->name, value);
}

Status check_together(const Options& o) {
  i32 sources = (o.prompt != nullptr) + (o.text_file != nullptr) + o.from_stdin;
  if (sources > 1) return usage_error("only one of -i, -f and - can give the text");
  if (o.command == EVAL && (o.text_file != nullptr) == (o.ids != nullptr)) {
    return usage_error("eval: give either --text FILE or --ids 1,2,3");
  }
  if (o.logits_file && !o.ids) return usage_error("--logits goes with --ids");
  if (o.command == DETOKENIZE && !o.ids) return usage_error("detokenize: give --ids 1,2,3");
  if (o.system && o.state_load) return usage_error("--system begins a conversation, --state-load goes on with one");
  if (o.command == CHAT && o.generate.count == 0) return usage_error("-n: an answer has at least one token");
  if (o.realtime && o.generate.pace == 0) return usage_error("--realtime: only with --pace");
  return {};
}

}  // namespace

Status parse_options(i32 count, char** arguments, Options* options) {
  i32 at = 1;
  bool named = false;
  if (at < count) {
    for (const Command& command : COMMANDS) {
      if (strcmp(arguments[at], command.name) == 0) {
        options->command = command.bit;
        named = true;
      }
    }
  }
  at += named;
  while (at < count) {
    if (arguments[at][0] == '-') {
      i32 used = 0;
      EDGELLM_TRY(take_option(options, count - at, arguments + at, &used));
      at += used;
    } else if (!options->model) {
      options->model = arguments[at++];
    } else {
      return usage_error("unexpected argument \"", arguments[at], "\": the model is \"", options->model, "\"");
    }
  }
  if (options->help || options->version) return {};
  if (!options->model && command_of(options->command).needs_model) {
    return usage_error("no model file given; --help shows how");
  }
  return check_together(*options);
}

Status parse_list(const char* what, const char* list, void (*add)(void* context, i32 number), void* context) {
  while (*list) {
    char item[16] = "";
    i32 size = 0;
    while (*list && *list != ',' && size < 15)
      item[size++] = *list++;
    item[size] = 0;
    u64 number;
    if (!parse_whole(item, 1u << 30, &number) || (*list && (*list != ',' || !list[1]))) {
      return usage_error(what, ": \"", item, "\" is not a whole number in a list such as 1,2,3");
    }
    add(context, static_cast<i32>(number));
    list += *list == ',';
  }
  return {};
}

void print_help() {
  print(
      "edgellm MODEL [-i PROMPT | -f FILE | -] [options]   go on from a text\n"
      "edgellm chat MODEL [--system TEXT] [options]        a conversation, a line a message\n"
      "edgellm bench [MODEL]            measure speed\n"
      "edgellm eval MODEL --text FILE   score a text; --ids 1,2,3 for given ids\n"
      "edgellm info [MODEL]             this machine, and what is in a file\n"
      "edgellm selftest [MODEL]         prove the kernels and the model on this machine\n"
      "edgellm tokenize MODEL -i TEXT   ids of a text\n"
      "edgellm detokenize MODEL --ids 1,2,3\n\n");
  for (const Option& option : OPTIONS) {
    char left[48];
    Writer writer(left);
    write(writer, "  ", option.name, option.argument ? " " : "", option.argument ? option.argument : "");
    while (writer.text().size < 26)
      writer.add(' ');
    bool everywhere = (option.commands & LOADS) == LOADS;
    char right[64] = "";
    Writer commands(right);
    for (const Command& command : COMMANDS) {
      if (!everywhere && (option.commands & command.bit)) write(commands, commands.text().size ? ", " : " [", command.name);
    }
    if (commands.text().size) commands.add(']');
    print(writer.text(), option.help, commands.text(), "\n");
  }
  print(
      "\nExit codes: 0 done, 1 run-time error, 2 usage, 3 unusable model file; 129, 130 and 143 ended by SIGHUP,\n"
      "SIGINT and SIGTERM (a second one of the last two ends at once), with what there was by then; 141 nobody reads\n"
      "standard output any more.\n");
}

}  // namespace edgellm
