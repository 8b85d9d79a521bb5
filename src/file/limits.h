// The limits of a model file: the runtime refuses what exceeds them, and the converter does not write it.
//
// Widths of matrices end at MAX_COLUMNS, heads of rwkv7 at MAX_WKV7 (kernels.h), names at MAX_TENSOR_NAME (layout.h), texts of a
// chat template at ChatTemplate::MAX_TEXT (text/chat_template.h), and text/section.h has the limits of a tokenizer section.
#pragma once
#include "base/types.h"

namespace edgellm {

constexpr u32 MAX_TENSORS = 1 << 16;
constexpr i32 MAX_METADATA = 4096;  // entries
constexpr i32 MAX_LAYERS = 1024;
constexpr i32 MAX_HEADS = 4096;  // of queries, of keys and values; groups of mamba2
constexpr i32 MAX_HEAD_DIM = 1024;
constexpr i32 MAX_VOCAB = 1 << 24;        // ids
constexpr i32 MAX_CONTEXT = 1 << 24;      // positions: `context`, `context_limit` and `window`
constexpr i32 MIN_CONTEXT_LIMIT = 5;      // the sinks of a window of the cache, and one position more
constexpr i32 MAX_STATES = 1024;          // of a channel or a head (mamba, mamba2)
constexpr i32 MAX_TAPS = 64;              // of a convolution
constexpr i32 MAX_ROPES = 16;             // tables of frequencies
constexpr i64 MAX_BLOCKS_TEXT = 1 << 16;  // bytes of `blocks`
constexpr i32 MAX_LAYER_BLOCKS = 8;       // kinds of blocks in one layer
constexpr f32 MAX_NORM_EPS = 1;
constexpr f32 MIN_ROPE_SCALE = 1e-3f, MAX_ROPE_SCALE = 1e3f;  // factor of cosine and sine
constexpr f32 MAX_TEMPERATURE = 100;

}  // namespace edgellm
