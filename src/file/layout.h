// The bytes of a TM2 version 2 (.tm2) or sparse RNN (.srnn) file, little endian. docs/FILE.md describes them in full.
//
//   Header (64 bytes) | metadata | tensor table | tokenizer section | tensor data ... | end of file
#pragma once
#include "base/types.h"

namespace edgellm {

constexpr u32 MAGIC_TM2 = 0x02324d54;  // "TM2\2"
constexpr u32 MAGIC_SRN = 0x024e5253;  // "SRN\2"
constexpr u32 FILE_ALIGNMENT = 64;     // of every section and of all tensor data
constexpr i32 MAX_TENSOR_NAME = 63;
constexpr i32 MAX_RANK = 4;

struct FileHeader {
  u32 magic;
  u32 header_bytes;     // 64
  u64 file_bytes;       // of the whole file
  u32 metadata_offset;  // multiple of 64
  u32 metadata_bytes;
  u32 tensor_offset;  // multiple of 64
  u32 tensor_count;
  u64 tokenizer_offset;  // multiple of 64; 0 when there is no tokenizer
  u64 tokenizer_bytes;
  u64 table_checksum;  // XXH64, seed 0, of the bytes [0, 48), the metadata and the tensor table, one after the other
  u64 data_checksum;   // XXH64, seed 0, of the tokenizer section and then of the tensor data, each padded as in the file:
                       // all bytes from the end of the tensor table to the end of the file
};
static_assert(sizeof(FileHeader) == 64);

// Metadata is a run of entries: u8 type, u8 key length, u16 reserved 0, u32 value bytes, key, zeros to a multiple of 8,
// value, zeros to a multiple of 8.
enum class MetadataType : u8 { u32_ = 1, f32_ = 2, text = 3, u32_list = 4, f32_list = 5 };

struct MetadataEntry {
  u8 type;
  u8 key_bytes;
  u16 reserved;
  u32 value_bytes;
};
static_assert(sizeof(MetadataEntry) == 8);

// Where the value is, from the start of the entry, and where the next entry.
constexpr i64 metadata_value_at(const MetadataEntry& entry) {
  return align_up<i64>(static_cast<i64>(sizeof entry) + entry.key_bytes, 8);
}
constexpr i64 metadata_entry_bytes(const MetadataEntry& entry) {
  return align_up<i64>(metadata_value_at(entry) + entry.value_bytes, 8);
}

// The table is sorted by name, ascending in bytes. A tensor of rank 1 is a plain array of f32. Rank 2 is (rows, cols) in panels
// (kernels/ref/<format>.cpp). Rank 3 is (count, rows, cols): that many rank 2 tensors, each `stride` bytes after the one before;
// sparse formats have none.
struct TensorEntry {
  char name[MAX_TENSOR_NAME + 1];  // ASCII, NUL padded, unique
  u8 format;                       // formats.def
  u8 scale;                        // enum Scale: none, tensor, row
  u8 activations;                  // enum Quantization: none, token, group32
  u8 rank;                         // 1 to 3
  u32 order;                       // 0: panels of rows
  u32 shape[MAX_RANK];             // outermost first; 0 past the rank
  u64 offset;                      // of the data from the start of the file, multiple of 64
  u64 bytes;                       // of the data: exactly what shape and format say, or a sparse tensor's own table
  u64 scale_offset;                // of the f32 scales (1, or rows padded to 16), multiple of 64; 0 without
  u64 stride;                      // rank 3: bytes from one matrix to the next, multiple of 64; otherwise 0
  u64 reserved;                    // 0
};
static_assert(sizeof(TensorEntry) == 128);

// Where the tensor table ends. What follows is in the data checksum.
constexpr i64 data_start(const FileHeader& header) {
  return static_cast<i64>(header.tensor_offset + u64{header.tensor_count} * sizeof(TensorEntry));
}

}  // namespace edgellm
