// What is asked of one conversion.
#pragma once
#include <optional>
#include <string>

#include "convert/change/prune.h"
#include "convert/output/plan.h"

namespace edgellm::convert {

struct Options {
  std::string source;
  std::string destination;  // empty: in the current folder, called as the source is
  Formats formats;
  std::string tokenizer;                // path; empty: the source's own, if it has one; "none": none
  std::string chat;                     // name of a chat template; empty: the source's own; "none": none
  std::string lora;                     // folder of an adapter to merge; empty: none
  std::string rope;                     // "half" or "interleaved"; empty: as the source says
  std::optional<I2sLayout> i2s_layout;  // of I2_S tensors; none: the likelier one
  f64 sparsity = 0;                     // share of the layers' weights that become zero
  SparsityLayout sparsity_layout = SparsityLayout::tensor;
  bool verify = false;             // read the file back, compare every weight, and what the engine says of file and source
  std::string verify_text;         // that it is asked about; empty: a sentence, or fixed ids
  std::optional<f32> temperature;  // what to sample with unless one says; none: the program's own
  std::string grammar;             // path: what may be answered; empty: anything
  std::string name;                // empty: the source's file name
  bool verbose = false;            // a table of all tensors
};

}  // namespace edgellm::convert
