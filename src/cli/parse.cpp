// Reads argv by the rows of option_table.h: the command, its options, what is no option, and then the environment. What was
// mistyped is answered with the nearest name.
#include <string.h>

#include "base/nearest.h"
#include "cli/foreign_path.h"
#include "cli/option_table.h"
#include "platform/environment.h"
#include "platform/files.h"

namespace edgellm {

namespace {

bool is_option(const char* argument) {
  return argument[0] == '-';
}

// Behind it nothing is an option.
bool ends_options(const char* argument) {
  return strcmp(argument, "--") == 0;
}

// "--name=value" has its value in it.
const char* value_within(const char* argument) {
  const char* equals = strncmp(argument, "--", 2) == 0 ? strchr(argument, '=') : nullptr;
  return equals ? equals + 1 : nullptr;
}

Text name_within(const char* argument) {
  const char* value = value_within(argument);
  return value ? Text(argument, value - 1 - argument) : Text(argument);
}

const Command* find_command(Text name) {
  for (const Command& command : all_commands()) {
    if (name == Text(command.name)) return &command;
  }
  return nullptr;
}

Text nearest_command(Text typed) {
  Nearest near(typed);
  for (const Command& command : all_commands())
    near.offer(command.name);
  return near.name();
}

Text without_dashes(Text name) {
  while (name.size && name[0] == '-')
    name = name.from(1);
  return name;
}

// Of one command, without its dashes.
Text nearest_option(Text typed, u32 command) {
  Nearest near(without_dashes(typed));
  for (const Option& option : all_options()) {
    Text names = option.names;
    for (Text name; (option.commands & command) && next_name(&names, &name);)
      near.offer(without_dashes(name));
  }
  return near.name();
}

// What other programs call an option.
struct Elsewhere {
  Text name;
  const char* here;
};

constexpr Elsewhere ELSEWHERE[] = {
    {"-c", "--ctx"},
    {"--ctx-size", "--ctx"},
    {"--n-predict", "--tokens"},
    {"--max-tokens", "--tokens"},
    {"--chat", "--template"},
    {"--chat-template", "--template"},
    {"-v", "--verbose"},
    {"-V", "--version"},
    {"-np", "--slots"},
    {"--parallel", "--slots"},
    {"--api-key", "--api-key-file"},
    {"--alias", "--model"},
    {"-a", "--model"},
    {"--cors", "--cors-origin"},
};

const char* name_here(Text name, u32 command) {
  for (const Elsewhere& one : ELSEWHERE) {
    if (name == one.name && find_option(one.here, command)) return one.here;
  }
  return nullptr;
}

// What is a number, or has a sign of its own, right behind the letter of an option: "5" of "-n5" and "-n=5".
Text joined_value(Text name, u32 command) {
  if (name.size < 3 || name[1] == '-') return {};
  const Option* option = find_option(name.slice(0, 2), command);
  const bool equals = name[2] == '=', number = name[2] >= '0' && name[2] <= '9';
  return option && option->argument && (equals || number) ? name.from(equals ? 3 : 2) : Text();
}

Status unknown_option(Text name, const Command& command) {
  char why[160];
  Writer writer(why);
  if (name == "-m" || name == "--model") {
    return usage_error(name, ": the model is named without an option: edgellm ", command.name, " ", command.arguments);
  }
  if (const char* here = name_here(name, command.bit)) {
    return usage_error("unknown option ", name, ": here it is ", here, " (edgellm help ", command.name, " lists them)");
  }
  if (!find_option(name, ALL_COMMANDS)) {
    const Text near = nearest_option(name, command.bit), value = joined_value(name, command.bit);
    if (near.size) write(writer, ": did you mean ", near.size == 1 ? "-" : "--", near, "?");
    if (!near.size && value.size) write(writer, ": did you mean ", name.slice(0, 2), " ", value, "?");
    return usage_error("unknown option ", name, writer.text(), " (edgellm help ", command.name, " lists them)");
  }
  for (const Command& one : all_commands()) {
    if (find_option(name, one.bit)) write(writer, writer.text().size ? ", " : "", one.name);
  }
  return usage_error(name, " is not an option of \"", command.name, "\", but of ", writer.text(), " (edgellm help ",
                     command.name, " lists them)");
}

// A model file, or what one is made of: by its name, or because it is there.
bool is_model(Text name) {
  return named_like_model(name) || can_read(name.data);
}

struct Parser {
  i32 count;
  char** arguments;
  Options& options;
  const char* first = nullptr;                  // what stands where a command could
  i32 command_at = 0;                           // of the command's name; 0: none is named
  const char* names[Options::MAX_MODELS] = {};  // what is neither an option nor the command
  i32 name_count = 0;

  const Command& command() const { return command_of(options.command); }

  void read_command();
  Status read();
  Status take_option(i32* at);
  Status take_name(const char* name);
  Status place_names();
  Status check_not_a_text() const;
  Status explain_command(const char* name);
  Status read_variables();
  Status check_together() const;
  bool asks(const char* name, const char* other) const;
};

// The command is the first argument that is neither an option nor its value.
void Parser::read_command() {
  for (i32 at = 1; at < count && !first && !ends_options(arguments[at]); at++) {
    if (!is_option(arguments[at])) {
      first = arguments[at];
      const Command* named = find_command(first);
      if (!named) return;
      options.command = named->bit;
      options.command_given = true;
      command_at = at;
    } else if (!value_within(arguments[at])) {
      const Option* option = find_option(arguments[at], ALL_COMMANDS);
      at += option && option->argument;
    }
  }
}

Status Parser::take_option(i32* at) {
  const char* argument = arguments[(*at)++];
  const Text name = name_within(argument);
  const Option* option = find_option(name, options.command);
  if (!option) return unknown_option(name, command());
  const char* value = value_within(argument);
  if (!option->argument) {
    return value ? usage_error(name, " takes no value") : option->set(options, name, nullptr);
  }
  if (!value) {
    if (*at == count) return usage_error(name, " needs a value: ", option->argument);
    value = arguments[(*at)++];
  }
  const Status status = option->set(options, name, value);
  if (status.ok() || name != "-p" || !find_option("-i", options.command)) return status;
  char why[200];  // elsewhere -p is the text
  Writer writer(why);
  write(writer, status.text());
  return usage_error(writer.text(), "; the text is what follows the model, or -i");
}

Status Parser::take_name(const char* name) {
  if (name_count < command().most_names) {
    names[name_count++] = name;
    return {};
  }
  switch (options.command) {
    case BENCH:
      return usage_error("bench: at most ", Options::MAX_MODELS, " models");
    case SERVE:
      return usage_error("unexpected argument \"", name, "\": --model NAME=FILE names each of several models");
    case HELP:
    case VERSION:
      return usage_error("unexpected argument \"", name, "\"");
    case RUN:
    case TOKENIZE:
      return usage_error("unexpected argument \"", name, "\": the model is \"", names[0], "\", the text \"", names[1],
                         "\"; a text of several words is put in quotes");
    default:
      return usage_error("unexpected argument \"", name, "\": the model is \"", names[0], "\" (edgellm help ",
                         command().name, " shows how)");
  }
}

// The names are models, or a model and a text. Where a variable names the model, one that is no model file is the text.
Status Parser::place_names() {
  if (options.model_count > 0) {  // --model
    options.model = options.models[0];
    if (!name_count) return {};
    return usage_error("\"", names[0], "\" and --model both name models: --model NAME=FILE for all of them");
  }
  const bool takes_text = command().most_names == 2;
  if (options.command == SERVE && name_count && strchr(names[0], '=') && !can_read(names[0])) {
    return usage_error("there is no file \"", names[0], "\": if that is NAME=FILE, --model stands before it");
  }
  const char* variable = options.command == INFO ? nullptr : environment_variable(MODEL_VARIABLE);
  i32 models = takes_text ? min(name_count, 1) : name_count;
  if (takes_text && variable && name_count == 1 && !is_model(names[0])) models = 0;
  options.model_from_variable = models == 0 && variable;
  options.model_count = max(models, i32{options.model_from_variable});
  for (i32 i = 0; i < models; i++)
    options.models[i] = names[i];
  if (options.model_from_variable) options.models[0] = variable;
  options.model = options.models[0];
  if (models == name_count) return takes_text ? check_not_a_text() : Status();
  const char* text = names[models];
  if (options.text_from.size) {
    return usage_error("\"", text, "\" and ", options.text_from, " both give the text: only one can",
                       models == 0 ? " (there is no model file of that name)" : "");
  }
  options.prompt = text;
  return {};
}

// A text without a model is taken for a model; with a blank in it, it can be told from one.
Status Parser::check_not_a_text() const {
  const char* name = names[0];
  if (!name || options.model != name || options.text_from.size || !strchr(name, ' ') || is_model(name)) return {};
  return usage_error("\"", name,
                     "\" is no file; if it is the text, name the model before it: edgellm MODEL \"TEXT\", or in ",
                     MODEL_VARIABLE);
}

Status Parser::explain_command(const char* name) {
  options.help = true;
  const Command* command = find_command(name ? name : "help");
  if (command) {
    options.command = command->bit;
    return {};
  }
  const Text near = nearest_command(name);
  return usage_error("there is no command \"", name, "\"", near.size ? ": did you mean " : "", near, near.size ? "?" : "",
                     " (edgellm help lists them)");
}

Status Parser::read_variables() {
  for (const Variable& variable : all_variables()) {
    const Option* option = variable.option ? find_option(variable.option, options.command) : nullptr;
    if (!option || variable.given(options)) continue;
    const char* value = environment_variable(variable.name);
    if (value) EDGELLM_TRY(option->set(options, variable.name, value));
  }
  return {};
}

Status Parser::check_together() const {
  const Options& o = options;
  if (o.command == EVAL && (o.text_file != nullptr) == (o.ids != nullptr)) {
    return usage_error("eval: give either --text FILE or --ids 1,2,3");
  }
  if (o.from_stdin && o.no_stdin)
    return usage_error(o.text_from, " reads standard input, --no-stdin does not: only one can be");
  if (o.logits_file && !o.ids) return usage_error("--logits goes with --ids");
  if (o.command == DETOKENIZE && !o.ids) return usage_error("detokenize: give --ids 1,2,3");
  if (o.system && o.state_load) return usage_error("--system begins a conversation, --state-load goes on with one");
  if (o.realtime && o.generate.pace == 0) return usage_error("--realtime: only with --pace");
  return {};
}

bool Parser::asks(const char* name, const char* other) const {
  for (i32 i = 1; i < count; i++) {
    if (strcmp(arguments[i], name) == 0 || strcmp(arguments[i], other) == 0) return true;
  }
  return false;
}

Status Parser::read() {
  bool ended = false;
  for (i32 at = 1; at < count;) {
    if (at == command_at) {
      at++;
    } else if (!ended && ends_options(arguments[at])) {
      ended = true;
      at++;
    } else if (!ended && is_option(arguments[at])) {
      EDGELLM_TRY(take_option(&at));
    } else {
      EDGELLM_TRY(take_name(arguments[at++]));
    }
  }
  if (options.command == HELP) return explain_command(names[0]);
  if (options.command == VERSION) options.version = true;
  if (options.help || options.version) return {};
  EDGELLM_TRY(place_names());
  EDGELLM_TRY(read_variables());
  if (!options.model && command().needs_model) {
    return usage_error("no model is given: edgellm ", command().name, " ", command().arguments, " (edgellm help ",
                       command().name, " shows how)");
  }
  return check_together();
}

}  // namespace

Status parse_options(i32 count, char** arguments, Options* options) {
  Parser parser = {count, arguments, *options};
  if (count <= 1 && !environment_variable(MODEL_VARIABLE)) return Status::error(Code::usage);
  parser.read_command();
  Status status = parser.read();
  if (!status.ok() && parser.asks("-h", "--help")) {  // whoever asks is answered, whatever else is wrong
    options->help = true;
    return {};
  }
  if (options->help || options->version || options->command_given || !parser.first || can_read(parser.first)) return status;
  const Text near = nearest_command(parser.first);
  if (near.size == 0 || (status.ok() && options->model != parser.first)) return status;
  return usage_error("there is no file \"", parser.first, "\": did you mean the command ", near, "?");
}

}  // namespace edgellm
