#include "engine/state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/checksum.h"

namespace edgellm {

namespace {

u64 identity(const Engine& engine) {
  FileHeader header;
  memcpy(&header, engine.file.bytes().data, sizeof header);
  const u64 parts[] = {header.table_checksum, header.data_checksum, static_cast<u64>(engine.limits.kv),
                       static_cast<u64>(engine.limits.window), static_cast<u64>(engine.model.state_bytes)};
  return checksum(parts, sizeof parts);
}

u64 image_checksum(StateHeader header, const u8* state) {
  u64 bytes = header.state_bytes;
  header.checksum = 0;
  Checksum sum;
  sum.update(&header, sizeof header);
  sum.update(state, static_cast<i64>(bytes));
  return sum.value();
}

// The whole of a slot, or less at the end of the file.
i64 read_at(i32 fd, u8* buffer, i64 bytes, i64 offset) {
  i64 done = 0;
  while (done < bytes) {
    ssize_t n = pread(fd, buffer + done, static_cast<size_t>(bytes - done), offset + done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += n;
  }
  return done;
}

bool write_at(i32 fd, const u8* buffer, i64 bytes, i64 offset) {
  while (bytes > 0) {
    ssize_t n = pwrite(fd, buffer, static_cast<size_t>(bytes), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    buffer += n;
    offset += n;
    bytes -= n;
  }
  return true;
}

}  // namespace

i64 state_image_bytes(const Engine& engine) {
  return static_cast<i64>(sizeof(StateHeader)) + engine.model.state_bytes;
}

void save_state(const Engine& engine, const Session& session, u64 sequence, u8* image) {
  StateHeader header = {};
  header.magic = STATE_MAGIC;
  header.position = session.position;
  header.pending = session.pending;
  header.recent_count = min(session.recent_count, REPEAT_SPAN);
  header.grammar_state = session.grammar_state;
  header.sequence = sequence;
  header.model = identity(engine);
  header.state_bytes = static_cast<u64>(engine.model.state_bytes);
  memcpy(header.recent, session.recent + session.recent_count - header.recent_count,
         static_cast<size_t>(header.recent_count) * sizeof(i32));
  header.checksum = image_checksum(header, session.state);
  memcpy(image, &header, sizeof header);
  memcpy(image + sizeof header, session.state, static_cast<size_t>(engine.model.state_bytes));
}

Status restore_state(const Engine& engine, Span<const u8> image, Session* session) {
  StateHeader header;
  if (image.count < static_cast<i64>(sizeof header)) return failed("state: ", image.count, " bytes are less than a header");
  memcpy(&header, image.data, sizeof header);
  if (header.magic != STATE_MAGIC) return failed("state: not a saved state (it begins with ", Hex{header.magic, 8}, ")");
  if (header.model != identity(engine)) {
    return failed("state: it was saved from another model, or with another context, window or cache format");
  }
  if (image.count < state_image_bytes(engine) || header.state_bytes != static_cast<u64>(engine.model.state_bytes)) {
    return failed("state: ", image.count, " bytes, expected ", state_image_bytes(engine));
  }
  if (u64 actual = image_checksum(header, image.data + sizeof header); actual != header.checksum) {
    return failed("state: damaged, its checksum is ", Hex{actual, 16}, ", it says ", Hex{header.checksum, 16});
  }
  i32 vocab = engine.model.vocab;
  bool sane = header.position >= 0 && header.pending >= -1 && header.pending < vocab && header.recent_count >= 0 &&
              header.recent_count <= REPEAT_SPAN && header.grammar_state >= 0 &&
              header.grammar_state < max(engine.grammar.states(), 1);
  for (i32 i = 0; sane && i < header.recent_count; i++)
    sane = header.recent[i] >= 0 && header.recent[i] < vocab;
  if (!sane) return failed("state: its header makes no sense");
  memcpy(session->state, image.data + sizeof header, static_cast<size_t>(engine.model.state_bytes));
  session->position = header.position;
  session->pending = header.pending;
  session->recent_count = header.recent_count;
  session->grammar_state = header.grammar_state;
  memcpy(session->recent, header.recent, static_cast<size_t>(header.recent_count) * sizeof(i32));
  return {};
}

Status open_state_file(const char* path, bool write, StateFile* file) {
  file->path = path;
  file->fd = open(path, write ? O_RDWR | O_CREAT | O_CLOEXEC : O_RDONLY | O_CLOEXEC, 0600);
  return file->fd >= 0 ? Status() : failed("state file ", path, ": ", strerror(errno));
}

// The header of a slot, if one of this engine stands there.
static bool read_header(const Engine& engine, const StateFile& file, i32 slot, StateHeader* header) {
  i64 read = read_at(file.fd, reinterpret_cast<u8*>(header), sizeof *header, slot * state_image_bytes(engine));
  return read == sizeof *header && header->magic == STATE_MAGIC && header->model == identity(engine);
}

Status load_state_file(const Engine& engine, StateFile& file, u8* buffer, Session* session) {
  StateHeader headers[2];
  bool there[2];
  for (i32 slot = 0; slot < 2; slot++)
    there[slot] = read_header(engine, file, slot, &headers[slot]);
  i32 newer = there[1] && (!there[0] || headers[1].sequence > headers[0].sequence);
  Status status;
  const i32 order[] = {newer, 1 - newer};
  for (i32 slot : order) {
    i64 bytes = read_at(file.fd, buffer, state_image_bytes(engine), slot * state_image_bytes(engine));
    Status tried = restore_state(engine, {buffer, bytes}, session);
    if (tried.ok()) return {};
    if (slot == newer) status = failed(file.path, ": ", tried.text());
  }
  return status;
}

Status save_state_file(const Engine& engine, const Session& session, u8* buffer, StateFile& file) {
  if (file.sequence == 0) {
    for (i32 slot = 0; slot < 2; slot++) {
      StateHeader header;
      if (!read_header(engine, file, slot, &header) || header.sequence <= file.sequence) continue;
      file.sequence = header.sequence;
      file.next_slot = 1 - slot;
    }
  }
  save_state(engine, session, ++file.sequence, buffer);
  i64 bytes = state_image_bytes(engine);
  if (!write_at(file.fd, buffer, bytes, file.next_slot * bytes) || fsync(file.fd) != 0) {
    return failed("state file ", file.path, ": cannot be written: ", strerror(errno));
  }
  file.next_slot = 1 - file.next_slot;
  return {};
}

}  // namespace edgellm
