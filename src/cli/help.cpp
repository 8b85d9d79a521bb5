// What --help prints, from the rows of option_table.h, in lines of at most 80 letters.
#include "cli/option_table.h"
#include "platform/console.h"

namespace edgellm {

namespace {

constexpr i64 WIDTH = 80, COLUMN = 26;  // where explanations begin

void add_blanks(Output& out, i64 count) {
  for (i64 i = 0; i < count; i++)
    out.add(" ");
}

constexpr const char* COMMONEST[] = {"-f", "-n", "-t", "-s", "--stop", "--ctx", "--threads", "--verbose"};  // of run

// `left`, and behind it, or below where it is too long, words in a column.
void add_row(Output& out, Text left, Text words) {
  i64 at = left.size;
  out.add(left);
  if (at > COLUMN - 1) {
    out.add("\n");
    at = 0;
  }
  add_blanks(out, COLUMN - at);
  at = COLUMN;
  while (words.size) {
    i64 size = 0;
    while (size < words.size && words[size] != ' ')
      size++;
    if (at > COLUMN && at + 1 + size > WIDTH) {
      out.add("\n");
      add_blanks(out, COLUMN);
      at = COLUMN;
    } else if (at > COLUMN) {
      out.add(" ");
      at++;
    }
    out.add(words.slice(0, size));
    at += size;
    words = words.from(min(size + 1, words.size));
  }
  out.add("\n");
}

void add_option(Output& out, const Option& option) {
  char left[WIDTH];
  Writer writer(left);
  write(writer, "  ", option.names, option.argument ? " " : "", option.argument ? option.argument : "");
  add_row(out, writer.text(), option.help);
}

void add_lines(Output& out, Text lines) {
  bool begins = true;
  for (i64 i = 0; i < lines.size; i++) {
    if (begins) out.add("  ");
    out.add(lines.slice(i, 1));
    begins = lines[i] == '\n';
  }
}

void print_command(const Command& command) {
  Output out(STDOUT);
  out.add("edgellm ");
  out.add(command.bit == RUN ? "[run]" : command.name);
  out.add(" ");
  out.add(command.arguments);
  out.add(" [options]\n\n");
  out.add(command.about);
  for (size_t group = 0; group < sizeof GROUP_NAMES / sizeof GROUP_NAMES[0]; group++) {
    bool named = false;
    for (const Option& option : all_options()) {
      if (option.group != static_cast<Group>(group) || !(option.commands & command.bit)) continue;
      if (!named) {
        out.add("\n");
        out.add(GROUP_NAMES[group]);
        out.add("\n");
      }
      named = true;
      add_option(out, option);
    }
  }
  out.add("\nExamples\n");
  add_lines(out, command.examples);
  out.add("\nedgellm help tells of the environment and of exit codes.\n");
  out.flush();
}

void print_overview() {
  Output out(STDOUT);
  out.add(
      "edgellm MODEL \"TEXT\" [options]\n"
      "edgellm COMMAND [MODEL] [options]\n"
      "\nCommands\n");
  for (const Command& command : all_commands()) {
    char left[WIDTH];
    Writer writer(left);
    write(writer, "  ", command.name, " ", command.arguments);
    add_row(out, writer.text(), command.summary);
  }
  out.add("\nThe commonest options of run (edgellm help run has all of them)\n");
  for (const char* name : COMMONEST)
    add_option(out, *find_option(name, RUN));
  out.add(
      "\nExamples\n"
      "  edgellm model.tm2 \"Once upon a time\"\n"
      "  edgellm chat model.tm2\n"
      "  edgellm help bench\n"
      "\nEnvironment, where no option says otherwise\n");
  for (const Variable& variable : all_variables()) {
    char left[WIDTH];
    Writer writer(left);
    write(writer, "  ", variable.name);
    add_row(out, writer.text(), variable.help);
  }
  out.add(
      "\nExit codes\n"
      "  0 done, 1 run-time error, 2 wrong usage, 3 unusable model file\n"
      "  129 ended by SIGHUP, 130 by SIGINT, 143 by SIGTERM, with what there is then\n"
      "  141 nobody reads standard output any more\n");
  out.flush();
}

}  // namespace

void print_help(const Options& options) {
  const bool one = options.command_given && (options.command & ALL_COMMANDS);
  one ? print_command(command_of(options.command)) : print_overview();
}

void note_use() {
  note(
      "edgellm MODEL \"TEXT\"   goes on from a text\n"
      "edgellm chat MODEL     is a conversation\n"
      "edgellm help           lists the commands, edgellm help run the options of one\n");
}

}  // namespace edgellm
