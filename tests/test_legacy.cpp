// Version 1 files: what their rewriting gives, by the reader that was written from docs/FILE.md alone, and every check of them.
#include "file/legacy.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "check.h"
#include "files.h"
#include "make_model.h"
#include "model_reader.h"
#include "open_engine.h"
#include "platform/signals.h"
#include "platform/stage.h"
#include "raw_model_file.h"

using namespace edgellm;

namespace {

// A version 1 file, what its tensors hold, and where each of them lies.
struct Version1 {
  struct Tensor {
    std::string name;
    size_t begin, end;  // in the file, from its flag on
    u32 rows, cols;     // a vector has no cols
    std::vector<f32> values;
    std::vector<f32> scales;
  };
  u32 dim = 20, ffn_dim = 70, layers = 2, heads = 2, kv_heads = 1, vocab = 19, context = 16;
  std::vector<u8> bytes = {};
  std::vector<Tensor> tensors = {};
  u32 state = 12345;

  u32 next() {
    state = state * 1664525 + 1013904223;
    return state >> 16;
  }
  void u32_(u32 value) {
    for (i32 i = 0; i < 4; i++)
      bytes.push_back(static_cast<u8>(value >> (8 * i)));
  }
  void matrix(const std::string& name, u32 rows, u32 cols) {
    Tensor t = {name, bytes.size(), 0, rows, cols, {}, {}};
    bytes.push_back(1);
    u32_(rows);
    u32_(cols);
    for (u32 r = 0; r < rows; r++) {
      const u16 half = static_cast<u16>(next() & 0x3bff);  // below 1, or less than any normal one
      bytes.push_back(static_cast<u8>(half));
      bytes.push_back(static_cast<u8>(half >> 8));
      t.scales.push_back(model_reader::half_to_float(half));
      for (u32 c = 0; c < cols; c += 4) {
        const u8 four = static_cast<u8>(next());
        bytes.push_back(four);
        for (u32 i = 0; i < 4 && c + i < cols; i++) {
          const f32 weights[] = {0, 1, -1, -1};
          t.values.push_back(weights[four >> 2 * i & 3] * t.scales.back());
        }
      }
    }
    t.end = bytes.size();
    tensors.push_back(t);
  }
  void vector(const std::string& name, u32 count) {
    Tensor t = {name, bytes.size(), 0, count, 0, {}, {}};
    bytes.push_back(0);
    for (u32 i = 0; i < count; i++) {
      t.values.push_back(static_cast<f32>(next()) / 7000);
      u32 bits;
      std::memcpy(&bits, &t.values.back(), 4);
      u32_(bits);
    }
    t.end = bytes.size();
    tensors.push_back(t);
  }
  void begin() {
    bytes = {'T', 'M', '2', 0};
    for (u32 value : {dim, ffn_dim, layers, heads, kv_heads, vocab, context})
      u32_(value);
  }
  void build() {
    begin();
    const u32 kv_dim = dim / heads * kv_heads;
    matrix("embed", vocab, dim);
    for (u32 i = 0; i < layers; i++) {
      const std::string at = "layers." + std::to_string(i) + ".";
      vector(at + "attn_norm", dim);
      matrix(at + "q", dim, dim);
      matrix(at + "k", kv_dim, dim);
      matrix(at + "v", kv_dim, dim);
      matrix(at + "o", dim, dim);
      vector(at + "attn_sub_norm", dim);
      vector(at + "ffn_norm", dim);
      matrix(at + "gate", ffn_dim, dim);
      matrix(at + "up", ffn_dim, dim);
      matrix(at + "down", dim, ffn_dim);
      vector(at + "ffn_sub_norm", ffn_dim);
    }
    vector("norm", dim);
    matrix("head", vocab, dim);
  }
};

Version1 made(Version1 shape = {}) {
  shape.build();
  return shape;
}

Span<const u8> span(const std::vector<u8>& bytes) {
  return {bytes.data(), static_cast<i64>(bytes.size())};
}

// What looking at it says; no file is written then.
std::string refusal(const std::vector<u8>& bytes) {
  i64 size = -1;
  Status status = upgrade_legacy(span(bytes), false, nullptr, &size);
  CHECK(status.ok() || status.code() == Code::bad_model);
  CHECK(status.ok() == (size > 0));
  return status.text();
}

std::string refusal_of_sizes(Version1 shape) {
  shape.begin();
  return refusal(shape.bytes);
}

model_reader::ModelFile upgraded(const Version1& v1, bool half_rope) {
  i64 size = 0, again = 0;
  CHECK(upgrade_legacy(span(v1.bytes), half_rope, nullptr, &size).ok());
  Aligned image(std::vector<u8>(static_cast<size_t>(size)));
  CHECK_EQ(std::string(upgrade_legacy(span(v1.bytes), half_rope, image.span.data, &again).text()), "");
  CHECK_EQ(size, again);
  const std::string path = temporary_path("upgraded.tm2");
  write_file(path, std::string(image.span.begin(), image.span.end()));
  return model_reader::read_model(path);
}

// Compares everything that the file says.
void check_upgraded(const Version1& v1, bool half_rope) {
  const model_reader::ModelFile file = upgraded(v1, half_rope);
  const u32 head_dim = v1.dim / v1.heads, pairs = head_dim / 2;
  const std::map<std::string, u32> numbers = {{"layers", v1.layers}, {"dim", v1.dim},           {"ffn_dim", v1.ffn_dim},
                                              {"heads", v1.heads},   {"kv_heads", v1.kv_heads}, {"head_dim", head_dim},
                                              {"vocab", v1.vocab},   {"context", v1.context},   {"bos", 1}};
  const std::map<std::string, std::string> texts = {
      {"arch", "transformer"}, {"source", "TM2 version 1"}, {"gate", "relu2"}, {"rope", half_rope ? "half" : "interleaved"}};
  CHECK(file.numbers == numbers);
  CHECK(file.texts == texts);
  CHECK((file.reals == std::map<std::string, f32>{{"norm_eps", 1e-5f}}));
  CHECK((file.lists == std::map<std::string, std::vector<u32>>{{"stop", {128001}}}));
  raw::Metadata metadata;
  for (const char* key : {"arch", "source"})
    metadata.text(key, texts.at(key));
  for (const char* key : {"layers", "dim", "ffn_dim", "heads", "kv_heads", "head_dim", "vocab", "context"})
    metadata.number(key, numbers.at(key));
  metadata.real("norm_eps", 1e-5f);
  for (const char* key : {"gate", "rope"})
    metadata.text(key, texts.at(key));
  metadata.number("bos", 1);
  metadata.numbers("stop", {128001});
  const std::vector<u8> bytes = read_array<u8>(temporary_path("upgraded.tm2"));
  CHECK_EQ(model_reader::at<u32>(bytes, 20), static_cast<u32>(metadata.bytes.size()));
  CHECK(std::equal(metadata.bytes.begin(), metadata.bytes.end(), bytes.begin() + 64));
  CHECK(file.tokenizer.empty());
  CHECK_EQ(file.tensors.size(), v1.tensors.size() + (pairs > 0));
  for (const Version1::Tensor& wanted : v1.tensors) {
    const model_reader::Tensor& t = file.tensors.at(wanted.name);
    const bool matrix = wanted.cols != 0;
    CHECK(t.format == (matrix ? 4 : 0) && t.scale == (matrix ? 2 : 0) && t.activations == (matrix ? 1 : 0));
    CHECK((t.shape == (matrix ? std::vector<size_t>{wanted.rows, wanted.cols} : std::vector<size_t>{wanted.rows})));
    CHECK(t.values == wanted.values);
    CHECK(t.scales == wanted.scales);
  }
  if (pairs == 0) return;
  std::vector<f32> frequencies;
  for (u32 i = 0; i < pairs; i++)
    frequencies.push_back(static_cast<f32>(std::pow(500000.0, -2.0 * i / head_dim)));
  CHECK(file.tensors.at("rope.inv_freq").values == frequencies);
}

#define OF_1 "TM2 version 1: "

}  // namespace

TEST(the_file_of_version_2_says_the_same) {
  for (bool half_rope : {false, true})
    check_upgraded(made(), half_rope);
  check_upgraded(made({.dim = 33, .ffn_dim = 16, .layers = 11, .heads = 1, .kv_heads = 1, .vocab = 32}), false);
  check_upgraded(made({.dim = 64, .ffn_dim = 17, .layers = 1, .heads = 4, .kv_heads = 2, .vocab = 1}), false);
  check_upgraded(made({.dim = 256, .ffn_dim = 1, .layers = 1, .heads = 1, .kv_heads = 1, .vocab = 16}), true);
  check_upgraded(made({.dim = 6, .ffn_dim = 4, .layers = 1, .heads = 3, .kv_heads = 3, .vocab = 3}), false);
  check_upgraded(made({.dim = 3, .ffn_dim = 4, .layers = 1, .heads = 3, .kv_heads = 1, .vocab = 3}), false);  // no pairs
}

TEST(version_1_runs) {
  const std::string path = temporary_path("one.bin");
  const Version1 v1 = made();
  write_file(path, std::string(v1.bytes.begin(), v1.bytes.end()));
  u64 hashes[2];
  for (bool half_rope : {false, true}) {
    EngineOptions options;
    options.threads = 1;
    options.half_rope = half_rope;
    OpenEngine open(options, path);
    CHECK_EQ(open.engine.bos, 1);
    CHECK(is_stop(open.engine, 128001) && !is_stop(open.engine, 1));
    CHECK_EQ(open.engine.limits.context, 16);
    hashes[half_rope] = open.run_anew({1, 2, 3}, 3);
  }
  CHECK(hashes[0] != hashes[1]);
}

TEST(whether_a_file_is_of_version_1) {
  auto is = [](std::vector<u8> bytes) { return is_legacy(span(bytes)); };
  CHECK(is({'T', 'M', '2', 0}) && is({'T', 'M', '2', 0, 7}));
  CHECK(!is({}) && !is({'T', 'M', '2'}) && !is({'T', 'M', '2', 2}) && !is({'t', 'M', '2', 0}) && !is({'T', 'M', '3', 0}));
}

TEST(sizes_of_version_1_have_limits) {
  const struct {
    const char* name;
    u32 Version1::* member;
    u32 most;
  } sizes[] = {{"dim", &Version1::dim, 131072},           {"hidden_dim", &Version1::ffn_dim, 131072},
               {"n_layers", &Version1::layers, 1024},     {"n_heads", &Version1::heads, 4096},
               {"n_kv_heads", &Version1::kv_heads, 4096}, {"vocab_size", &Version1::vocab, 16777216},
               {"seq_len", &Version1::context, 16777216}};
  for (const auto& size : sizes) {
    Version1 shape;
    shape.dim = shape.heads = shape.kv_heads = 4096;  // each may be the most there is
    if (size.member == &Version1::dim) shape.heads = shape.kv_heads = 2;
    for (u32 value : {0u, size.most + 1, 0xffffffffu}) {
      shape.*size.member = value;
      CHECK_EQ(refusal_of_sizes(shape), OF_1 + std::string(size.name) + " is " + std::to_string(value) + ", expected 1 to " +
                                            std::to_string(size.most));
    }
    shape.*size.member = size.most;
    CHECK_EQ(refusal_of_sizes(shape), OF_1 "the file ends inside embed");
    shape = {.dim = 1, .ffn_dim = 1, .layers = 1, .heads = 1, .kv_heads = 1, .vocab = 1, .context = 1};
    CHECK_EQ(refusal_of_sizes(shape), OF_1 "the file ends inside embed");
  }
  CHECK_EQ(refusal_of_sizes({.dim = 20, .heads = 3}), OF_1 "dim 20, 3 heads and 1 kv heads do not divide one another");
  CHECK_EQ(refusal_of_sizes({.dim = 20, .heads = 4, .kv_heads = 3}),
           OF_1 "dim 20, 4 heads and 3 kv heads do not divide one another");
  CHECK_EQ(refusal_of_sizes({.dim = 20, .heads = 2, .kv_heads = 4}),
           OF_1 "dim 20, 2 heads and 4 kv heads do not divide one another");
}

TEST(every_truncation_of_version_1_is_refused) {
  const Version1 v1 = made();
  for (size_t size = 4; size < v1.bytes.size(); size++) {
    std::string inside = "the header";
    for (const Version1::Tensor& tensor : v1.tensors) {
      if (size < 32) break;
      inside = tensor.name;
      if (size < tensor.end) break;
    }
    CHECK_EQ(refusal({v1.bytes.begin(), v1.bytes.begin() + static_cast<i64>(size)}), OF_1 "the file ends inside " + inside);
  }
  std::vector<u8> more = v1.bytes;
  CHECK_EQ(refusal(more), "");
  more.push_back(0);
  CHECK_EQ(refusal(more), OF_1 "1 bytes are left over behind the last tensor");
  more.push_back(0);
  CHECK_EQ(refusal(more), OF_1 "2 bytes are left over behind the last tensor");
}

TEST(flags_and_shapes_of_version_1) {
  const Version1 v1 = made();
  for (const Version1::Tensor& t : v1.tensors) {
    auto with = [&](size_t at, u8 value) {
      std::vector<u8> bytes = v1.bytes;
      bytes[t.begin + at] = value;
      return refusal(bytes);
    };
    if (t.cols == 0) {
      CHECK_EQ(with(0, 1), OF_1 + t.name + " has flag 1, expected 0 (a vector)");
      CHECK_EQ(with(0, 255), OF_1 + t.name + " has flag 255, expected 0 (a vector)");
      continue;
    }
    const std::string expected = ", expected " + std::to_string(t.rows) + " x " + std::to_string(t.cols);
    CHECK_EQ(with(0, 0), OF_1 + t.name + " has flag 0, expected 1 (a matrix)");
    CHECK_EQ(with(0, 2), OF_1 + t.name + " has flag 2, expected 1 (a matrix)");
    CHECK_EQ(with(1, static_cast<u8>(t.rows + 1)),
             OF_1 + t.name + " is " + std::to_string(t.rows + 1) + " x " + std::to_string(t.cols) + expected);
    CHECK_EQ(with(5, static_cast<u8>(t.cols - 1)),
             OF_1 + t.name + " is " + std::to_string(t.rows) + " x " + std::to_string(t.cols - 1) + expected);
    CHECK_EQ(with(8, 1),
             OF_1 + t.name + " is " + std::to_string(t.rows) + " x " + std::to_string(t.cols + (1u << 24)) + expected);
  }
}

TEST(every_changed_byte_of_version_1_is_refused_or_harmless) {
  const Version1 v1 = made();
  for (size_t i = 0; i < v1.bytes.size(); i += i < 64 ? 1 : 7) {
    std::vector<u8> changed = v1.bytes;
    changed[i] = static_cast<u8>(~changed[i]);
    i64 bytes;
    if (!upgrade_legacy(span(changed), false, nullptr, &bytes).ok()) continue;
    Aligned image(std::vector<u8>(static_cast<size_t>(bytes)));
    CHECK(upgrade_legacy(span(changed), false, image.span.data, &bytes).ok());
    ModelFile file;
    CHECK(file.open(image.span).ok() && file.check_data().ok());
  }
}

TEST(rewriting_ends_with_a_signal) {
  const Version1 v1 = made();
  i64 size = 0;
  set_interrupted(true);
  CHECK(upgrade_legacy(span(v1.bytes), false, nullptr, &size).code() == Code::interrupted);
  set_interrupted(false);
  CHECK(upgrade_legacy(span(v1.bytes), false, nullptr, &size).ok());
}

// Whoever watches hears how much there is to repack, and then of each matrix.
TEST(repacking_says_how_far_it_is) {
  const Version1 v1 = made();
  static std::vector<i64> done;
  static i64 all;
  watch_stages([](const Stage& stage) {
    CHECK(!stage.doing || std::string(stage.doing) == "repacking the version 1 file");
    if (stage.doing) all = stage.all;
    done.push_back(stage.doing ? stage.done : -1);
  });
  upgraded(v1, false);
  watch_stages(nullptr);
  CHECK_EQ(all, static_cast<i64>(v1.bytes.size()));
  CHECK_EQ(done.size(), size_t{2 + 2 + 7 * v1.layers});
  CHECK(done.front() == 0 && done.back() == -1 && std::is_sorted(done.begin(), done.end() - 1));
  CHECK(done[done.size() - 2] > all / 2 && done[done.size() - 2] < all);
}
