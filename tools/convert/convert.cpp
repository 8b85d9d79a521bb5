#include "convert/convert.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <sstream>

#include "base/version.h"
#include "convert/base/english.h"
#include "convert/change/lora.h"
#include "convert/chat/grammar.h"
#include "convert/family/found.h"
#include "convert/family/open.h"
#include "convert/output/compare.h"
#include "convert/output/destination.h"
#include "convert/output/report.h"
#include "convert/output/summary.h"
#include "convert/output/text_side.h"
#include "convert/output/verify.h"
#include "platform/machine.h"

namespace edgellm::convert {
namespace {

std::string default_name(const std::string& source) {
  if (source.starts_with(SYNTHETIC)) return source;  // a dot in it begins no suffix
  std::string name = file_name(source);
  size_t dot = is_folder(source) ? std::string::npos : name.rfind('.');
  return dot == std::string::npos || dot == 0 ? name : name.substr(0, dot);
}

// In the current folder, called as the source is: the name of a file that nobody named.
std::string default_destination(const std::string& source, bool is_sparse) {
  std::string name = source.starts_with(SYNTHETIC) ? source.substr(SYNTHETIC.size()) : default_name(source);
  if (name.ends_with(".tm2")) name.resize(name.size() - 4);  // of a file called x.tm2.bin
  if (is_folder(source) && name.find_first_not_of('.') == std::string::npos) {
    std::error_code none;
    name = std::filesystem::canonical(source, none).filename().string();
  }
  if (name.empty()) wrong_usage(source, " has no name that a file could have: edgellm-convert ", source, " DST");
  return name + (is_sparse ? ".srnn" : ".tm2");
}

// Nothing is replaced that nobody named.
void require_new(const std::string& source, const std::string& destination) {
  std::error_code none;
  if (std::filesystem::symlink_status(destination, none).type() == std::filesystem::file_type::not_found) return;
  if (opened_as(destination)) {
    wrong_usage(destination, " is the source itself: edgellm-convert ", shell_word(source),
                " DST gives the file another name");
  }
  wrong_usage(destination, " is there already: edgellm-convert ", shell_word(source), " ", shell_word(destination),
              " replaces it, another name keeps it");
}

// Of a folder that is converted the other files are the model's too, though nobody reads them now: among them only a model file, or
// an empty one, is replaced.
void refuse_others_of(const std::string& folder, const std::string& destination) {
  std::error_code none;
  if (!is_folder(folder) || !std::filesystem::equivalent(folder, folder_of(destination), none)) return;
  if (!file_exists(destination) || std::filesystem::file_size(destination, none) == 0) return;
  u32 magic = 0;
  std::ifstream(destination, std::ios::binary).read(reinterpret_cast<char*>(&magic), sizeof magic);
  if (magic == MAGIC_TM2 || magic == MAGIC_SRN) return;
  wrong_usage(destination, " is a file of ", folder, " and no model file: it would be lost; give another name");
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

// What docs/SPARSE.md measured.
constexpr char SPARSE_NOTE[] =
    "note: of the sparse forms, compact suits AVX-512 and fast AVX2; an ARM core computes more with either than with dense "
    "ones\n";

// The usual names tell sparse models from dense ones. Readers do not go by them.
void note_usual_name(const std::string& destination, bool is_sparse, std::ostream& report) {
  if (!destination.ends_with(is_sparse ? ".tm2" : ".srnn")) return;
  report << "note: " << destination << " has " << (is_sparse ? "" : "no ") << "sparse matrices: the usual name is "
         << (is_sparse ? ".srnn" : ".tm2") << "\n";
}

// Matrices whose weights are other ones in the file than in the source.
void note_made_ternary(const std::vector<Target>& targets, bool plain_floats, std::ostream& report) {
  if (std::any_of(targets.begin(), targets.end(), [](const Target& target) { return target.forced_ternary; })) {
    report << "warning: this model was not trained ternary: t2 shows its speed and loses its text (stories260K: 5.50 nats a "
              "token for 1.45; docs/PERPLEXITY.md)\n";
  }
  const auto masters = std::count_if(targets.begin(), targets.end(), [](const Target& target) { return target.master; });
  if (masters > 0) {
    report << "note: " << masters
           << " float matrices are taken for master weights: made ternary as BitNet does, scale * {-1, 0, 1} "
           << "with their mean magnitude as scale; errors below count from there\n";
    if (plain_floats) {
      report
          << "note: transformers and llama.cpp compute with these floats as they are, for no quantization_config says that "
             "they are master weights; --weights f32 or f16 does too\n";
    }
  }
}

// All that is known before the first byte is written.
struct Plan {
  Metadata metadata;
  std::vector<u8> tokenizer;
  std::vector<Target> targets;
  bool is_sparse = false;
};

// `report` hears what the model is and what becomes of it.
Plan plan_file(const Options& options, Model model, std::ostream& report) {
  Plan planned;
  TextSide side = make_text_side(options, &model);
  planned.metadata = make_metadata(options, model, side.chat);
  planned.tokenizer = std::move(side.tokenizer);
  report << options.source << ": " << model.kind << "\n";
  for (const std::string& note : model.notes)
    report << "note: " << note << "\n";
  if (!side.warning.empty()) report << "warning: " << side.warning << "\n";

  if (options.sparsity > 0) prune(options.sparsity, options.sparsity_layout, &model);
  const bool plain_floats = model.plain_floats;
  planned.targets = plan(std::move(model), options.formats);
  note_made_ternary(planned.targets, plain_floats, report);
  planned.is_sparse = std::any_of(planned.targets.begin(), planned.targets.end(),
                                  [](const Target& target) { return sparse(target.spec.format); });
  if (planned.is_sparse) report << SPARSE_NOTE;
  return planned;
}

// Writes the file up to its name.
Report write(const Options& options, Plan planned, FileWriter& out, bool progress) {
  std::vector<TensorSpec> specs;
  u64 total = 0;
  for (const Target& target : planned.targets) {
    specs.push_back(target.spec);
    total += data_bytes(target.spec);
  }
  out.begin(planned.metadata, specs, planned.tokenizer);
  Report report;
  std::vector<Written> written;
  {
    Progress bar(total, progress);
    for (Target& target : planned.targets) {
      Loss loss = encode(*target.tensor, target.spec, out, [&](u64 bytes) { bar.advance(bytes, target.spec.name); });
      report.add(*target.tensor, target.spec, loss);
      written.push_back({std::move(target), loss});
    }
  }
  out.finish();
  require_usable(out.partial_path(), options.source);
  if (options.verify) verify(out.partial_path(), written);
  return report;
}

Model open_model(const Source& source, const Options& options) {
  Model model = open_source(source);
  if (!options.lora.empty()) merge_adapter(options.lora, &model);
  return model;
}

// The likelier of the two layouts: the model is made with each, and reads some English.
I2sLayout likelier_layout(const Source& source, const Options& options, std::vector<std::string>* notes) {
  Options trial = options;
  trial.formats = {};
  trial.sparsity = 0;
  trial.verify = false;
  auto likelihood = [&](I2sLayout layout) {
    Model model = open_model(source, trial);
    *model.i2s = layout;
    std::ostringstream unheard;
    FileWriter out(trial.destination);
    write(trial, plan_file(trial, std::move(model), unheard), out, false);
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

void settle_i2s_layout(const Source& source, const Options& options, Model* model) {
  if (!model->i2s) {
    if (options.i2s_layout) wrong_usage("--i2s-layout: ", options.source, " has no I2_S tensors");
    return;
  }
  if (!options.i2s_layout && options.tokenizer.empty() && model->tokenizer.empty()) {
    unusable(options.source, ": the layout of I2_S tensors shows in text, and there is no tokenizer: give --i2s-layout");
  }
  *model->i2s = options.i2s_layout ? *options.i2s_layout : likelier_layout(source, options, &model->notes);
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

void compare_with_source(const Source& source, const Options& options, I2sLayout layout, const FileWriter& file,
                         std::ostream& report) {
  Options own = options;
  own.formats = {Format::F32, Format::F32, Format::F32, Format::I8};
  own.sparsity = 0;
  own.verify = false;
  Model model = open_model(source, own);
  if (model.i2s) *model.i2s = layout;
  std::ostringstream unheard;
  FileWriter reference(options.destination + ".f32");
  write(own, plan_file(own, std::move(model), unheard), reference, false);
  const Comparison c = compare(file.partial_path(), reference.partial_path(), options.verify_text);
  report << "verified: checksums and every weight\n"
         << verify_tokenizer(file.partial_path(), options.verify_text.empty() ? VERIFIED_TEXT : options.verify_text)
         << "against the source in f32, " << c.tokens << " tokens: largest difference of a logit " << 100 * c.difference
         << " % of their range, mean nll " << c.nll << " (source " << c.reference_nll << "), the same best token after "
         << c.same_top << "\n";
}

}  // namespace

void convert(const Options& wanted, std::ostream& report, bool progress) {
  forget_opened();
  Options options = wanted;
  const bool named = !wanted.destination.empty();
  std::vector<std::string> notes;
  const Source source = find_source(wanted.source, &notes);
  options.source = source.path;
  if (named) {
    options.destination = destination_of(wanted.destination);
    for (const std::string& folder : {wanted.source, options.source, options.lora, options.tokenizer})
      refuse_others_of(folder, options.destination);
  }
  Model model = open_model(source, options);
  if (!named) options.destination = default_destination(options.source, false);  // for trials
  model.notes.insert(model.notes.begin(), notes.begin(), notes.end());
  settle_i2s_layout(source, options, &model);
  if (options.verify) require_room_for_reference(options, model);
  const I2sLayout layout = model.i2s ? *model.i2s : I2sLayout::x86;  // settled, if there are such tensors
  Plan planned = plan_file(options, std::move(model), report);
  if (!named) {
    options.destination = default_destination(options.source, planned.is_sparse);
    require_new(wanted.source, options.destination);
    report << "note: no DST is given: the file is called " << options.destination << "\n";
  }
  note_usual_name(options.destination, planned.is_sparse, report);
  const u64 tokenizer_bytes = planned.tokenizer.size();
  FileWriter out(options.destination);
  const Report made = write(options, std::move(planned), out, progress);
  if (options.verbose) {
    made.print_table(report, options.destination, std::filesystem::file_size(out.partial_path()), tokenizer_bytes);
  }
  if (options.verify) compare_with_source(source, options, layout, out, report);
  const std::string summary = summary_of(out.partial_path(), options.destination, made);
  out.publish();
  report << summary;
}

}  // namespace edgellm::convert
