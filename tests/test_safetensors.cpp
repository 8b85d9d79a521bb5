// Headers of safetensors files: what each may say, and the exact words where it may not. What a folder's parts hold together, and
// which tensor is the head.
#include "convert/source/safetensors.h"

#include "check.h"
#include "convert/source/weights.h"
#include "convert_sources.h"

using namespace edgellm;
using namespace sources;

namespace {

struct SafetensorsTest {
  Folder folder;
  std::string path = folder / "x.safetensors";

  // What is read, or the words after the path.
  std::string read() const {
    try {
      std::string out;
      for (const auto& [name, t] : convert::read_safetensors(path)) {
        CHECK_EQ(t.name, name);
        CHECK_EQ(t.dtype == convert::Dtype::other,
                 std::string("F32 F16 BF16 U8 I8").find(t.dtype_name) == std::string::npos);
        out += convert::text(name, " ", t.dtype_name, " (", convert::shape_text(t.shape), ") ", t.data.text(), ";");
      }
      return out;
    } catch (const convert::Error& error) {
      CHECK(std::string(error.what()).starts_with(path + ": ") && error.code == Code::bad_model);
      return std::string("refused: ") + (error.what() + path.size() + 2);
    }
  }
  std::string operator()(const std::string& header, const std::string& data) const {
    write_file(path, Bytes().put(u64{header.size()}).text(header).text(data).data);
    return read();
  }
};

// An entry for four bytes: "a".
std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "{\"a\":{\"dtype\":\"" + dtype + "\",\"shape\":[" + shape + "],\"data_offsets\":[" + offsets + "]}}";
}

TEST(entries) {
  const SafetensorsTest test;
  const std::pair<std::string, std::string> rows[] = {
      {entry("F32", "1", "0,4"), "a F32 (1) abcd;"},
      {entry("F32", "", "0,4"), "a F32 (()) abcd;"},
      {entry("F16", "2", "0,4"), "a F16 (2) abcd;"},
      {entry("BF16", "1,2", "0,4"), "a BF16 (1 x 2) abcd;"},
      {entry("U8", "2,1,2", "0,4"), "a U8 (2 x 1 x 2) abcd;"},
      {entry("I8", "4", "0,4"), "a I8 (4) abcd;"},
      {entry("I64", "9", "0,4"), "a I64 (9) abcd;"},
      {entry("U8", "1,1,1,1,1,1,1,4", "0,4"), "a U8 (1 x 1 x 1 x 1 x 1 x 1 x 1 x 4) abcd;"},
      {entry("U8", "1,1,1,1,1,1,1,1,4", "0,4"), "refused: tensor a has 9 dimensions, at most 8"},
      {entry("F32", "2", "0,4"), "refused: tensor a: 4 bytes, its shape and dtype need 8"},
      {entry("F32", "1", "0,3"), "refused: tensor a: 3 bytes, its shape and dtype need 4"},
      {entry("F32", "1", "4,0"), "refused: tensor a: bytes 4 to 0 are not inside the 4 bytes of data"},
      {entry("U8", "3", "0,3"), "refused: the last 1 bytes of the data belong to no tensor"},
      {entry("U8", "3", "1,4"), "refused: byte 1 of the data: a tensor begins, the one before ended at 0"},
      {entry("F32", "-1", "0,4"), "refused: tensor a: shape: expected a whole number"},
      {entry("F32", "1.5", "0,4"), "refused: tensor a: shape: expected a whole number"},
      {entry("F32", "\"1\"", "0,4"), "refused: tensor a: shape: expected a whole number"},
      {entry("F32", "1", "-1,4"), "refused: tensor a: data_offsets: expected a whole number"},
      {entry("F32", "1", "0,4.5"), "refused: tensor a: data_offsets: expected a whole number"},
      {entry("U8", "4294967296,4294967296", "0,4"), "refused: tensor a: its shape overflows"},
      {entry("F32", "4294967296,1073741824", "0,4"), "refused: tensor a: its shape overflows"},
      {entry("F32", "1", "0"), "refused: tensor a: dtype, shape and two data_offsets are not all there"},
      {entry("F32", "1", "0,4,4"), "refused: tensor a: dtype, shape and two data_offsets are not all there"},
      {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}",
       "refused: tensor a: dtype, shape and two data_offsets are not all there"},
      {"{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,4]}}",
       "refused: tensor a: dtype, shape and two data_offsets are not all there"},
      {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}",
       "refused: tensor a: dtype, shape and two data_offsets are not all there"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}",
       "refused: tensor a: dtype, shape and two data_offsets are not all there"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":{}}}",
       "refused: tensor a: dtype, shape and two data_offsets are not all there"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}",
       "refused: tensor a: dtype, shape and two data_offsets are not all there"},
      {"{\"a\":1}", "refused: tensor a: dtype, shape and two data_offsets are not all there"},
      {"[]", "refused: the header is not a JSON object"},
      {"{",
       "refused: not JSON: line 1, column 2: expected the name of a member, where it ends: it was cut, or never finished"},
      {"{\"__metadata__\":7}", "refused: the last 4 bytes of the data belong to no tensor"},
  };
  for (const auto& [header, expected] : rows)
    CHECK_EQ(header + " -> " + test(header, "abcd"), header + " -> " + expected);
  const std::string beyond = entry("F32", "1", "1,5");
  CHECK_EQ(test(beyond, "abcd"), convert::text("refused: ", beyond.size() + 12, " bytes, its tensors end at ",
                                               beyond.size() + 13, ": it was cut: download it again"));
  auto u8 = [](const char* name, int from, int to) {
    return convert::text("\"", name, "\":{\"dtype\":\"U8\",\"shape\":[", to - from, "],\"data_offsets\":[", from, ",", to,
                         "]}");
  };
  auto two = [&](const std::string& a, const std::string& b) { return test("{" + a + "," + b + "}", "abcd"); };
  CHECK_EQ(two(u8("b", 0, 3), u8("a", 3, 4)), "a U8 (1) d;b U8 (3) abc;");
  CHECK_EQ(two(u8("b", 0, 4), u8("a", 2, 2)), "a U8 (0) ;b U8 (4) abcd;");
  CHECK_EQ(two(u8("b", 0, 3), u8("a", 2, 4)), "refused: byte 2 of the data: a tensor begins, the one before ended at 3");
  CHECK_EQ(two(u8("b", 0, 2), u8("a", 3, 4)), "refused: byte 3 of the data: a tensor begins, the one before ended at 2");
  CHECK_EQ(two(u8("a", 0, 2), u8("a", 2, 4)), "refused: tensor a is there twice");
  CHECK_EQ(two("\"__metadata__\":{\"format\":\"pt\"}", u8("a", 0, 4)), "a U8 (4) abcd;");
}

TEST(heads) {
  const SafetensorsTest test;
  write_file(test.path, Bytes().put(u64{2}).text("{}").data);
  CHECK_EQ(test.read(), "");
  write_file(test.path, Bytes().put(u64{3}).text("{}").data);
  CHECK_EQ(test.read(), "refused: header needs 3 bytes at offset 8, only 2 are left: it was cut: download it again");
  write_file(test.path, "1234567");
  CHECK_EQ(test.read(), "refused: header length needs 8 bytes at offset 0, only 7 are left: it was cut: download it again");
  write_file(test.path, Bytes().put(u64{(100 << 20) + 1}).data);
  CHECK_EQ(test.read(), "refused: header of 104857601 bytes, at most 104857600");
  write_file(test.path, Bytes().put(u64{100 << 20}).data);
  CHECK_EQ(test.read(), "refused: header needs 104857600 bytes at offset 8, only 0 are left: it was cut: download it again");
}

TEST(files_of_a_folder) {
  const Folder folder;
  auto read = [&](const std::vector<std::string>& names = {"model.safetensors", "pytorch_model.bin"}) -> std::string {
    try {
      std::string out;
      for (const auto& [name, t] : convert::read_weights(folder.path, names))
        out += name + "=" + t.data.text() + ";";
      return out;
    } catch (const convert::Error& error) {
      return std::string("refused: ") + error.what();
    }
  };
  CHECK_EQ(read(),
           "refused: " + folder.path + ": there is no model.safetensors or pytorch_model.bin, nor an index of its parts");
  CHECK_EQ(read({"x"}), "refused: " + folder.path + ": there is no x, nor an index of its parts");
  write_file(folder / "pytorch_model.bin", torch_save({{"torch", {"U8", {2}, "ab"}}}));
  CHECK_EQ(read(), "torch=ab;");
  write_file(folder / "one", safetensors({{"a", {"U8", {2}, "cd"}}, {"b", {"U8", {1}, "e"}}}));
  write_file(folder / "one.safetensors", read_file(folder / "one"));
  write_file(folder / "two.bin", torch_save({{"c", {"U8", {1}, "f"}}}));
  const std::string index = folder / "model.safetensors.index.json";
  auto indexed = [&](const std::string& text) {
    write_file(index, text);
    return read();
  };
  CHECK_EQ(indexed(R"({"weight_map":{"a":"one.safetensors","c":"two.bin"}})"), "a=cd;b=e;c=f;");
  CHECK_EQ(indexed(R"({"weight_map":{"a":"one.safetensors","c":"one.safetensors"}})"),
           "refused: " + index + ": tensor c is not in one.safetensors");
  for (const char* part : {"\"\"", "1", "\"../one.safetensors\"", "\"/one\""})
    CHECK_EQ(indexed(convert::text(R"({"weight_map":{"a":)", part, "}}")),
             "refused: " + index + ": tensor a is in no file of this folder");
  CHECK_EQ(indexed("{}"), "refused: " + index + ": there is no weight_map");
  CHECK_EQ(indexed(R"({"weight_map":[]})"), "refused: " + index + ": there is no weight_map");
  write_file(folder / "two.safetensors", safetensors({{"b", {"U8", {1}, "x"}}}));
  CHECK_EQ(indexed(R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})"),
           "refused: " + (folder / "one.safetensors") + ": tensor b is there twice");
  write_file(folder / "model.safetensors", read_file(folder / "two.safetensors"));
  CHECK_EQ(read(), "b=x;");
}

// Which tensor is the head: E embedding, H another head, S the same values, in another type too.
TEST(tied_heads) {
  const Folder folder;
  const Values values = {1, 2, 3, 4, 5, 6}, other = {1, 2, 3, 4, 5, 7};
  auto decide = [&](const std::map<std::string, std::pair<std::string, Values>>& tensors, bool tied,
                    std::vector<size_t> shape = {3, 2}) -> std::string {
    HfTensors all;
    for (const auto& [name, what] : tensors)
      all[name] = {what.first, shape, bytes_as(what.first, what.second)};
    write_file(folder / "x.safetensors", safetensors(all));
    convert::StoredTensors stored = convert::read_safetensors(folder / "x.safetensors");
    std::vector<std::string> notes;
    try {
      std::string out = convert::tie_head(&stored, "E", "H", tied, "src", &notes) ? "tied:" : "own:";
      for (const auto& [name, tensor] : stored)
        out += name + tensor.dtype_name;
      for (const std::string& note : notes)
        out += "|" + note;
      return out;
    } catch (const convert::Error& error) {
      return error.what();
    }
  };
  const std::string missing =
      "src: there is no tensor H, and tie_word_embeddings is not true; set it in config.json if the embedding is the head";
  const std::string differs = "|tie_word_embeddings is true, but H differs from the embedding: it is the head";
  CHECK_EQ(decide({{"E", {"F32", values}}}, true), "tied:EF32");
  CHECK_EQ(decide({{"E", {"F32", values}}}, false), missing);
  CHECK_EQ(decide({{"E", {"F32", values}}, {"H", {"F32", values}}}, false), "own:EF32HF32");
  CHECK_EQ(decide({{"E", {"F32", values}}, {"H", {"F32", values}}}, true), "tied:EF32");
  CHECK_EQ(decide({{"E", {"F32", values}}, {"H", {"BF16", values}}}, true), "tied:EF32");
  CHECK_EQ(decide({{"E", {"F32", values}}, {"H", {"F32", other}}}, true), "own:EF32HF32" + differs);
  CHECK_EQ(decide({{"E", {"F16", values}}, {"H", {"F32", other}}}, true), "own:EF16HF32" + differs);
  CHECK_EQ(decide({{"H", {"F16", values}}}, true), "tied:EF16");
  CHECK_EQ(decide({{"H", {"F16", values}}}, false), "own:HF16");
  CHECK_EQ(decide({{"E", {"F32", values}}, {"H", {"F32", values}}}, true, {6}), "own:EF32HF32" + differs);
}

}  // namespace
