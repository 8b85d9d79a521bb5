#include "file/model_file.h"

#include <string.h>

#include "base/checksum.h"
#include "file/foreign.h"
#include "platform/signals.h"
#include "platform/stage.h"
#include "sparse.h"

namespace edgellm {

namespace {

Text text_of(const u8* bytes, i64 n) {
  return {reinterpret_cast<const char*>(bytes), n};
}

Text name_of(const TensorEntry& entry) {
  return {entry.name, static_cast<i64>(strlen(entry.name))};
}

// Byte order of names, as the table is sorted.
int compare(Text a, Text b) {
  int order = memcmp(a.data, b.data, static_cast<size_t>(min(a.size, b.size)));
  return order ? order : (a.size > b.size) - (a.size < b.size);
}

// [offset, offset + bytes) lies in the file behind `start`, aligned.
bool inside(u64 offset, u64 bytes, u64 start, u64 file_bytes) {
  return offset % FILE_ALIGNMENT == 0 && offset >= start && offset <= file_bytes && bytes <= file_bytes - offset;
}

Status check_header(const FileHeader& header, u64 file_bytes) {
  if (header.magic != MAGIC_TM2 && header.magic != MAGIC_SRN) {
    return bad_model("not a model file: the first four bytes are ", Hex{__builtin_bswap32(header.magic), 8},
                     ", expected \"TM2\\2\" or \"SRN\\2\"");
  }
  if (header.header_bytes != sizeof(FileHeader)) {
    return bad_model("header: its size is said to be ", header.header_bytes, ", expected ", sizeof(FileHeader));
  }
  if (header.file_bytes != file_bytes) {
    return bad_model("the file has ", file_bytes, " bytes, its header says ", header.file_bytes,
                     file_bytes < header.file_bytes ? ": it was cut; copy or make it again" : "");
  }
  if (!inside(header.metadata_offset, header.metadata_bytes, sizeof(FileHeader), file_bytes)) {
    return bad_model("header: metadata at ", header.metadata_offset, ", ", header.metadata_bytes,
                     " bytes, are not inside the file of ", file_bytes);
  }
  u64 metadata_end = static_cast<u64>(header.metadata_offset) + header.metadata_bytes;
  if (header.tensor_count > MAX_TENSORS ||
      !inside(header.tensor_offset, header.tensor_count * sizeof(TensorEntry), metadata_end, file_bytes)) {
    return bad_model("header: a table of ", header.tensor_count, " tensors at ", header.tensor_offset,
                     " is not between the metadata and the end of the file (at most ", MAX_TENSORS, " tensors)");
  }
  u64 table_end = static_cast<u64>(data_start(header));
  if (header.tokenizer_offset == 0 ? header.tokenizer_bytes != 0
                                   : !inside(header.tokenizer_offset, header.tokenizer_bytes, table_end, file_bytes)) {
    return bad_model("header: a tokenizer section of ", header.tokenizer_bytes, " bytes at ", header.tokenizer_offset,
                     " is not between the tensor table and the end of the file");
  }
  return {};
}

Status check_metadata(Span<const u8> metadata) {
  i64 offset = 0;
  for (i32 entries = 0; offset < metadata.count; entries++) {
    if (entries == MAX_METADATA) return bad_model("metadata: more than ", MAX_METADATA, " entries");
    const u8* at = metadata.data + offset;
    i64 left = metadata.count - offset;
    MetadataEntry entry;
    if (left < static_cast<i64>(sizeof entry)) return bad_model("metadata: ", left, " bytes are left over at ", offset);
    memcpy(&entry, at, sizeof entry);
    i64 size = metadata_entry_bytes(entry);
    if (entry.key_bytes == 0 || entry.key_bytes > MAX_TENSOR_NAME || size > left) {
      return bad_model("metadata: entry at ", offset, " with a key of ", u32{entry.key_bytes}, " and a value of ",
                       entry.value_bytes, " bytes does not fit the ", left, " bytes left");
    }
    Text key = text_of(at + sizeof entry, entry.key_bytes);
    bool is_list =
        entry.type == static_cast<u8>(MetadataType::u32_list) || entry.type == static_cast<u8>(MetadataType::f32_list);
    bool is_number = entry.type == static_cast<u8>(MetadataType::u32_) || entry.type == static_cast<u8>(MetadataType::f32_);
    if (!is_list && !is_number && entry.type != static_cast<u8>(MetadataType::text)) {
      return bad_model("metadata: \"", key, "\" has the unknown type ", u32{entry.type});
    }
    if ((is_number && entry.value_bytes != 4) || (is_list && entry.value_bytes % 4)) {
      return bad_model("metadata: \"", key, "\" has ", entry.value_bytes, " bytes of numbers, expected ",
                       is_number ? "4" : "a multiple of 4");
    }
    offset += size;
  }
  return {};
}

// The places of the panels ascend, from behind the table to the tail.
Status check_sparse(const TensorEntry& entry, const u8* data) {
  Text name = name_of(entry);
  const u32 panels = div_up(entry.shape[0], static_cast<u32>(PANEL));
  const u64 table_bytes = static_cast<u64>(sparse_table_bytes(entry.shape[0])), least = table_bytes + SPARSE_TAIL;
  if (entry.bytes < least) {
    return bad_model("tensor ", name, ": ", entry.bytes, " bytes, a sparse matrix of ", entry.shape[0],
                     " rows has at least ", least);
  }
  const u32* places = reinterpret_cast<const u32*>(data);
  u64 place = table_bytes;
  for (u32 i = 0; i <= panels; i++) {
    u64 next = places[i] * u64{SPARSE_ALIGNMENT};
    if (i == 0 ? next != place : next < place) {
      return bad_model("tensor ", name, ": panel ", i, " is said to begin at ", next, ", expected ",
                       i == 0 ? "" : "at least ", place);
    }
    place = next;
  }
  if (place + SPARSE_TAIL != entry.bytes) {
    return bad_model("tensor ", name, ": ", entry.bytes, " bytes, its panels and what follows them are ",
                     place + SPARSE_TAIL);
  }
  return {};
}

// That shape, format and sizes go together, and the data lie inside the file.
Status check_tensor(const TensorEntry& entry, const u8* file, u64 data_start, u64 file_bytes) {
  Text name = name_of(entry);
  if (!known_format(entry.format)) return bad_model("tensor ", name, ": unknown format ", u32{entry.format});
  Format format = static_cast<Format>(entry.format);
  if (entry.rank < 1 || entry.rank > 3) return bad_model("tensor ", name, ": rank ", u32{entry.rank}, ", expected 1 to 3");
  if (entry.order != 0) return bad_model("tensor ", name, ": unknown panel order ", entry.order);
  for (i32 i = 0; i < MAX_RANK; i++) {
    bool used = i < entry.rank;
    if (used ? entry.shape[i] == 0 || entry.shape[i] > INT32_MAX - PANEL : entry.shape[i] != 0) {
      return bad_model("tensor ", name, ": dimension ", i, " is ", entry.shape[i], " at rank ", u32{entry.rank});
    }
  }
  if (entry.rank == 1) {
    u64 bytes = entry.shape[0] * u64{4};
    if (format != Format::F32 || entry.scale || entry.activations || entry.scale_offset || entry.bytes != bytes) {
      return bad_model("tensor ", name, ": a vector of ", entry.shape[0], " must be ", bytes,
                       " bytes of f32 without scales");
    }
  } else {
    u32 rows = entry.shape[entry.rank - 2], cols = entry.shape[entry.rank - 1];
    u64 count = entry.rank == 3 ? entry.shape[0] : 1;
    if (cols > MAX_COLUMNS) return bad_model("tensor ", name, ": ", cols, " columns, at most ", MAX_COLUMNS);
    if (entry.scale > static_cast<u8>(Scale::row) || entry.activations > static_cast<u8>(Quantization::group32) ||
        !served(format, static_cast<Scale>(entry.scale), static_cast<Quantization>(entry.activations))) {
      return bad_model("tensor ", name, ": format ", format_name(format), " does not go with scale kind ", u32{entry.scale},
                       " and activation kind ", u32{entry.activations});
    }
    if (sparse(format) && entry.rank != 2)
      return bad_model("tensor ", name, ": rank 3 of the sparse format ", format_name(format));
    u64 panels = sparse(format) ? entry.bytes : static_cast<u64>(matrix_bytes(format, rows, cols));
    u64 stride = count == 1 && entry.stride == 0 ? panels : entry.stride;
    if (entry.rank == 2 ? entry.stride != 0 : stride % FILE_ALIGNMENT || stride < panels || stride > file_bytes) {
      return bad_model("tensor ", name, ": stride ", entry.stride, " for matrices of ", panels, " bytes");
    }
    if (entry.bytes != stride * (count - 1) + panels) {
      return bad_model("tensor ", name, ": ", entry.bytes, " bytes, its shape and format want ",
                       stride * (count - 1) + panels);
    }
    u64 scales = count * static_cast<u64>(scale_count(static_cast<Scale>(entry.scale), rows)) * 4;
    if (scales ? !inside(entry.scale_offset, scales, data_start, file_bytes) : entry.scale_offset != 0) {
      return bad_model("tensor ", name, ": ", scales, " bytes of scales at ", entry.scale_offset,
                       " are not inside the file");
    }
  }
  if (!inside(entry.offset, entry.bytes, data_start, file_bytes)) {
    return bad_model("tensor ", name, ": ", entry.bytes, " bytes at ", entry.offset, " are not inside the file of ",
                     file_bytes, " bytes");
  }
  return sparse(format) ? check_sparse(entry, file + entry.offset) : Status();
}

Status check_tensors(Span<const TensorEntry> tensors, const u8* file, u64 data_start, u64 file_bytes) {
  for (i64 i = 0; i < tensors.count; i++) {
    const TensorEntry& entry = tensors[i];
    if (entry.name[0] == 0 || entry.name[MAX_TENSOR_NAME] != 0) {
      return bad_model("tensor ", i, ": its name has no or more than ", MAX_TENSOR_NAME, " characters");
    }
    if (i > 0 && compare(name_of(tensors[i - 1]), name_of(entry)) >= 0) {
      return bad_model("tensor table: \"", name_of(entry), "\" follows \"", name_of(tensors[i - 1]),
                       "\", names must ascend");
    }
    EDGELLM_TRY(check_tensor(entry, file, data_start, file_bytes));
  }
  return {};
}

bool find_metadata(Span<const u8> metadata, Text key, Metadata* entry) {
  i64 offset = 0;
  while (next_metadata(metadata, &offset, entry)) {
    if (entry->key == key) return true;
  }
  return false;
}

Status wrong_type(Text key, const char* expected) {
  return bad_model("metadata: \"", key, "\" is not ", expected);
}

Status check_number(Text key, u32 number, u32 low, u32 high) {
  if (number >= low && number <= high) return {};
  return bad_model("metadata: \"", key, "\" is ", number, ", expected ", low, " to ", high);
}

Status absent(Text key) {
  return bad_model("metadata: \"", key, "\" is missing");
}

}  // namespace

u64 table_checksum(const u8* file, const FileHeader& header) {
  Checksum hash;
  hash.update(file, offsetof(FileHeader, table_checksum));
  hash.update(file + header.metadata_offset, header.metadata_bytes);
  hash.update(file + header.tensor_offset, data_start(header) - header.tensor_offset);
  return hash.value();
}

bool next_metadata(Span<const u8> metadata, i64* offset, Metadata* entry) {
  if (*offset >= metadata.count) return false;
  const u8* at = metadata.data + *offset;
  MetadataEntry head;
  memcpy(&head, at, sizeof head);
  *entry = {static_cast<MetadataType>(head.type), text_of(at + sizeof head, head.key_bytes), at + metadata_value_at(head),
            head.value_bytes};
  *offset += metadata_entry_bytes(head);
  return true;
}

i64 tensor_bytes(const TensorEntry& entry) {
  if (entry.rank == 1) return static_cast<i64>(entry.bytes);
  i64 count = entry.rank == 3 ? entry.shape[0] : 1;
  i64 scales = scale_count(static_cast<Scale>(entry.scale), entry.shape[entry.rank - 2]);
  return static_cast<i64>(entry.bytes) + 4 * count * scales;
}

Status ModelFile::open(Span<const u8> bytes) {
  u64 file_bytes = static_cast<u64>(bytes.count);
  if (const Foreign foreign = identify(bytes, bytes.count); foreign.what) {
    return bad_model("not a model file but ", foreign.what, ": ", foreign.advice,
                     foreign.way == WayOut::unpack ? " unpacks it" : "");
  }
  if (file_bytes < sizeof(FileHeader)) return bad_model("not a model file: ", file_bytes, " bytes are less than a header");
  FileHeader header;
  memcpy(&header, bytes.data, sizeof header);
  EDGELLM_TRY(check_header(header, file_bytes));
  if (u64 actual = table_checksum(bytes.data, header); actual != header.table_checksum) {
    return bad_model("damaged: checksum of header, metadata and tensor table is ", Hex{actual, 16}, ", the header says ",
                     Hex{header.table_checksum, 16});
  }
  bytes_ = bytes;
  metadata_ = bytes.slice(header.metadata_offset, header.metadata_bytes);
  tensors_ = {reinterpret_cast<const TensorEntry*>(bytes.data + header.tensor_offset), header.tensor_count};
  tokenizer_ = bytes.slice(static_cast<i64>(header.tokenizer_offset), static_cast<i64>(header.tokenizer_bytes));
  EDGELLM_TRY(check_metadata(metadata_));
  EDGELLM_TRY(check_tensors(tensors_, bytes.data, static_cast<u64>(data_start(header)), file_bytes));
  Text needs;
  EDGELLM_TRY(text_or("requires", "", &needs));
  if (needs.size) return bad_model("the file needs a newer version of this program: it requires \"", needs, "\"");
  return {};
}

Status ModelFile::check_data() const {
  FileHeader header;
  memcpy(&header, bytes_.data, sizeof header);
  Checksum hash;
  constexpr i64 PIECE = 1 << 20;
  begin_stage("checking the file", bytes_.count - data_start(header), Unit::bytes);
  for (i64 at = data_start(header); at < bytes_.count && !interrupted(); at += PIECE) {
    const i64 bytes = min(PIECE, bytes_.count - at);
    hash.update(bytes_.data + at, bytes);
    advance_stage(bytes, Unit::bytes);
  }
  end_stage();
  EDGELLM_TRY(check_interrupted());
  if (u64 actual = hash.value(); actual != header.data_checksum) {
    return bad_model("damaged: checksum of the weights is ", Hex{actual, 16}, ", the header says ",
                     Hex{header.data_checksum, 16});
  }
  return {};
}

Status ModelFile::number_or(Text key, i32 fallback, u32 low, u32 high, i32* value) const {
  Metadata entry;
  *value = fallback;
  if (!find_metadata(metadata_, key, &entry)) return {};
  if (entry.type != MetadataType::u32_) return wrong_type(key, "a whole number");
  u32 number;
  memcpy(&number, entry.value, sizeof number);
  EDGELLM_TRY(check_number(key, number, low, high));
  *value = static_cast<i32>(number);
  return {};
}

Status ModelFile::number(Text key, u32 low, u32 high, i32* value) const {
  Metadata entry;
  if (!find_metadata(metadata_, key, &entry)) return absent(key);
  return number_or(key, 0, low, high, value);
}

Status ModelFile::real_or(Text key, f32 fallback, f32 low, f32 high, f32* value) const {
  Metadata entry;
  *value = fallback;
  if (!find_metadata(metadata_, key, &entry)) return {};
  if (entry.type != MetadataType::f32_) return wrong_type(key, "a real number");
  memcpy(value, entry.value, sizeof *value);
  if (!(*value >= low && *value <= high)) {
    return bad_model("metadata: \"", key, "\" is ", Fixed{*value, 9}, ", expected ", Fixed{low, 9}, " to ", Fixed{high, 9});
  }
  return {};
}

Status ModelFile::real(Text key, f32 low, f32 high, f32* value) const {
  Metadata entry;
  if (!find_metadata(metadata_, key, &entry)) return absent(key);
  return real_or(key, 0, low, high, value);
}

Status ModelFile::text_or(Text key, Text fallback, Text* value) const {
  Metadata entry;
  *value = fallback;
  if (!find_metadata(metadata_, key, &entry)) return {};
  if (entry.type != MetadataType::text) return wrong_type(key, "a text");
  *value = text_of(entry.value, entry.bytes);
  return {};
}

Status ModelFile::find_word(Text key, Span<const Text> words, i32* index) const {
  Text value;
  EDGELLM_TRY(text_or(key, words[*index], &value));
  for (i32 i = 0; i < words.count; i++) {
    *index = i;
    if (value == words[i]) return {};
  }
  char buffer[128];
  Writer known(buffer);
  for (const Text& word : words)
    write(known, known.text().size ? " or " : "", "\"", word, "\"");
  return bad_model("metadata: \"", key, "\" is \"", value, "\", expected ", known.text());
}

Status ModelFile::flag(Text key, bool* value) const {
  i32 number;
  EDGELLM_TRY(number_or(key, 0, 0, 1, &number));
  *value = number == 1;
  return {};
}

bool ModelFile::has(Text key) const {
  Metadata entry;
  return find_metadata(metadata_, key, &entry);
}

Status ModelFile::numbers_or_none(Text key, Span<const u32>* values) const {
  Metadata entry;
  *values = {};
  if (!find_metadata(metadata_, key, &entry)) return {};
  if (entry.type != MetadataType::u32_list) return wrong_type(key, "a list of whole numbers");
  *values = {reinterpret_cast<const u32*>(entry.value), entry.bytes / 4};
  return {};
}

Status ModelFile::layer_number(Text key, i32 layer, i32 layers, u32 low, u32 high, i32* value) const {
  return has(key) ? layer_number_or(key, layer, layers, 0, low, high, value) : absent(key);
}

Status ModelFile::layer_number_or(Text key, i32 layer, i32 layers, i32 fallback, u32 low, u32 high, i32* value) const {
  Metadata entry;
  if (!find_metadata(metadata_, key, &entry) || entry.type != MetadataType::u32_list) {
    return number_or(key, fallback, low, high, value);
  }
  Span<const u32> numbers;
  EDGELLM_TRY(numbers_or_none(key, &numbers));
  if (numbers.count != layers) {
    return bad_model("metadata: \"", key, "\" is a list of ", numbers.count,
                     " numbers, expected one number or one for each of ", layers, " layers");
  }
  EDGELLM_TRY(check_number(key, numbers[layer], low, high));
  *value = static_cast<i32>(numbers[layer]);
  return {};
}

i64 ModelFile::bytes_per_token() const {
  i64 bytes = 0;
  const bool own_head = find("head");
  for (const TensorEntry& entry : tensors_) {
    if (!(own_head && name_of(entry) == "embed")) bytes += tensor_bytes(entry);
  }
  return bytes;
}

const TensorEntry* ModelFile::find(Text name) const {
  i64 low = 0, high = tensors_.count;
  while (low < high) {
    i64 middle = (low + high) / 2;
    int order = compare(name_of(tensors_[middle]), name);
    if (order == 0) return &tensors_[middle];
    if (order < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return nullptr;
}

Status ModelFile::matrix_or_none(Text name, i32 rows, i32 cols, Matrix* matrix) const {
  *matrix = {};
  const TensorEntry* entry = find(name);
  if (!entry) return {};
  if (entry->rank != 2) return bad_model("tensor ", name, ": rank ", u32{entry->rank}, ", expected a matrix");
  if (entry->shape[0] != static_cast<u32>(rows) || entry->shape[1] != static_cast<u32>(cols)) {
    return bad_model("tensor ", name, ": shape ", entry->shape[0], " x ", entry->shape[1], ", expected ", rows, " x ", cols);
  }
  *matrix = {.format = static_cast<Format>(entry->format),
             .scale = static_cast<Scale>(entry->scale),
             .activations = static_cast<Quantization>(entry->activations),
             .rows = rows,
             .cols = cols,
             .data = bytes_.data + entry->offset,
             .scales = entry->scale_offset ? reinterpret_cast<const f32*>(bytes_.data + entry->scale_offset) : nullptr,
             .bytes = static_cast<i64>(entry->bytes)};
  return {};
}

Status ModelFile::matrix(Text name, i32 rows, i32 cols, Matrix* matrix) const {
  EDGELLM_TRY(matrix_or_none(name, rows, cols, matrix));
  if (!matrix->data) return bad_model("tensor ", name, " (", rows, " x ", cols, ") is missing");
  return {};
}

Status ModelFile::vector_or_none(Text name, i32 count, const f32** values) const {
  *values = nullptr;
  const TensorEntry* entry = find(name);
  if (!entry) return {};
  if (entry->rank != 1 || entry->shape[0] != static_cast<u32>(count)) {
    return bad_model("tensor ", name, ": rank ", u32{entry->rank}, " of ", entry->shape[0], ", expected a vector of ",
                     count);
  }
  *values = reinterpret_cast<const f32*>(bytes_.data + entry->offset);
  return {};
}

Status ModelFile::vector(Text name, i32 count, const f32** values) const {
  EDGELLM_TRY(vector_or_none(name, count, values));
  if (!*values) return bad_model("tensor ", name, " (", count, ") is missing");
  return {};
}

}  // namespace edgellm
