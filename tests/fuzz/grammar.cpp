// Any numbers as the grammar of a model file: what is accepted is walked, and leaves the logits of the ids that it allows and no
// others. A byte is a number, 255 begins one of four bytes.
#include "engine/grammar.h"

#include <stdlib.h>

#include <vector>

#include "base/math.h"
#include "input.h"

using namespace edgellm;

constexpr i32 VOCAB = 16;

static std::vector<u32> numbers_of(Input input) {
  std::vector<u32> numbers;
  while (input.left()) {
    const u8 byte = input.take<u8>();
    numbers.push_back(byte == 255 ? input.take<u32>() : byte);
  }
  return numbers;
}

static void add_entry(std::vector<u8>* metadata, MetadataType type, const std::string& key, const void* value,
                      size_t bytes) {
  const MetadataEntry entry = {static_cast<u8>(type), static_cast<u8>(key.size()), 0, static_cast<u32>(bytes)};
  const size_t start = metadata->size();
  metadata->resize(start + static_cast<size_t>(metadata_entry_bytes(entry)));
  u8* to = metadata->data() + start;
  memcpy(to, &entry, sizeof entry);
  memcpy(to + sizeof entry, key.data(), key.size());
  if (bytes) memcpy(to + metadata_value_at(entry), value, bytes);
}

// Header and metadata alone. The grammar ends with the file, so that the sanitizer sees a read past it.
static Span<u8> file_with(const std::vector<u32>& numbers) {
  static const u8 zeros[FILE_ALIGNMENT] = {};
  std::vector<u8> grammar, metadata;
  add_entry(&grammar, MetadataType::u32_list, "grammar", numbers.data(), numbers.size() * sizeof(u32));
  const size_t before = 16;  // what an entry of no bytes with a key of one takes
  const size_t fill = align_up<size_t>(before + grammar.size(), FILE_ALIGNMENT) - before - grammar.size();
  add_entry(&metadata, MetadataType::text, "-", zeros, fill);
  metadata.insert(metadata.end(), grammar.begin(), grammar.end());
  const size_t size = sizeof(FileHeader) + metadata.size();
  FileHeader header = {};
  header.magic = MAGIC_TM2;
  header.header_bytes = sizeof header;
  header.file_bytes = size;
  header.metadata_offset = sizeof header;
  header.metadata_bytes = static_cast<u32>(metadata.size());
  header.tensor_offset = static_cast<u32>(size);
  u8* bytes = static_cast<u8*>(aligned_alloc(FILE_ALIGNMENT, size));
  memcpy(bytes, &header, sizeof header);
  memcpy(bytes + sizeof header, metadata.data(), metadata.size());
  header.table_checksum = table_checksum(bytes, header);
  memcpy(bytes, &header, sizeof header);
  return {bytes, static_cast<i64>(size)};
}

static void use(const Grammar& grammar, i32 state) {
  f32 logits[VOCAB];
  i32 scratch[VOCAB];
  for (i32 id = 0; id < VOCAB; id++)
    logits[id] = static_cast<f32>(id);
  grammar.restrict(state, logits, VOCAB, scratch);
  i64 allowed = 0;
  for (i32 id = 0; id < VOCAB; id++) {
    const i32 next = grammar.after(state, id);
    if (next < -1 || next >= max(grammar.states(), 1)) abort();
    if (logits[id] != (next >= 0 ? static_cast<f32>(id) : -INFINITY_F32)) abort();
    allowed += next >= 0;
  }
  if (allowed != (grammar.states() ? grammar.from(state).count : VOCAB) || allowed == 0) abort();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Span<u8> bytes = file_with(numbers_of({data, size}));
  ModelFile file;
  if (!file.open(bytes).ok()) abort();
  Grammar grammar;
  if (grammar.open(file, VOCAB).ok()) {
    for (i32 state = 0; state < max(grammar.states(), 1); state++)
      use(grammar, state);
  }
  free(bytes.data);
  return 0;
}
