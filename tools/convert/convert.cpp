#include "convert.h"

#include <filesystem>
#include <ostream>

#include "report.h"
#include "source.h"

namespace edgellm::convert {
namespace {

std::string default_name(const std::string& source) {
  std::string name = file_name(source);
  size_t dot = is_folder(source) ? std::string::npos : name.rfind('.');
  return dot == std::string::npos || dot == 0 ? name : name.substr(0, dot);
}

void refuse_same_file(const Options& options) {
  std::error_code ignored;
  if (std::filesystem::equivalent(options.source, options.destination, ignored)) {
    wrong_usage("source and destination are the same file: ", options.source);
  }
  if (is_folder(options.destination)) wrong_usage(options.destination, " is a folder, expected the name of a file");
}

}  // namespace

void convert(const Options& options, std::ostream& report, bool progress) {
  refuse_same_file(options);
  Model model = open_source(options.source);
  report << options.source << ": " << model.kind << "\n";
  for (const std::string& note : model.notes)
    report << "note: " << note << "\n";

  Metadata metadata;
  metadata.emplace_back("name", options.name.empty() ? default_name(options.source) : options.name);
  metadata.emplace_back("source", text(model.kind, " ", file_name(options.source), ", edgellm-convert"));
  metadata.insert(metadata.end(), model.metadata.begin(), model.metadata.end());

  std::vector<u8> tokenizer;
  std::vector<Target> targets = plan(std::move(model), options.formats);
  std::vector<TensorSpec> specs;
  u64 total = 0;
  for (const Target& target : targets) {
    specs.push_back(target.spec);
    total += data_bytes(target.spec);
  }

  FileWriter out(options.destination);
  out.begin(MAGIC_TM2, metadata, specs, tokenizer);
  Report table;
  {
    Progress bar(total, progress);
    for (const Target& target : targets) {
      Loss loss = encode(*target.tensor, target.spec, out);
      table.add(*target.tensor, target.spec, loss);
      bar.advance(data_bytes(target.spec), target.spec.name);
    }
  }
  table.print(report, options.destination, out.finish(), tokenizer.size());
}

}  // namespace edgellm::convert
