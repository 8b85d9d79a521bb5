// The recurrent families: checkpoints, real and of random weights, against the logits that independent programs computed from
// them, damaged ones, and what holds for these families alone.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>

#include "check.h"
#include "convert/convert.h"
#include "convert/source/pth.h"
#include "data_path.h"
#include "files.h"
#include "golden_logits.h"
#include "make_model.h"
#include "make_recurrent.h"

using namespace edgellm;

namespace {

std::string convert_f32(const std::string& source) {
  convert::Options options;
  options.formats = {Format::F32, Format::F32, Format::F32};
  options.source = source;
  options.destination = temporary_path("converted.tm2");
  options.tokenizer = std::filesystem::exists(source + "/prompt.txt") ? "" : "none";
  std::ostringstream report;
  convert::convert(options, report, false);
  return options.destination;
}

// --- Checkpoints -----------------------------------------------------------------------------------------------------------

void check_checkpoint(const std::string& name) {
  if (!std::filesystem::exists(data_path("checkpoints/" + name))) SKIP(no_data("checkpoints/" + name));
  std::string path = convert_f32(data_path("checkpoints/" + name).string());
  std::vector<u8> prompt = read_array<u8>(data_path("checkpoints/" + name + "/prompt.txt").string());
  std::vector<f32> expected = read_array<f32>(data_path("checkpoints/" + name + "/expected-logits.f32").string());
  EngineOptions engine;
  engine.threads = 1;
  engine.text_bytes = 64;
  OpenEngine open(engine, path);
  CHECK(open.engine.has_tokenizer);
  const size_t vocab = static_cast<size_t>(open.engine.model.vocab);
  CHECK_EQ(expected.size(), vocab);
  const std::vector<i32> ids(prompt.begin(), prompt.end());
  for (i64 step : {static_cast<i64>(ids.size()), i64{1}}) {
    open.run_anew(ids, step);
    f32 worst = 0;
    for (size_t i = 0; i < vocab; i++)
      worst = std::max(worst, std::fabs(logits_row(open.engine, 0)[i] - expected[i]));
    std::printf("%s: largest difference of a logit %g\n", name.c_str(), static_cast<double>(worst));
    CHECK(worst <= 1e-4f);
  }
}

// Models of transformers with odd shapes and random weights (tools/golden/recurrent_golden.py).
void check_golden(const std::string& name, const std::string& file = "") {
  EngineOptions options;
  options.f32_activations = true;
  check_logits(name, logits_of(convert_f32("tests/golden/recurrent/" + name + file), 64, options),
               read_array<f32>("tests/golden/recurrent/" + name + "/logits.f32"));
}

// --- Models of random weights ----------------------------------------------------------------------------------------------

EngineOptions small() {
  EngineOptions options;
  options.threads = 1;
  options.tokens = 16;
  return options;
}

std::string model_file(const RecurrentRecipe& recipe) {
  const std::string path = temporary_path("recurrent.tm2");
  write_model(recipe, path);
  return path;
}

// Zeros among the codes of the squared ReLUs, and how many codes there are, over the ids.
ZeroCodes count_zeros(OpenEngine& open, const std::vector<i32>& ids, i64 step) {
  ZeroCodes& counted = *open.engine.model.zero_codes;
  counted = {};
  open.run_anew(ids, step);
  CHECK_EQ(counted.codes, i64{0});
  counted.counting = true;
  open.run_anew(ids, step);
  return counted;
}

void check_zero_codes(const RecurrentShape& model, const convert::Rwkv& shape) {
  constexpr i32 TOKENS = 45;
  OpenEngine open(small(), model_file({.shape = model, .weights = Format::I8}));
  const std::vector<i32> ids = timeline(TOKENS, open.engine.model.vocab);
  const ZeroCodes whole = count_zeros(open, ids, TOKENS), single = count_zeros(open, ids, 1);
  CHECK_EQ(whole.codes, shape.layers * shape.ffn_dim * TOKENS);
  CHECK(whole.percent() > 40 && whole.percent() < 80);  // half of random sums are below 0, and small squares round to it
  CHECK_EQ(whole.zeros, single.zeros);
  CHECK_EQ(whole.codes, single.codes);
}

}  // namespace

TEST(zero_codes) {
  check_zero_codes(rwkv7(SMALL7), SMALL7);
  check_zero_codes(rwkv4(ODD4), ODD4);
}

TEST(rwkv7_checkpoint) {
  check_checkpoint("rwkv7-834K");
}

TEST(rwkv4_checkpoint) {
  check_checkpoint("rwkv4-660K");
}

TEST(rwkv4_of_transformers) {
  check_golden("rwkv4");
  check_golden("rwkv4", "/rwkv4.pth");
}

TEST(mamba_of_transformers) {
  check_golden("mamba");
  check_golden("mamba_untied");
  check_golden("mamba_own_head");  // though its configuration says that it is tied
}

TEST(mamba2_of_transformers) {
  check_golden("mamba2");
  check_golden("mamba2_limits");  // of the step size
  check_golden("mamba2_upper");
  check_golden("mamba2_bounds");
}

// A checkpoint cut short or with a byte changed is refused or read; the archive's own records and the pickle are at both ends.
TEST(damaged_pth) {
  const std::vector<u8> whole = read_array<u8>("tests/golden/recurrent/rwkv4/rwkv4.pth");
  const std::string path = temporary_path("damaged.pth");
  i32 refused = 0;
  auto attempt = [&](const std::vector<u8>& bytes) {
    std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<i64>(bytes.size()));
    try {
      convert::read_pth(path);
    } catch (const convert::Error&) {
      refused++;
    }
  };
  constexpr size_t PARTS = 60;
  for (size_t i = 0; i < PARTS; i++)
    attempt({whole.begin(), whole.begin() + static_cast<i64>(whole.size() * i / PARTS)});
  CHECK_EQ(refused, static_cast<i32>(PARTS));
  for (size_t i = 0; i < 1500; i++) {
    std::vector<u8> bytes = whole;
    bytes[i % 3 ? i * 4 : whole.size() - 1 - i * 4] ^= static_cast<u8>(1u << (i % 8));
    attempt(bytes);
  }
  CHECK(refused > static_cast<i32>(PARTS));
}

// Its parallel form, against our recurrent one.
TEST(retnet) {
  check_golden("retnet");
  check_golden("retnet_tied");
}

// The state has one size, however long the text is, and the context is no bound.
TEST(texts_may_be_longer_than_the_context) {
  const std::string path = model_file({.shape = rwkv7(SMALL7), .weights = Format::F32});
  EngineOptions short_one = small(), long_one = small();
  short_one.context = 64;
  long_one.context = 1 << 20;
  OpenEngine a(short_one, path), b(long_one, path);
  CHECK_EQ(a.engine.arena_bytes, b.engine.arena_bytes);
  std::vector<i32> ids;
  for (i32 i = 0; i < 1000; i++)
    ids.push_back((i * 7 + i / 67) % a.engine.model.vocab);
  a.run(0, ids);
  b.run(0, ids);
  CHECK_EQ(logits_hash(a.engine, 0), logits_hash(b.engine, 0));
}

TEST(bounds_of_the_step_size_that_make_no_sense_are_refused) {
  constexpr f32 INFINITE = std::numeric_limits<f32>::infinity(), NOT_A_NUMBER = std::numeric_limits<f32>::quiet_NaN();
  struct Bounds {
    f32 low, high;
    const char* wrong;  // the key that the error names; null: the file opens
  };
  const Bounds all[] = {{0, 0, nullptr},       {0.01f, 0.01f, nullptr},     {0, INFINITE, "dt_max"},
                        {-0.01f, 1, "dt_min"}, {NOT_A_NUMBER, 1, "dt_min"}, {0.2f, 0.1f, "dt_max"},
                        {0, -1, "dt_max"},     {0, NOT_A_NUMBER, "dt_max"}};
  for (const Bounds& bounds : all) {
    const std::string path = model_file({.shape = bounded(mamba2(SMALL2), bounds.low, bounds.high)});
    Span<const u8> map;
    CHECK(map_file(path.c_str(), {}, &map).ok());
    EngineOptions options = small();
    options.file = map;
    Engine engine;
    Status status = open_engine(options, &engine);
    CHECK(status.code() == (bounds.wrong ? Code::bad_model : Code::ok));
    if (status.ok()) close_engine(engine);
    if (bounds.wrong) CHECK(std::strstr(status.text(), bounds.wrong));
    release_memory(map);
  }
}

// A weight that is not a number must not turn into a step size that is one of the bounds.
TEST(a_step_size_that_is_not_a_number_is_an_error) {
  const std::string path = model_file({.shape = bounded(mamba2(SMALL2), 0.06f, 0.09f), .weights = Format::F32});
  std::vector<u8> bytes = read_array<u8>(path);
  FileHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  std::FILE* file = std::fopen(path.c_str(), "r+b");
  for (u32 i = 0; i < header.tensor_count; i++) {
    TensorEntry entry;
    std::memcpy(&entry, bytes.data() + header.tensor_offset + i * sizeof entry, sizeof entry);
    if (std::strcmp(entry.name, "layers.1.dt_bias") != 0) continue;
    const f32 value = std::numeric_limits<f32>::quiet_NaN();
    std::fseek(file, static_cast<long>(entry.offset), SEEK_SET);
    CHECK_EQ(std::fwrite(&value, sizeof value, 1, file), size_t{1});
  }
  std::fclose(file);
  OpenEngine open(small(), path);
  const i32 id = 3;
  Step step = {&open.engine.sessions[0], {&id, 1}, Wanted::last};
  Status status = forward(open.engine, {&step, 1});
  CHECK(status.code() == Code::failed && std::strstr(status.text(), "layer 1"));
}
