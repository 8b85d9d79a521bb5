// Small model files of the recurrent families with random weights, made as the converter makes them: any shape, in any format.
#pragma once
#include <optional>
#include <string>

#include "convert/family/mamba.h"
#include "convert/family/retnet.h"
#include "convert/family/rwkv.h"

// A shape of a family.
struct RecurrentShape {
  edgellm::convert::ModelTable family;
};

RecurrentShape rwkv7(edgellm::convert::Rwkv shape);
RecurrentShape rwkv4(edgellm::convert::Rwkv shape);
RecurrentShape mamba(edgellm::convert::Mamba shape);
RecurrentShape mamba2(edgellm::convert::Mamba shape);
RecurrentShape retnet(const edgellm::convert::RetNet& shape);

// Mamba-2 with bounds of the step size.
RecurrentShape bounded(RecurrentShape shape, edgellm::f32 low, edgellm::f32 high);

extern const edgellm::convert::Rwkv SMALL7, ODD7, SMALL4, ODD4;
extern const edgellm::convert::Mamba SMALL1, ODD1, SMALL2, ODD2;
extern const edgellm::convert::RetNet SMALL_RETNET, ODD_RETNET;

struct RecurrentRecipe {
  RecurrentShape shape;
  std::optional<edgellm::Format> weights = {};  // of the matrices; none: the converter chooses
  bool token = false;                           // int8 activations of one scale a token
  std::optional<edgellm::Format> thinned = {};  // the i8 matrices with four weights of five 0, in this format
};

void write_model(const RecurrentRecipe& recipe, const std::string& path);
