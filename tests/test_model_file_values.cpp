// What a model file is asked for: each number, text and tensor, what it says when it has not got that, and the limits of both.
#include "check.h"
#include "file/layer_reader.h"
#include "file/model_file.h"
#include "raw_model_file.h"

using namespace edgellm;
using raw::Opened;
using raw::string_of;

namespace {

// The text of a call that leaves `value`, then that value.
template <class Value>
std::string both(const Status& status, const Value& value) {
  CHECK(status.ok() || status.code() == Code::bad_model);
  std::ostringstream out;
  out << status.text() << (status.ok() ? "= " : "");
  if (status.ok()) out << value;
  return out.str();
}

raw::Metadata values() {
  raw::Metadata m;
  m.number("five", 5);
  m.number("most", 0xffffffff);
  m.real("half", 0.5f);
  m.real("nan", __builtin_nanf(""));
  m.real("infinite", __builtin_inff());
  m.text("word", "blue");
  m.text("empty", "");
  m.numbers("list", {7, 0, 9});
  m.numbers("none", {});
  m.reals("reals", {1, 2, 3});
  m.number("five", 6);  // of two the first counts
  m.number("zero", 0);
  m.number("one", 1);
  m.number("two", 2);
  return m;
}

}  // namespace

TEST(whole_numbers) {
  Opened open(values());
  const ModelFile& f = open.file;
  auto number = [&](const char* key, u32 low, u32 high) {
    i32 value = -77;
    const Status status = f.number(key, low, high, &value);
    return both(status, value);
  };
  auto number_or = [&](const char* key, u32 low, u32 high) {
    i32 value = -77;
    const Status status = f.number_or(key, -3, low, high, &value);
    return both(status, value);
  };
  for (auto& [one, absent] :
       {std::pair<std::function<std::string(const char*, u32, u32)>, const char*>(number, "metadata: \"absent\" is missing"),
        std::pair<std::function<std::string(const char*, u32, u32)>, const char*>(number_or, "= -3")}) {
    CHECK_EQ(one("absent", 0, 9), absent);
    CHECK_EQ(one("five", 5, 5), "= 5");
    CHECK_EQ(one("five", 0, 4), "metadata: \"five\" is 5, expected 0 to 4");
    CHECK_EQ(one("five", 6, 9), "metadata: \"five\" is 5, expected 6 to 9");
    CHECK_EQ(one("most", 0, 0x7fffffff), "metadata: \"most\" is 4294967295, expected 0 to 2147483647");
    CHECK_EQ(one("half", 0, 9), "metadata: \"half\" is not a whole number");
    CHECK_EQ(one("word", 0, 9), "metadata: \"word\" is not a whole number");
    CHECK_EQ(one("list", 0, 9), "metadata: \"list\" is not a whole number");
    CHECK_EQ(one("reals", 0, 9), "metadata: \"reals\" is not a whole number");
  }
}

TEST(real_numbers) {
  Opened open(values());
  const ModelFile& f = open.file;
  auto real = [&](const char* key, f32 low, f32 high) {
    f32 value = -77;
    const Status status = f.real(key, low, high, &value);
    return both(status, value);
  };
  auto real_or = [&](const char* key, f32 low, f32 high) {
    f32 value = -77;
    const Status status = f.real_or(key, -3, low, high, &value);
    return both(status, value);
  };
  for (auto& [one, absent] :
       {std::pair<std::function<std::string(const char*, f32, f32)>, const char*>(real, "metadata: \"absent\" is missing"),
        std::pair<std::function<std::string(const char*, f32, f32)>, const char*>(real_or, "= -3")}) {
    CHECK_EQ(one("absent", 0, 1), absent);
    CHECK_EQ(one("half", 0.5f, 0.5f), "= 0.5");
    CHECK_EQ(one("half", 0, 0.25f), "metadata: \"half\" is 0.500000000, expected 0.000000000 to 0.250000000");
    CHECK_EQ(one("half", 0.75f, 1), "metadata: \"half\" is 0.500000000, expected 0.750000000 to 1.000000000");
    CHECK_EQ(one("nan", 0, 1), "metadata: \"nan\" is nan, expected 0.000000000 to 1.000000000");
    CHECK_EQ(one("infinite", 0, 1), "metadata: \"infinite\" is inf, expected 0.000000000 to 1.000000000");
    CHECK_EQ(one("five", 0, 9), "metadata: \"five\" is not a real number");
    CHECK_EQ(one("reals", 0, 9), "metadata: \"reals\" is not a real number");
  }
}

TEST(texts_words_flags_and_lists) {
  Opened open(values());
  const ModelFile& f = open.file;
  auto text = [&](const char* key) {
    Text value = "before";
    const Status status = f.text_or(key, "fallback", &value);
    return both(status, string_of(value));
  };
  CHECK_EQ(text("word"), "= blue");
  CHECK_EQ(text("empty"), "= ");
  CHECK_EQ(text("absent"), "= fallback");
  CHECK_EQ(text("five"), "metadata: \"five\" is not a text");

  enum class Colour { red, green, blue };
  auto colour = [&](const char* key, Colour fallback) {
    Colour value = Colour::red;
    const Status status = f.choice_or(key, fallback, {"red", "green", "blue"}, &value);
    return both(status, static_cast<i32>(value));
  };
  CHECK_EQ(colour("word", Colour::red), "= 2");
  CHECK_EQ(colour("absent", Colour::green), "= 1");
  CHECK_EQ(colour("empty", Colour::green), "metadata: \"empty\" is \"\", expected \"red\" or \"green\" or \"blue\"");
  CHECK_EQ(colour("five", Colour::green), "metadata: \"five\" is not a text");

  auto flag = [&](const char* key) {
    bool value = true;
    const Status status = f.flag(key, &value);
    return both(status, value);
  };
  CHECK_EQ(flag("absent"), "= 0");
  CHECK_EQ(flag("zero"), "= 0");
  CHECK_EQ(flag("one"), "= 1");
  CHECK_EQ(flag("two"), "metadata: \"two\" is 2, expected 0 to 1");
  CHECK_EQ(flag("half"), "metadata: \"half\" is not a whole number");

  auto list = [&](const char* key) {
    Span<const u32> numbers;
    const Status status = f.numbers_or_none(key, &numbers);
    std::string shown;
    for (u32 number : numbers)
      shown += std::to_string(number) + ",";
    return both(status, shown);
  };
  CHECK_EQ(list("list"), "= 7,0,9,");
  CHECK_EQ(list("none"), "= ");
  CHECK_EQ(list("absent"), "= ");
  CHECK_EQ(list("five"), "metadata: \"five\" is not a list of whole numbers");
  CHECK_EQ(list("reals"), "metadata: \"reals\" is not a list of whole numbers");

  CHECK(f.has("two") && f.has("none") && !f.has("absent") && !f.has("tw") && !f.has("twos") && !f.has(""));
}

TEST(numbers_of_layers) {
  Opened open(values());
  const ModelFile& f = open.file;
  auto number = [&](const char* key, i32 layer, i32 layers, u32 low, u32 high) {
    i32 value = -77;
    const Status status = f.layer_number(key, layer, layers, low, high, &value);
    return both(status, value);
  };
  auto number_or = [&](const char* key, i32 layer, i32 layers, u32 low, u32 high) {
    i32 value = -77;
    const Status status = f.layer_number_or(key, layer, layers, 8, low, high, &value);
    return both(status, value);
  };
  CHECK_EQ(number("absent", 0, 3, 0, 9), "metadata: \"absent\" is missing");
  CHECK_EQ(number_or("absent", 0, 3, 0, 7), "= 8");  // a fallback has no limits
  for (auto& one : {std::function<std::string(const char*, i32, i32, u32, u32)>(number),
                    std::function<std::string(const char*, i32, i32, u32, u32)>(number_or)}) {
    CHECK_EQ(one("five", 2, 3, 0, 9), "= 5");
    CHECK_EQ(one("five", 2, 3, 0, 4), "metadata: \"five\" is 5, expected 0 to 4");
    CHECK_EQ(one("list", 0, 3, 7, 7), "= 7");
    CHECK_EQ(one("list", 1, 3, 0, 9), "= 0");
    CHECK_EQ(one("list", 2, 3, 0, 9), "= 9");
    CHECK_EQ(one("list", 2, 3, 0, 8), "metadata: \"list\" is 9, expected 0 to 8");
    CHECK_EQ(one("list", 1, 3, 1, 9), "metadata: \"list\" is 0, expected 1 to 9");
    for (i32 layers : {2, 4}) {
      CHECK_EQ(one("list", 0, layers, 0, 9),
               "metadata: \"list\" is a list of 3 numbers, expected one number or one for each of " +
                   std::to_string(layers) + " layers");
    }
    CHECK_EQ(one("reals", 0, 3, 0, 9), "metadata: \"reals\" is not a whole number");
    CHECK_EQ(one("word", 0, 3, 0, 9), "metadata: \"word\" is not a whole number");
  }
}

TEST(tensors_are_found_by_name) {
  const raw::File made = raw::small_file();
  Opened open(made);
  for (const TensorEntry& wanted : made.entries) {
    const TensorEntry* found = open.file.find(wanted.name);
    CHECK(found && std::memcmp(found, &wanted, sizeof wanted) == 0);
  }
  for (const char* name : {"", "a", "cub", "cubes", "matri", "matrixx", "plaim", "plaio", "vectos", "zz"})
    CHECK(open.file.find(name) == nullptr);
  // What lies behind the text that is asked for does not count.
  raw::File two = made;
  std::memcpy(two["embed"].name, "cubes", 6);
  std::memcpy(two["cube"].name, "cub\0", 5);
  Opened beside(two);
  const TensorEntry* first = &beside.file.tensors()[0];
  for (const char* text : {"cub", "cub~", "cub ", "cubes"})
    CHECK(beside.file.find({text, 3}) == first);
  CHECK(beside.file.find({"cubes~", 5}) == first + 1);
  Opened empty{raw::Metadata()};
  CHECK(empty.file.find("cube") == nullptr);
}

TEST(a_matrix_is_what_its_entry_says) {
  Opened open(raw::small_file());
  const u8* bytes = open.copy.span.data;
  Matrix m;
  CHECK(open.file.matrix("matrix", 17, 40, &m).ok());
  CHECK(m.format == Format::T2 && m.scale == Scale::row && m.activations == Quantization::token);
  CHECK(m.rows == 17 && m.cols == 40 && m.data == bytes + 3392 && m.bytes == 512);
  CHECK(static_cast<const void*>(m.scales) == bytes + 3904);
  CHECK(open.file.matrix_or_none("plain", 3, 5, &m).ok());
  CHECK(m.format == Format::F32 && m.scale == Scale::none && m.activations == Quantization::none);
  CHECK(m.rows == 3 && m.cols == 5 && m.data == bytes + 4032 && m.bytes == 512 && m.scales == nullptr);
  CHECK(open.file.matrix("embed", 5, 32, &m).ok() && m.activations == Quantization::group32 && m.format == Format::I8);

  auto matrix = [&](const char* name, i32 rows, i32 cols, bool optional) {
    m.data = bytes;
    const Status status = optional ? open.file.matrix_or_none(name, rows, cols, &m) : open.file.matrix(name, rows, cols, &m);
    return both(status, m.data == nullptr);
  };
  for (bool optional : {false, true}) {
    CHECK_EQ(matrix("cube", 17, 40, optional), "tensor cube: rank 3, expected a matrix");
    CHECK_EQ(matrix("vector", 5, 1, optional), "tensor vector: rank 1, expected a matrix");
    CHECK_EQ(matrix("matrix", 40, 17, optional), "tensor matrix: shape 17 x 40, expected 40 x 17");
    CHECK_EQ(matrix("matrix", 17, 41, optional), "tensor matrix: shape 17 x 40, expected 17 x 41");
    CHECK_EQ(matrix("matrix", 16, 40, optional), "tensor matrix: shape 17 x 40, expected 16 x 40");
  }
  CHECK_EQ(matrix("absent", 17, 40, false), "tensor absent (17 x 40) is missing");
  CHECK_EQ(matrix("absent", 17, 40, true), "= 1");
}

TEST(a_vector_is_what_its_entry_says) {
  Opened open(raw::small_file());
  const f32* values = nullptr;
  CHECK(open.file.vector("vector", 5, &values).ok());
  CHECK(static_cast<const void*>(values) == open.copy.span.data + 5568);
  auto vector = [&](const char* name, i32 count, bool optional) {
    const Status status = optional ? open.file.vector_or_none(name, count, &values) : open.file.vector(name, count, &values);
    return both(status, values == nullptr);
  };
  for (bool optional : {false, true}) {
    CHECK_EQ(vector("vector", 5, optional), "= 0");
    CHECK_EQ(vector("vector", 4, optional), "tensor vector: rank 1 of 5, expected a vector of 4");
    CHECK_EQ(vector("plain", 3, optional), "tensor plain: rank 2 of 3, expected a vector of 3");
  }
  CHECK_EQ(vector("absent", 5, false), "tensor absent (5) is missing");
  CHECK_EQ(vector("absent", 5, true), "= 1");
}

// Data and scales: one for each of three, 16, 32, none, 32, none.
TEST(bytes_of_a_tensor_and_of_a_pass) {
  raw::File made = raw::small_file();
  const i64 bytes[] = {1664 + 12, 512 + 64, 512 + 128, 512, 896 + 128, 20};
  i64 all = 0;
  for (size_t i = 0; i < 6; i++) {
    CHECK_EQ(tensor_bytes(made.entries[i]), bytes[i]);
    all += bytes[i];
  }
  made["cube"].scale = 2;
  CHECK_EQ(tensor_bytes(made["cube"]), 1664 + 3 * 128);
  made["cube"].scale = 1;
  CHECK_EQ(Opened(made).file.bytes_per_token(), all);
  std::memcpy(made["matrix"].name, "head\0\0", 6);
  CHECK_EQ(Opened(made).file.bytes_per_token(), all - bytes[1]);
}
