// A second reader of model files, written from docs/FILE.md alone: every offset, checksum and padding is checked, every
// tensor is unpacked to f32. XXH64 is written anew too.
#pragma once
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace model_reader {

using Buffer = std::vector<uint8_t>;

inline Buffer read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error(path + ": cannot open");
  return Buffer(std::istreambuf_iterator<char>(in), {});
}

template <class T>
T at(const Buffer& b, size_t offset) {
  if (offset + sizeof(T) > b.size()) throw std::runtime_error("read past the end");
  T value;
  std::memcpy(&value, b.data() + offset, sizeof value);
  return value;
}

inline float half_to_float(uint16_t h) {
  int exponent = h >> 10 & 31, fraction = h & 1023;
  float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                  : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return h & 0x8000 ? -magnitude : magnitude;
}

inline uint64_t xxh64(const Buffer& b) {
  const uint64_t p1 = 11400714785074694791u, p2 = 14029467366897019727u, p3 = 1609587929392839161u,
                 p4 = 9650029242287828579u, p5 = 2870177450012600261u;
  auto rotate = [](uint64_t x, int r) { return x << r | x >> (64 - r); };
  auto round = [&](uint64_t a, uint64_t x) { return rotate(a + x * p2, 31) * p1; };
  size_t i = 0;
  uint64_t h = p5;
  if (b.size() >= 32) {
    uint64_t v[4] = {p1 + p2, p2, 0, 0 - p1};
    for (; i + 32 <= b.size(); i += 32) {
      for (size_t k = 0; k < 4; k++)
        v[k] = round(v[k], at<uint64_t>(b, i + 8 * k));
    }
    h = rotate(v[0], 1) + rotate(v[1], 7) + rotate(v[2], 12) + rotate(v[3], 18);
    for (uint64_t lane : v)
      h = (h ^ round(0, lane)) * p1 + p4;
  }
  h += b.size();
  for (; i + 8 <= b.size(); i += 8)
    h = rotate(h ^ round(0, at<uint64_t>(b, i)), 27) * p1 + p4;
  for (; i + 4 <= b.size(); i += 4)
    h = rotate(h ^ at<uint32_t>(b, i) * p1, 23) * p2 + p3;
  for (; i < b.size(); i++)
    h = rotate(h ^ b[i] * p5, 11) * p1;
  h = (h ^ h >> 33) * p2;
  h = (h ^ h >> 29) * p3;
  return h ^ h >> 32;
}

struct Tensor {
  int format = 0, scale = 0, activations = 0;
  std::vector<size_t> shape;
  std::vector<float> values;  // row-major, true shape
  std::vector<float> scales;  // as stored, without padding
};

struct ModelFile {
  std::map<std::string, uint32_t> numbers;
  std::map<std::string, float> reals;
  std::map<std::string, std::string> texts;
  std::map<std::string, std::vector<uint32_t>> lists;
  std::map<std::string, Tensor> tensors;
  Buffer tokenizer;
};

inline void require(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error("model file: " + what);
}

// Weight of column c, row r of a unit that starts at `u`; scales inside the unit are applied.
inline float unit_weight(const Buffer& b, int format, size_t u, size_t r, size_t c) {
  switch (format) {
    case 0:
      return at<float>(b, u + 4 * (16 * c + r));
    case 1:
      return half_to_float(at<uint16_t>(b, u + 2 * (16 * c + r)));
    case 2:
      return at<int8_t>(b, u + 64 * (c / 4) + 4 * r + c % 4);
    case 3: {
      int byte = at<uint8_t>(b, u + 64 + 64 * (c / 8) + 4 * r + c % 4);
      int code = c % 8 < 4 ? byte & 15 : byte >> 4;
      return static_cast<float>(code - 8) * half_to_float(at<uint16_t>(b, u + 2 * (16 * (c / 32) + r)));
    }
    case 8: {
      int byte = at<uint8_t>(b, u + 4 * r + c % 4);
      for (size_t digit = 0; digit < c / 4; digit++)
        byte /= 3;
      return static_cast<float>(byte % 3 - 1);
    }
    default: {
      size_t lines = u + (format == 5 ? 64 : 0);
      int code = at<uint8_t>(b, lines + 64 * (c / 16) + 4 * r + c % 4) >> (2 * (c % 16 / 4)) & 3;
      float scale = format == 5 ? half_to_float(at<uint16_t>(b, u + 2 * (16 * (c / 128) + r))) : 1;
      return static_cast<float>(code - 1) * scale;
    }
  }
}

// i8 behind masks: of bytes (format 6), or of fours of them (7). Units lie one after the other, as long as their masks say.
inline void read_sparse_matrix(const Buffer& b, size_t offset, size_t bytes, size_t scale_offset, Tensor* t) {
  const size_t rows = t->shape[0], cols = t->shape[1], panels = (rows + 15) / 16, units = (cols + 31) / 32;
  const size_t mask_bytes = t->format == 6 ? 8 : 2, step = t->format == 6 ? 1 : 4;
  require(offset % 64 == 0 && offset + bytes <= b.size() && at<uint32_t>(b, offset + 4 * panels) * 64 + 576 == bytes,
          "size of a sparse matrix");
  std::vector<int8_t> codes(panels * 16 * units * 32);
  for (size_t panel = 0; panel < panels; panel++) {
    size_t o = offset + at<uint32_t>(b, offset + 4 * panel) * size_t{64};
    for (size_t unit = 0; unit < units; unit++) {
      size_t masks = o;
      o += 8 * mask_bytes;
      for (size_t line = 0; line < 8; line++) {
        uint64_t mask = t->format == 6 ? at<uint64_t>(b, masks + 8 * line) : at<uint16_t>(b, masks + 2 * line);
        for (size_t i = 0; i < 64; i++) {
          if (!(mask >> (i / step) & 1)) continue;
          codes[(panel * 16 + i / 4) * units * 32 + unit * 32 + line * 4 + i % 4] = at<int8_t>(b, o++);
        }
      }
    }
  }
  for (size_t row = 0; row < rows; row++) {
    t->scales.push_back(at<float>(b, scale_offset + 4 * row));
    for (size_t col = 0; col < cols; col++)
      t->values.push_back(static_cast<float>(codes[row * units * 32 + col]) * t->scales[row]);
  }
}

inline void read_matrix(const Buffer& b, size_t offset, size_t bytes, size_t scale_offset, Tensor* t) {
  if (t->format == 6 || t->format == 7) return read_sparse_matrix(b, offset, bytes, scale_offset, t);
  static const size_t columns[] = {4, 4, 32, 64, 32, 256, 0, 0, 20}, sizes[] = {256, 128, 512, 576, 128, 1088, 0, 0, 64};
  const size_t rows = t->shape[0], cols = t->shape[1], width = columns[t->format], size = sizes[t->format];
  const size_t panels = (rows + 15) / 16, units = (cols + width - 1) / width;
  require(bytes == panels * units * size && offset % 64 == 0 && offset + bytes <= b.size(), "size of a matrix");
  size_t scales = t->scale == 0 ? 0 : t->scale == 1 ? 1 : panels * 16;
  require(scales == 0 ? scale_offset == 0 : scale_offset % 64 == 0 && scale_offset + 4 * scales <= b.size(),
          "place of scales");
  for (size_t i = 0; i < (t->scale == 1 ? 1 : t->scale == 2 ? rows : 0); i++)
    t->scales.push_back(at<float>(b, scale_offset + 4 * i));
  for (size_t row = 0; row < panels * 16; row++) {
    for (size_t col = 0; col < units * width; col++) {
      float w = unit_weight(b, t->format, offset + (row / 16 * units + col / width) * size, row % 16, col % width);
      if (row >= rows || col >= cols) {
        require(w == 0, "padding is not zero");
        continue;
      }
      t->values.push_back(t->scale == 0 ? w : w * t->scales[t->scale == 1 ? 0 : row]);
    }
  }
}

inline void read_metadata(const Buffer& b, size_t begin, size_t end, ModelFile* file) {
  auto align = [](size_t x) { return (x + 7) / 8 * 8; };
  for (size_t o = begin; o < end;) {
    size_t key_bytes = at<uint8_t>(b, o + 1), value_bytes = at<uint32_t>(b, o + 4);
    std::string key(b.begin() + static_cast<long>(o + 8), b.begin() + static_cast<long>(o + 8 + key_bytes));
    size_t value = o + align(8 + key_bytes);
    switch (b[o]) {
      case 1:
        file->numbers[key] = at<uint32_t>(b, value);
        break;
      case 2:
        file->reals[key] = at<float>(b, value);
        break;
      case 3:
        file->texts[key] =
            std::string(b.begin() + static_cast<long>(value), b.begin() + static_cast<long>(value + value_bytes));
        break;
      case 4:
        for (size_t i = 0; i < value_bytes; i += 4)
          file->lists[key].push_back(at<uint32_t>(b, value + i));
        break;
      default:
        require(false, "metadata type");
    }
    o = value + align(value_bytes);
    require(o <= end, "metadata runs over");
  }
}

inline ModelFile read_model(const std::string& path) {
  Buffer b = read_bytes(path);
  require(b.size() >= 64 && (std::memcmp(b.data(), "TM2\2", 4) == 0 || std::memcmp(b.data(), "SRN\2", 4) == 0) &&
              at<uint32_t>(b, 4) == 64,
          "header");
  require(at<uint64_t>(b, 8) == b.size() && b.size() % 64 == 0, "file size");
  size_t metadata = at<uint32_t>(b, 16), metadata_bytes = at<uint32_t>(b, 20);
  size_t table = at<uint32_t>(b, 24), count = at<uint32_t>(b, 28), table_end = table + 128 * count;
  size_t tokenizer = at<uint64_t>(b, 32), tokenizer_bytes = at<uint64_t>(b, 40);
  require(metadata % 64 == 0 && table % 64 == 0 && metadata + metadata_bytes <= table && table_end <= b.size(), "sections");
  auto part = [&](size_t from, size_t to) {
    return Buffer(b.begin() + static_cast<long>(from), b.begin() + static_cast<long>(to));
  };
  Buffer summed = part(0, 48), more = part(metadata, metadata + metadata_bytes), entries = part(table, table_end);
  summed.insert(summed.end(), more.begin(), more.end());
  summed.insert(summed.end(), entries.begin(), entries.end());
  require(xxh64(summed) == at<uint64_t>(b, 48), "table checksum");
  require(xxh64(part(table_end, b.size())) == at<uint64_t>(b, 56), "data checksum");

  ModelFile file;
  read_metadata(b, metadata, metadata + metadata_bytes, &file);
  if (tokenizer) {
    require(tokenizer % 64 == 0 && tokenizer >= table_end, "place of the tokenizer");
    file.tokenizer = part(tokenizer, tokenizer + tokenizer_bytes);
  }
  std::string last;
  for (size_t e = table; e < table_end; e += 128) {
    std::string name(reinterpret_cast<const char*>(b.data() + e));
    require(name > last, "order of names");
    last = name;
    Tensor t{b[e + 64], b[e + 65], b[e + 66], {}, {}, {}};
    for (size_t i = 0; i < b[e + 67]; i++)
      t.shape.push_back(at<uint32_t>(b, e + 72 + 4 * i));
    require(at<uint32_t>(b, e + 68) == 0 && at<uint64_t>(b, e + 112) == 0 && at<uint64_t>(b, e + 120) == 0,
            "reserved fields");
    size_t offset = at<uint64_t>(b, e + 88), bytes = at<uint64_t>(b, e + 96);
    if (t.shape.size() == 2) {
      read_matrix(b, offset, bytes, at<uint64_t>(b, e + 104), &t);
    } else {
      require(t.shape.size() == 1 && bytes == 4 * t.shape[0] && offset % 64 == 0, "vector");
      for (size_t i = 0; i < t.shape[0]; i++)
        t.values.push_back(at<float>(b, offset + 4 * i));
    }
    file.tensors[name] = t;
  }
  return file;
}

}  // namespace model_reader
