// Any bytes as a model file: header and tables are repaired to pass their checksum, so that every field is reached; what is
// accepted runs a batch.
#include <stdlib.h>
#include <string.h>

#include "arch/model.h"
#include "base/checksum.h"
#include "engine/grammar.h"
#include "platform/cpu.h"
#include "platform/memory.h"

using namespace edgellm;

static void repair(u8* bytes, i64 size) {
  if (size < static_cast<i64>(sizeof(FileHeader))) return;
  FileHeader header;
  memcpy(&header, bytes, sizeof header);
  header.file_bytes = static_cast<u64>(size);
  u64 table_bytes = u64{header.tensor_count} * sizeof(TensorEntry);
  u64 end = static_cast<u64>(size);
  if (u64{header.metadata_offset} + header.metadata_bytes > end || header.tensor_offset + table_bytes > end) return;
  memcpy(bytes, &header, sizeof header);
  Checksum table;
  table.update(bytes, offsetof(FileHeader, table_checksum));
  table.update(bytes + header.metadata_offset, header.metadata_bytes);
  table.update(bytes + header.tensor_offset, static_cast<i64>(table_bytes));
  header.table_checksum = table.value();
  memcpy(bytes, &header, sizeof header);
}

static Status run(Span<const u8> bytes) {
  ModelFile file;
  EDGELLM_TRY(file.open(bytes));
  Limits limits;
  limits.context = 4;
  limits.tokens = 2;
  limits.logits = 1;
  Model model;
  Arena counting;
  EDGELLM_TRY(load_model(file, limits, counting, &model));
  i64 needed = counting.used() + model.state_bytes;
  if (needed > 64 << 20) return failed("too large to try");
  Grammar grammar;
  EDGELLM_TRY(grammar.open(file, model.vocab));
  Span<u8> block;
  EDGELLM_TRY(take_memory(needed, {.huge_pages = false, .lock = false}, &block));
  Arena arena(block.data, needed);
  u8* state = arena.take<u8>(model.state_bytes);
  EDGELLM_TRY(load_model(file, limits, arena, &model));
  static Kernels kernels;
  static Threads threads;
  (void)select_kernels(nullptr, cpu_features(), &kernels);
  i32 ids[] = {0, model.vocab - 1};
  Item item = {state, 0, ids, 2, Wanted::last};
  Status status = run_model(model, kernels, threads, {&item, 1});
  release_memory(block);
  return status;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // An exact copy at a 64-byte boundary: the sanitizer sees a read past the end.
  u8* copy = static_cast<u8*>(aligned_alloc(64, align_up<size_t>(size + 1, 64)));
  u8* start = copy + (align_up<size_t>(size + 1, 64) - size) / 64 * 64;
  memcpy(start, data, size);
  repair(start, static_cast<i64>(size));
  (void)run({start, static_cast<i64>(size)});
  free(copy);
  return 0;
}
