// How tensors are encoded, what is said of them, and how the file is written, piece by piece: independent sums beside the
// converter's own.
#include <algorithm>
#include <cmath>

#include "convert/output/compare.h"
#include "convert/output/encode.h"
#include "convert/output/report.h"
#include "convert/output/verify.h"
#include "convert_checks.h"
#include "golden_logits.h"

using namespace convert_checks;
namespace convert = edgellm::convert;
using convert::ComputedTensor;
using convert::FileWriter;
using convert::Loss;
using convert::Role;
using convert::TensorSpec;
using edgellm::Quantization;
using edgellm::Scale;

namespace {

template <class Body>
std::string said(Body body, Code code = Code::bad_model) {
  try {
    body();
    return "";
  } catch (const Error& error) {
    CHECK(error.code == code);
    return error.what();
  }
}

// One tensor in a file of its own, and its loss.
model_reader::Tensor encoded(const convert::Tensor& tensor, TensorSpec spec, Loss* loss = nullptr) {
  Folder folder;
  uint64_t bytes = 0;
  FileWriter out(folder / "x.tm2");
  out.begin({}, {spec}, {});
  const Loss found = encode(tensor, spec, out, [&](uint64_t more) { bytes += more; });
  CHECK_EQ(bytes, convert::data_bytes(spec));
  out.finish();
  out.publish();
  if (loss) *loss = found;
  return model_reader::read_model(folder / "x.tm2").tensors.at(spec.name);
}

TensorSpec matrix_spec(edgellm::i64 rows, edgellm::i64 cols, Format format) {
  TensorSpec spec{"t", {static_cast<uint32_t>(rows), static_cast<uint32_t>(cols)}, format};
  if (format == Format::I8) spec.scale = Scale::row;
  if (format == Format::I8 || format == Format::I4) spec.activations = Quantization::group32;
  return spec;
}

TEST(i8_is_the_nearest_of_255_codes) {
  Values values;
  std::mt19937 random(5);
  const int rows = 37, cols = 41;
  for (int i = 0; i < rows * cols; i++)
    values.push_back(
        std::ldexp(static_cast<float>(static_cast<int>(random() % 2001) - 1000), static_cast<int>(random() % 9) - 12));
  std::fill_n(values.begin() + 2 * cols, cols, 0.0f);    // a row of zeros
  std::fill_n(values.begin() + 3 * cols, cols, 1e-44f);  // of denormals
  for (int c = 0; c < cols; c++)                         // of ties: 127 is 127, halves go to even
    values[static_cast<size_t>(4 * cols + c)] = c == 0 ? -127 : static_cast<float>(c) + 0.5f - 20;
  const ComputedTensor tensor("t", Role::matrix, rows, cols, values);
  Loss loss;
  const auto stored = encoded(tensor, matrix_spec(rows, cols, Format::I8), &loss);
  double error = 0, signal = 0;
  int64_t zeros = 0;
  for (int r = 0; r < rows; r++) {
    float most = 0;
    for (int c = 0; c < cols; c++)
      most = std::max(most, std::fabs(values[static_cast<size_t>(r * cols + c)]));
    const float scale = r == 3 ? 0 : most / 127;
    CHECK_EQ(stored.scales[static_cast<size_t>(r)], scale);
    for (int c = 0; c < cols; c++) {
      const size_t i = static_cast<size_t>(r * cols + c);
      const float inverse = scale > 0 ? 127 / most : 0;
      const float expected = std::nearbyint(values[i] * inverse) * scale;
      CHECK_EQ(stored.values[i], expected);
      error += std::pow(static_cast<double>(expected) - static_cast<double>(values[i]), 2);
      signal += std::pow(static_cast<double>(values[i]), 2);
      zeros += expected == 0;
    }
  }
  CHECK(std::fabs(loss.error / error - 1) < 1e-12 && std::fabs(loss.signal / signal - 1) < 1e-12);
  CHECK_EQ(loss.zeros, zeros);
  CHECK(std::fabs(loss.relative() / std::sqrt(error / signal) - 1) < 1e-12);
  CHECK_EQ(Loss().relative(), 0.0);
}

// The least squared error over many scales, by trying them all.
TEST(i4_is_near_the_best_scale) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  double found = 0, best = 0;
  for (int trial = 0; trial < 60; trial++) {
    const int n = trial % 3 ? 32 : 1 + trial % 31;
    Values values;
    for (int i = 0; i < n; i++)
      values.push_back(normal(random) * std::ldexp(1.0f, trial % 20 - 10));
    std::vector<int8_t> codes(static_cast<size_t>(n));
    const float scale = model_reader::half_to_float(convert::best_i4(values.data(), n, codes.data()));
    auto error_with = [&](float s) {
      double error = 0;
      for (float value : values) {
        const float code = std::min(7.0f, std::max(-8.0f, std::nearbyint(value / s)));
        error += std::pow(static_cast<double>(code * s - value), 2);
      }
      return error;
    };
    double least = INFINITY, own = 0, power = 0;
    for (int step = 0; step <= 600; step++) {
      const float s = magnitude(values) / (5.5f + 0.01f * static_cast<float>(step));
      least = std::min({least, error_with(s), error_with(-s)});
    }
    for (size_t i = 0; i < values.size(); i++) {
      own += std::pow(static_cast<double>(static_cast<float>(codes[i]) * scale - values[i]), 2);
      power += std::pow(static_cast<double>(values[i]), 2);
    }
    found += own / power, best += least / power;
  }
  CHECK(found < 1.12 * best);
  // Values that are codes times a scale come back as they are; a value that no f16 is as small as is zero.
  Values exact;
  for (int i = 0; i < 32; i++)
    exact.push_back(static_cast<float>(i % 16 - 8) * 0.25f);
  std::vector<int8_t> codes(32);
  CHECK_EQ(convert::best_i4(exact.data(), 32, codes.data()), f32_to_f16(0.25f));
  for (int i = 0; i < 32; i++)
    CHECK_EQ(static_cast<int>(codes[static_cast<size_t>(i)]), i % 16 - 8);
  for (float tiny : {1e-30f, 1e-8f, -1e-9f}) {
    const Values small(32, tiny);
    CHECK_EQ(convert::best_i4(small.data(), 32, codes.data()), 0);
    CHECK(codes == std::vector<int8_t>(32, 0));
  }
}

TEST(what_does_not_fit_a_format) {
  auto with = [&](float value, Format format) {
    Values values(40 * 24, 0.5f);
    values[static_cast<size_t>(17 * 24 + 5)] = value;
    const ComputedTensor tensor("t", Role::matrix, 40, 24, values);
    return said([&] { encoded(tensor, matrix_spec(40, 24, format)); });
  };
  for (Format format : {Format::F32, Format::F16, Format::I8, Format::I4}) {
    CHECK_EQ(with(NAN, format), "tensor t: row 17, column 5 is not finite");
    CHECK_EQ(with(-INFINITY, format), "tensor t: row 17, column 5 is not finite");
  }
  CHECK_EQ(with(65520, Format::F16), "tensor t: 65520 in the panel of row 16 is too large for f16");
  CHECK_EQ(with(65519, Format::F16), "");
  CHECK_EQ(with(1e30f, Format::I8), "");
  const ComputedTensor vector("v", Role::vector, 1, 3, {1, NAN, 2});
  CHECK_EQ(said([&] { encoded(vector, {"v", {3}}); }), "tensor v: row 0, column 1 is not finite");
  const ComputedTensor good("v", Role::vector, 1, 3, {1, -2, 3});
  CHECK(encoded(good, {"v", {3}}).values == (Values{1, -2, 3}));
}

// The share of each matrix by bisection: eps (n + m) weights are kept of (n, m), at most all of them.
TEST(erk_gives_each_matrix_its_share) {
  const std::vector<std::pair<int64_t, int64_t>> sizes = {{576, 576}, {192, 576}, {1536, 576}, {576, 1536}, {64, 8}, {8, 8}};
  for (double sparsity : {0.3, 0.5, 0.8, 0.9, 0.97}) {
    double all = 0;
    for (auto [n, m] : sizes)
      all += static_cast<double>(n * m);
    auto kept = [&](double eps, std::pair<int64_t, int64_t> size) {
      return std::min(static_cast<double>(size.first * size.second), eps * static_cast<double>(size.first + size.second));
    };
    double low = 0, high = 1e6;
    for (int step = 0; step < 200; step++) {
      const double eps = (low + high) / 2;
      double sum = 0;
      for (const auto& size : sizes)
        sum += kept(eps, size);
      (sum < (1 - sparsity) * all ? low : high) = eps;
    }
    const auto zeros = convert::zeros_of(sparsity, convert::SparsityLayout::erk, sizes);
    const auto same = convert::zeros_of(sparsity, convert::SparsityLayout::tensor, sizes);
    for (size_t i = 0; i < sizes.size(); i++) {
      const double weights = static_cast<double>(sizes[i].first * sizes[i].second);
      CHECK(std::fabs(static_cast<double>(zeros[i]) - (weights - kept(low, sizes[i]))) <= 1);
      CHECK_EQ(same[i], std::llround(sparsity * weights));
    }
    CHECK_EQ(zeros[5], 0);
    CHECK(zeros[2] > same[2]);
  }
}

TEST(the_report_adds_up) {
  convert::Report report;
  auto add = [&](const char* name, Role role, int64_t rows, int64_t cols, TensorSpec spec, Loss loss) {
    spec.name = name;
    report.add(ComputedTensor(name, role, rows, cols, {}), spec, loss);
  };
  const TensorSpec t2{"", {16, 64}, Format::T2, Scale::tensor, Quantization::token};
  const TensorSpec i8{"", {20, 64}, Format::I8, Scale::row, Quantization::group32};
  add("a", Role::matrix, 16, 64, t2, {0, 9, 512});
  add("n", Role::vector, 1, 100, {"", {100}}, {});
  add("b", Role::matrix, 16, 64, t2, {3, 12, 256});
  add("e", Role::embedding, 20, 64, i8, {1, 1e4, 10});
  add("m", Role::vector, 1, 28, {"", {28}}, {});
  add("l", Role::narrow, 20, 64, i8, {0.25, 1, 0});
  add("h", Role::head, 20, 64, i8, {1, 4, 0});
  std::ostringstream out;
  report.print_table(out, "x.tm2", 1234567, 0);
  report.print_table(out, "y", 99, 54321);
  const std::string table =
      "                       format, activations        tensors      weights     bits zeros %         size  rms error\n"
      "a                      t2, tensor scale, token          1         1024     2.03   50.00      0.00 MB  exact\n"
      "b                      t2, tensor scale, token          1         1024     2.03   25.00      0.00 MB  50 %\n"
      "e                      i8, row scale, group32           1         1280    13.60    0.78      0.00 MB  1 %\n"
      "l                      i8, row scale, group32           1         1280    13.60    0.00      0.00 MB  50 %\n"
      "h                      i8, row scale, group32           1         1280    13.60    0.00      0.00 MB  50 %\n"
      "\n"
      "matrices               t2, tensor scale, token          2         2048     2.03   37.50      0.00 MB  37.8 %\n"
      "vectors                f32                              2          128    32.00    0.00      0.00 MB  exact\n"
      "embedding              i8, row scale, group32           1         1280    13.60    0.78      0.00 MB  1 %\n"
      "low rank               i8, row scale, group32           1         1280    13.60    0.00      0.00 MB  50 %\n"
      "head                   i8, row scale, group32           1         1280    13.60    0.00      0.00 MB  50 %\n"
      "all                                                     7         6016    10.05   12.93      0.01 MB  2.29 %\n";
  const std::string first =
      "tokenizer                                                                                 none\n"
      "file                                                                                   1.23 MB  x.tm2\n";
  const std::string second =
      "tokenizer                                                                              0.05 MB\n"
      "file                                                                                   0.00 MB  y\n";
  CHECK_EQ(out.str(), table + first + table + second);
  CHECK_EQ(report.weights(), 6016u);
  CHECK_EQ(report.formats_text(), "10.05 bits each: matrices t2, low rank i8, embedding i8, head i8");
  CHECK_EQ(report.loss_text(), "rms error 2.3 % in all, at most 50 % in a matrix (b)");
  add("c", Role::matrix, 20, 64, i8, {3, 4, 0});
  add("g", Role::matrix, 20, 64, i8, {});
  CHECK_EQ(report.formats_text(), "11.11 bits each: matrices t2 i8, low rank i8, embedding i8, head i8");
  CHECK(report.loss_text().ends_with("at most 87 % in a matrix (c)"));
  CHECK_EQ(convert::Report().loss_text(), "none: the weights are exact");
  CHECK_EQ(convert::count_text(999999) + ", " + convert::count_text(1000000) + ", " + convert::count_text(999994999) + ", " +
               convert::count_text(2412820480),
           "999999, 1.00 million, 999.99 million, 2.41 billion");
  CHECK_EQ(convert::megabytes(1995000) + convert::megabytes(0), "2.00 MB0.00 MB");
}

// The figures of --verify, from all logits of both files at once.
TEST(the_comparison_is_that_of_the_logits) {
  Folder folder;
  Options options;
  options.source = "synthetic:rwkv7-tiny";
  options.tokenizer = "none";
  std::ostringstream report;
  auto make = [&](const std::string& path, Format weights, double sparsity) {
    options.destination = path;
    options.formats.weights = weights;
    options.sparsity = sparsity;
    convert::convert(options, report, false);
  };
  make(folder / "a.tm2", Format::I8, 0.5);
  make(folder / "b.tm2", Format::F32, 0);
  const convert::Comparison found = convert::compare(folder / "a.tm2", folder / "b.tm2", "");
  edgellm::EngineOptions engine;
  engine.kv = edgellm::KvFormat::F16;
  const int positions = 48, vocab = 256;
  const Values a = logits_of(folder / "a.tm2", positions, engine), b = logits_of(folder / "b.tm2", positions, engine);
  const auto ids = timeline(positions, vocab);
  double difference = 0, nll[2] = {};
  int same = 0;
  for (int i = 0; i < positions; i++) {
    const float *x = &a[static_cast<size_t>(i * vocab)], *y = &b[static_cast<size_t>(i * vocab)];
    float largest = 0, least = INFINITY, most = -INFINITY;
    int best[2] = {};
    double sums[2] = {};
    for (int k = 0; k < vocab; k++) {
      largest = std::max(largest, std::fabs(x[k] - y[k]));
      least = std::min(least, y[k]), most = std::max(most, y[k]);
      best[0] = x[k] > x[best[0]] ? k : best[0], best[1] = y[k] > y[best[1]] ? k : best[1];
      sums[0] += std::exp(static_cast<double>(x[k])), sums[1] += std::exp(static_cast<double>(y[k]));
    }
    difference = std::max(difference, static_cast<double>(largest) / static_cast<double>(most - least));
    same += best[0] == best[1];
    if (i + 1 == positions) break;
    const size_t next = static_cast<size_t>(ids[static_cast<size_t>(i + 1)]);
    nll[0] += (std::log(sums[0]) - static_cast<double>(x[next])) / (positions - 1);
    nll[1] += (std::log(sums[1]) - static_cast<double>(y[next])) / (positions - 1);
  }
  auto near = [](double x, double y) { return std::fabs(x / y - 1) < 1e-6; };
  CHECK_EQ(found.tokens, positions);
  CHECK_EQ(found.same_top, same);
  CHECK(near(found.difference, difference) && near(found.nll, nll[0]) && near(found.reference_nll, nll[1]));
  CHECK(same < positions && same > 0 && difference > 0.05 && std::fabs(nll[0] - nll[1]) > 0.01);
  const convert::Comparison self = convert::compare(folder / "b.tm2", folder / "b.tm2", "");
  CHECK(self.same_top == positions && self.nll == self.reference_nll && !(self.difference > 0));
}

// Every bit of every tensor's data is seen, whatever it does to the sums: by the checksum, and under a mended one by the weights.
TEST(verify_sees_one_weight) {
  Folder folder;
  const std::string path = folder / "x.tm2";
  Values values(40 * 24);
  for (size_t i = 0; i < values.size(); i++)
    values[i] = std::sin(static_cast<float>(i));
  std::vector<convert::Written> written;
  auto make = [&](bool change) {
    written.clear();
    convert::forget_opened();
    FileWriter out(path);
    const TensorSpec specs[] = {{"n", {24}}, matrix_spec(40, 24, Format::I8)};
    out.begin({}, {specs[0], specs[1]}, {});
    Values changed = values;
    if (change) changed[39 * 24 + 23] += 0.1f;
    const ComputedTensor vector("n", Role::vector, 1, 24, {values.begin(), values.begin() + 24}),
        matrix("t", Role::matrix, 40, 24, changed);
    encode(vector, specs[0], out, [](uint64_t) {});
    encode(matrix, specs[1], out, [](uint64_t) {});
    out.finish();
    out.publish();
    Values vector_values(values.begin(), values.begin() + 24);
    written.push_back({{std::make_unique<ComputedTensor>("n", Role::vector, 1, 24, vector_values), specs[0]}, {}});
    written.push_back({{std::make_unique<ComputedTensor>("t", Role::matrix, 40, 24, values), specs[1]}, {}});
    Loss loss;
    encoded(ComputedTensor("t", Role::matrix, 40, 24, values), specs[1], &loss);
    written[1].loss = loss;
  };
  make(false);
  CHECK_EQ(said([&] { convert::verify(path, written); }, Code::failed), "");
  make(true);
  CHECK(said([&] { convert::verify(path, written); }, Code::failed)
            .starts_with(path + ": --verify: tensor t has a squared error of "));
  make(false);
  std::vector<convert::Written> one;
  one.push_back(std::move(written[0]));
  CHECK_EQ(said([&] { convert::verify(path, one); }, Code::failed), path + ": --verify: 2 tensors, expected 1");
}

TEST(what_a_writer_refuses) {
  Folder folder;
  auto begin = [&](const convert::Metadata& metadata, const std::vector<TensorSpec>& specs) {
    const std::string words = said([&] {
      FileWriter out(folder / "x.tm2");
      out.begin(metadata, specs, {});
    });
    CHECK(std::filesystem::is_empty(folder.path));
    return words;
  };
  const std::string longest(63, 'n');
  CHECK_EQ(begin({{longest, 1u}}, {{longest, {4}}}), "");
  CHECK_EQ(begin({{longest + "n", 1u}}, {}), "metadata key \"" + longest + "n\" has not 1 to 63 characters");
  CHECK_EQ(begin({{"", 1u}}, {}), "metadata key \"\" has not 1 to 63 characters");
  CHECK_EQ(begin({}, {{longest + "n", {4}}}), "tensor name \"" + longest + "n\" has not 1 to 63 characters");
  CHECK_EQ(begin({}, {{"", {4}}}), "tensor name \"\" has not 1 to 63 characters");
  CHECK_EQ(begin({}, {{"b", {4}}, {"a", {4}}, {"b", {5}}}), "there are two tensors named b");
  const std::string name = folder / std::string(5000, 'x');
  CHECK_EQ(said([&] { FileWriter out(name); }, Code::failed), name + ": the name is too long");
}

// The places of all parts, from docs/FILE.md; the second reader checks their order, padding and checksums.
TEST(where_a_writer_puts_what) {
  Folder folder;
  FileWriter out(folder / "x.tm2");
  out.begin({{"key", std::string("value")}, {"n", 7u}, {"list", std::vector<uint32_t>{1, 2, 3}}, {"real", 0.5f}},
            {{"z", {20}}, {"m", {17, 33}, Format::I8, Scale::row, Quantization::token}, {"a", {1}}}, {1, 2, 3});
  const Values vector(20, 1.5f), scales(32, 2.0f);
  const std::vector<uint8_t> panels(2 * 2 * 512, 3);
  out.data(vector.data(), 40), out.data(vector.data() + 10, 40);
  out.data(panels.data(), 1), out.data(panels.data(), panels.size() - 1);
  out.scales(scales.data(), 32);
  out.data(vector.data(), 4);
  CHECK_EQ(out.partial_path(), folder / "x.tm2.partial");
  CHECK(!std::filesystem::exists(folder / "x.tm2"));
  const uint64_t size = out.finish();
  out.publish();
  CHECK(!std::filesystem::exists(folder / "x.tm2.partial"));
  const auto bytes = model_reader::read_bytes(folder / "x.tm2");
  CHECK_EQ(bytes.size(), size);
  // Header 64, metadata 16 + 8, 16 + 8, 16 + 16, 16 + 8 -> 104, table at 192, 3 entries, tokenizer at 576, data from 640.
  using model_reader::at;
  CHECK_EQ(at<uint32_t>(bytes, 16), 64u);
  CHECK_EQ(at<uint32_t>(bytes, 20), 104u);
  CHECK_EQ(at<uint32_t>(bytes, 24), 192u);
  CHECK_EQ(at<uint64_t>(bytes, 32), 576u);
  CHECK_EQ(at<uint64_t>(bytes, 40), 3u);
  const uint64_t offsets[] = {640 + 128 + 2048 + 128, 640 + 128, 640};  // a, m, z
  for (size_t i = 0; i < 3; i++)
    CHECK_EQ(at<uint64_t>(bytes, 192 + 128 * i + 88), offsets[i]);
  CHECK_EQ(at<uint64_t>(bytes, 192 + 128 + 104), 640u + 128 + 2048);
  CHECK_EQ(at<uint64_t>(bytes, 192 + 104) + at<uint64_t>(bytes, 192 + 256 + 104), 0u);
  CHECK_EQ(size, 640u + 128 + 2048 + 128 + 64);
  CHECK_EQ(convert::data_bytes({"x", {3, 17, 33}, Format::I8}), 3u * 2048);
  CHECK_EQ(convert::scale_values({"x", {3, 17, 33}, Format::I8, Scale::row}), 3u * 32);
  CHECK_EQ(convert::scale_values({"x", {3, 17, 33}, Format::T2, Scale::tensor}), 3u);
  CHECK_EQ(convert::scale_values({"x", {17}, Format::F32, Scale::none}), 0u);
}

}  // namespace
