// One conversion: source to model file.
#pragma once
#include <iosfwd>
#include <string>

#include "plan.h"

namespace edgellm::convert {

struct Options {
  std::string source, destination;
  Formats formats;
  std::string tokenizer;                // path; empty: the source's own, if it has one; "none": none
  std::string chat;                     // name of a chat template; empty: the source's own; "none": none
  std::string lora;                     // folder of an adapter to merge; empty: none
  std::string rope;                     // "half" or "interleaved"; empty: as the source says
  std::optional<I2sLayout> i2s_layout;  // of I2_S tensors; none: the likelier one
  bool verify = false;                  // read the file back and compare every weight
  std::string name;                     // empty: the source's file name
};

// Writes options.destination, or throws and leaves no file. Notes and the closing table go to `report`; a progress bar goes
// to stderr when `progress`.
void convert(const Options& options, std::ostream& report, bool progress);

}  // namespace edgellm::convert
