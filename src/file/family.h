// The family of a model, and what its layers consist of. Either the family says, or, for `arch` stack, the file's text key `blocks`:
//
//   "mamba2 ffn | mamba2 ffn | attention + ffn"
//
// Layers stand between bars, and are repeated until the model has as many as it says. Words have spaces between them, the + too: it
// stands before a block that reads what the block before it reads, where otherwise it reads what that one has added to.
#pragma once
#include "file/model_file.h"

namespace edgellm {

struct Family {
  const char* name = nullptr;
  const char* words = nullptr;  // for people
  Text blocks;
  bool layer_norm = false;              // of the norms, unless the file says; otherwise RMS
  const char* required_norm = nullptr;  // one that other families may leave out; null: none
};

// The family that the file's `arch` names; an error lists the known ones.
Status read_family(const ModelFile& file, Family* family);

struct LayerBlocks {
  Text names[MAX_LAYER_BLOCKS];
  bool parallel[MAX_LAYER_BLOCKS];  // a + stands before it
  i32 count = 0;                    // at least 1
};

// The blocks of one layer. Whether the names are known is the caller's business.
Status read_layer_blocks(Text blocks, i32 layer, LayerBlocks* read);

}  // namespace edgellm
