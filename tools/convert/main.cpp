// edgellm-convert SRC DST [options]: makes a model file out of what others publish.
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <new>
#include <sstream>

#include "base/version.h"
#include "convert/base/error.h"
#include "convert/convert.h"
#include "convert/family/open.h"
#include "convert/output/destination.h"
#include "file/limits.h"

namespace edgellm::convert {
namespace {

const char USAGE[] =
    "edgellm-convert SRC DST [options]\n"
    "\n"
    "Writes the model file DST from SRC, which is one of\n";

const char OPTIONS[] =
    "\n"
    "options\n"
    "  --weights F      format of the matrices: t2, t5, i8, i4, f16, f32\n"
    "                   (default: t2 for models trained ternary, at their own scales; i4 for others)\n"
    "  --embed F        format of the embedding (default: i8; with --weights f32 or f16 the same)\n"
    "  --head F         format of the output head (default: as the embedding)\n"
    "  --tokenizer PATH rwkv_vocab*.txt, tokenizer.json, tokenizer.model, vocab.json (merges.txt beside it), "
    "tokenizer.bin,\n"
    "                   the folder that holds one, or a GGUF file; none leaves it out (default: the model's own)\n"
    "  --chat NAME      how a conversation is written: llama3, chatml, bitnet, mistral, llama2, zephyr, falcon3, phi,\n"
    "                   rwkv or plain; none leaves it out (default: the source's own template)\n"
    "  --lora DIR       merges the adapter that PEFT saved in DIR (adapter_config.json) before anything else is done\n"
    "  --rope KIND      pairs of the rotary embedding, interleaved or half, where SRC is wrong about them: TM2 version 1\n"
    "                   files made from Hugging Face weights need half\n"
    "  --i2s-layout L   x86 or arm: where the I2_S tensors of a GGUF file were quantised (default: the layout in which the\n"
    "                   model reads English better)\n"
    "  --sparsity S     prunes: the share S (0 to 1) of the layers' weights with the least magnitudes becomes zero\n"
    "  --sparsity-layout L  tensor: the same share of each matrix (default); erk: small matrices keep more\n"
    "  --sparse HOW     matrices with many zeros: compact (a bit a weight), fast (a bit for four weights), dense\n"
    "                   (default: compact, where that is smaller than i4, or than i8 with --weights i8)\n"
    "  --verify         read DST back before it gets its name, and compare checksums, every weight, and a text that its\n"
    "                   tokenizer encodes and decodes; then run it beside the source in f32: differences of logits,\n"
    "                   likelihood, best tokens\n"
    "  --verify-text T  the text for that\n"
    "  --temperature T  what the model samples with unless one says; 0 is greedy (default: the program's)\n"
    "  --grammar FILE   what may be answered: a JSON list of states, each a list of [id, next state] (docs/FILE.md)\n"
    "  --name TEXT      name of the model (default: that of SRC)\n"
    "  --version        the version of this program\n"
    "  --help           this text\n"
    "\n"
    "t2 is ternary, 2 bits; t5 is t2 at 1.6 bits, for slow memories, where inputs have one scale a token (BitNet; else "
    "t2);\n"
    "i4 has 4 bits and a scale for 32 weights; i8 has 8 bits and a scale a row.\n"
    "\n"
    "DST is a regular file, or new, and none of the sources; it changes only when all is done.\n"
    "Exit code 0: done, 1: reading or writing failed, 2: wrong usage, 3: SRC cannot be used, 129: hung up, 130: "
    "interrupted,\n"
    "141: nobody reads what is printed, 143: terminated.\n";

// The words of `text` in lines that begin in a column; the first one is begun already.
std::string wrapped(const std::string& text, size_t column) {
  constexpr size_t WIDTH = 120;
  std::string out;
  size_t at = column;
  std::istringstream words(text);
  for (std::string word; words >> word; at += word.size() + 1) {
    if (at + word.size() > WIDTH) {
      out += "\n" + std::string(column, ' ');
      at = column;
    } else if (!out.empty()) {
      out += ' ';
    }
    out += word;
  }
  return out + "\n";
}

std::string help() {
  constexpr size_t COLUMN = 19;
  std::string out = USAGE;
  for (const SourceKind& kind : source_kinds()) {
    const std::string place = text("  ", kind.place);
    out += place + std::string(COLUMN - place.size(), ' ');
    out += wrapped(text(kind.text, " ", list_text(kind.families)), COLUMN);
  }
  return out + OPTIONS;
}

Format parse_format(const std::string& option, const std::string& value) {
  for (Format format : {Format::T2, Format::T5, Format::I8, Format::I4, Format::F16, Format::F32}) {
    if (value == format_name(format)) return format;
  }
  wrong_usage(option, " ", value, ": expected t2, t5, i8, i4, f16 or f32");
}

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

SparsityLayout parse_layout(const std::string& value) {
  if (value == "tensor") return SparsityLayout::tensor;
  if (value == "erk") return SparsityLayout::erk;
  wrong_usage("--sparsity-layout ", value, ": expected tensor or erk");
}

Format parse_sparse(const std::string& value) {
  if (value == "compact") return Format::I8_MASK;
  if (value == "fast") return Format::I8_GROUP;
  if (value == "dense") return Format::I8;
  wrong_usage("--sparse ", value, ": expected compact, fast or dense");
}

// False when a text was asked for, and has been printed.
bool parse(int count, char** arguments, Options* options) {
  std::vector<std::string> places;
  for (int i = 1; i < count; i++) {
    std::string argument = arguments[i];
    if (argument == "--help" || argument == "--version") {
      std::cout << (argument == "--help" ? help() : "edgellm-convert " EDGELLM_VERSION "\n");
      return false;
    }
    if (!argument.starts_with("-")) {
      places.push_back(argument);
      continue;
    }
    size_t equals = argument.find('=');
    std::string option = argument.substr(0, equals);
    if (argument == "--verify") {
      options->verify = true;
      continue;
    }
    auto value = [&]() -> std::string {
      if (equals != std::string::npos) return argument.substr(equals + 1);
      if (i + 1 == count) wrong_usage(option, " needs a value");
      return arguments[++i];
    };
    if (option == "--weights") {
      options->formats.weights = parse_format(option, value());
    } else if (option == "--embed") {
      options->formats.embed = parse_format(option, value());
    } else if (option == "--head") {
      options->formats.head = parse_format(option, value());
    } else if (option == "--tokenizer") {
      options->tokenizer = value();
    } else if (option == "--lora") {
      options->lora = value();
    } else if (option == "--chat") {
      options->chat = value();
    } else if (option == "--rope") {
      options->rope = value();
      if (options->rope != "half" && options->rope != "interleaved") {
        wrong_usage("--rope ", options->rope, ": expected half or interleaved");
      }
    } else if (option == "--i2s-layout") {
      std::string layout = value();
      if (layout != "x86" && layout != "arm") wrong_usage("--i2s-layout ", layout, ": expected x86 or arm");
      options->i2s_layout = layout == "x86" ? I2sLayout::x86 : I2sLayout::arm;
    } else if (option == "--sparsity") {
      options->sparsity = parse_real(option, value(), 1);
    } else if (option == "--sparsity-layout") {
      options->layout = parse_layout(value());
    } else if (option == "--sparse") {
      options->formats.sparse = parse_sparse(value());
    } else if (option == "--verify-text") {
      options->verify_text = value();
      options->verify = true;
    } else if (option == "--temperature") {
      options->temperature = static_cast<f32>(parse_real(option, value(), static_cast<int>(MAX_TEMPERATURE)));
    } else if (option == "--grammar") {
      options->grammar = value();
    } else if (option == "--name") {
      options->name = value();
    } else {
      wrong_usage("unknown option ", option);
    }
  }
  if (places.size() != 2) wrong_usage("expected SRC and DST, there are ", places.size(), " names");
  options->source = places[0];
  options->destination = places[1];
  return true;
}

// What was printed must have arrived: a text asked for and not written is no success.
void flush_output() {
  if (!std::cout.flush()) io_error("standard output: cannot write: ", reason_of(errno));
}

int run(int count, char** arguments) {
  try {
    Options options;
    errno = 0;
    if (!parse(count, arguments, &options)) {
      flush_output();
      return 0;
    }
    convert(options, std::cerr, isatty(STDERR_FILENO) != 0);
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
