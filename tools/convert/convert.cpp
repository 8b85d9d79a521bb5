#include "convert.h"

#include <algorithm>
#include <filesystem>
#include <ostream>
#include <sstream>

#include "base/machine.h"
#include "base/version.h"
#include "chat.h"
#include "compare.h"
#include "destination.h"
#include "english.h"
#include "grammar.h"
#include "lora.h"
#include "report.h"
#include "source.h"
#include "tokenized.h"
#include "tokenizer.h"
#include "verify.h"

namespace edgellm::convert {
namespace {

std::string default_name(const std::string& source) {
  std::string name = file_name(source);
  size_t dot = is_folder(source) ? std::string::npos : name.rfind('.');
  return dot == std::string::npos || dot == 0 ? name : name.substr(0, dot);
}

struct BuiltTokenizer {
  std::vector<u8> section;  // empty: none
  TokenizerInfo info;
};

// A special token in the words of the template, as the tokenizer reads them that it was written for, which `other` does not have;
// empty if it has them all.
std::string special_that_lacks(const Chat& chat, const BuiltTokenizer& own, const BuiltTokenizer& other, i64 vocab) {
  auto span = [](const std::vector<u8>& section) {
    return Span<const u8>(section.data(), static_cast<i64>(section.size()));
  };
  const Tokenizer theirs = open_tokenizer(span(own.section), vocab), ours = open_tokenizer(span(other.section), vocab);
  for (const std::string& words : {chat.start, chat.system, chat.user, chat.answer, chat.assistant}) {
    for (i32 id : encode_text(theirs, words, true)) {
      const Text piece = theirs.piece(id);
      if (theirs.special(id) && ours.find_added(piece) < 0) return {piece.data, static_cast<size_t>(piece.size)};
    }
  }
  return {};
}

// The template in a tokenizer's files; one that cannot be used is left out, and said.
std::optional<Chat> own_chat(const TokenizerInfo& info, Model* model) {
  if (info.chat_template.empty()) return std::nullopt;
  try {
    return chat_of_jinja(info.chat_template, info.bos_token, info.eos_token);
  } catch (const Error& error) {
    model->notes.push_back(text("the chat template is left out: ", error.what(), "; --chat NAME puts one in"));
    return std::nullopt;
  }
}

// Where --tokenizer names another one than the model's, or none: its own template, if it has one, and else the model's, if the
// tokenizer has the special tokens in it. What is dropped is said.
std::optional<Chat> chat_with_other_tokenizer(const Options& options, const BuiltTokenizer& other, Model* model) {
  BuiltTokenizer own;
  try {
    own.section = build_tokenizer_section(model->tokenizer, model->vocab, &own.info);
  } catch (const Error& error) {
    model->notes.push_back(text("the chat template of ", model->tokenizer, ", if it has one, is left out: ", error.what()));
    return own_chat(other.info, model);
  }
  const std::string dropped = "the chat template of " + model->tokenizer + " is left out: ";
  if (own.info.chat_template.empty() || own.info.chat_template == other.info.chat_template)
    return own_chat(other.info, model);
  if (!other.info.chat_template.empty()) {
    model->notes.push_back(dropped + options.tokenizer + " has its own");
    return own_chat(other.info, model);
  }
  std::optional<Chat> chat = own_chat(own.info, model);
  if (!chat) return std::nullopt;
  const std::string lacks = other.section.empty() ? "" : special_that_lacks(*chat, own, other, model->vocab);
  if (lacks.empty()) return chat;
  model->notes.push_back(text(dropped, options.tokenizer, " has no ", lacks, "; --chat NAME puts one in"));
  return std::nullopt;
}

// The chat template that was asked for, or the source's own.
std::optional<Chat> make_chat(const Options& options, const BuiltTokenizer& tokenizer, Model* model) {
  if (options.chat == "none") return std::nullopt;
  if (!options.chat.empty()) return chat_named(options.chat);
  const bool other = !options.tokenizer.empty() && !model->tokenizer.empty();
  std::optional<Chat> chat = other ? chat_with_other_tokenizer(options, tokenizer, model) : own_chat(tokenizer.info, model);
  if (chat)
    model->notes.push_back(text("chat template: ", chat->name, chat->system.empty() ? ", without a system text" : ""));
  return chat;
}

// What the tokenizer says of the start and end of a text overrides the model's own ids.
BuiltTokenizer make_tokenizer(const Options& options, Model* model) {
  if (options.tokenizer == "none") return {};
  const std::string& path = options.tokenizer.empty() ? model->tokenizer : options.tokenizer;
  if (path.empty()) {
    return {model->byte_tokenizer ? build_byte_tokenizer_section(model->vocab) : std::vector<u8>(), {}};
  }
  TokenizerInfo info;
  std::vector<u8> section = build_tokenizer_section(path, model->vocab, &info);
  model->bos = info.bos < 0 ? std::nullopt : std::optional<u32>(static_cast<u32>(info.bos));
  for (u32 id : info.stop) {
    if (std::find(model->stop.begin(), model->stop.end(), id) == model->stop.end()) model->stop.push_back(id);
  }
  model->notes.push_back(text("tokenizer: ", info.kind, ", ", info.ids, " ids"));
  return {std::move(section), std::move(info)};
}

Metadata make_metadata(const Options& options, const Model& model, const std::optional<Chat>& chat) {
  Metadata metadata;
  const std::string adapter = options.lora.empty() ? "" : " with the adapter " + file_name(options.lora);
  metadata.emplace_back("name", options.name.empty() ? default_name(options.source) : options.name);
  metadata.emplace_back("source",
                        text(model.kind, " ", file_name(options.source), adapter, ", edgellm-convert " EDGELLM_VERSION));
  metadata.insert(metadata.end(), model.metadata.begin(), model.metadata.end());
  if (model.bos) metadata.emplace_back("bos", *model.bos);
  if (!model.stop.empty()) metadata.emplace_back("stop", model.stop);
  if (options.temperature) metadata.emplace_back("temperature", *options.temperature);
  if (!options.grammar.empty()) metadata.emplace_back("grammar", read_grammar(options.grammar, model.vocab));
  if (chat) add_chat(*chat, &metadata);
  if (options.rope.empty()) return metadata;
  auto rope = std::find_if(metadata.begin(), metadata.end(), [](const auto& entry) { return entry.first == "rope"; });
  if (rope == metadata.end()) wrong_usage("--rope: this model has no rotary embedding");
  rope->second = options.rope;
  return metadata;
}

// In the words that are said again when the file is used. What was left out as asked for is no surprise.
std::string warning_of_text(const Options& options, bool has_tokenizer, bool has_chat) {
  auto string = [](Text words) { return std::string(words.data, static_cast<size_t>(words.size)); };
  if (!has_tokenizer) {
    return options.tokenizer == "none" ? "" : "warning: " + string(NO_TOKENIZER) + "; --tokenizer PATH puts one in\n";
  }
  return has_chat || options.chat == "none" ? "" : "warning: " + string(NO_CHAT_TEMPLATE) + "; --chat NAME puts one in\n";
}

// What docs/SPARSE.md measured.
constexpr char SPARSE_NOTE[] =
    "note: of the sparse forms, compact suits AVX-512 and fast AVX2; an ARM core computes more with either than with dense "
    "ones\n";

// Writes the model up to the name; `report` hears what the file has become.
void write(const Options& options, Model model, FileWriter& out, std::ostream& report, bool progress) {
  const BuiltTokenizer built = make_tokenizer(options, &model);
  const std::vector<u8>& tokenizer = built.section;
  const std::optional<Chat> chat = make_chat(options, built, &model);
  const Metadata metadata = make_metadata(options, model, chat);
  report << options.source << ": " << model.kind << "\n";
  for (const std::string& note : model.notes)
    report << "note: " << note << "\n";
  report << warning_of_text(options, !tokenizer.empty(), chat.has_value());

  if (options.sparsity > 0) prune(options.sparsity, options.layout, &model);
  std::vector<Target> targets = plan(std::move(model), options.formats);
  if (std::any_of(targets.begin(), targets.end(), [](const Target& target) { return target.forced_ternary; })) {
    report << "warning: this model was not trained ternary: t2 shows its speed and loses its text (stories260K: 5.50 nats a "
              "token for 1.45; docs/PERPLEXITY.md)\n";
  }
  std::vector<TensorSpec> specs;
  u64 total = 0;
  for (const Target& target : targets) {
    specs.push_back(target.spec);
    total += data_bytes(target.spec);
  }

  if (std::any_of(specs.begin(), specs.end(), [](const TensorSpec& spec) { return sparse(spec.format); }))
    report << SPARSE_NOTE;

  out.begin(metadata, specs, tokenizer);
  Report table;
  std::vector<Written> written;
  {
    Progress bar(total, progress);
    for (Target& target : targets) {
      Loss loss = encode(*target.tensor, target.spec, out, [&](u64 bytes) { bar.advance(bytes, target.spec.name); });
      table.add(*target.tensor, target.spec, loss);
      written.push_back({std::move(target), loss});
    }
  }
  u64 file_bytes = out.finish();
  require_usable(out.partial_path(), options.source);
  if (options.verify) verify(out.partial_path(), written);
  table.print(report, options.destination, file_bytes, tokenizer.size());
  if (!options.verify) return;
  report << "verified: checksums and every weight\n"
         << verify_tokenizer(out.partial_path(), options.verify_text.empty() ? VERIFIED_TEXT : options.verify_text);
}

Model open_model(const Options& options) {
  Model model = open_source(options.source);
  if (!options.lora.empty()) merge_adapter(options.lora, &model);
  return model;
}

// The likelier of the two layouts: the model is made with each, and reads some English.
I2sLayout likelier_layout(const Options& options, std::vector<std::string>* notes) {
  Options trial = options;
  trial.formats = {};
  trial.sparsity = 0;
  trial.verify = false;
  auto likelihood = [&](I2sLayout layout) {
    Model model = open_model(trial);
    *model.i2s = layout;
    std::ostringstream unheard;
    FileWriter out(trial.destination);
    write(trial, std::move(model), out, unheard, false);
    return likelihood_of_english(out.partial_path());
  };
  const Likelihood x86 = likelihood(I2sLayout::x86), arm = likelihood(I2sLayout::arm);
  const std::string found = text("as x86 wrote it some English costs ", x86.nll, " nats a token, as ARM did ", arm.nll,
                                 ", and without any knowledge ", x86.uniform);
  if (std::min(x86.nll, arm.nll) >= x86.uniform) {
    unusable(options.source, ": neither layout of I2_S makes sense: ", found, ": give --i2s-layout");
  }
  const bool is_x86 = x86.nll <= arm.nll;
  notes->push_back(text("I2_S is taken in the layout of ", is_x86 ? "x86: " : "ARM: ", found));
  return is_x86 ? I2sLayout::x86 : I2sLayout::arm;
}

void settle_i2s_layout(const Options& options, Model* model) {
  if (!model->i2s) {
    if (options.i2s_layout) wrong_usage("--i2s-layout: ", options.source, " has no I2_S tensors");
    return;
  }
  if (!options.i2s_layout && options.tokenizer.empty() && model->tokenizer.empty()) {
    unusable(options.source, ": the layout of I2_S tensors shows in text, and there is no tokenizer: give --i2s-layout");
  }
  *model->i2s = options.i2s_layout ? *options.i2s_layout : likelier_layout(options, &model->notes);
}

// The source's own numbers as f32 take this much beside the destination, and in memory.
void require_room_for_reference(const Options& options, const Model& model) {
  u64 needed = 0;
  for (const std::unique_ptr<Tensor>& tensor : model.tensors)
    needed += static_cast<u64>(matrix_bytes(Format::F32, tensor->rows, tensor->cols));
  std::error_code ignored;
  const u64 disk = std::filesystem::space(folder_of(options.destination), ignored).available;
  const Machine machine = this_machine();
  u64 memory = static_cast<u64>(machine.available_bytes > 0 ? machine.available_bytes : usable_memory(machine));
  if (machine.memory_limit > 0) memory = min(memory, static_cast<u64>(machine.memory_limit));
  if (needed > disk) {
    io_error("--verify needs ", megabytes(needed), " of disk for the source as f32, there are ", megabytes(disk));
  }
  if (memory > 0 && needed > memory) {
    io_error("--verify needs ", megabytes(needed), " of memory for the source as f32, there are ", megabytes(memory));
  }
}

void compare_with_source(const Options& options, I2sLayout layout, const FileWriter& file, std::ostream& report) {
  Options own = options;
  own.formats = {Format::F32, Format::F32, Format::F32, Format::I8};
  own.sparsity = 0;
  own.verify = false;
  Model model = open_model(own);
  if (model.i2s) *model.i2s = layout;
  std::ostringstream unheard;
  FileWriter reference(options.destination + ".f32");
  write(own, std::move(model), reference, unheard, false);
  const Comparison c = compare(file.partial_path(), reference.partial_path(), options.verify_text);
  report << "against the source in f32, " << c.tokens << " tokens: largest difference of a logit " << 100 * c.difference
         << " % of their range, mean nll " << c.nll << " (source " << c.reference_nll << "), the same best token after "
         << c.same_top << "\n";
}

}  // namespace

void convert(const Options& wanted, std::ostream& report, bool progress) {
  forget_opened();
  Options options = wanted;
  options.destination = destination_of(wanted.destination);
  Model model = open_model(options);
  settle_i2s_layout(options, &model);
  if (options.verify) require_room_for_reference(options, model);
  const I2sLayout layout = model.i2s ? *model.i2s : I2sLayout::x86;  // settled, if there are such tensors
  FileWriter out(options.destination);
  write(options, std::move(model), out, report, progress);
  if (options.verify) compare_with_source(options, layout, out, report);
  out.publish();
}

}  // namespace edgellm::convert
