// Every key and tensor of every family, as docs/FILE.md lists them: what is said when it is not there, of another type or shape, or
// beyond its limits, and that its least and most are still taken. Files are taken apart and put together again by hand.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "check.h"
#include "engine/engine.h"
#include "files.h"
#include "make_model.h"
#include "make_recurrent.h"
#include "raw_model_file.h"

using namespace edgellm;

namespace {

struct Value {
  u32 type;
  std::vector<u8> bytes;

  static Value number(u32 value) { return of(1, &value, 4); }
  static Value real(f32 value) { return of(2, &value, 4); }
  static Value text(const std::string& value) { return of(3, value.data(), value.size()); }
  static Value numbers(const std::vector<u32>& values) { return of(4, values.data(), 4 * values.size()); }
  static Value of(u32 type, const void* data, size_t size) {
    const u8* bytes = static_cast<const u8*>(data);
    return {type, {bytes, bytes + size}};
  }
};

// A file in parts.
struct TakenApart {
  std::map<std::string, Value> metadata;
  std::vector<TensorEntry> entries;
  std::vector<u8> rest;
  u64 rest_at;

  explicit TakenApart(const std::string& path) {
    const std::vector<u8> b = read_array<u8>(path);
    using model_reader::at;
    for (size_t o = at<u32>(b, 16), end = o + at<u32>(b, 20); o < end;) {
      const size_t key = b[o + 1], value = o + raw::round_up(8 + key, 8), size = at<u32>(b, o + 4);
      metadata[std::string(b.begin() + static_cast<i64>(o + 8), b.begin() + static_cast<i64>(o + 8 + key))] =
          Value::of(b[o], b.data() + value, size);
      o = value + raw::round_up(size, 8);
    }
    entries.resize(at<u32>(b, 28));
    rest_at = at<u32>(b, 24) + 128 * entries.size();
    std::memcpy(entries.data(), b.data() + at<u32>(b, 24), 128 * entries.size());
    rest.assign(b.begin() + static_cast<i64>(rest_at), b.end());
  }

  // What the engine says of it.
  std::string says() const {
    raw::File file;
    for (const auto& [key, value] : metadata)
      file.metadata.add(value.type, key, value.bytes.data(), value.bytes.size());
    file.entries = entries;
    const u64 moved = file.table_at() + 128 * entries.size() - rest_at;  // may be less than nothing, in 64 bits
    for (TensorEntry& entry : file.entries) {
      entry.offset += moved;
      if (entry.scale_offset) entry.scale_offset += moved;
    }
    file.rest = rest;
    file.lay_out(0);
    Aligned copy(file.bytes());
    EngineOptions options;
    options.file = copy.span;
    options.context = 5;  // as `context_limit` may be
    options.tokens = 2;
    Engine engine;
    Status status = plan_engine(options, &engine);
    CHECK(status.ok() || status.code() == Code::bad_model);
    return status.text();
  }

  std::string with(const std::string& key, const Value& value) const {
    TakenApart changed = *this;
    changed.metadata[key] = value;
    return changed.says();
  }
  std::string without(const std::string& key) const {
    TakenApart changed = *this;
    changed.metadata.erase(key);
    return changed.says();
  }
};

template <class Recipe>
TakenApart made(const Recipe& recipe) {
  const std::string path = temporary_path("family.tm2");
  write_model(recipe, path);
  TakenApart parts(path);
  CHECK_EQ(parts.says(), "");
  return parts;
}

TakenApart transformer() {
  ModelRecipe recipe;
  recipe.biases = recipe.head_norms = true;
  recipe.tied = false;
  return made(recipe);
}

TakenApart phi() {
  ModelRecipe recipe;
  recipe.phi = recipe.layer_norm_kind = true;
  recipe.sub_norms = false;
  return made(recipe);
}

const std::map<std::string, TakenApart>& families() {
  static const std::map<std::string, TakenApart> all = {
      {"transformer", transformer()},
      {"phi", phi()},
      {"rwkv7", made(RecurrentRecipe{rwkv7(SMALL7)})},
      {"rwkv4", made(RecurrentRecipe{rwkv4(SMALL4)})},
      {"mamba", made(RecurrentRecipe{mamba(SMALL1)})},
      {"mamba2", made(RecurrentRecipe{bounded(mamba2(SMALL2), 0.001f, 100)})},
      {"retnet", made(RecurrentRecipe{.shape = retnet(SMALL_RETNET), .weights = Format::I8})},
  };
  return all;
}

std::string is(const std::string& key, const std::string& what) {
  return "metadata: \"" + key + "\" is " + what;
}

std::string fixed(f32 value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.9f", static_cast<double>(value));
  return text;
}

}  // namespace

TEST(whole_numbers_of_families) {
  constexpr u32 COLUMNS = 131072, MANY = 1 << 24;
  struct Key {
    const char* key;
    u32 least, most;
    bool required = true, listed = false;  // may be a list, a number for each layer
  };
  const Key common[] = {{"layers", 1, 1024},
                        {"dim", 1, COLUMNS},
                        {"vocab", 1, MANY},
                        {"context", 1, MANY},
                        {"unit_norms", 0, 1, false},
                        {"bos", 0, MANY - 1, false},
                        {"context_limit", 5, MANY, false}};
  const std::map<std::string, std::vector<Key>> own = {
      {"transformer",
       {{"heads", 1, 4096, true, true},
        {"kv_heads", 1, 4096, true, true},
        {"head_dim", 1, 1024, true, true},
        {"ffn_dim", 1, COLUMNS, true, true},
        {"window", 0, MANY, false, true},
        {"parallel", 0, 1, false}}},
      {"rwkv7", {{"head_dim", 1, 256, true, true}, {"ffn_dim", 1, COLUMNS, true, true}}},
      {"rwkv4", {{"att_dim", 1, COLUMNS, true, true}, {"ffn_dim", 1, COLUMNS, true, true}}},
      {"mamba",
       {{"inner", 1, COLUMNS, true, true},
        {"states", 1, 1024, true, true},
        {"rank", 1, COLUMNS, true, true},
        {"taps", 1, 64, true, true}}},
      {"mamba2",
       {{"heads", 1, 4096, true, true},
        {"head_dim", 1, 1024, true, true},
        {"groups", 1, 4096, true, true},
        {"states", 1, 1024, true, true},
        {"taps", 1, 64, true, true}}},
      {"retnet",
       {{"value_dim", 1, COLUMNS, true, true}, {"heads", 1, 4096, true, true}, {"ffn_dim", 1, COLUMNS, true, true}}}};
  for (const auto& [family, more] : own) {
    const TakenApart& file = families().at(family);
    std::vector<Key> keys(std::begin(common), std::end(common));
    keys.insert(keys.end(), more.begin(), more.end());
    for (const Key& k : keys) {
      const std::string key = k.key, range = ", expected " + std::to_string(k.least) + " to " + std::to_string(k.most);
      CHECK_EQ(file.without(key), k.required ? is(key, "missing") : "");
      for (u32 beyond : {k.least - 1, k.most + 1, 0xffffffffu})
        CHECK_EQ(file.with(key, Value::number(beyond)), is(key, std::to_string(beyond) + range));
      for (u32 within : {k.least, k.most}) {
        CHECK(!contains(file.with(key, Value::number(within)), range));
      }
      CHECK_EQ(file.with(key, Value::real(1)), is(key, "not a whole number"));
      CHECK_EQ(file.with(key, Value::text("1")), is(key, "not a whole number"));
      if (!k.listed) {
        CHECK_EQ(file.with(key, Value::numbers({1})), is(key, "not a whole number"));
        continue;
      }
      u32 layers;
      std::memcpy(&layers, file.metadata.at("layers").bytes.data(), 4);
      CHECK_EQ(file.with(key, Value::numbers(std::vector<u32>(layers + 1))),
               is(key, "a list of " + std::to_string(layers + 1) + " numbers, expected one number or one for each of " +
                           std::to_string(layers) + " layers"));
      std::vector<u32> list(layers);
      const auto plain = file.metadata.find(key);
      if (plain != file.metadata.end()) std::memcpy(list.data(), plain->second.bytes.data(), 4);
      std::fill(list.begin(), list.end(), list[0]);
      CHECK_EQ(file.with(key, Value::numbers(list)), "");
      list.back() = k.most + 1;
      CHECK_EQ(file.with(key, Value::numbers(list)), is(key, std::to_string(k.most + 1) + range));
    }
  }
}

TEST(real_numbers_of_families) {
  constexpr f32 LARGEST = 0x1.fffffep127f;
  struct Key {
    const char *family, *key;
    f32 least, most;
    bool required;
  };
  std::vector<Key> keys = {{"rwkv7", "head_norm_eps", 0, 1, true},
                           {"transformer", "rope_attention_scale", 1e-3f, 1e3f, false},
                           {"retnet", "rope_attention_scale", 1e-3f, 1e3f, false},
                           {"mamba2", "dt_min", 0, LARGEST, false},
                           {"mamba2", "dt_max", 0.001f, LARGEST, false}};
  for (const char* family : {"transformer", "rwkv7", "rwkv4", "mamba", "mamba2", "retnet"}) {
    keys.push_back({family, "norm_eps", 0, 1, true});
    keys.push_back({family, "final_norm_eps", 0, 1, false});
  }
  for (const Key& k : keys) {
    const std::string key = k.key;
    TakenApart file = families().at(k.family);
    if (key == "dt_min") file.metadata.erase("dt_max");
    CHECK_EQ(file.without(key), k.required ? is(key, "missing") : "");
    for (f32 beyond : {std::nextafter(k.least, -1.0f), -1.0f, std::nextafter(k.most, INFINITY), -INFINITY, NAN}) {
      const std::string shown = std::isnan(beyond)   ? "nan"
                                : std::isinf(beyond) ? beyond < 0 ? "-inf" : "inf"
                                                     : fixed(beyond);
      const std::string said = file.with(key, Value::real(beyond)), range = ", expected " + fixed(k.least) + " to ";
      CHECK(said.starts_with(is(key, "")) && contains(said, range));
      if (k.most < LARGEST && std::fabs(beyond) != std::nextafter(0.0f, 1.0f))
        CHECK_EQ(said, is(key, shown + range + fixed(k.most)));
    }
    for (f32 within : {k.least, k.most})
      CHECK_EQ(file.with(key, Value::real(within)), "");
    CHECK_EQ(file.with(key, Value::number(1)), is(key, "not a real number"));
    CHECK_EQ(file.with(key, Value::text("1")), is(key, "not a real number"));
  }
}

TEST(words_of_families) {
  const struct {
    const char *key, *known;
  } words[] = {{"norm", "\"rms\" or \"layer\""},
               {"gate", "\"silu\" or \"relu2\" or \"gelu\""},
               {"rope", "\"half\" or \"interleaved\""}};
  const TakenApart& file = families().at("transformer");
  for (const auto& one : words) {
    const std::string key = one.key;
    CHECK_EQ(file.without(key), "");
    CHECK_EQ(file.with(key, Value::text("tanh")), is(key, "\"tanh\", expected " + std::string(one.known)));
    CHECK_EQ(file.with(key, Value::text("")), is(key, "\"\", expected " + std::string(one.known)));
    CHECK_EQ(file.with(key, Value::number(1)), is(key, "not a text"));
  }
  for (const char* word : {"silu", "relu2", "gelu"})
    CHECK_EQ(file.with("gate", Value::text(word)), "");
  for (const char* word : {"half", "interleaved"})
    CHECK_EQ(file.with("rope", Value::text(word)), "");
  for (const char* word : {"rms", "layer"})
    CHECK_EQ(file.with("norm", Value::text(word)), "");
  CHECK_EQ(file.with("arch", Value::number(1)), is("arch", "not a text"));
  CHECK_EQ(file.with("stop", Value::numbers({})), "");
  CHECK_EQ(file.with("stop", Value::numbers({0xffffffff})), "");
  CHECK_EQ(file.with("stop", Value::number(2)), is("stop", "not a list of whole numbers"));
  CHECK_EQ(file.with("bos", Value::number(66)), "");
  CHECK_EQ(file.with("bos", Value::number(67)), is("bos", "67, the vocabulary has 67 ids"));
}

namespace {

// Whether a model does without the tensor: docs/FILE.md's "optional", and what follows from a head that is `embed`.
bool optional(const std::string& family, const std::string& tensor) {
  const size_t dot = tensor.rfind('.');
  const std::string name = tensor.starts_with("layers.") ? tensor.substr(dot + 1) : tensor;
  auto among = [&](std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(), [&](const char* one) { return name == one; });
  };
  if (among({"head", "head_bias", "norm_bias"})) return true;
  if (family == "transformer" || family == "phi")
    return among({"attn_norm", "ffn_norm", "q_bias", "k_bias", "v_bias", "o_bias", "q_norm", "k_norm", "attn_sub_norm",
                  "gate_bias", "up_bias", "down_bias", "ffn_sub_norm", "attn_norm_bias", "ffn_norm_bias"});
  if (family == "mamba" || family == "mamba2") return name == "conv_bias";
  return family == "retnet" && name == "embed_norm";
}

// Their matrices say the rank of a pair; what is said is about the other one.
bool has_rank(const std::string& family, const std::string& tensor) {
  const std::string name = tensor.substr(tensor.rfind('.') + 1);
  return family == "rwkv7" && name.size() == 2 && name[1] == '1';
}

std::string shape_of(const TensorEntry& e) {
  return e.rank == 1 ? std::to_string(e.shape[0]) : std::to_string(e.shape[0]) + " x " + std::to_string(e.shape[1]);
}

}  // namespace

TEST(tensors_of_families) {
  for (const auto& [family, file] : families()) {
    for (size_t i = 0; i < file.entries.size(); i++) {
      const TensorEntry& entry = file.entries[i];
      const std::string name = entry.name, tensor = "tensor " + name;
      TakenApart changed = file;
      changed.entries.erase(changed.entries.begin() + static_cast<i64>(i));
      const std::string said = changed.says();
      if (!has_rank(family, name) && name != "rope.inv_freq") {
        CHECK_EQ(family + ": " + said,
                 family + ": " + (optional(family, name) ? "" : tensor + " (" + shape_of(entry) + ") is missing"));
      }
      if (name == "rope.inv_freq") continue;  // below
      changed = file;
      TensorEntry& wrong = changed.entries[i];
      if (entry.rank == 1) {
        wrong.shape[0]--;
        wrong.bytes -= 4;
        CHECK_EQ(changed.says(), tensor + ": rank 1 of " + shape_of(wrong) + ", expected a vector of " + shape_of(entry));
        continue;
      }
      if (has_rank(family, name)) continue;
      // A row or a column less, where that leaves as many panels and units.
      for (i32 axis : {0, 1}) {
        wrong = entry;
        wrong.shape[axis]--;
        if (wrong.shape[axis] == 0) continue;
        const Format format = static_cast<Format>(entry.format);
        if (matrix_bytes(format, wrong.shape[0], wrong.shape[1]) != static_cast<i64>(entry.bytes)) continue;
        CHECK_EQ(changed.says(), tensor + ": shape " + shape_of(wrong) + ", expected " + shape_of(entry));
      }
    }
  }
}

TEST(tables_of_frequencies) {
  auto with_pairs = [](const char* family, u32 pairs) {
    TakenApart changed = families().at(family);
    std::vector<TensorEntry>& entries = changed.entries;
    const auto table = std::find_if(entries.begin(), entries.end(),
                                    [](const TensorEntry& entry) { return std::strcmp(entry.name, "rope.inv_freq") == 0; });
    table->shape[0] = pairs;
    table->bytes = u64{4} * pairs;
    table->offset = changed.rest_at;  // with room behind it
    if (pairs == 0) entries.erase(table);
    return changed.says();
  };
  for (u32 pairs : {0u, 1u, 6u})
    CHECK_EQ(with_pairs("transformer", pairs), "");
  CHECK_EQ(with_pairs("transformer", 7), "tensor rope.inv_freq: 7 rotated pairs do not fit a head of 12");
  CHECK_EQ(with_pairs("transformer", 512), "tensor rope.inv_freq: 512 rotated pairs do not fit a head of 12");
  CHECK_EQ(with_pairs("transformer", 513), "tensor rope.inv_freq: rank 1 of 513, expected a vector of 512");
  for (u32 pairs : {0u, 7u, 9u})
    CHECK_EQ(with_pairs("retnet", pairs), "tensor rope.inv_freq: " + std::to_string(pairs) + " rotated pairs, expected 8");
}

TEST(numbers_that_belong_together) {
  const struct {
    const char* family;
    std::vector<std::pair<const char*, u32>> numbers;
    const char* says;  // how it begins
  } cases[] = {
      {"transformer", {{"heads", 5}}, "metadata: 5 heads are not a multiple of 2 kv_heads"},
      {"transformer", {{"heads", 2}, {"kv_heads", 4}}, "metadata: 2 heads are not a multiple of 4 kv_heads"},
      {"transformer",
       {{"heads", 128}, {"head_dim", 1024}},
       "tensor layers.0.attn_sub_norm: rank 1 of 48, expected a vector of 131072"},
      {"transformer", {{"heads", 130}, {"head_dim", 1024}}, "metadata: 130 heads of 1024 are wider than 131072"},
      {"rwkv7", {{"head_dim", 24}}, ""},
      {"rwkv7", {{"head_dim", 7}}, "metadata: \"dim\" is 48, no multiple of \"head_dim\" 7"},
      {"rwkv7", {{"head_dim", 96}}, "metadata: \"dim\" is 48, no multiple of \"head_dim\" 96"},
      {"mamba2", {{"groups", 4}}, "metadata: 6 heads are not a multiple of 4 groups"},
      {"mamba2", {{"groups", 12}}, "metadata: 6 heads are not a multiple of 12 groups"},
      {"mamba2",
       {{"heads", 128}, {"head_dim", 1024}},
       "tensor layers.0.gate_norm: rank 1 of 96, expected a vector of 131072"},
      {"mamba2", {{"heads", 130}, {"head_dim", 1024}}, "metadata: 130 heads of 1024 are wider than 131072"},
      {"retnet", {{"heads", 7}}, "metadata: 7 heads do not divide \"dim\" 48 into pairs and \"value_dim\" 96"},
      {"retnet", {{"heads", 16}}, "metadata: 16 heads do not divide \"dim\" 48 into pairs and \"value_dim\" 96"},
      {"retnet",
       {{"heads", 4}, {"value_dim", 90}},
       "metadata: 4 heads do not divide \"dim\" 48 into pairs and \"value_dim\" 90"},
      {"retnet", {{"heads", 4}}, "tensor rope.inv_freq: 8 rotated pairs, expected 6"},
  };
  for (const auto& one : cases) {
    TakenApart changed = families().at(one.family);
    for (const auto& [key, value] : one.numbers)
      changed.metadata[key] = Value::number(value);
    const std::string said = changed.says(), begin = one.says;
    CHECK_EQ(begin.empty() ? said : said.substr(0, begin.size()), begin);
  }
}

// Each of them with its input quantised in another way than that of the first.
TEST(matrices_that_share_their_input) {
  const struct {
    const char *family, *first;
    std::vector<const char*> others;
  } cases[] = {{"transformer", "q", {"k", "v"}},
               {"transformer", "gate", {"up"}},
               {"retnet", "q", {"k", "v", "g"}},
               {"retnet", "gate", {"up"}}};
  for (const auto& one : cases) {
    for (const char* other : one.others) {
      TakenApart changed = families().at(one.family);
      const std::string name = "layers.1." + std::string(other);
      for (TensorEntry& entry : changed.entries) {
        if (name == entry.name) entry.activations = entry.activations == 1 ? 2 : 1;
      }
      CHECK_EQ(changed.says(), "tensors layers.1." + std::string(one.first) + ", " + other +
                                   ": they share their input but ask for different quantisation of it");
    }
  }
}
