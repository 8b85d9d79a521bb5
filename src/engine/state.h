// A session's state as bytes: saved, restored in another run or on another machine, and continued with the same bits as if it
// had never stopped. Bound to the model and to every option that changes its bits (not to kernels, threads, or how ids are
// sampled); damaged or foreign bytes are refused, and the error names what differs.
//
//   image := StateHeader (512 bytes) | Model::state_bytes
//   file  := two slots of one image each. A save writes the slot that does not hold the newest whole image and syncs it, so
//            that this one survives whatever happens meanwhile. Nothing is opened or renamed then: it works sealed. A new file
//            begins with a header of sequence 0 and no state, and its first save goes to the second slot: one of the two
//            headers is whole at any time, and tells whose file it is.
#pragma once
#include "engine/engine.h"

namespace edgellm {

constexpr u32 STATE_MAGIC = 0x32535345;  // "ESS2"
constexpr i32 RECURRENT_LAYOUT = 1;      // block by block

struct StateHeader {
  u32 magic;
  i32 position;
  i32 pending;       // an id that was chosen and not yet run, -1: none
  i32 recent_count;  // at most REPEAT_SPAN
  u64 sequence;      // of the save; the larger one is the newer slot
  u64 model;         // identity: checksums of the model file
  u64 state_bytes;
  u64 checksum;  // XXH64 of the header with 0 here, then the state
  i32 recent[REPEAT_SPAN];
  i32 grammar_state;
  i32 kv;               // KvFormat; 0 for families without an attention cache
  i32 window;           // of the cache, 0: none; 0 for families without one
  i32 context;          // for words alone: state_bytes tells whether it fits
  i32 f32_activations;  // 0 or 1
  i32 recurrent;        // how states that do not grow lie: RECURRENT_LAYOUT; 0 for models without any
  u8 reserved[184];
};
static_assert(sizeof(StateHeader) == 512);

// Bytes of an image of any session of this engine.
i64 state_image_bytes(const Engine& engine);

// `image` has state_image_bytes.
void save_state(const Engine& engine, const Session& session, u64 sequence, u8* image);

// Checks everything before it touches the session. An error names what does not fit.
Status restore_state(const Engine& engine, Span<const u8> image, Session* session);

// Restores the newest whole slot of a file. `buffer` has state_image_bytes.
Status load_state_file(const Engine& engine, const char* path, u8* buffer, Session* session);

// A state file to save to, opened (and made, if it is not there) before the process is sealed.
struct StateFile {
  i32 fd = -1;
  const char* path = nullptr;
  u64 sequence = 0;   // of the newest slot, 0: none
  i32 next_slot = 1;  // the one to write
};

// Refuses a file that is anything but a state file of this engine, or empty or at most 512 zero bytes: nothing else is ever
// written over. `buffer` has state_image_bytes.
Status open_state_file(const Engine& engine, const char* path, u8* buffer, StateFile* file);

// Writes the next slot. Needs SEAL_FILES.
Status save_state_file(const Engine& engine, const Session& session, u8* buffer, StateFile& file);

}  // namespace edgellm
