// One conversion: source to model file.
#pragma once
#include <iosfwd>
#include <string>

#include "convert/output/plan.h"
#include "convert/output/prune.h"

namespace edgellm::convert {

struct Options {
  std::string source, destination;
  Formats formats;
  std::string tokenizer;                // path; empty: the source's own, if it has one; "none": none
  std::string chat;                     // name of a chat template; empty: the source's own; "none": none
  std::string lora;                     // folder of an adapter to merge; empty: none
  std::string rope;                     // "half" or "interleaved"; empty: as the source says
  std::optional<I2sLayout> i2s_layout;  // of I2_S tensors; none: the likelier one
  f64 sparsity = 0;                     // share of the layers' weights that become zero
  SparsityLayout layout = SparsityLayout::tensor;
  bool verify = false;             // read the file back, compare every weight, and what the engine says of file and source
  std::string verify_text;         // that it is asked about; empty: a sentence, or fixed ids
  std::optional<f32> temperature;  // what to sample with unless one says; none: the program's own
  std::string grammar;             // path: what may be answered; empty: anything
  std::string name;                // empty: the source's file name
};

// Writes options.destination, or throws and leaves no file. Notes and the closing table go to `report`; a progress bar goes
// to stderr when `progress`.
void convert(const Options& options, std::ostream& report, bool progress);

}  // namespace edgellm::convert
