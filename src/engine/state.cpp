#include "engine/state.h"

#include <errno.h>
#include <string.h>

#include "base/checksum.h"
#include "platform/destination.h"
#include "platform/files.h"

namespace edgellm {

namespace {

// The members of a header that say whose state it is.
StateHeader identify(const Engine& engine) {
  FileHeader file;
  memcpy(&file, engine.file.bytes().data, sizeof file);
  const u64 checksums[] = {file.table_checksum, file.data_checksum};
  bool cache = !engine.model.unbounded();
  StateHeader header = {};
  header.magic = STATE_MAGIC;
  header.model = checksum(checksums, sizeof checksums);
  header.state_bytes = static_cast<u64>(engine.model.state_bytes);
  header.kv = cache ? static_cast<i32>(engine.limits.kv) : 0;
  header.window = cache ? engine.limits.window : 0;
  header.context = engine.limits.context;
  header.f32_activations = engine.limits.f32_activations;
  header.recurrent = engine.model.recurrent_bytes ? RECURRENT_LAYOUT : 0;
  return header;
}

template <class Value>
Status differs(const char* option, const Value& saved, const Value& here) {
  return failed("it was saved with ", option, " ", saved, ", and this is ", option, " ", here);
}

const char* kv_name(i32 format) {
  constexpr i32 COUNT = static_cast<i32>(sizeof KV_NAMES / sizeof KV_NAMES[0]);
  return format >= 0 && format < COUNT ? KV_NAMES[format] : "unknown";
}

const char* activations_name(i32 f32_activations) {
  return ACTIVATION_NAMES[f32_activations != 0];
}

// Whether the state is one of this engine's.
Status check_identity(const Engine& engine, const StateHeader& header) {
  constexpr u32 FIRST_MAGIC = 0x31535345;
  const StateHeader ours = identify(engine);
  if (header.magic == FIRST_MAGIC) {
    return failed("it was saved by an older version, which did not note every option; make it anew");
  }
  if (header.magic != ours.magic)
    return failed("not a saved state (it begins with ", Hex{__builtin_bswap32(header.magic), 8}, ")");
  if (header.model != ours.model) return failed("it was saved from another model");
  if (header.recurrent != ours.recurrent) {
    return failed("it was saved by another version, where the states of recurrent models lie otherwise; make it anew");
  }
  if (header.f32_activations != ours.f32_activations) {
    return differs("--activations", activations_name(header.f32_activations), activations_name(ours.f32_activations));
  }
  if (header.kv != ours.kv) return differs("--kv", kv_name(header.kv), kv_name(ours.kv));
  if (header.window != ours.window) {
    return failed("it was saved with a --window of ", header.window, ", and this has one of ", ours.window, " (0: none)");
  }
  if (header.state_bytes == ours.state_bytes) return {};
  if (ours.window == 0 && header.context != ours.context) return differs("--ctx", header.context, ours.context);
  return failed(ours.window ? "it was saved with another chunk: " : "", "it has ", header.state_bytes, " bytes, expected ",
                ours.state_bytes);
}

u64 image_checksum(StateHeader header, const u8* state) {
  u64 bytes = header.state_bytes;
  header.checksum = 0;
  Checksum sum;
  sum.update(&header, sizeof header);
  sum.update(state, static_cast<i64>(bytes));
  return sum.value();
}

}  // namespace

i64 state_image_bytes(const Engine& engine) {
  return static_cast<i64>(sizeof(StateHeader)) + engine.model.state_bytes;
}

void save_state(const Engine& engine, const Session& session, u64 sequence, u8* image) {
  StateHeader header = identify(engine);
  header.position = session.position;
  header.pending = session.pending;
  header.recent_count = min(session.recent_count, REPEAT_SPAN);
  header.grammar_state = session.grammar_state;
  header.sequence = sequence;
  memcpy(header.recent, session.recent + session.recent_count - header.recent_count,
         static_cast<size_t>(header.recent_count) * sizeof(i32));
  header.checksum = image_checksum(header, session.state);
  memcpy(image, &header, sizeof header);
  memcpy(image + sizeof header, session.state, static_cast<size_t>(engine.model.state_bytes));
}

// Whether it may be restored, looking at every byte.
static Status check_image(const Engine& engine, Span<const u8> image, StateHeader* header) {
  if (image.count < static_cast<i64>(sizeof *header)) return failed(image.count, " bytes are less than a header");
  memcpy(header, image.data, sizeof *header);
  EDGELLM_TRY(check_identity(engine, *header));
  if (image.count < state_image_bytes(engine)) {
    return failed(image.count, " bytes, expected ", state_image_bytes(engine));
  }
  if (u64 actual = image_checksum(*header, image.data + sizeof *header); actual != header->checksum) {
    return failed("damaged, its checksum is ", Hex{actual, 16}, ", it says ", Hex{header->checksum, 16});
  }
  i32 vocab = engine.model.vocab;
  bool sane = header->position >= 0 && header->pending >= -1 && header->pending < vocab && header->recent_count >= 0 &&
              header->recent_count <= REPEAT_SPAN && header->grammar_state >= 0 &&
              header->grammar_state < max(engine.grammar.states(), 1);
  for (i32 i = 0; sane && i < header->recent_count; i++)
    sane = header->recent[i] >= 0 && header->recent[i] < vocab;
  return sane ? Status() : failed("its header makes no sense");
}

static void take_image(const StateHeader& header, Span<const u8> image, Session* session) {
  memcpy(session->state, image.data + sizeof header, static_cast<size_t>(header.state_bytes));
  session->position = header.position;
  session->pending = header.pending;
  session->recent_count = header.recent_count;
  session->grammar_state = header.grammar_state;
  memcpy(session->recent, header.recent, static_cast<size_t>(header.recent_count) * sizeof(i32));
}

Status restore_state(const Engine& engine, Span<const u8> image, Session* session) {
  StateHeader header;
  if (Status status = check_image(engine, image, &header); !status.ok()) return failed("state: ", status.text());
  take_image(header, image, session);
  return {};
}

// What the two slots of a file hold.
struct Slots {
  StateHeader headers[2];
  bool ours[2];    // the header is one of this engine's
  i32 newest;      // the newest whole one, -1: none is
  Span<u8> image;  // of it, in the buffer
};

// The error says what is wrong with the newest slot, whole or not.
static Status read_slots(const Engine& engine, i32 fd, u8* buffer, Slots* slots) {
  *slots = {};
  slots->newest = -1;
  i64 bytes = state_image_bytes(engine);
  for (i32 slot = 0; slot < 2; slot++) {
    StateHeader* header = &slots->headers[slot];
    i64 read = read_at(fd, reinterpret_cast<u8*>(header), sizeof *header, slot * bytes);
    slots->ours[slot] = read == sizeof *header && check_identity(engine, *header).ok();
  }
  i32 newer = slots->ours[1] && (!slots->ours[0] || slots->headers[1].sequence > slots->headers[0].sequence);
  Status status;
  const i32 order[] = {newer, 1 - newer};
  for (i32 slot : order) {
    slots->image = {buffer, read_at(fd, buffer, bytes, slot * bytes)};
    if (slots->image.count < 0) return failed("it cannot be read: ", strerror(errno));
    Status tried = check_image(engine, slots->image, &slots->headers[slot]);
    if (slot == newer) status = tried;
    if (!tried.ok()) continue;
    slots->newest = slot;
    return {};
  }
  return status;
}

Status load_state_file(const Engine& engine, const char* path, u8* buffer, Session* session) {
  i32 fd;
  EDGELLM_TRY(open_regular("state file", path, &fd));
  Slots slots;
  Status status = read_slots(engine, fd, buffer, &slots);
  close_file(fd);
  if (status.ok()) {
    take_image(slots.headers[slots.newest], slots.image, session);
    return {};
  }
  bool unused = slots.ours[0] && slots.headers[0].checksum == 0 && !slots.ours[1];
  return failed("state file ", path, ": ", unused ? "no state was saved in it yet" : status.text());
}

// Nothing was ever written to it, or of the first header nothing but zeros.
static bool is_new(i32 fd) {
  u8 bytes[sizeof(StateHeader) + 1];
  i64 count = read_at(fd, bytes, sizeof bytes, 0);
  for (i64 i = 0; i < count; i++) {
    if (bytes[i] != 0) return false;
  }
  return count >= 0 && count <= static_cast<i64>(sizeof(StateHeader));
}

static Status adopt_state_file(const Engine& engine, u8* buffer, StateFile* file) {
  if (is_new(file->fd)) {
    StateHeader first = identify(engine);
    if (write_at(file->fd, reinterpret_cast<const u8*>(&first), sizeof first, 0) && sync_file(file->fd)) return {};
    Status status = failed("--state-save ", file->path, ": ", strerror(errno));
    (void)empty_file(file->fd);  // half a header would not be taken for a new file
    return status;
  }
  Slots slots;
  Status status = read_slots(engine, file->fd, buffer, &slots);
  if (!slots.ours[0] && !slots.ours[1]) {
    return failed("--state-save ", file->path, ": ", status.text(), "; it is left as it is, name another file");
  }
  // Of two that were cut short the one without a header of ours is written.
  i32 kept = slots.newest >= 0 ? slots.newest : !slots.ours[0];
  file->sequence = slots.headers[kept].sequence;
  file->next_slot = 1 - kept;
  return {};
}

Status open_state_file(const Engine& engine, const char* path, u8* buffer, StateFile* file) {
  *file = {.path = path};
  EDGELLM_TRY(open_destination("--state-save", path, 0600, &file->fd));
  Status status = adopt_state_file(engine, buffer, file);
  if (!status.ok()) close_file(file->fd);
  return status;
}

Status save_state_file(const Engine& engine, const Session& session, u8* buffer, StateFile& file) {
  save_state(engine, session, ++file.sequence, buffer);
  i64 bytes = state_image_bytes(engine);
  if (!write_at(file.fd, buffer, bytes, file.next_slot * bytes) || !sync_file(file.fd)) {
    return failed("--state-save ", file.path, ": ", strerror(errno),
                  file.sequence > 1 ? "; the state saved before is still there" : "");
  }
  file.next_slot = 1 - file.next_slot;
  return {};
}

}  // namespace edgellm
