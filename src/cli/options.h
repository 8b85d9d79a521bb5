// The command line, once it is read: what was typed, and what the environment says where nothing was (option_table.h).
#pragma once
#include "cli/number.h"
#include "engine/generate.h"
#include "server/server.h"

namespace edgellm {

enum : u32 {
  RUN = 1u << 0,
  BENCH = 1u << 1,
  EVAL = 1u << 2,
  INFO = 1u << 3,
  SELFTEST = 1u << 4,
  TOKENIZE = 1u << 5,
  DETOKENIZE = 1u << 6,
  CHAT = 1u << 7,
  SERVE = 1u << 8,
  ALL_COMMANDS = (1u << 9) - 1,  // those that have options
  HELP = 1u << 9,
  VERSION = 1u << 10,
};

enum class SealMode : u8 { yes, no, require };

struct Options {
  static constexpr i32 MAX_MODELS = 16;  // of a bench or a server

  u32 command = RUN;
  bool command_given = false;
  const char* model = nullptr;  // the first of `models`
  const char* models[MAX_MODELS] = {};
  Text model_names[MAX_MODELS];  // serve: --model NAME=FILE; empty: that of the file
  i32 model_count = 0;
  bool model_from_variable = false;  // EDGELLM_MODEL
  MapOptions map;                    // of the model file
  EngineOptions engine;
  GenerateOptions generate;
  ServeOptions serve;
  Text text_from;                     // how the source of the text was typed: "-i", "--prompt", ...
  const char* prompt = nullptr;       // -i, or the name behind the model
  const char* text_file = nullptr;    // -f, --text
  bool from_stdin = false;            // -
  bool no_stdin = false;              // --no-stdin
  bool special = false;               // the text may have special tokens in it
  const char* ids = nullptr;          // --ids 1,2,3
  const char* logits_file = nullptr;  // --logits
  const char* tokenizer_file = nullptr;
  const char* system = nullptr;         // --system
  const char* history = nullptr;        // --history
  const char* chat_template = nullptr;  // --template
  const char* state_load = nullptr;
  const char* state_save = nullptr;
  i32 max_tokens = 0;          // eval: 0 is all
  i32 bench_prompt = 64;       // --prompt-tokens
  const char* bench_at = "0";  // --at 0,1024
  i32 repeat = 3;
  bool count_given = false;  // -n
  bool seed_given = false;
  bool temperature_given = false;
  bool threads_auto = false;
  bool realtime = false;
  bool json = false;
  bool tensors = false;  // info: --tensors
  bool verbose = false;
  bool help = false;
  bool version = false;
  bool no_convert = false;
  SealMode seal = SealMode::yes;
};

// Reads argv and the environment; the error names the option as it was typed, what it takes and what it got. A usage error
// without words: nothing was typed.
Status parse_options(i32 count, char** arguments, Options* options);

// What --help prints: of one command, or where none was named the overview.
void print_help(const Options& options);

// Three lines to stderr, for somebody who typed the name of the program alone.
void note_use();

}  // namespace edgellm
