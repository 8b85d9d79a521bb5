// What a file says of its layers: the family and its blocks, and where a block finds its tensors and numbers.
#include "file/family.h"

#include "check.h"
#include "file/layer_reader.h"
#include "raw_model_file.h"

using namespace edgellm;
using raw::Opened;
using raw::string_of;

namespace {

// The family that these keys make, or why none.
std::string family_of(const raw::Metadata& metadata) {
  raw::File made;
  made.metadata = metadata;
  made.lay_out(0);
  Opened open(made);
  Family family;
  Status status = read_family(open.file, &family);
  CHECK(status.ok() || status.code() == Code::bad_model);
  if (!status.ok()) return status.text();
  return family.name + std::string(": ") + string_of(family.blocks) + (family.layer_norm ? "; layer norms" : "") +
         (family.required_norm ? std::string("; needs ") + family.required_norm : "");
}

raw::Metadata arch(const std::string& name) {
  raw::Metadata metadata;
  metadata.text("arch", name);
  return metadata;
}

// The blocks of a layer, or why there are none.
std::string blocks_of(const std::string& blocks, i32 layer = 0) {
  LayerBlocks read;
  Status status = read_layer_blocks({blocks.data(), static_cast<i64>(blocks.size())}, layer, &read);
  CHECK(status.ok() || status.code() == Code::bad_model);
  std::string shown = status.text();
  if (!shown.empty()) return shown;
  for (i32 i = 0; i < read.count; i++)
    shown += (i ? " " : "") + std::string(read.parallel[i] ? "+" : "") + string_of(read.names[i]);
  return shown;
}

#define KNOWN "known: transformer, rwkv7, rwkv4, mamba, mamba2, retnet, stack"

}  // namespace

TEST(families) {
  CHECK_EQ(family_of(arch("transformer")), "transformer: attention ffn");
  CHECK_EQ(family_of(arch("rwkv7")), "rwkv7: rwkv7_time rwkv7_channel; layer norms; needs embed_norm");
  CHECK_EQ(family_of(arch("rwkv4")), "rwkv4: rwkv4_time rwkv4_channel; layer norms; needs embed_norm");
  CHECK_EQ(family_of(arch("mamba")), "mamba: mamba");
  CHECK_EQ(family_of(arch("mamba2")), "mamba2: mamba2");
  CHECK_EQ(family_of(arch("retnet")), "retnet: retention ffn; needs ffn_norm");
  CHECK_EQ(family_of({}), "metadata: unknown model family \"\", " KNOWN);
  for (const char* name : {"", "Transformer", "transformers", "rwkv", "mamba3"})
    CHECK_EQ(family_of(arch(name)), "metadata: unknown model family \"" + std::string(name) + "\", " KNOWN);
  raw::Metadata number;
  number.number("arch", 1);
  CHECK_EQ(family_of(number), "metadata: \"arch\" is not a text");
}

TEST(a_stack_says_its_blocks) {
  raw::Metadata stack = arch("stack");
  CHECK_EQ(family_of(stack), "metadata: \"blocks\" is missing, which \"arch\" stack needs");
  stack.text("blocks", "mamba2 | ffn");
  stack.number("parallel", 7);  // means nothing here
  stack.number("rope_table", 3);
  CHECK_EQ(family_of(stack), "stack: mamba2 | ffn");
  raw::Metadata number = arch("stack");
  number.number("blocks", 1);
  CHECK_EQ(family_of(number), "metadata: \"blocks\" is not a text");
  for (size_t size : {size_t{65536}, size_t{65537}}) {
    raw::Metadata long_one = arch("stack");
    long_one.text("blocks", std::string(size, 'f'));
    const std::string said = family_of(long_one);
    CHECK_EQ(said.substr(0, 80), size == 65536 ? "stack: " + std::string(73, 'f')
                                               : "metadata: \"blocks\" has 65537 bytes, expected at most 65536");
  }
}

TEST(keys_that_belong_to_some_families) {
  for (const char* name : {"transformer", "rwkv7", "rwkv4", "mamba", "mamba2", "retnet"}) {
    raw::Metadata blocks = arch(name), table = arch(name);
    blocks.text("blocks", "ffn");
    table.number("rope_table", 0);
    CHECK_EQ(family_of(blocks), "metadata: \"blocks\" is for \"arch\" stack, and this is " + std::string(name));
    CHECK_EQ(family_of(table), "metadata: \"rope_table\" is for \"arch\" stack, and this is " + std::string(name));
  }
  for (u32 value : {0u, 1u, 2u}) {
    raw::Metadata transformer = arch("transformer"), retnet = arch("retnet");
    transformer.number("parallel", value);
    retnet.number("parallel", value);
    const std::string refused = "metadata: \"parallel\" is 2, expected 0 to 1";
    CHECK_EQ(family_of(transformer), value == 2   ? refused
                                     : value == 1 ? "transformer: attention + ffn"
                                                  : "transformer: attention ffn");
    CHECK_EQ(family_of(retnet), value == 2 ? refused : "retnet: retention ffn; needs ffn_norm");
  }
}

TEST(blocks_of_a_layer) {
  const struct {
    const char* blocks;
    i32 layer;
    const char* says;
  } cases[] = {
      {"a", 0, "a"},
      {"a", 1, "a"},
      {"a b", 5, "a b"},
      {"  a   b  ", 0, "a b"},
      {"a|b c|d", 0, "a"},
      {"a|b c|d", 1, "b c"},
      {"a|b c|d", 2, "d"},
      {"a|b c|d", 3, "a"},
      {"a|b c|d", 7, "b c"},
      {"a | b", 1, "b"},
      {"a + b", 0, "a +b"},
      {"a + b c + d", 0, "a +b c +d"},
      {"a b c d e f g h", 0, "a b c d e f g h"},
      {"a b c d e f g h i", 0, "metadata: \"blocks\" has a layer of more than 8 blocks"},
      {"a b c d e f g + h", 0, "a b c d e f g +h"},
      {"a b a", 0, "metadata: \"blocks\" has a twice in one layer"},
      {"a b c d e f g h h", 0, "metadata: \"blocks\" has h twice in one layer"},
      {"a b | a", 1, "a"},
      {"a + a", 0, "metadata: \"blocks\" has a twice in one layer"},
      {"+ a", 0, "metadata: \"blocks\" has a + before a, but it can join two blocks only"},
      {"a + b + c", 0, "metadata: \"blocks\" has a + before c, but it can join two blocks only"},
      {"a +", 0, "metadata: \"blocks\" has a + without a block after it"},
      {"+", 0, "metadata: \"blocks\" has a + without a block after it"},
      {"a + + b", 0, "metadata: \"blocks\" has a + without a block after it"},
      {"a +b", 0, "a +b"},  // a word of two characters
      {"", 0, "metadata: \"blocks\" has a layer without blocks"},
      {"   ", 0, "metadata: \"blocks\" has a layer without blocks"},
      {"a |", 1, "metadata: \"blocks\" has a layer without blocks"},
      {"| a", 0, "metadata: \"blocks\" has a layer without blocks"},
      {"| a", 1, "a"},
      {"a || b", 1, "metadata: \"blocks\" has a layer without blocks"},
      {"a || b", 2, "b"},
  };
  for (const auto& one : cases)
    CHECK_EQ(blocks_of(one.blocks, one.layer), one.says);
}

namespace {

// Two layers, with the tensors of one matrix of 17 x 40 and one of 3 x 5.
raw::File layered_file() {
  raw::File file = raw::small_file();
  file.metadata = {};
  file.metadata.number("heads", 4);
  file.metadata.numbers("width", {30, 31});
  file.metadata.number("block.width", 32);
  file.metadata.numbers("block.depth", {6, 7});
  file.metadata.number("depth", 8);
  file.metadata.real("eps", 0.5f);
  file.metadata.real("block.eps", 0.25f);
  const u64 begin = file.table_at();
  file.entries = {raw::entry("layers.0.q", 4, 1, 1, {17, 40}, 0, 512, 0), raw::entry("layers.1.bias", 0, 0, 0, {5}, 0, 20),
                  raw::entry("layers.1.plain", 0, 0, 0, {3, 5}, 0, 512),
                  raw::entry("layers.1.q", 4, 1, 2, {17, 40}, 0, 512, 0), raw::entry("q", 0, 0, 0, {1}, 0, 4)};
  for (TensorEntry& entry : file.entries) {
    entry.offset = begin + 128 * file.entries.size();
    if (entry.scale) entry.scale_offset = entry.offset;
  }
  file.lay_out(0);
  return file;
}

template <class Value>
std::string both(const Status& status, const Value& value) {
  std::ostringstream out;
  out << status.text();
  if (status.ok()) out << "= " << value;
  return out.str();
}

}  // namespace

TEST(numbers_of_a_block) {
  Opened open(layered_file());
  LayerReader reader = {open.file, 2};
  auto number = [&](const char* key, i32 low = 0, i32 high = 99) {
    i32 value = -77;
    const Status status = reader.number(key, low, high, &value);
    return both(status, value);
  };
  auto number_or = [&](const char* key, i32 low = 0, i32 high = 99) {
    i32 value = -77;
    const Status status = reader.number_or(key, 55, low, high, &value);
    return both(status, value);
  };
  auto real = [&](const char* key, f32 low = 0, f32 high = 1) {
    f32 value = -77;
    const Status status = reader.real(key, low, high, &value);
    return both(status, value);
  };
  auto real_or = [&](const char* key, f32 low = 0, f32 high = 1) {
    f32 value = -77;
    const Status status = reader.real_or(key, 0.125f, low, high, &value);
    return both(status, value);
  };
  reader.block = "other";
  for (i32 layer : {0, 1}) {
    reader.index = layer;
    CHECK_EQ(number("width"), layer ? "= 31" : "= 30");
    CHECK_EQ(number_or("width"), layer ? "= 31" : "= 30");
    CHECK_EQ(number("depth"), "= 8");
    CHECK_EQ(real("eps"), "= 0.5");
    CHECK_EQ(real_or("eps"), "= 0.5");
  }
  reader.block = "block";  // whose own numbers come first
  for (i32 layer : {0, 1}) {
    reader.index = layer;
    CHECK_EQ(number("heads"), "= 4");
    CHECK_EQ(number("width"), "= 32");
    CHECK_EQ(number_or("width"), "= 32");
    CHECK_EQ(number("depth"), layer ? "= 7" : "= 6");
    CHECK_EQ(real("eps"), "= 0.25");
    CHECK_EQ(real_or("eps"), "= 0.25");
  }
  CHECK_EQ(number("heads", 4, 4), "= 4");
  CHECK_EQ(number("heads", 5, 9), "metadata: \"heads\" is 4, expected 5 to 9");
  CHECK_EQ(number_or("heads", 0, 3), "metadata: \"heads\" is 4, expected 0 to 3");
  CHECK_EQ(number("width", 0, 9), "metadata: \"block.width\" is 32, expected 0 to 9");
  CHECK_EQ(number("absent"), "metadata: \"absent\" is missing");
  CHECK_EQ(number_or("absent"), "= 55");
  CHECK_EQ(number("eps"), "metadata: \"block.eps\" is not a whole number");
  CHECK_EQ(real("absent"), "metadata: \"absent\" is missing");
  CHECK_EQ(real_or("absent"), "= 0.125");
  CHECK_EQ(real("eps", 0.5f, 1), "metadata: \"block.eps\" is 0.250000000, expected 0.500000000 to 1.000000000");
  CHECK_EQ(real_or("eps", 0, 0.125f), "metadata: \"block.eps\" is 0.250000000, expected 0.000000000 to 0.125000000");
  CHECK_EQ(real("heads"), "metadata: \"heads\" is not a real number");
  reader.layers = 3;
  CHECK_EQ(number("depth"),
           "metadata: \"block.depth\" is a list of 2 numbers, expected one number or one for each of 3 layers");
}

TEST(tensors_of_a_layer) {
  const raw::File made = layered_file();
  Opened open(made);
  LayerReader reader = {open.file, 2};
  Matrix q = {}, plain = {};
  const f32* bias = nullptr;
  CHECK(reader.find("q") == open.file.find("layers.0.q"));
  CHECK(reader.find("bias") == nullptr);
  CHECK(reader.bind({{"q", 17, 40, &q}}).ok());
  CHECK(q.activations == Quantization::token);
  CHECK_EQ(reader.widest, 40);

  reader.index = 1;
  reader.widest = 0;
  CHECK(reader.find("q") == open.file.find("layers.1.q"));
  CHECK(reader.bind({{"bias", 5, &bias}}).ok());
  CHECK(static_cast<const void*>(bias) == open.copy.span.data + reader.find("bias")->offset);
  CHECK_EQ(reader.widest, 0);  // vectors do not count
  CHECK(reader.bind({{"plain", 3, 5, &plain}, {"q", 17, 40, &q}}).ok());
  CHECK(plain.cols == 5 && q.activations == Quantization::group32);
  CHECK_EQ(reader.widest, 40);
  CHECK(reader.bind({{"plain", 3, 5, &plain}}).ok());
  CHECK_EQ(reader.widest, 40);

  auto says = [](const Status& status) { return std::string(status.text()); };
  Matrix none = {};
  const f32* nothing = nullptr;
  CHECK_EQ(says(reader.bind({{"k", 17, 40, &none}})), "tensor layers.1.k (17 x 40) is missing");
  CHECK_EQ(says(reader.bind({{"k_bias", 17, &nothing}})), "tensor layers.1.k_bias (17) is missing");
  CHECK_EQ(says(reader.bind({{"q", 40, 17, &none}})), "tensor layers.1.q: shape 17 x 40, expected 40 x 17");
  CHECK_EQ(says(reader.bind({{"plain", 3, 5, &plain}, {"bias", 6, &nothing}})),
           "tensor layers.1.bias: rank 1 of 5, expected a vector of 6");
  reader.widest = 0;
  bias = nullptr;
  CHECK_EQ(says(reader.bind_optional({{"k", 17, 999, &none}, {"k_bias", 17, &nothing}, {"bias", 5, &bias}})), "");
  CHECK(!none.data && !nothing && bias);
  CHECK_EQ(reader.widest, 0);
  CHECK_EQ(says(reader.bind_optional({{"k", 17, 40, &none}, {"q", 16, 40, &q}})),
           "tensor layers.1.q: shape 17 x 40, expected 16 x 40");
  CHECK_EQ(says(reader.bind_optional({{"bias", 4, &nothing}})), "tensor layers.1.bias: rank 1 of 5, expected a vector of 4");

  CHECK(reader.bind({{"q", 17, 40, &q}}).ok());
  CHECK_EQ(says(reader.same_input("q, k", q, q)), "");
  CHECK_EQ(says(reader.same_input("q, plain", q, plain)),
           "tensors layers.1.q, plain: they share their input but ask for different quantisation of it");
}

// Keys and names of the greatest length, with the block and the layer in front of them.
TEST(longest_names) {
  const std::string tensor(63 - 9, 't'), key(63 - 6, 'k');
  raw::File made = layered_file();
  made.metadata.number("block." + key, 12);
  made.metadata.number(key, 13);
  std::memcpy(made.entries[3].name, ("layers.1." + tensor).c_str(), 64);
  const u64 end = made.table_at() + 128 * made.entries.size();
  for (TensorEntry& entry : made.entries) {
    entry.offset = end;
    if (entry.scale) entry.scale_offset = end;
  }
  made.lay_out(0);
  Opened open(made);
  LayerReader reader = {open.file, 2, 1, "block"};
  CHECK(reader.find(tensor.c_str()) == &open.file.tensors()[3]);
  i32 value = 0;
  CHECK(reader.number(key.c_str(), 0, 99, &value).ok());
  CHECK_EQ(value, 12);
}
