// The command line: one table says every option, what it takes, which commands know it, and the line of --help.
#pragma once
#include "engine/generate.h"

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
  ALL_COMMANDS = (1u << 8) - 1,
};

enum class SealMode : u8 { yes, no, require };

struct Options {
  u32 command = RUN;
  const char* model = nullptr;
  MapOptions map;  // of the model file
  EngineOptions engine;
  GenerateOptions generate;
  const char* prompt = nullptr;       // -i
  const char* text_file = nullptr;    // -f, --text
  bool from_stdin = false;            // -
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
  bool verbose = false;
  bool help = false;
  bool version = false;
  SealMode seal = SealMode::yes;
};

// Reads argv; the error names the option, what it takes and what it got.
Status parse_options(i32 count, char** arguments, Options* options);

void print_help();

// "1,2,3": calls add(context, number) for each; the error names `what`.
Status parse_list(const char* what, const char* list, void (*add)(void* context, i32 number), void* context);

}  // namespace edgellm
