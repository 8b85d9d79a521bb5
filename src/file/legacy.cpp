#include "file/legacy.h"

#include <assert.h>
#include <string.h>

#include "base/checksum.h"
#include "base/math.h"
#include "base/sort.h"
#include "file/model_file.h"
#include "platform/signals.h"
#include "platform/stage.h"

namespace edgellm {

namespace {

constexpr char MAGIC[4] = {'T', 'M', '2', 0};
constexpr f64 LOG_THETA = 13.122363377404328;  // ln 500000

struct Shape {
  u32 dim, ffn_dim, layers, heads, kv_heads, vocab, context;
};
static_assert(sizeof(Shape) == 28);

// e^x for -64 <= x <= 0: the series at x / 2^12, then twelve squarings; relative error below 1e-12.
f64 exp64(f64 x) {
  f64 small = x / 4096, term = 1, sum = 1;
  for (i32 i = 1; i < 8; i++) {
    term *= small / i;
    sum += term;
  }
  for (i32 i = 0; i < 12; i++)
    sum *= sum;
  return sum;
}

// Version 1 bytes, taken from the front.
struct Source {
  const u8* at;
  i64 left;

  const u8* take(i64 n) {
    if (n > left) return nullptr;
    const u8* bytes = at;
    at += n;
    left -= n;
    return bytes;
  }
};

// Metadata in a small buffer, as docs/FILE.md lays them out.
struct MetadataWriter {
  alignas(8) u8 bytes[1024] = {};
  u32 size = 0;

  void add(MetadataType type, Text key, const void* value, u32 value_bytes) {
    MetadataEntry entry = {static_cast<u8>(type), static_cast<u8>(key.size), 0, value_bytes};
    assert(size + metadata_entry_bytes(entry) <= static_cast<i64>(sizeof bytes));
    u8* at = bytes + size;
    memcpy(at, &entry, sizeof entry);
    memcpy(at + sizeof entry, key.data, entry.key_bytes);
    memcpy(at + metadata_value_at(entry), value, value_bytes);
    size += static_cast<u32>(metadata_entry_bytes(entry));
  }
  void number(Text key, u32 value) { add(MetadataType::u32_, key, &value, 4); }
  void real(Text key, f32 value) { add(MetadataType::f32_, key, &value, 4); }
  void text(Text key, Text value) { add(MetadataType::text, key, value.data, static_cast<u32>(value.size)); }
};

void write_metadata(const Shape& s, bool half_rope, MetadataWriter* metadata) {
  const u32 stop[] = {128001};
  metadata->text("arch", "transformer");
  metadata->text("source", "TM2 version 1");
  metadata->number("layers", s.layers);
  metadata->number("dim", s.dim);
  metadata->number("ffn_dim", s.ffn_dim);
  metadata->number("heads", s.heads);
  metadata->number("kv_heads", s.kv_heads);
  metadata->number("head_dim", s.dim / s.heads);
  metadata->number("vocab", s.vocab);
  metadata->number("context", s.context);
  metadata->real("norm_eps", 1e-5f);
  metadata->text("gate", "relu2");
  metadata->text("rope", half_rope ? "half" : "interleaved");
  metadata->number("bos", 1);
  metadata->add(MetadataType::u32_list, "stop", stop, sizeof stop);
}

Status check_shape(const Shape& s) {
  struct {
    const char* name;
    u32 value, most;
  } sizes[] = {{"dim", s.dim, MAX_COLUMNS},           {"hidden_dim", s.ffn_dim, MAX_COLUMNS},
               {"n_layers", s.layers, MAX_LAYERS},    {"n_heads", s.heads, MAX_HEADS},
               {"n_kv_heads", s.kv_heads, MAX_HEADS}, {"vocab_size", s.vocab, MAX_VOCAB},
               {"seq_len", s.context, MAX_CONTEXT}};
  for (auto& size : sizes) {
    if (size.value == 0 || size.value > size.most) {
      return bad_model("TM2 version 1: ", size.name, " is ", size.value, ", expected 1 to ", size.most);
    }
  }
  if (s.dim % s.heads || s.heads % s.kv_heads) {
    return bad_model("TM2 version 1: dim ", s.dim, ", ", s.heads, " heads and ", s.kv_heads,
                     " kv heads do not divide one another");
  }
  return {};
}

// The version 2 image, or with `out` null its size.
struct Image {
  u8* out;
  i64 size;              // bytes laid out so far
  TensorEntry* entries;  // in `out`, or null
  i32 count = 0;

  u64 reserve(i64 bytes) {
    i64 offset = size;
    size = align_up<i64>(offset + bytes, FILE_ALIGNMENT);
    return static_cast<u64>(offset);
  }
  TensorEntry* add(Text name) {
    if (!entries) return nullptr;
    TensorEntry* entry = &entries[count++];
    memcpy(entry->name, name.data, static_cast<size_t>(name.size));
    return entry;
  }
};

Status cut(Text name) {
  return bad_model("TM2 version 1: the file ends inside ", name);
}

Status add_vector(Source& source, Image& image, Text name, u32 n) {
  i64 bytes = i64{n} * 4;
  const u8* flag = source.take(1);
  if (flag && *flag != 0) return bad_model("TM2 version 1: ", name, " has flag ", u32{*flag}, ", expected 0 (a vector)");
  const u8* values = source.take(bytes);
  if (!flag || !values) return cut(name);
  u64 offset = image.reserve(bytes);
  if (TensorEntry* entry = image.add(name)) {
    entry->rank = 1;
    entry->shape[0] = n;
    entry->offset = offset;
    entry->bytes = static_cast<u64>(bytes);
    memcpy(image.out + offset, values, static_cast<size_t>(bytes));
  }
  return {};
}

// Repacks one panel of 16 rows. `packed` is its first row in the source.
void repack_panel(const u8* packed, i64 row_bytes, i32 rows, i32 cols, f32* scales, u8* panel) {
  constexpr i32 UNIT = 32;
  i8 codes[PANEL * UNIT];
  i64 unit_bytes_ = unit_bytes(Format::T2);
  for (i32 r = 0; r < rows; r++) {
    u16 half;
    memcpy(&half, packed + r * row_bytes, sizeof half);
    scales[r] = f16_to_f32(half);
  }
  for (i32 column = 0; column < cols; column += UNIT) {
    i32 width = min(UNIT, cols - column);
    for (i32 r = 0; r < rows; r++) {
      const u8* row = packed + r * row_bytes + 2;
      for (i32 c = 0; c < width; c++) {
        i32 at = column + c, code = row[at / 4] >> (at % 4 * 2) & 3;
        codes[r * width + c] = static_cast<i8>(code < 2 ? code : -1);
      }
    }
    pack_t2(codes, rows, width, panel);
    panel += unit_bytes_;
  }
}

Status add_matrix(Source& source, Image& image, Text name, u32 rows, u32 cols) {
  const u8* head = source.take(9);
  if (!head) return cut(name);
  u32 shape[2];
  memcpy(shape, head + 1, sizeof shape);
  if (head[0] != 1) return bad_model("TM2 version 1: ", name, " has flag ", u32{head[0]}, ", expected 1 (a matrix)");
  if (shape[0] != rows || shape[1] != cols) {
    return bad_model("TM2 version 1: ", name, " is ", shape[0], " x ", shape[1], ", expected ", rows, " x ", cols);
  }
  i64 row_bytes = 2 + div_up<i64>(cols, 4);
  const u8* packed = source.take(rows * row_bytes);
  if (!packed) return cut(name);
  i64 bytes = matrix_bytes(Format::T2, rows, cols);
  i64 panel_bytes = matrix_bytes(Format::T2, PANEL, cols);
  u64 scale_offset = image.reserve(scale_count(Scale::row, rows) * 4);
  u64 offset = image.reserve(bytes);
  TensorEntry* entry = image.add(name);
  if (!entry) return {};
  entry->format = static_cast<u8>(Format::T2);
  entry->scale = static_cast<u8>(Scale::row);
  entry->activations = static_cast<u8>(Quantization::token);
  entry->rank = 2;
  entry->shape[0] = rows;
  entry->shape[1] = cols;
  entry->offset = offset;
  entry->bytes = static_cast<u64>(bytes);
  entry->scale_offset = scale_offset;
  f32* scales = reinterpret_cast<f32*>(image.out + scale_offset);
  for (i64 row = 0; row < rows; row += PANEL) {
    repack_panel(packed + row * row_bytes, row_bytes, static_cast<i32>(min<i64>(PANEL, rows - row)), static_cast<i32>(cols),
                 scales + row, image.out + offset + static_cast<u64>(row / PANEL * panel_bytes));
  }
  advance_stage(rows * row_bytes, Unit::bytes);
  return {};
}

void add_frequencies(const Shape& s, Image& image) {
  u32 head_dim = s.dim / s.heads, pairs = head_dim / 2;
  if (pairs == 0) return;
  u64 offset = image.reserve(i64{pairs} * 4);
  if (TensorEntry* entry = image.add("rope.inv_freq")) {
    entry->rank = 1;
    entry->shape[0] = pairs;
    entry->offset = offset;
    entry->bytes = pairs * u64{4};
    f32* frequencies = reinterpret_cast<f32*>(image.out + offset);
    for (u32 i = 0; i < pairs; i++)
      frequencies[i] = static_cast<f32>(exp64(-LOG_THETA * (2.0 * i) / head_dim));
  }
}

Status add_tensors(const Shape& s, Source& source, Image& image) {
  u32 kv_dim = s.dim / s.heads * s.kv_heads;
  char buffer[MAX_TENSOR_NAME + 1];
  Writer name(buffer);
  EDGELLM_TRY(add_matrix(source, image, "embed", s.vocab, s.dim));
  for (u32 i = 0; i < s.layers; i++) {
    EDGELLM_TRY(check_interrupted());
    auto at = [&](const char* suffix) {
      name.clear();
      return write(name, "layers.", i, ".", suffix).text();
    };
    EDGELLM_TRY(add_vector(source, image, at("attn_norm"), s.dim));
    EDGELLM_TRY(add_matrix(source, image, at("q"), s.dim, s.dim));
    EDGELLM_TRY(add_matrix(source, image, at("k"), kv_dim, s.dim));
    EDGELLM_TRY(add_matrix(source, image, at("v"), kv_dim, s.dim));
    EDGELLM_TRY(add_matrix(source, image, at("o"), s.dim, s.dim));
    EDGELLM_TRY(add_vector(source, image, at("attn_sub_norm"), s.dim));
    EDGELLM_TRY(add_vector(source, image, at("ffn_norm"), s.dim));
    EDGELLM_TRY(add_matrix(source, image, at("gate"), s.ffn_dim, s.dim));
    EDGELLM_TRY(add_matrix(source, image, at("up"), s.ffn_dim, s.dim));
    EDGELLM_TRY(add_matrix(source, image, at("down"), s.dim, s.ffn_dim));
    EDGELLM_TRY(add_vector(source, image, at("ffn_sub_norm"), s.ffn_dim));
  }
  EDGELLM_TRY(add_vector(source, image, "norm", s.dim));
  EDGELLM_TRY(add_matrix(source, image, "head", s.vocab, s.dim));
  if (source.left) return bad_model("TM2 version 1: ", source.left, " bytes are left over behind the last tensor");
  add_frequencies(s, image);
  return {};
}

}  // namespace

bool is_legacy(Span<const u8> bytes) {
  return bytes.count >= 4 && memcmp(bytes.data, MAGIC, sizeof MAGIC) == 0;
}

Status upgrade_legacy(Span<const u8> bytes, bool half_rope, u8* out, i64* size) {
  Source source = {bytes.data, bytes.count};
  source.take(sizeof MAGIC);
  Shape s;
  const u8* shape = source.take(sizeof s);
  if (!shape) return cut("the header");
  memcpy(&s, shape, sizeof s);
  EDGELLM_TRY(check_shape(s));

  MetadataWriter metadata;
  write_metadata(s, half_rope, &metadata);
  Image image = {.out = out, .size = sizeof(FileHeader), .entries = nullptr};
  u64 metadata_offset = image.reserve(metadata.size);
  u32 tensor_count = 3 + 11 * s.layers + (s.dim / s.heads >= 2 ? 1 : 0);
  i64 table_bytes = i64{tensor_count} * static_cast<i64>(sizeof(TensorEntry));
  u64 tensor_offset = image.reserve(table_bytes);
  if (out) image.entries = reinterpret_cast<TensorEntry*>(out + tensor_offset);
  if (out) begin_stage("repacking the version 1 file", bytes.count, Unit::bytes);
  Status added = add_tensors(s, source, image);
  end_stage();
  EDGELLM_TRY(added);
  *size = image.size;
  if (!out) return {};

  shell_sort(Span<TensorEntry>{image.entries, image.count},
             [](const TensorEntry& a, const TensorEntry& b) { return strcmp(a.name, b.name) > 0; });
  memcpy(out + metadata_offset, metadata.bytes, metadata.size);
  FileHeader header = {.magic = MAGIC_TM2,
                       .header_bytes = sizeof(FileHeader),
                       .file_bytes = static_cast<u64>(image.size),
                       .metadata_offset = static_cast<u32>(metadata_offset),
                       .metadata_bytes = metadata.size,
                       .tensor_offset = static_cast<u32>(tensor_offset),
                       .tensor_count = tensor_count,
                       .tokenizer_offset = 0,
                       .tokenizer_bytes = 0,
                       .table_checksum = 0,
                       .data_checksum = 0};
  memcpy(out, &header, sizeof header);
  header.table_checksum = table_checksum(out, header);
  header.data_checksum = checksum(out + data_start(header), image.size - data_start(header));
  memcpy(out, &header, sizeof header);
  return {};
}

}  // namespace edgellm
