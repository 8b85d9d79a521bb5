// The transformer families against what transformers computes of the same weights (tools/golden/transformer_golden.py): whole
// models in f32, whole models and single matrices of ternary weights and int8 activations.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <sstream>

#include "arch/batch.h"
#include "base/random.h"
#include "convert_checks.h"
#include "golden_logits.h"
#include "model_reader.h"

using namespace edgellm;
using sources::HfTensor;
using sources::HfTensors;

namespace {

std::string golden(const std::string& name) {
  return "tests/golden/transformers/" + name;
}

// The tensors of a weights.txt; the script says what its lines mean.
HfTensors make_tensors(const std::string& path) {
  HfTensors tensors;
  std::ifstream file(path);
  std::string line;
  for (u64 number = 1; std::getline(file, line); number++) {
    std::istringstream words(line);
    std::string name, dtype, sizes, kind, word;
    words >> name >> dtype >> sizes >> kind;
    std::vector<f32> numbers;
    while (words >> word)
      numbers.push_back(std::strtof(word.c_str(), nullptr));
    HfTensor tensor{dtype, {}, {}};
    std::istringstream dimensions(sizes);
    size_t count = 1;
    while (std::getline(dimensions, word, 'x')) {
      tensor.shape.push_back(std::stoul(word));
      count *= tensor.shape.back();
    }
    sources::Values values;
    for (size_t i = 0; i < count; i++) {
      const u64 bits = random_bits(number, i);
      auto trit = [bits](int byte) { return static_cast<int>((bits >> (8 * byte) & 255) % 3); };
      if (kind == "packed") {
        tensor.data.push_back(static_cast<char>(trit(0) | trit(1) << 2 | trit(2) << 4 | trit(3) << 6));
      } else if (kind == "ternary") {
        values.push_back(numbers.at(0) * static_cast<f32>(trit(0) - 1));
      } else if (kind == "uniform") {
        values.push_back(numbers.at(0) + numbers.at(1) * static_cast<f32>(static_cast<i8>(bits >> 56)));
      } else if (kind == "fine") {
        values.push_back(numbers.at(0) + numbers.at(1) * static_cast<f32>(static_cast<i64>(bits) >> 44));
      } else {
        values.push_back(numbers.at(0));
      }
    }
    if (kind != "packed") tensor.data = sources::bytes_as(dtype, values);
    tensors[name] = tensor;
  }
  CHECK(!tensors.empty());
  return tensors;
}

std::string convert_golden(const Folder& folder, const std::string& name, convert::Formats formats) {
  sources::write_hf(folder.path, read_file(golden(name) + "/config.json"), make_tensors(golden(name) + "/weights.txt"));
  convert::Options options;
  options.formats = formats;
  options.source = folder.path;
  options.destination = folder / "out.tm2";
  std::ostringstream report;
  convert::convert(options, report, false);
  return options.destination;
}

struct Logits {
  i32 vocab = 0, positions = 0;
  std::vector<i32> ids;                 // after which they are
  std::vector<f32> expected, computed;  // (positions, vocab)

  const f32* row(const std::vector<f32>& logits, i32 position) const {
    return &logits[static_cast<size_t>(position * vocab)];
  }

  // Of the ids that follow, in nats.
  double mean_nll(const std::vector<f32>& logits) const {
    double sum = 0;
    for (i32 i = 0; i + 1 < positions; i++) {
      const f32* y = row(logits, i);
      double total = 0;
      for (i32 v = 0; v < vocab; v++)
        total += std::exp(static_cast<double>(y[v]));
      sum += std::log(total) - static_cast<double>(y[ids[static_cast<size_t>(i + 1)]]);
    }
    return sum / (positions - 1);
  }
};

Logits run_golden(const std::string& name, const std::string& path) {
  EngineOptions options;
  options.kv = KvFormat::F32;
  Logits out;
  out.expected = read_array<f32>(golden(name) + "/logits.f32");
  out.vocab = static_cast<i32>(model_reader::read_model(path).numbers.at("vocab"));
  out.positions = static_cast<i32>(out.expected.size()) / out.vocab;
  CHECK(out.positions >= 64);
  out.ids = timeline(out.positions, out.vocab);
  out.computed = logits_of(path, out.positions, options);
  return out;
}

void check_floats(const std::string& name) {
  Folder folder;
  const Logits logits = run_golden(name, convert_golden(folder, name, {Format::F32, Format::F32, Format::F32}));
  check_logits(name, logits.computed, logits.expected);
}

// Where an activation lies between two codes, the last bit of a norm decides; from there on logits differ a little.
void check_ternary(const std::string& name, convert::Formats formats) {
  Folder folder;
  Logits logits = run_golden(name, convert_golden(folder, name, formats));
  double nll = logits.mean_nll(logits.computed) - logits.mean_nll(logits.expected);
  i32 same = 0;
  for (i32 i = 0; i < logits.positions; i++) {
    const f32 *expected = logits.row(logits.expected, i), *computed = logits.row(logits.computed, i);
    auto top = std::max_element(expected, expected + logits.vocab) - expected;
    auto chosen = std::max_element(computed, computed + logits.vocab) - computed;
    same += top == chosen;
    CHECK(expected[top] - expected[chosen] <= 0.05f * range_of(logits.expected));
  }
  std::printf("%s: largest difference of a logit %.2g of the range, %.2g nats, top token equal at %d of %d\n", name.c_str(),
              static_cast<double>(largest_difference(logits.computed, logits.expected)), nll, same, logits.positions);
  CHECK(std::fabs(nll) < 0.002);
  CHECK(same * 100 >= logits.positions * 98);
}

// One layer alone: its input as int8 codes, and its outputs.
void check_layer(const std::string& name) {
  constexpr i32 INPUTS = 9;
  Folder folder;
  OpenEngine open({}, convert_golden(folder, name, {}));
  ModelFile file;
  CHECK(file.open(open.map).ok());
  i32 rows = 0, cols = 0;
  CHECK(file.number("dim", 1, MAX_COLUMNS, &rows).ok() && file.number("ffn_dim", 1, MAX_COLUMNS, &cols).ok());
  Matrix w;
  CHECK(file.matrix("layers.0.down", rows, cols, &w).ok());
  CHECK(w.format == Format::T2 && w.activations == Quantization::token);

  static u8 memory[1 << 20];
  Arena arena(memory, sizeof memory);
  Input input(arena, INPUTS, cols);
  input.begin(w, false);
  const std::string bytes = make_tensors(golden(name) + "/input.txt").at("input").data;
  std::vector<f32> x(bytes.size() / sizeof(f32));
  std::memcpy(x.data(), bytes.data(), bytes.size());
  for (i32 c = 0; c < INPUTS; c++) {
    for (i32 i = 0; i < cols; i++)
      input.row(c)[i] = std::ldexp(x[static_cast<size_t>(c * cols + i)], -2 * c);
    input.quantise(open.engine.kernels, c);
  }
  std::vector<i8> codes = read_array<i8>(golden(name) + "/codes.i8");
  CHECK_EQ(codes.size(), static_cast<size_t>(INPUTS * cols));
  i32 furthest = 0;
  for (i32 c = 0; c < INPUTS; c++) {
    for (i32 i = 0; i < cols; i++)
      furthest = std::max(furthest, std::abs(input.q[c * input.stride + i] - codes[static_cast<size_t>(c * cols + i)]));
  }

  const i64 stride = align_up(rows, PANEL);
  std::vector<f32> y(static_cast<size_t>(INPUTS * stride)), expected = read_array<f32>(golden(name) + "/outputs.f32");
  CHECK_EQ(expected.size(), static_cast<size_t>(INPUTS * rows));
  matmul(open.engine.kernels, w, input.view(INPUTS), y.data(), stride, 0, rows);
  f32 worst = 0;
  for (i32 c = 0; c < INPUTS; c++) {
    auto from = expected.begin() + c * rows;
    auto [least, most] = std::minmax_element(from, from + rows);
    for (i32 r = 0; r < rows; r++)
      worst = std::max(worst, std::fabs(y[static_cast<size_t>(c * stride + r)] - from[r]) / (*most - *least));
  }
  std::printf("%s: one layer's codes differ by at most %d, its outputs by %.2g of their range\n", name.c_str(), furthest,
              static_cast<double>(worst));
  CHECK(furthest <= 1);
  CHECK(worst <= 1e-5f);
}

}  // namespace

TEST(llama) {
  check_floats("llama");
  check_floats("llama_bias");
}

TEST(mistral) {
  check_floats("mistral");
  check_floats("mistral_yarn");
}

TEST(qwen2) {
  check_floats("qwen2");
  check_floats("qwen2_window");
}

TEST(qwen3) {
  check_floats("qwen3");
  check_floats("qwen3_tied");
}

TEST(phi) {
  check_floats("phi");
  check_floats("phi_tied");
}

TEST(bitnet) {
  check_floats("bitnet");
  check_floats("bitnet_untied");
}

TEST(bitnet_of_the_older_spelling) {
  check_floats("bitnet_old");
  check_floats("bitnet_old_untied");
}

// Further than the windows reach, and than the context that the model was trained for.
TEST(windows_in_some_layers) {
  check_floats("qwen2_some_windows");
  check_floats("qwen3_some_windows");
}

TEST(window_beyond_the_context) {
  check_floats("mistral_far");
}

// Up to its limit; further no session goes.
TEST(dynamic_rotary_scaling) {
  check_floats("llama_dynamic");
  Folder folder;
  const std::string path = convert_golden(folder, "llama_dynamic", {Format::F32, Format::F32, Format::F32});
  Span<const u8> map;
  CHECK(map_file(path.c_str(), {}, &map).ok());
  EngineOptions options;
  options.file = map;
  options.threads = 1;
  for (i32 context : {160, 161}) {
    options.context = context;
    Engine engine;
    const Status status = open_engine(options, &engine);
    CHECK_EQ(status.ok(), context == 160);
    if (status.ok()) close_engine(engine);
  }
  release_memory(map);
}

// A head of its own though the configuration says that it is tied, biases and a share of rotated channels that the class does
// not have.
TEST(what_transformers_does_not_use) {
  check_floats("llama_own_head");
}

// Without quantization_config transformers computes with the floats of the file.
TEST(bitnet_floats) {
  check_floats("bitnet_floats");
}

// The matrices as packed codes whose scale multiplies, or divides, as codes in floats, and as master weights.
const char* const TERNARY[] = {"ternary_bitnet", "ternary_falcon", "ternary_codes", "ternary_master"};

TEST(ternary_layers) {
  for (const char* name : TERNARY)
    check_layer(name);
}

TEST(ternary_models) {
  for (const char* name : TERNARY)
    check_ternary(name, {std::nullopt, Format::F32, Format::F32});
}

// What Phi's feed-forward applies is the tanh form of GELU under its three names, and nothing else.
TEST(activations_of_phi) {
  const std::string config = read_file(golden("phi") + "/config.json");
  for (const char* name : {"gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu", "relu", "silu", "quick_gelu", ""}) {
    Folder folder;
    const std::string field = std::string(",\"hidden_act\":\"") + name + "\"}";
    sources::write_hf(folder.path, config.substr(0, config.rfind('}')) + field,
                      make_tensors(golden("phi") + "/weights.txt"));
    if (std::string(name).starts_with("gelu_")) {
      CHECK_EQ(convert_checks::converted(folder, folder.path).texts.at("gate"), std::string("gelu"));
    } else {
      CHECK(contains(convert_checks::failure(folder, folder.path),
                     std::string("hidden_act \"") + name + "\" is not supported (gelu_new)"));
    }
  }
}
