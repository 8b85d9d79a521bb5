// The reader of GGUF files: the values of each type, where tensors may lie, and the exact words of each refusal.
#include "convert/source/gguf.h"

#include <algorithm>

#include "check.h"
#include "convert/base/error.h"
#include "gguf_source.h"

using namespace edgellm;
using sources::Bytes;

namespace {

struct GgufTest {
  Folder folder;
  std::string path = folder / "x.gguf";

  template <class Body>
  std::string said(const std::string& bytes, Body body) const {
    write_file(path, bytes);
    try {
      return body(convert::read_gguf(path));
    } catch (const convert::Error& error) {
      CHECK(error.code == Code::bad_model && std::string(error.what()).starts_with(path + ": "));
      return std::string("refused: ") + (error.what() + path.size() + 2);
    }
  }
  // The tensors: name, type, shape, and their data in hexadecimal.
  std::string tensors(const std::string& bytes) const {
    return said(bytes, [](const convert::Gguf& gguf) {
      std::string out;
      for (const auto& [name, tensor] : gguf.tensors) {
        out += convert::text(name, " ", tensor.format->name, tensor.format->weights, " (", convert::shape_text(tensor.shape),
                             ") ", tensor.data.size, " '", std::string(1, static_cast<char>(tensor.data.data[0])), "';");
      }
      return out;
    });
  }
};

TEST(values_of_each_type) {
  sources::Gguf g;
  g.entry("u8", 0, Bytes().put(u8{200}).data).entry("i8", 1, Bytes().put(i8{-100}).data);
  g.entry("u16", 2, Bytes().put(u16{60000}).data).entry("i16", 3, Bytes().put(i16{-30000}).data);
  g.entry("u32", 4, Bytes().put(u32{4000000000}).data).entry("i32", 5, Bytes().put(i32{-2000000000}).data);
  g.entry("f32", 6, Bytes().put(0.5f).data).entry("f64", 12, Bytes().put(-0.25).data);
  g.entry("u64", 10, Bytes().put(u64{1} << 53).data).entry("i64", 11, Bytes().put(i64{-5}).data);
  g.entry("more", 10, Bytes().put((u64{1} << 53) + 2).data);
  g.flag("yes", true).flag("no", false).text("s", "text").text("none", "");
  g.texts("texts", {"a", "", "bc"}).numbers<u8>("bytes", 0, {1, 255}).numbers<f32>("floats", 6, {0.5f, -2});
  g.numbers<u8>("flags", 7, {1, 0}).numbers<i64>("empty", 11, {}).numbers<i16>("shorts", 3, {-1, 2});
  const GgufTest test;
  auto of = [&](auto body) { return test.said(g.bytes(), body); };
  auto number = [&](const char* key) {
    return of([&](const convert::Gguf& gguf) {
      const auto value = gguf.number(key);
      return value ? convert::text(*value) : "none";
    });
  };
  const std::pair<const char*, const char*> numbers[] = {{"u8", "200"},
                                                         {"i8", "-100"},
                                                         {"u16", "60000"},
                                                         {"i16", "-30000"},
                                                         {"u32", "4e+09"},
                                                         {"i32", "-2e+09"},
                                                         {"f32", "0.5"},
                                                         {"f64", "-0.25"},
                                                         {"i64", "-5"},
                                                         {"absent", "none"},
                                                         {"yes", "refused: yes is of type boolean, expected a number"},
                                                         {"s", "refused: s is of type string, expected a number"},
                                                         {"floats", "refused: floats is a list of f32, expected a number"},
                                                         {"texts", "refused: texts is a list of string, expected a number"}};
  for (const auto& [key, expected] : numbers)
    CHECK_EQ(number(key), expected);
  auto integer = [&](const char* key) {
    return of([&](const convert::Gguf& gguf) { return convert::text(gguf.integer(key).value_or(-77)); });
  };
  CHECK_EQ(integer("u64"), "9007199254740992");
  CHECK_EQ(integer("i32") + integer("u32") + integer("absent"), "-20000000004000000000-77");
  CHECK_EQ(integer("f32"), "refused: f32 is 0.5, expected a whole number");
  CHECK_EQ(integer("more"), "refused: more is 9.0072e+15, expected a whole number");
  auto flag = [&](const char* key) {
    return of([&](const convert::Gguf& gguf) {
      return convert::text(gguf.flag(key).value_or(false), gguf.flag(key).has_value());
    });
  };
  CHECK_EQ(flag("yes") + flag("no") + flag("absent"), "110100");
  CHECK_EQ(flag("u8"), "refused: u8 is of type u8, expected true or false");
  CHECK_EQ(flag("flags"), "refused: flags is a list of boolean, expected true or false");
  auto string = [&](const char* key) {
    return of([&](const convert::Gguf& gguf) { return gguf.string(key).value_or("?"); });
  };
  CHECK_EQ(string("s") + string("none") + string("absent"), "text?");
  CHECK_EQ(string("texts"), "refused: texts is a list of string, expected a string");
  CHECK_EQ(string("i8"), "refused: i8 is of type i8, expected a string");
  auto strings = [&](const char* key) {
    return of([&](const convert::Gguf& gguf) {
      const auto list = gguf.strings(key);
      return list ? convert::list_text(*list) : "none";
    });
  };
  CHECK_EQ(strings("texts") + strings("absent"), "a, , bcnone");
  CHECK_EQ(strings("s"), "refused: s is of type string, expected a list of strings");
  CHECK_EQ(strings("bytes"), "refused: bytes is a list of u8, expected a list of strings");
  auto list = [&](const char* key) {
    return of([&](const convert::Gguf& gguf) {
      std::string out;
      const auto values = gguf.numbers(key);
      for (f64 value : values.value_or(std::vector<f64>{-77}))
        out += convert::text(value, ",");
      return out;
    });
  };
  CHECK_EQ(list("bytes") + list("floats") + list("shorts") + list("empty") + list("absent"), "1,255,0.5,-2,-1,2,-77,");
  CHECK_EQ(list("u8"), "refused: u8 is of type u8, expected a list of numbers");
  CHECK_EQ(list("texts"), "refused: texts is a list of string, expected a list of numbers");
}

TEST(heads_and_entries) {
  const GgufTest test;
  auto of = [&](const std::string& bytes) { return test.tensors(bytes); };
  auto head = [](u32 version, u64 tensors, u64 entries) {
    return Bytes().text("GGUF").put(version).put(tensors).put(entries).data;
  };
  CHECK_EQ(of(head(3, 0, 0)) + of(head(2, 0, 0)), "");
  CHECK_EQ(of(head(1, 0, 0)), "refused: GGUF version 1, expected 2 or 3");
  CHECK_EQ(of(head(4, 0, 0)), "refused: GGUF version 4, expected 2 or 3");
  CHECK_EQ(of(head(0x10000, 0, 0)), "refused: is big-endian (version 256), expected a little-endian file");
  CHECK_EQ(of(head(0x10001, 0, 0)), "refused: GGUF version 65537, expected 2 or 3");
  CHECK_EQ(of(head(3, 0, 0).substr(0, 20)),
           "refused: number of entries needs 8 bytes at offset 16, only 4 are left: it was cut: download it again");
  auto entry = [&](u32 type, const std::string& value) {
    return of(head(3, 0, 1) + sources::Gguf::string("key") + Bytes().put(type).data + value);
  };
  CHECK_EQ(entry(13, ""), "refused: key has the type 13, expected 0 to 12");
  CHECK_EQ(entry(4, "123"), "refused: key needs 4 bytes at offset 39, only 3 are left: it was cut: download it again");
  CHECK_EQ(entry(8, Bytes().put(u64{5}).text("abc").data),
           "refused: key needs 5 bytes at offset 47, only 3 are left: it was cut: download it again");
  auto list = [&](u32 type, u64 count, const std::string& values) {
    return entry(9, Bytes().put(type).put(count).text(values).data);
  };
  CHECK_EQ(list(2, 2, "1234"), "");
  CHECK_EQ(list(2, 3, "1234"), "refused: key is a list of 3 u16, only 4 bytes are left: it was cut: download it again");
  CHECK_EQ(list(8, 2, std::string(16, '\0')), "");
  CHECK_EQ(list(8, 3, std::string(16, '\0')),
           "refused: key is a list of 3 string, only 16 bytes are left: it was cut: download it again");
  CHECK_EQ(list(9, 2, std::string(23, '\0')),
           "refused: key is a list of 2 list, only 23 bytes are left: it was cut: download it again");
  CHECK_EQ(list(9, 1, Bytes().put(u32{4}).put(u64{1}).text("abcd").data), "");
  CHECK_EQ(list(14, 0, ""), "refused: key has the type 14, expected 0 to 12");
  auto nested = [&](int depth) {
    std::string inner = Bytes().put(u32{4}).put(u64{0}).data;
    for (int i = 1; i < depth; i++)
      inner = Bytes().put(u32{9}).put(u64{1}).text(inner).data;
    return entry(9, inner);
  };
  CHECK_EQ(nested(8), "");
  CHECK_EQ(nested(9), "refused: key has lists in lists deeper than 8");
}

TEST(where_tensors_lie) {
  const GgufTest test;
  auto tensor = [](const char* name, std::vector<u64> shape, u32 type, size_t bytes) {
    return sources::Gguf::Stored{name, std::move(shape), type, std::string(bytes, *name)};
  };
  auto of = [&](std::vector<sources::Gguf::Stored> list, u64 alignment = 32, bool says = false) {
    sources::Gguf g;
    g.alignment = alignment;
    if (says) g.number("general.alignment", static_cast<u32>(alignment));
    g.tensors = std::move(list);
    return test.tensors(g.bytes());
  };
  CHECK_EQ(of({tensor("a", {4, 3}, 0, 48), tensor("b", {2}, 1, 4)}), "a F321 (3 x 4) 48 'a';b F161 (2) 4 'b';");
  CHECK_EQ(of({tensor("a", {2, 3, 4, 5}, 30, 240)}), "a BF161 (5 x 4 x 3 x 2) 240 'a';");
  CHECK_EQ(of({tensor("a", {4}, 0, 16), tensor("b", {2}, 0, 8)}, 64, true), "a F321 (4) 16 'a';b F321 (2) 8 'b';");
  CHECK_EQ(of({tensor("a", {4}, 0, 16), tensor("b", {2}, 0, 8)}, 16),
           "refused: tensor b is at offset 16, expected a multiple of 32 inside of the 32 bytes of data");
  for (u32 wrong : {0u, 3u, 48u, (1u << 20) + 1, 1u << 21}) {
    sources::Gguf g;
    g.number("general.alignment", wrong);
    CHECK_EQ(test.tensors(g.bytes()),
             convert::text("refused: general.alignment is ", wrong, ", expected a power of two up to 1048576"));
  }
  sources::Gguf most;
  most.number("general.alignment", 1 << 20);
  CHECK_EQ(test.tensors(most.bytes()), "");
  CHECK_EQ(of({tensor("a", {32}, 2, 18)}), "a Q4_032 (32) 18 'a';");
  CHECK_EQ(of({tensor("a", {33}, 2, 18)}), "refused: tensor a (Q4_0) has rows of 33 weights, expected a multiple of 32");
  CHECK_EQ(of({tensor("a", {16, 2}, 2, 18)}), "refused: tensor a (Q4_0) has rows of 16 weights, expected a multiple of 32");
  CHECK_EQ(of({tensor("a", {16, 8}, 36, 64)}), "a I2_S4 (8 x 16) 64 'a';");
  CHECK_EQ(of({tensor("a", {16, 8}, 36, 32)}), "refused: 128 bytes, its tensors end at 160: it was cut: download it again");
  CHECK_EQ(of({tensor("a", {16}, 0, 32), tensor("b", {1}, 0, 4)}),
           "refused: tensor a (F32) needs 64 bytes at offset 0, the next tensor comes after 32");
  CHECK_EQ(of({tensor("a", {4}, 0, 48)}), "refused: 32 bytes follow the last tensor");
  // Two sizes of Q2_0, told apart by the room.
  CHECK_EQ(of({tensor("a", {128}, 42, 36)}),
           "refused: tensor a (Q2_0) has 64 bytes up to the next one, expected 36 (groups of 64) "
           "or 34 (groups of 128): it fits both");
  CHECK_EQ(of({tensor("a", {512, 16}, 42, 2304)}), "a Q2_064 (16 x 512) 2304 'a';");
  CHECK_EQ(of({tensor("a", {512, 16}, 42, 2176)}), "a Q2_0128 (16 x 512) 2176 'a';");
  CHECK_EQ(of({tensor("a", {512, 16}, 42, 2144)}),
           "refused: 2240 bytes, its tensors end at 2272: it was cut: download it again");
  CHECK_EQ(of({tensor("a", {512, 16}, 42, 2240)}),
           "refused: tensor a (Q2_0) has 2240 bytes up to the next one, expected 2304 "
           "(groups of 64) or 2176 (groups of 128)");
  const std::string names =
      "F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, BF16, TQ1_0, TQ2_0, I2_S, Q2_0, PQ2_0, PTQ1_0";
  for (u32 type : {4u, 9u, 15u, 29u, 39u, 144u})
    CHECK_EQ(of({tensor("a", {32}, type, 32)}),
             convert::text("refused: tensor a has the type ", type, ", which is not supported (", names, ")"));
  CHECK_EQ(of({tensor("a", {}, 0, 32)}), "refused: tensor a has the rank 0, expected 1 to 4");
  CHECK_EQ(of({tensor("a", {1, 1, 1, 1, 1}, 0, 32)}), "refused: tensor a has the rank 5, expected 1 to 4");
  for (const std::vector<u64>& shape : {std::vector<u64>{0}, {4, 0}, {u64{1} << 56}, {u64{1} << 40, u64{1} << 40}})
    CHECK_EQ(of({tensor("a", shape, 0, 32)}), "refused: tensor a: its shape is empty or overflows");
  // Cut behind the head; two of one name at one place.
  sources::Gguf g;
  g.tensors = {tensor("a", {8}, 0, 32), tensor("a", {8}, 0, 32)};
  CHECK_EQ(test.tensors(g.bytes()), "refused: tensor a is there twice");
  g.tensors.pop_back();
  const std::string whole = g.bytes();
  CHECK_EQ(test.tensors(whole.substr(0, whole.size() - 32)),
           "refused: 64 bytes, its tensors end at 96: it was cut: download it again");
  CHECK_EQ(test.tensors(whole.substr(0, whole.size() - 33)),
           "refused: 63 bytes, its tensors end at 96: it was cut: download it again");
}

// A block gives as many weights as it has, and not one more.
TEST(blocks_write_their_weights_alone) {
  size_t formats = 0;
  for (u32 id = 0; id < 256; id++) {
    for (const convert::BlockFormat* format : convert::block_formats(id)) {
      if (!format->decode) continue;
      formats++;
      const size_t weights = static_cast<size_t>(format->weights);
      const std::vector<u8> block(static_cast<size_t>(format->bytes));
      std::vector<f32> out(weights + 64, 77);
      format->decode(block.data(), out.data());
      CHECK(!(out[weights - 1] > 76) && std::count(out.begin() + format->weights, out.end(), 77.0f) == 64);
      std::vector<i8> codes(weights + 64, 77);
      if (format->codes) format->codes(block.data(), codes.data());
      CHECK(std::count(codes.begin() + format->weights, codes.end(), i8{77}) == 64);
    }
  }
  CHECK_EQ(formats, size_t{16});
}

}  // namespace
