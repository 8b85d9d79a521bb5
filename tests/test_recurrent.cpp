// The recurrent families: real checkpoints against the logits that independent programs computed from them, and the same bits
// over kernel sets, threads, chunks and batches for models of random weights in every format.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

#include "base/random.h"
#include "check.h"
#include "convert/convert.h"
#include "convert/family/mamba.h"
#include "convert/family/retnet.h"
#include "convert/family/rwkv.h"
#include "convert/output/encode.h"
#include "convert/output/plan.h"
#include "convert/source/pth.h"
#include "data_path.h"
#include "make_model.h"
#include "open_engine.h"
#include "platform/cpu.h"

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
  std::vector<u8> prompt = read_bytes(data_path("checkpoints/" + name + "/prompt.txt").string());
  std::vector<u8> expected = read_bytes(data_path("checkpoints/" + name + "/expected-logits.f32").string());
  EngineOptions engine;
  engine.threads = 1;
  engine.text_bytes = 64;
  OpenEngine open(engine, path);
  CHECK(open.engine.has_tokenizer);
  const size_t vocab = static_cast<size_t>(open.engine.model.vocab);
  CHECK_EQ(expected.size(), vocab * sizeof(f32));
  for (bool whole : {true, false}) {
    open.engine.sessions[0].position = 0;
    std::vector<i32> ids(prompt.begin(), prompt.end());
    if (whole) {
      open.run(0, ids);
    } else {
      for (i32 id : ids)
        open.run(0, {id});
    }
    f32 worst = 0;
    for (size_t i = 0; i < vocab; i++) {
      f32 wanted;
      std::memcpy(&wanted, &expected[i * sizeof(f32)], sizeof wanted);
      worst = std::max(worst, std::fabs(logits_row(open.engine, 0)[i] - wanted));
    }
    std::printf("%s: largest difference of a logit %g\n", name.c_str(), static_cast<double>(worst));
    CHECK(worst <= 1e-4f);
  }
}

// Models of transformers with odd shapes and random weights (tools/golden/recurrent_golden.py).
void check_golden(const std::string& name, const std::string& file = "") {
  constexpr i32 POSITIONS = 64;
  std::string path = convert_f32("tests/golden/recurrent/" + name + file);
  std::vector<u8> bytes = read_bytes("tests/golden/recurrent/" + name + "/logits.f32");
  EngineOptions options;
  options.threads = 1;
  options.f32_activations = true;
  options.columns = options.logits = POSITIONS;
  OpenEngine open(options, path);
  const i32 vocab = open.engine.model.vocab;
  std::vector<f32> expected(bytes.size() / sizeof(f32));
  std::memcpy(expected.data(), bytes.data(), bytes.size());
  CHECK_EQ(expected.size(), static_cast<size_t>(POSITIONS * vocab));
  std::vector<i32> ids;
  for (i32 i = 0; i < POSITIONS; i++)
    ids.push_back((i * i * 31 + 7 * i + 1) % vocab);
  if (!open.run(0, ids, Wanted::all)) return;
  f32 worst = 0;
  for (i32 i = 0; i < POSITIONS; i++) {
    for (i32 v = 0; v < vocab; v++)
      worst = std::max(worst, std::fabs(logits_row(open.engine, i)[v] - expected[static_cast<size_t>(i * vocab + v)]));
  }
  auto [least, most] = std::minmax_element(expected.begin(), expected.end());
  std::printf("%s: largest difference of a logit %g of the range\n", name.c_str(),
              static_cast<double>(worst / (*most - *least)));
  CHECK(worst <= 2e-4f * (*most - *least));
}

// --- The same bits ---------------------------------------------------------------------------------------------------------

struct Source {
  convert::Family family;
  convert::Model model() const { return convert::random_model(family); }
};

Source rwkv7(convert::Rwkv shape) {
  shape.version = 7;
  return {convert::rwkv_family(shape)};
}

Source rwkv4(convert::Rwkv shape) {
  shape.version = 4;
  return {convert::rwkv_family(shape)};
}

const convert::Rwkv SMALL7 = {.layers = 3,
                              .dim = 48,
                              .ffn_dim = 112,
                              .vocab = 67,
                              .head_dim = 16,
                              .rank_w = 8,
                              .rank_a = 6,
                              .rank_v = 5,
                              .rank_g = 20};
const convert::Rwkv ODD7 = {.layers = 2,
                            .dim = 35,
                            .ffn_dim = 61,
                            .vocab = 33,
                            .head_dim = 7,
                            .rank_w = 3,
                            .rank_a = 1,
                            .rank_v = 40,
                            .rank_g = 9,
                            .tied = true};
const convert::Rwkv SMALL4 = {.layers = 3, .dim = 48, .ffn_dim = 112, .vocab = 67, .att_dim = 48};
const convert::Rwkv ODD4 = {.layers = 2, .dim = 35, .ffn_dim = 61, .vocab = 33, .att_dim = 301};

Source mamba(convert::Mamba shape) {
  shape.version = 1;
  return {convert::mamba_family(shape)};
}

Source mamba2(convert::Mamba shape) {
  shape.version = 2;
  return {convert::mamba_family(shape)};
}

// Bounds of the step size.
Source bounded(Source source, f32 low, f32 high) {
  source.family.metadata.emplace_back("dt_min", low);
  source.family.metadata.emplace_back("dt_max", high);
  return source;
}

const convert::Mamba SMALL1 = {.layers = 3, .dim = 48, .vocab = 67, .inner = 96, .rank = 3};
const convert::Mamba ODD1 = {
    .layers = 2, .dim = 35, .states = 5, .taps = 3, .vocab = 33, .inner = 301, .rank = 7, .conv_bias = false, .tied = false};
const convert::Mamba SMALL2 = {.layers = 3, .dim = 48, .states = 16, .vocab = 67, .heads = 6, .head_dim = 16, .groups = 2};
const convert::Mamba ODD2 = {.layers = 2,
                             .dim = 35,
                             .states = 7,
                             .taps = 2,
                             .vocab = 33,
                             .heads = 3,
                             .head_dim = 11,
                             .conv_bias = false,
                             .tied = false};

const convert::RetNet SMALL_RETNET = {.layers = 3, .dim = 48, .value_dim = 96, .ffn_dim = 80, .heads = 3, .vocab = 67};
const convert::RetNet ODD_RETNET = {.layers = 2,
                                    .dim = 30,
                                    .value_dim = 85,
                                    .ffn_dim = 33,
                                    .heads = 5,
                                    .vocab = 33,
                                    .embed_norm = false,
                                    .lm_decay = true,
                                    .tied = true};

Source retnet(const convert::RetNet& shape) {
  return {convert::retnet_family(shape)};
}

struct Variant {
  const char* name;
  Source source;
  convert::Formats formats;
  bool token;  // int8 activations of one scale a token
  bool f32_activations;
  u64 hash;                            // of the logits after `timeline`, the same on every machine
  std::optional<Format> thinned = {};  // the i8 matrices with four weights of five 0, in this format
};

const std::vector<Variant>& variants() {
  static const std::vector<Variant> list = {
#include "recurrent_variants.def"
  };
  return list;
}

// Another tensor with zeros, the same in every format.
class Thinned : public convert::Tensor {
 public:
  explicit Thinned(std::unique_ptr<Tensor> tensor)
      : Tensor(tensor->name, tensor->role, tensor->rows, tensor->cols), tensor_(std::move(tensor)) {}
  void values(i64 row, i64 count, f32* out) const override {
    tensor_->values(row, count, out);
    for (i64 i = 0; i < count * cols; i++) {
      if (random_bits(3, static_cast<u64>(row * cols + i)) % 5) out[i] = 0;
    }
  }

 private:
  std::unique_ptr<Tensor> tensor_;
};

void thin(Format format, convert::Target* target) {
  if (target->spec.format != Format::I8 || target->spec.activations != Quantization::token) return;
  target->tensor = std::make_unique<Thinned>(std::move(target->tensor));
  target->spec.format = format;
  if (sparse(format)) target->spec.places = convert::sparse_places(*target->tensor, format);
}

void write_random(const Variant& variant, const std::string& path) {
  convert::Model model = variant.source.model();
  model.bitnet = variant.token;
  convert::Metadata metadata = model.metadata;
  std::vector<convert::Target> targets = convert::plan(std::move(model), variant.formats);
  if (variant.thinned) {
    for (convert::Target& target : targets)
      thin(*variant.thinned, &target);
  }
  std::vector<convert::TensorSpec> specs;
  for (const convert::Target& target : targets)
    specs.push_back(target.spec);
  convert::FileWriter writer(path);
  writer.begin(metadata, specs, {});
  for (const convert::Target& target : targets)
    convert::encode(*target.tensor, target.spec, writer, [](u64) {});
  writer.finish();
  writer.publish();
}

constexpr size_t TOKENS = 45;

std::vector<i32> timeline(i32 vocab) {
  std::vector<i32> ids;
  for (i32 i = 0; i < static_cast<i32>(TOKENS); i++)
    ids.push_back((i * i * 31 + 7 * i + 1) % vocab);
  return ids;
}

EngineOptions options_for(const Variant& variant) {
  EngineOptions options;
  options.threads = 1;
  options.f32_activations = variant.f32_activations;
  options.columns = 16;
  return options;
}

u64 run(OpenEngine& open, size_t step) {
  std::vector<i32> ids = timeline(open.engine.model.vocab);
  open.engine.sessions[0].position = 0;
  for (size_t at = 0; at < ids.size(); at += step) {
    std::vector<i32> part(ids.begin() + static_cast<i64>(at),
                          ids.begin() + static_cast<i64>(std::min(at + step, ids.size())));
    if (!open.run(0, part)) return 0;
  }
  return logits_hash(open.engine, 0);
}

template <class Body>
void for_each_variant(Body body) {
  for (const Variant& variant : variants()) {
    std::string path = temporary_path("recurrent.tm2");
    write_random(variant, path);
    body(variant, path);
  }
}

// Zeros among the codes of the squared ReLUs, and how many codes there are, over the timeline.
ZeroCodes count_zeros(OpenEngine& open, size_t step) {
  ZeroCodes& counted = *open.engine.model.zero_codes;
  counted = {};
  run(open, step);
  CHECK_EQ(counted.codes, i64{0});
  counted.counting = true;
  run(open, step);
  return counted;
}

void check_zero_codes(const Source& source, const convert::Rwkv& shape) {
  const Variant variant = {"", source, {Format::I8, {}, {}}, false, false, 0};
  const std::string path = temporary_path("recurrent.tm2");
  write_random(variant, path);
  OpenEngine open(options_for(variant), path);
  const ZeroCodes whole = count_zeros(open, TOKENS), single = count_zeros(open, 1);
  CHECK_EQ(whole.codes, shape.layers * shape.ffn_dim * i64{TOKENS});
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
  const std::vector<u8> whole = read_bytes("tests/golden/recurrent/rwkv4/rwkv4.pth");
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

TEST(committed_hashes_hold) {
  for_each_variant([](const Variant& variant, const std::string& path) {
    OpenEngine open(options_for(variant), path);
    u64 hash = run(open, TOKENS);
    if (hash != variant.hash) std::fprintf(stderr, "%s: 0x%016llx\n", variant.name, static_cast<unsigned long long>(hash));
    CHECK_EQ(hash, variant.hash);
  });
}

TEST(every_kernel_set_and_step) {
  for_each_variant([](const Variant& variant, const std::string& path) {
    for (i32 isa = 0; isa_name(isa); isa++) {
      if (isa_features(isa) & ~cpu_features()) continue;
      EngineOptions options = options_for(variant);
      options.isa = isa_name(isa);
      OpenEngine open(options, path);
      for (size_t step : {TOKENS, size_t{7}, size_t{1}})
        CHECK_EQ(run(open, step), variant.hash);
    }
  });
}

TEST(every_thread_count) {
  for_each_variant([](const Variant& variant, const std::string& path) {
    for (i32 threads : {2, 3, 8}) {
      EngineOptions options = options_for(variant);
      options.threads = threads;
      OpenEngine open(options, path);
      for (size_t step : {TOKENS, size_t{1}})
        CHECK_EQ(run(open, step), variant.hash);
    }
  });
}

// Five sessions at different places of different texts, in one batch: each as if it were alone.
TEST(a_batch_is_each_alone) {
  constexpr i32 SESSIONS = 5;
  for_each_variant([](const Variant& variant, const std::string& path) {
    EngineOptions options = options_for(variant);
    options.sessions = SESSIONS;
    OpenEngine open(options, path);
    Engine& engine = open.engine;
    std::vector<i32> texts[SESSIONS];
    Step steps[SESSIONS];
    for (i32 s = 0; s < SESSIONS; s++) {
      for (i32 i = 0; i < 9 + 6 * s; i++)
        texts[s].push_back((i * (s + 3) + s) % engine.model.vocab);
      steps[s] = {&engine.sessions[s], {texts[s].data(), static_cast<i64>(texts[s].size())}, Wanted::last};
    }
    CHECK(forward(engine, {steps, SESSIONS}).ok());
    u64 together[SESSIONS];
    for (i32 s = 0; s < SESSIONS; s++)
      together[s] = logits_hash(engine, s);
    for (i32 s = 0; s < SESSIONS; s++) {
      engine.sessions[0].position = 0;
      open.run(0, texts[s]);
      CHECK_EQ(logits_hash(engine, 0), together[s]);
    }
  });
}

TEST(all_rows_are_the_rows_of_single_steps) {
  for_each_variant([](const Variant& variant, const std::string& path) {
    EngineOptions options = options_for(variant);
    options.logits = options.columns = static_cast<i32>(TOKENS);
    OpenEngine open(options, path);
    std::vector<i32> ids = timeline(open.engine.model.vocab);
    open.run(0, ids, Wanted::all);
    u64 rows[TOKENS];
    for (size_t i = 0; i < TOKENS; i++)
      rows[i] = logits_hash(open.engine, static_cast<i32>(i));
    open.engine.sessions[0].position = 0;
    for (size_t i = 0; i < TOKENS; i++) {
      open.run(0, {ids[i]});
      CHECK_EQ(logits_hash(open.engine, 0), rows[i]);
    }
  });
}

// A state is flat bytes: copied into another session, the timeline goes on there with the same bits.
TEST(a_copied_state_goes_on) {
  for_each_variant([](const Variant& variant, const std::string& path) {
    EngineOptions options = options_for(variant);
    options.sessions = 2;
    OpenEngine open(options, path);
    std::vector<i32> ids = timeline(open.engine.model.vocab);
    Session *a = &open.engine.sessions[0], *b = &open.engine.sessions[1];
    open.run(0, {ids.begin(), ids.begin() + 20});
    std::memcpy(b->state, a->state, static_cast<size_t>(open.engine.model.state_bytes));
    b->position = a->position;
    open.run(1, {ids.begin() + 20, ids.end()});
    CHECK_EQ(logits_hash(open.engine, 0), variant.hash);
  });
}

// The state has one size, however long the text is, and the context is no bound.
TEST(texts_may_be_longer_than_the_context) {
  const Variant& variant = variants().front();
  std::string path = temporary_path("long.tm2");
  write_random(variant, path);
  EngineOptions small = options_for(variant), large = small;
  small.context = 64;
  large.context = 1 << 20;
  OpenEngine a(small, path), b(large, path);
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
    const Variant variant = {"", bounded(mamba2(SMALL2), bounds.low, bounds.high), {}, false, false, 0};
    std::string path = temporary_path("bounds.tm2");
    write_random(variant, path);
    Span<const u8> map;
    CHECK(map_file(path.c_str(), {}, &map).ok());
    EngineOptions options = options_for(variant);
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
  const Variant variant = {"", bounded(mamba2(SMALL2), 0.06f, 0.09f), {Format::F32, {}, {}}, false, false, 0};
  std::string path = temporary_path("nan.tm2");
  write_random(variant, path);
  std::vector<u8> bytes = read_bytes(path);
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
  OpenEngine open(options_for(variant), path);
  const i32 id = 3;
  Step step = {&open.engine.sessions[0], {&id, 1}, Wanted::last};
  Status status = forward(open.engine, {&step, 1});
  CHECK(status.code() == Code::failed && std::strstr(status.text(), "layer 1"));
}
