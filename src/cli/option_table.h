// The rows that are the command line: the parser reads them, --help prints them, the tests hold them against each other and
// against docs/COMMANDS.md. An option is a row of OPTIONS in option_table.cpp, a command one of COMMANDS there.
#pragma once
#include "cli/options.h"

namespace edgellm {

// How the help of a command is divided; in its order.
enum class Group : u8 { server, limits, text, sampling, state, measuring, output, model, checking, other };
inline constexpr const char* GROUP_NAMES[] = {
    "Server",           "Limits",   "Text", "Sampling", "State", "Measuring", "Output and figures",
    "Model and memory", "Checking", "Other"};

struct Option {
  const char* names;     // all that people type, as in "-n, --tokens"
  const char* argument;  // null: a switch
  u32 commands;          // that know it. A name stands in one row for each command
  Group group;
  const char* help;
  Status (*set)(Options& o, Text name, const char* value);  // `name` is how it was typed, for errors
};

struct Command {
  const char* name;
  u32 bit;
  i32 most_names;    // how many arguments that are no options it takes: models, or a model and a text
  bool needs_model;  // it does nothing without one
  const char* arguments;
  const char* summary;   // a line in the list of commands
  const char* about;     // lines of at most 80 letters
  const char* examples;  // such lines, each a command that works where model.tm2, prompt.txt ... are
};

Span<const Option> all_options();
Span<const Command> all_commands();

const Command& command_of(u32 bit);

// The next of the names of a row, which is taken off what is left of them; false when there is none.
bool next_name(Text* left, Text* name);

// The row of that name for a command, or for any of several; null: there is none.
const Option* find_option(Text name, u32 commands);

// What the variables of the environment stand for, where it is not given.
struct Variable {
  const char* name;
  const char* option;  // null: it names the model
  bool (*given)(const Options& o);
  const char* help;
};
inline constexpr const char* MODEL_VARIABLE = "EDGELLM_MODEL";
Span<const Variable> all_variables();

}  // namespace edgellm
