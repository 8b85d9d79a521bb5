// A TM2 version 2 or sparse RNN file in memory: everything that is outside the weights is checked once, here, and then
// looked up by name. Tensors are views into the caller's bytes, which must stay where they are.
#pragma once
#include "base/status.h"
#include "file/layout.h"
#include "file/limits.h"
#include "kernels.h"

namespace edgellm {

class ModelFile {
 public:
  // Checks header, metadata and tensor table against the file and against each other. `bytes` is 64-byte aligned.
  Status open(Span<const u8> bytes);

  // Reads the whole file and compares the checksum of the tokenizer and the weights.
  Status check_data() const;

  // Metadata. A key with another type than asked for, or a number outside [low, high], is an error; an absent key is one
  // too unless a default is given.
  Status number(Text key, u32 low, u32 high, i32* value) const;
  Status number_or(Text key, i32 fallback, u32 low, u32 high, i32* value) const;
  Status real(Text key, f32 low, f32 high, f32* value) const;
  Status real_or(Text key, f32 fallback, f32 low, f32 high, f32* value) const;
  Status text_or(Text key, Text fallback, Text* value) const;
  // Which of the words a text is.
  template <class Choice, int N>
  Status choice_or(Text key, Choice fallback, const Text (&words)[N], Choice* choice) const {
    i32 index = static_cast<i32>(fallback);
    EDGELLM_TRY(find_word(key, {words, N}, &index));
    *choice = static_cast<Choice>(index);
    return {};
  }
  // 0 or 1; 0 where the key is absent.
  Status flag(Text key, bool* value) const;
  bool has(Text key) const;
  Status numbers_or_none(Text key, Span<const u32>* values) const;
  // What a key says of one layer: it holds one number for all of them, or a list with one number for each.
  Status layer_number(Text key, i32 layer, i32 layers, u32 low, u32 high, i32* value) const;
  Status layer_number_or(Text key, i32 layer, i32 layers, i32 fallback, u32 low, u32 high, i32* value) const;

  // Tensors. A matrix is (rows, cols) of any served combination, a vector `count` f32. The `_or_none` forms leave an absent
  // tensor null.
  Status matrix(Text name, i32 rows, i32 cols, Matrix* matrix) const;
  Status matrix_or_none(Text name, i32 rows, i32 cols, Matrix* matrix) const;
  Status vector(Text name, i32 count, const f32** values) const;
  Status vector_or_none(Text name, i32 count, const f32** values) const;

  // What a pass for one token reads: all tensors but the table of embeddings, unless that is the head too.
  i64 bytes_per_token() const;

  const TensorEntry* find(Text name) const;
  Span<const TensorEntry> tensors() const { return tensors_; }
  Span<const u8> metadata() const { return metadata_; }
  Span<const u8> tokenizer() const { return tokenizer_; }
  Span<const u8> bytes() const { return bytes_; }

 private:
  Status find_word(Text key, Span<const Text> words, i32* index) const;

  Span<const u8> bytes_;
  Span<const u8> metadata_;
  Span<const TensorEntry> tensors_;
  Span<const u8> tokenizer_;
};

// Walks the metadata: call with *offset = 0 and until it answers false. The metadata were checked by `open`.
struct Metadata {
  MetadataType type;
  Text key;
  const u8* value;  // 8-byte aligned
  u32 bytes;
};
bool next_metadata(Span<const u8> metadata, i64* offset, Metadata* entry);

// What header.table_checksum says of an undamaged file. The header was checked.
u64 table_checksum(const u8* file, const FileHeader& header);

// Bytes of an entry, with its scales: what a pass over it reads.
i64 tensor_bytes(const TensorEntry& entry);

}  // namespace edgellm
