#include "convert/output/summary.h"

#include "convert/base/mapped_file.h"
#include "engine/conversation.h"
#include "engine/engine.h"
#include "file/family.h"
#include "platform/machine.h"
#include "text/section.h"

namespace edgellm::convert {
namespace {

constexpr i32 SMALL_CONTEXT = 512;

std::string string_of(Text text) {
  return {text.data, static_cast<size_t>(text.size)};
}

// The file, as a run without a prompt would open it here, with this context; 0: with the default. It was found usable.
void plan(const MappedFile& file, i32 context, Engine* engine) {
  EngineOptions options;
  options.file = {file.bytes().data, static_cast<i64>(file.bytes().size)};
  options.context = context;
  options.threads = default_threads(this_machine());
  options.text_bytes = 16;
  if (const Status status = plan_engine(options, engine); !status.ok()) io_error(file.path, ": ", status.text());
}

// With the file, all of which is read.
std::string memory_text(const Engine& engine) {
  return megabytes(static_cast<u64>(engine.arena_bytes + engine.file.bytes().count));
}

std::string context_text(const MappedFile& file, const Engine& engine) {
  const i32 context = engine.limits.context, trained = engine.model.context;
  const std::string memory = "memory needed: " + memory_text(engine);
  if (engine.model.unbounded()) return text("without an end, trained on ", trained, " positions; ", memory);
  const std::string all = text(trained, " positions; ", memory, context == trained ? "" : text(" for ", context));
  if (context <= SMALL_CONTEXT) return all;
  Engine small;
  plan(file, SMALL_CONTEXT, &small);
  return text(all, ", ", memory_text(small), " with --ctx ", SMALL_CONTEXT);
}

std::string family_words(const ModelFile& file) {
  Family family;
  return read_family(file, &family).ok() ? family.words : "of an unknown family";  // it was found usable
}

std::string text_side(const Engine& engine, const ChatTemplate* chat) {
  constexpr const char* KINDS[] = {"no tokenizer", "byte-level BPE", "SentencePiece BPE", "RWKV's tokenizer"};
  return text(KINDS[engine.has_tokenizer ? static_cast<size_t>(engine.tokenizer.kind()) : 0], ", ", engine.model.vocab,
              " ids; ", chat ? "chat template " + string_of(chat->name) : "no chat template", "; ",
              engine.grammar.states() > 0 ? "a grammar" : "no grammar");
}

std::string next_command(const std::string& destination, const Engine& engine, bool has_chat) {
  const bool bare = destination.find_first_of("./") == std::string::npos;  // it could be the name of a command
  const std::string word = shell_word(bare || destination.starts_with('-') ? "./" + destination : destination);
  if (!engine.has_tokenizer) return "edgellm " + word + " -i 1,2,3";
  const bool converses = has_chat || engine.grammar.states() > 0;
  return converses ? "edgellm chat " + word : "edgellm " + word + " \"Once upon a time\"";
}

}  // namespace

std::string summary_of(const std::string& path, const std::string& destination, const Report& report) {
  const File file = MappedFile::open(path);
  Engine engine;
  plan(*file, 0, &engine);
  Text name;
  ChatTemplate chat;
  bool has_chat = false;
  if (!engine.file.text_or("name", "", &name).ok() || !read_chat_template(engine.file, &chat, &has_chat).ok()) {
    io_error(path, ": what was written cannot be read");
  }
  const std::pair<const char*, std::string> lines[] = {
      {"model", text(string_of(name), ", ", family_words(engine.file), ", ", count_text(report.weights()), " parameters")},
      {"file", text(destination, ", ", megabytes(file->bytes().size))},
      {"weights", report.formats_text()},
      {"loss", report.loss_text()},
      {"context", context_text(*file, engine)},
      {"text", text_side(engine, has_chat ? &chat : nullptr)},
      {"next", next_command(destination, engine, has_chat)},
  };
  std::string out;
  for (const auto& [what, words] : lines) {
    std::string line = what;
    line.resize(10, ' ');
    out += line + words + "\n";
  }
  return out;
}

}  // namespace edgellm::convert
