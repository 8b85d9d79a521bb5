// edgellm-convert SRC [DST] [options]: makes a model file out of what others publish.
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <new>
#include <sstream>
#include <utility>

#include "base/version.h"
#include "convert/base/error.h"
#include "convert/base/meant.h"
#include "convert/chat/chat.h"
#include "convert/convert.h"
#include "convert/family/open.h"
#include "convert/output/destination.h"
#include "file/limits.h"

namespace edgellm::convert {
namespace {

const char USE[] =
    "edgellm-convert SRC        makes a model file in this folder, called as SRC is\n"
    "edgellm-convert SRC DST    makes the model file DST\n"
    "edgellm-convert help       lists what SRC may be, options and examples\n";

const char BEGINNING[] =
    "edgellm-convert SRC [DST] [options]\n"
    "\n"
    "Makes a model file, which edgellm runs, of what others publish. DST is a\n"
    "regular file or a new one, and none of the sources; it changes only when all\n"
    "is done. Without DST the file lies in the current folder and is called as SRC\n"
    "is, .tm2 or, where its matrices are sparse, .srnn; it must not be there yet.\n"
    "\n"
    "Sources\n";

const char NOTES[] =
    "\n"
    "t2 is ternary, 2 bits; t5 is t2 at 1.6 bits, for slow memories, where inputs\n"
    "have one scale a token (BitNet; else t2); i4 has 4 bits and a scale for 32\n"
    "weights; i8 has 8 bits and a scale a row.\n"
    "\n"
    "Examples\n"
    "  edgellm-convert SmolLM-135M                 a folder of Hugging Face\n"
    "  edgellm-convert model.gguf small.tm2\n"
    "  edgellm-convert RWKV-x070.pth --weights i8\n"
    "  edgellm-convert stories.bin --tokenizer tok.bin\n"
    "  edgellm-convert Llama-3.2-1B mine.tm2 --lora my-adapter\n"
    "  edgellm-convert synthetic:bitnet-2b4t       to see how fast it would be\n"
    "\n"
    "Exit codes\n"
    "  0 done, 1 reading or writing failed, 2 wrong usage, 3 SRC cannot be used;\n"
    "  129, 130, 143 ended by SIGHUP, SIGINT, SIGTERM; 141 nobody reads what is\n"
    "  printed any more\n";

// A name and the words of `text` in lines that begin in a column behind it.
std::string row(const std::string& name, const std::string& text) {
  constexpr size_t COLUMN = 23, WIDTH = 80;
  std::string line = "  " + name, out;
  line.resize(COLUMN, ' ');
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (line.size() + word.size() >= WIDTH) {
      out += line + "\n";
      line.assign(COLUMN, ' ');
    }
    if (line.back() != ' ') line += ' ';
    line += word;
  }
  return out + line + "\n";
}

// A conversion, or a text.
struct Request : Options {
  std::string printed;  // the text; empty: none was asked for
  bool quiet = false;   // of what is reported the warnings alone
};

struct Option {
  const char *name, *argument;  // "": a switch
  std::string help;
  void (*set)(const std::string& option, const std::string& value, Request* request);
  const char* letter = nullptr;  // its short name
  const char* group = nullptr;   // that it is the first of, in --help
};

// Also as an f32.
f64 parse_real(const std::string& option, const std::string& value, int limit) {
  f64 number = -1;
  auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (problem != std::errc() || end != value.data() + value.size() || !(number >= 0 && number < limit)) {
    wrong_usage(option, " ", value, ": expected 0 to less than ", limit);
  }
  if (number > 0 && !(static_cast<f32>(number) > 0)) wrong_usage(option, " ", value, ": is 0 as an f32");
  return number;
}

// What a word stands for.
template <class Value>
using Words = std::vector<std::pair<const char*, Value>>;

// "a, b or c"
template <class Value>
std::string known(const Words<Value>& words) {
  std::string out;
  for (size_t i = 0; i < words.size(); i++)
    out += text(i == 0 ? "" : i + 1 < words.size() ? ", " : " or ", words[i].first);
  return out;
}

template <class Value>
Value parse_word(const std::string& option, const std::string& value, const Words<Value>& words) {
  for (const auto& [word, meaning] : words) {
    if (value == word) return meaning;
  }
  wrong_usage(option, " ", value, ": expected ", known(words));
}

const Words<Format> FORMATS = {{"t2", Format::T2}, {"t5", Format::T5},   {"i8", Format::I8},
                               {"i4", Format::I4}, {"f16", Format::F16}, {"f32", Format::F32}};
const Words<Format> SPARSE = {{"compact", Format::I8_MASK}, {"fast", Format::I8_GROUP}, {"dense", Format::I8}};
const Words<const char*> ROPE = {{"half", "half"}, {"interleaved", "interleaved"}};
const Words<I2sLayout> I2S = {{"x86", I2sLayout::x86}, {"arm", I2sLayout::arm}};
const Words<SparsityLayout> SPARSITY = {{"tensor", SparsityLayout::tensor}, {"erk", SparsityLayout::erk}};

using S = const std::string&;

template <auto member>
void set_text(S, S value, Request* r) {
  r->*member = value;
}

template <auto member>
void set_format(S option, S value, Request* r) {
  r->formats.*member = parse_word(option, value, FORMATS);
}

std::string help();

std::string version() {
  return "edgellm-convert " EDGELLM_VERSION "\n";
}

const Option OPTIONS[] = {
    {"--weights", "F",
     text("format of the matrices: ", known(FORMATS),
          " (default: t2 for models trained ternary, at their own scales; i4 for others)"),
     set_format<&Formats::weights>, nullptr, "Formats"},
    {"--embed", "F", "format of the embedding (default: i8; with --weights f32 or f16 the same)",
     set_format<&Formats::embed>},
    {"--head", "F", "format of the output head (default: as the embedding)", set_format<&Formats::head>},
    {"--sparse", "HOW",
     "matrices with many zeros: compact (a bit a weight), fast (a bit for four weights), dense (default: compact, where "
     "that is smaller than i4, or than i8 with --weights i8)",
     [](S option, S value, Request* r) { r->formats.sparse = parse_word(option, value, SPARSE); }},
    {"--tokenizer", "PATH",
     "rwkv_vocab*.txt, tokenizer.json, tokenizer.model, vocab.json (merges.txt beside it), tokenizer.bin, the folder that "
     "holds one, or a GGUF file; none leaves it out (default: the model's own)",
     set_text<&Options::tokenizer>, nullptr, "Text"},
    {"--chat", "NAME",
     text("how a conversation is written: ", chat_names(), "; none leaves it out (default: the source's own template)"),
     set_text<&Options::chat>},
    {"--grammar", "FILE", "what may be answered: a JSON list of states, each a list of [id, next state] (docs/FILE.md)",
     set_text<&Options::grammar>},
    {"--temperature", "T", "what the model samples with unless one says; 0 is greedy (default: the program's)",
     [](S option, S value, Request* r) {
       r->temperature = static_cast<f32>(parse_real(option, value, static_cast<int>(MAX_TEMPERATURE)));
     }},
    {"--name", "TEXT", "name of the model (default: that of SRC)", set_text<&Options::name>},
    {"--lora", "DIR", "merges the adapter that PEFT saved in DIR (adapter_config.json) before anything else is done",
     set_text<&Options::lora>, nullptr, "Changes"},
    {"--sparsity", "S", "prunes: the share S (0 to 1) of the layers' weights with the least magnitudes becomes zero",
     [](S option, S value, Request* r) { r->sparsity = parse_real(option, value, 1); }},
    {"--sparsity-layout", "L", "tensor: the same share of each matrix (default); erk: small matrices keep more",
     [](S option, S value, Request* r) { r->sparsity_layout = parse_word(option, value, SPARSITY); }},
    {"--rope", "KIND",
     text("pairs of the rotary embedding, ", known(ROPE),
          ", where SRC is wrong about them: TM2 version 1 files made from Hugging Face weights need half"),
     [](S option, S value, Request* r) { r->rope = parse_word(option, value, ROPE); }},
    {"--i2s-layout", "L",
     text(known(I2S),
          ": where the I2_S tensors of a GGUF file were quantised (default: the layout in which the model reads "
          "English better)"),
     [](S option, S value, Request* r) { r->i2s_layout = parse_word(option, value, I2S); }},
    {"--verify", "",
     "read DST back before it gets its name, and compare checksums, every weight, and a text that its tokenizer encodes and "
     "decodes; then run it beside the source in f32: differences of logits, likelihood, best tokens",
     [](S, S, Request* r) { r->verify = true; }, nullptr, "Checks and reports"},
    {"--verify-text", "T", "the text for that", [](S, S value, Request* r) { r->verify_text = value, r->verify = true; }},
    {"--verbose", "", "also a table of what became of every tensor", [](S, S, Request* r) { r->verbose = true; }, "-v"},
    {"--quiet", "", "of what is said only warnings and errors", [](S, S, Request* r) { r->quiet = true; }, "-q"},
    {"--help", "", "this text; help does the same", [](S, S, Request* r) { r->printed = help(); }, "-h"},
    {"--version", "", "the version of this program; version does the same",
     [](S, S, Request* r) { r->printed = version(); }},
};

std::string help() {
  std::string out = BEGINNING;
  for (const SourceKind& kind : source_kinds())
    out += row(kind.place, text(kind.text, " ", list_text(kind.families)));
  for (const Option& option : OPTIONS) {
    if (option.group) out += text("\n", option.group, "\n");
    out += row(text(option.letter ? text(option.letter, ", ") : "", option.name, " ", option.argument), option.help);
  }
  return out + NOTES;
}

const Option& option_named(const std::string& name) {
  std::vector<std::string> names;
  for (const Option& option : OPTIONS) {
    if (name == option.name || (option.letter && name == option.letter)) return option;
    names.push_back(option.name);
  }
  wrong_usage("unknown option ", name, did_you_mean(name, names));
}

void set_places(const std::vector<std::string>& places, Request* request) {
  if (places.empty()) wrong_usage("SRC is missing, expected SRC and maybe DST");
  if (places.size() > 2) wrong_usage("expected SRC and DST, there are ", places.size(), " names");
  if (places[0].empty()) wrong_usage("SRC is empty, expected the name of a file or a folder");
  if (places.back().empty()) wrong_usage("DST is empty, expected the name of a file");
  request->source = places[0];
  if (places.size() == 2) request->destination = places[1];
  if (places.size() == 1 && places[0] == "help") request->printed = help();
  if (places.size() == 1 && places[0] == "version") request->printed = version();
}

Request parse(int count, char** arguments) {
  Request request;
  std::vector<std::string> places;
  for (int i = 1; i < count; i++) {
    const std::string argument = arguments[i];
    if (!argument.starts_with("-")) {
      places.push_back(argument);
      continue;
    }
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const Option& option = option_named(name);
    const bool takes_value = *option.argument, has_value = equals != std::string::npos;
    if (has_value && !takes_value) wrong_usage(name, " takes no value");
    if (takes_value && !has_value && i + 1 == count) wrong_usage(name, " needs a value");
    option.set(name, has_value ? argument.substr(equals + 1) : takes_value ? arguments[++i] : "", &request);
    if (!request.printed.empty()) return request;
  }
  set_places(places, &request);
  return request;
}

// What was printed must have arrived: a text asked for and not written is no success.
void flush_output() {
  if (!std::cout.flush()) io_error("standard output: cannot write: ", reason_of(errno));
}

// The lines of a report that say what went less well than it could.
void print_warnings(const std::string& report) {
  std::istringstream lines(report);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("warning: ")) std::cerr << line << "\n";
}

void convert_as_asked(const Request& request) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  if (!request.quiet) return convert(request, std::cerr, terminal);
  std::ostringstream report;
  convert(request, report, terminal);
  print_warnings(report.str());
}

int run(int count, char** arguments) {
  if (count < 2) {
    std::cerr << USE;
    return static_cast<int>(Code::usage);
  }
  try {
    errno = 0;
    const Request request = parse(count, arguments);
    if (request.printed.empty()) {
      convert_as_asked(request);
    } else {
      std::cout << request.printed;
      flush_output();
    }
    return 0;
  } catch (const Error& error) {
    std::cerr << "edgellm-convert: " << error.what() << "\n";
    if (error.code == Code::usage) std::cerr << "edgellm-convert --help lists the options\n";
    return static_cast<int>(error.code);
  } catch (const std::bad_alloc&) {
    std::cerr << "edgellm-convert: out of memory\n";
  } catch (const std::exception& error) {  // of the file system, for instance
    std::cerr << "edgellm-convert: " << error.what() << "\n";
  }
  return static_cast<int>(Code::failed);
}

}  // namespace
}  // namespace edgellm::convert

int main(int count, char** arguments) {
  std::signal(SIGXFSZ, SIG_IGN);  // a limit of file sizes is an error of `write`, as a full disk is
  std::signal(SIGPIPE, [](int signal) { _exit(128 + signal); });
  return edgellm::convert::run(count, arguments);
}
