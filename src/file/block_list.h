// The text key `blocks` of a model file, which says what the layers of a model consist of:
//
//   "mamba2 ffn | mamba2 ffn | attention + ffn"
//
// Layers stand between bars, and are repeated until the model has as many as it says. A + stands before a block that reads what
// the block before it reads, where otherwise it reads what that one has added to.
#pragma once
#include "base/status.h"
#include "file/limits.h"

namespace edgellm {

struct LayerBlocks {
  Text names[MAX_LAYER_BLOCKS];
  bool parallel[MAX_LAYER_BLOCKS];  // a + stands before it
  i32 count = 0;                    // at least 1
};

// The blocks of one layer. Whether the names are known is the caller's business.
Status read_layer_blocks(Text blocks, i32 layer, LayerBlocks* read);

}  // namespace edgellm
