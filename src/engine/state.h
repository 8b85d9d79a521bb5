// A session's state as bytes: saved, restored in another run or on another machine, and continued with the same bits as if it
// had never stopped. Bound to the model and to the shape of the cache; damaged or foreign bytes are refused.
//
//   image := StateHeader (512 bytes) | Model::state_bytes
//   file  := two slots of one image each. A save writes the older slot and syncs it, so the newer one survives whatever happens
//            meanwhile, and nothing is opened or renamed: it works sealed.
#pragma once
#include "engine/engine.h"

namespace edgellm {

constexpr u32 STATE_MAGIC = 0x31535345;  // "ESS1"

struct StateHeader {
  u32 magic;
  i32 position;
  i32 pending;       // an id that was chosen and not yet run, -1: none
  i32 recent_count;  // at most REPEAT_SPAN
  u64 sequence;      // of the save; the larger one is the newer slot
  u64 model;         // identity: checksums of the model file, format and size of the cache
  u64 state_bytes;
  u64 checksum;  // XXH64 of the header with 0 here, then the state
  i32 recent[REPEAT_SPAN];
  i32 grammar_state;
  u8 reserved[204];
};
static_assert(sizeof(StateHeader) == 512);

// Bytes of an image of any session of this engine.
i64 state_image_bytes(const Engine& engine);

// `image` has state_image_bytes.
void save_state(const Engine& engine, const Session& session, u64 sequence, u8* image);

// Checks everything before it touches the session. An error names what does not fit.
Status restore_state(const Engine& engine, Span<const u8> image, Session* session);

// A state file, opened (and made, if `write`) before the process is sealed.
struct StateFile {
  i32 fd = -1;
  const char* path = nullptr;
  u64 sequence = 0;   // of the newest slot, 0: none
  i32 next_slot = 0;  // the one to write
};

Status open_state_file(const char* path, bool write, StateFile* file);

// Restores the newest whole slot. `buffer` has state_image_bytes.
Status load_state_file(const Engine& engine, StateFile& file, u8* buffer, Session* session);

// Looks which slot is older, and writes it. Needs SEAL_FILES.
Status save_state_file(const Engine& engine, const Session& session, u8* buffer, StateFile& file);

}  // namespace edgellm
