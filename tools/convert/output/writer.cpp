#include "convert/output/writer.h"

#include <assert.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <iterator>

#include "file/limits.h"
#include "sparse.h"

namespace edgellm::convert {
namespace {

constexpr size_t BUFFER_BYTES = 2 << 20;  // a huge page: what Linux then caches the file in, to be mapped so

u64 aligned(u64 offset) {
  return align_up<u64>(offset, FILE_ALIGNMENT);
}

void append(std::vector<u8>* to, const void* data, size_t size) {
  const u8* bytes = static_cast<const u8*>(data);
  to->insert(to->end(), bytes, bytes + size);
}

std::vector<u8> encode(const Metadata& metadata) {
  std::vector<u8> out;
  for (const auto& [key, value] : metadata) {
    std::vector<u8> bytes;
    MetadataType type = std::visit(
        [&](const auto& v) {
          using T = std::decay_t<decltype(v)>;
          if constexpr (std::is_same_v<T, u32> || std::is_same_v<T, f32>) {
            append(&bytes, &v, sizeof v);
            return std::is_same_v<T, u32> ? MetadataType::u32_ : MetadataType::f32_;
          } else {
            append(&bytes, v.data(), v.size() * sizeof v[0]);
            if constexpr (std::is_same_v<T, std::string>) return MetadataType::text;
            return std::is_same_v<T, std::vector<u32>> ? MetadataType::u32_list : MetadataType::f32_list;
          }
        },
        value);
    if (key.empty() || key.size() > MAX_TENSOR_NAME) unusable("metadata key \"", key, "\" has not 1 to 63 characters");
    if (bytes.size() > UINT32_MAX / 2) unusable("metadata \"", key, "\" is too long: ", bytes.size(), " bytes");
    MetadataEntry entry{static_cast<u8>(type), static_cast<u8>(key.size()), 0, static_cast<u32>(bytes.size())};
    append(&out, &entry, sizeof entry);
    append(&out, key.data(), key.size());
    out.resize(align_up<size_t>(out.size(), 8));
    append(&out, bytes.data(), bytes.size());
    out.resize(align_up<size_t>(out.size(), 8));
  }
  return out;
}

TensorEntry entry_of(const TensorSpec& spec) {
  TensorEntry entry{};
  if (spec.name.empty() || spec.name.size() > MAX_TENSOR_NAME) {
    unusable("tensor name \"", spec.name, "\" has not 1 to ", MAX_TENSOR_NAME, " characters");
  }
  std::copy(spec.name.begin(), spec.name.end(), entry.name);
  entry.format = static_cast<u8>(spec.format);
  entry.scale = static_cast<u8>(spec.scale);
  entry.activations = static_cast<u8>(spec.activations);
  entry.rank = static_cast<u8>(spec.shape.size());
  std::copy(spec.shape.begin(), spec.shape.end(), entry.shape);
  entry.bytes = data_bytes(spec);
  if (spec.shape.size() == 3) entry.stride = entry.bytes / spec.shape[0];
  return entry;
}

// The temporary files of the writers at work, for the signal handler: an interrupted run leaves nothing behind.
char interrupted_paths[2][4096];

constexpr int ENDS[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGBUS};
void (*answers_before[std::size(ENDS)])(int);

void remove_and_exit(int signal) {
  for (const char* path : interrupted_paths) {
    if (path[0]) unlink(path);
  }
  if (signal == SIGBUS) {
    static const char message[] = "edgellm-convert: a source file was cut while it was read, or its disk failed\n";
    [[maybe_unused]] ssize_t ignored = ::write(STDERR_FILENO, message, sizeof message - 1);
    _exit(static_cast<int>(Code::failed));
  }
  _exit(128 + signal);
}

// Signals that are ignored, as after nohup, stay so.
void answer_signals() {
  for (size_t i = 0; i < std::size(ENDS); i++) {
    answers_before[i] = std::signal(ENDS[i], remove_and_exit);
    if (answers_before[i] == SIG_IGN) std::signal(ENDS[i], SIG_IGN);
  }
}

bool any_to_remove() {
  return interrupted_paths[0][0] || interrupted_paths[1][0];
}

void remember_for_signals(const std::string& path) {
  if (!any_to_remove()) answer_signals();
  char(&place)[4096] = interrupted_paths[interrupted_paths[0][0] ? 1 : 0];
  place[path.copy(place, sizeof place - 1)] = 0;
}

void forget_for_signals(const std::string& path) {
  for (char* place : {interrupted_paths[0], interrupted_paths[1]}) {
    if (path == place) place[0] = 0;
  }
  if (any_to_remove()) return;
  for (size_t i = 0; i < std::size(ENDS); i++)
    std::signal(ENDS[i], answers_before[i]);
}

}  // namespace

u64 data_bytes(const TensorSpec& spec) {
  if (spec.shape.size() == 1) return u64{4} * spec.shape[0];
  if (sparse(spec.format)) return u64{SPARSE_ALIGNMENT} * spec.places.back() + SPARSE_TAIL;
  u64 count = spec.shape.size() == 3 ? spec.shape[0] : 1;
  return count * static_cast<u64>(matrix_bytes(spec.format, spec.shape[spec.shape.size() - 2], spec.shape.back()));
}

u64 scale_values(const TensorSpec& spec) {
  if (spec.shape.size() == 1) return 0;
  u64 count = spec.shape.size() == 3 ? spec.shape[0] : 1;
  return count * static_cast<u64>(scale_count(spec.scale, spec.shape[spec.shape.size() - 2]));
}

FileWriter::FileWriter(const std::string& path) : path_(path) {
  buffer_.reserve(BUFFER_BYTES);
  if (path.size() >= sizeof interrupted_paths[0] - 16) io_error(path, ": the name is too long");
}

FileWriter::~FileWriter() {
  if (partial_.descriptor < 0) return;
  close(partial_.descriptor);
  unlink(partial_.path.c_str());
  forget_for_signals(partial_.path);
}

void FileWriter::begin(const Metadata& metadata, const std::vector<TensorSpec>& specs, const std::vector<u8>& tokenizer) {
  std::vector<u8> encoded = encode(metadata);
  for (const TensorSpec& spec : specs) {
    entries_.push_back(entry_of(spec));
    scale_counts_.push_back(scale_values(spec));
  }

  bool any_sparse = std::any_of(specs.begin(), specs.end(), [](const TensorSpec& spec) { return sparse(spec.format); });
  header_.magic = any_sparse ? MAGIC_SRN : MAGIC_TM2;
  header_.header_bytes = sizeof(FileHeader);
  header_.metadata_offset = sizeof(FileHeader);
  header_.metadata_bytes = static_cast<u32>(encoded.size());
  header_.tensor_offset = static_cast<u32>(aligned(sizeof(FileHeader) + encoded.size()));
  header_.tensor_count = static_cast<u32>(specs.size());
  u64 end = header_.tensor_offset + specs.size() * sizeof(TensorEntry);
  if (!tokenizer.empty()) {
    header_.tokenizer_offset = end;
    header_.tokenizer_bytes = tokenizer.size();
    end = aligned(end + tokenizer.size());
  }
  for (size_t i = 0; i < entries_.size(); i++) {
    entries_[i].offset = end;
    end = aligned(end + entries_[i].bytes);
    if (scale_counts_[i] > 0) {
      entries_[i].scale_offset = end;
      end = aligned(end + 4 * scale_counts_[i]);
    }
  }
  header_.file_bytes = end;

  std::vector<TensorEntry> table = entries_;
  std::sort(table.begin(), table.end(),
            [](const TensorEntry& a, const TensorEntry& b) { return std::memcmp(a.name, b.name, sizeof a.name) < 0; });
  for (size_t i = 1; i < table.size(); i++) {
    if (std::memcmp(table[i - 1].name, table[i].name, sizeof table[i].name) == 0) {
      unusable("there are two tensors named ", table[i].name);
    }
  }
  if (encoded.size() > UINT32_MAX / 2) unusable("the metadata have ", encoded.size(), " bytes, at most ", UINT32_MAX / 2);
  if (specs.size() > MAX_TENSORS) unusable("there are ", specs.size(), " tensors, at most ", MAX_TENSORS);
  Checksum sum;
  sum.update(&header_, offsetof(FileHeader, table_checksum));
  sum.update(encoded.data(), static_cast<i64>(encoded.size()));
  sum.update(table.data(), static_cast<i64>(table.size() * sizeof(TensorEntry)));
  header_.table_checksum = sum.value();

  partial_ = create_partial(path_);
  remember_for_signals(partial_.path);
  put(&header_, sizeof header_);
  put(encoded.data(), encoded.size());
  pad_to(header_.tensor_offset);
  put(table.data(), table.size() * sizeof(TensorEntry));
  summing_ = true;
  put(tokenizer.data(), tokenizer.size());
  if (!entries_.empty()) pad_to(entries_[0].offset);
}

void FileWriter::data(const void* bytes, u64 size) {
  assert(current_ < entries_.size() && written_ + size <= entries_[current_].bytes);
  put(bytes, size);
  written_ += size;
  if (written_ < entries_[current_].bytes) return;
  if (scale_counts_[current_] > 0) {
    pad_to(entries_[current_].scale_offset);
  } else {
    next_tensor();
  }
}

void FileWriter::scales(const f32* values, u64 count) {
  assert(current_ < entries_.size() && written_ == entries_[current_].bytes && count == scale_counts_[current_]);
  put(values, count * 4);
  next_tensor();
}

void FileWriter::next_tensor() {
  current_++;
  written_ = 0;
  pad_to(current_ < entries_.size() ? entries_[current_].offset : header_.file_bytes);
}

u64 FileWriter::finish() {
  assert(current_ == entries_.size());
  flush();
  header_.data_checksum = checksum_.value();
  if (pwrite(partial_.descriptor, &header_, sizeof header_, 0) != static_cast<ssize_t>(sizeof header_)) {
    io_error(partial_.path, ": cannot write the header: ", reason_of(errno));
  }
  if (fsync(partial_.descriptor) != 0) io_error(partial_.path, ": cannot write: ", reason_of(errno));
  return header_.file_bytes;
}

void FileWriter::publish() {
  convert::publish(partial_, path_);
  partial_.descriptor = -1;
  forget_for_signals(partial_.path);
}

void FileWriter::put(const void* bytes, u64 size) {
  if (size == 0) return;
  if (summing_) checksum_.update(bytes, static_cast<i64>(size));
  position_ += size;
  const u8* from = static_cast<const u8*>(bytes);
  while (size > 0) {
    const size_t room = static_cast<size_t>(std::min<u64>(size, BUFFER_BYTES - buffer_.size()));
    append(&buffer_, from, room);
    from += room;
    size -= room;
    if (buffer_.size() == BUFFER_BYTES) flush();
  }
}

void FileWriter::pad_to(u64 offset) {
  static const u8 zeros[FILE_ALIGNMENT] = {};
  assert(offset >= position_ && offset - position_ < FILE_ALIGNMENT);
  put(zeros, offset - position_);
}

void FileWriter::flush() {
  size_t done = 0;
  while (done < buffer_.size()) {
    ssize_t n = ::write(partial_.descriptor, buffer_.data() + done, buffer_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      io_error(partial_.path, ": cannot write: ", n < 0 ? reason_of(errno) : "nothing was taken", "; the file takes ",
               header_.file_bytes, " bytes");
    }
    done += static_cast<size_t>(n);
  }
  buffer_.clear();
}

}  // namespace edgellm::convert
