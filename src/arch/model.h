// A model as the engine sees it: load_model checks a file and takes all memory, run_model runs batches of tokens. What lies
// between is a list of blocks (arch/block.h).
#pragma once
#include "base/arena.h"
#include "base/status.h"
#include "file/model_file.h"
#include "kernels.h"
#include "platform/threads.h"

namespace edgellm {

enum class KvFormat : u8 { I8, F16, F32 };

// What the engine will ask of a model at most; memory is planned for exactly this.
struct Limits {
  i32 context = 0;  // positions of a session
  i32 window = 0;   // 0: all positions stay visible; otherwise attention sinks and the last `window` positions
  i32 tokens = 0;   // of one forward pass, over all sessions
  i32 logits = 0;   // logits rows of one forward pass
  i32 threads = 1;
  KvFormat kv = KvFormat::I8;
  bool f32_activations = false;  // weights are dequantised and activations stay f32: for checking
};

constexpr i32 SINKS = 4;  // first positions that stay visible beside the window (arXiv:2309.17453)

enum class Wanted : u8 { nothing, last, all };  // logits of an item

// The next tokens of one session in a batch.
struct Item {
  u8* state;       // of the session: Model::state_bytes, flat, no pointers
  i32 position;    // of ids[0]
  const i32* ids;  // each in [0, vocab)
  i32 count;
  Wanted wanted;
};

// How many codes of the squared ReLUs, as they meet their matrices, are 0.
struct ZeroCodes {
  bool counting;
  i64 zeros, codes;

  f64 percent() const { return 100 * static_cast<f64>(zeros) / static_cast<f64>(max<i64>(codes, 1)); }
};

struct Stack;

// A model bound to its weights (in the map) and its work buffers (in the arena). Read-only but for the work buffers.
struct Model {
  const char* family = "";  // its name
  Stack* stack = nullptr;   // in the arena
  i32 vocab = 0;
  i32 layers = 0;
  i32 context = 0;                  // positions the model was trained for
  i64 state_bytes = 0;              // of one session, a multiple of 64
  i64 recurrent_bytes = 0;          // of these, what does not grow with the position, likewise
  i64 point_bytes = 0;              // of these, what later positions write over
  i64 weight_bytes = 0;             // read for one token
  f32* logits = nullptr;            // (Limits::logits, logits_stride)
  i64 logits_stride = 0;            // vocab padded to a panel
  ZeroCodes* zero_codes = nullptr;  // in the arena; null where the model has no squared ReLU

  bool unbounded() const { return state_bytes == recurrent_bytes; }  // a session may go on past Limits::context
};

// Checks every tensor and size of the file and takes all memory from the arena; called twice with the same file and limits,
// first with a counting arena.
Status load_model(const ModelFile& file, const Limits& limits, Arena& arena, Model* model);

// Runs the items as one batch. The rows of model.logits are filled in the order of the items that want them. At most
// Limits::tokens ids and Limits::logits rows. A value that is not finite is an error that names the layer.
Status run_model(const Model& model, const Kernels& kernels, Threads& threads, Span<const Item> items);

// A session's state is made of places, one for each position, and of what later positions write over: the states of recurrent
// blocks and, with a window, the cache as well. A point is the latter (point_bytes): kept while the session stands at a position,
// and put back later, it lets the session stand there again, as long as the places before it were not written anew.
void keep_point(const Model& model, const u8* session, u8* point);
void return_to_point(const Model& model, const u8* point, u8* session);

// The places of the first `positions` positions, from one session to another; at most cache_slots (arch/kv_cache.h).
void copy_positions(const Model& model, u8* from, i32 positions, u8* to);

}  // namespace edgellm
