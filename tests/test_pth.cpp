// Files of torch.save: views and shared storages as torch writes them (tools/golden/torch_golden.py), each opcode of a pickle, and the
// records of a zip archive.
#include "convert/source/pth.h"

#include "check.h"
#include "convert/base/error.h"
#include "convert_sources.h"

using namespace edgellm;
using namespace sources;

namespace {

// A tensor's type, shape and values, as text.
std::string said(const convert::StoredTensor& t) {
  std::ostringstream out;
  out << t.dtype_name << " (" << convert::shape_text(t.shape) << ")";
  const i64 width = convert::dtype_bytes(t.dtype);
  for (u64 at = 0; width > 0 && at < t.data.size; at += static_cast<u64>(width)) {
    const u8* from = t.data.data + at;
    u16 half = 0;
    f32 value = 0;
    if (width == 2) std::memcpy(&half, from, 2);
    if (width == 4) std::memcpy(&value, from, 4);
    if (t.dtype == convert::Dtype::F16) value = f16_to_f32(half);
    if (t.dtype == convert::Dtype::BF16) value = bits_to<f32>(static_cast<u32>(half) << 16);
    if (t.dtype == convert::Dtype::U8) value = *from;
    if (t.dtype == convert::Dtype::I8) value = static_cast<i8>(*from);
    out << " " << value;
  }
  return out.str();
}

std::map<std::string, std::string> read(const std::string& path) {
  std::map<std::string, std::string> out;
  for (const auto& [name, tensor] : convert::read_pth(path)) {
    CHECK_EQ(tensor.name, name);
    out[name] = said(tensor);
  }
  return out;
}

// What a file holds, or the words after its path.
std::string outcome(const std::string& path) {
  try {
    std::string all;
    for (const auto& [name, tensor] : read(path))
      all += (all.empty() ? "" : "; ") + name + " " + tensor;
    return all;
  } catch (const convert::Error& error) {
    CHECK(std::string(error.what()).starts_with(path + ": "));
    CHECK(error.code == Code::bad_model);
    return std::string("refused: ") + (error.what() + path.size() + 2);
  }
}

std::string quarters(int from, int to) {
  std::ostringstream out;
  for (int i = from; i < to; i++)
    out << " " << i / 4.0 - 2;
  return out.str();
}

TEST(views_and_shared_storages_of_torch) {
  const std::map<std::string, std::string> expected = {{"whole", "F32 (4 x 6)" + quarters(0, 24)},
                                                       {"tail", "F32 (6)" + quarters(18, 24)},
                                                       {"rows", "F32 (2 x 6)" + quarters(6, 18)},
                                                       {"one", "F32 (1 x 1 x 1)" + quarters(7, 8)},
                                                       {"scalar", "F32 (())" + quarters(5, 6)},
                                                       {"none", "F32 (0)"},
                                                       {"odd_stride", "F32 (1 x 6)" + quarters(12, 18)},
                                                       {"halves", "F16 (6) -3 -2 -1 0 1 2"},
                                                       {"halves_tail", "F16 (2) 1 2"},
                                                       {"brain", "BF16 (2 x 3) -3 -2 -1 0 1 2"},
                                                       {"u8", "U8 (6) 250 251 252 253 254 255"},
                                                       {"i8", "I8 (3) -1 0 1"},
                                                       {"i64", "another type (2)"}};
  for (const char* name : {"views", "protocol4"}) {
    const auto found = read(std::string("tests/golden/torch/") + name + ".pth");
    for (const auto& [key, text] : expected)
      CHECK_EQ(key + " " + (found.contains(key) ? found.at(key) : ""), key + " " + text);
    CHECK_EQ(found.size(), expected.size());
  }
  CHECK_EQ(outcome("tests/golden/torch/transposed.pth"), "refused: tensor t is not in row-major order");
}

// --- Pickles written here ---

std::string mark(const std::string& inside) {
  return "(" + inside + "t";
}

// A tensor of the storage 0, with any numbers.
std::string tensor_of(const std::string& storage, const std::string& count, const std::string& offset,
                      const std::vector<i64>& sizes, const std::vector<i64>& strides) {
  auto numbers = [](const std::vector<i64>& list) {
    std::string out;
    for (i64 n : list)
      out += Bytes().put(u8{0x8a}).put(u8{8}).put(n).data;
    return mark(out);
  };
  return "ctorch._utils\n_rebuild_tensor_v2\n" +
         mark(mark(pickled_text("storage") + "ctorch\n" + storage + "\n" + pickled_text("0") + pickled_text("cpu") + count) +
              "Q" + offset + numbers(sizes) + numbers(strides)) +
         "R";
}

struct PickleTest {
  Folder folder;
  std::string path = folder / "x.pth";
  std::string values = Bytes().floats({1, 2, 3, 4, 5, 6}).data;

  std::string file(const std::string& pickle) const { return zip({{"m/data.pkl", pickle}, {"m/data/0", values}}); }
  std::string operator()(const std::string& pickle) const {
    write_file(path, file(pickle));
    return outcome(path);
  }
  // Of one tensor "a".
  std::string one(const std::string& tensor) const { return (*this)("}(" + pickled_text("a") + tensor + "u."); }
  std::string view(i64 offset, const std::vector<i64>& sizes, const std::vector<i64>& strides,
                   const std::string& storage = "FloatStorage") const {
    return one(tensor_of(storage, "K\6", Bytes().put(u8{0x8a}).put(u8{8}).put(offset).data, sizes, strides));
  }
};

TEST(offsets_sizes_and_strides) {
  const PickleTest test;
  const struct {
    i64 offset;
    std::vector<i64> sizes, strides;
    const char* expected;
  } rows[] = {
      {0, {2, 3}, {3, 1}, "a F32 (2 x 3) 1 2 3 4 5 6"},
      {1, {5}, {1}, "a F32 (5) 2 3 4 5 6"},
      {2, {2, 2}, {2, 1}, "a F32 (2 x 2) 3 4 5 6"},
      {3, {3, 1}, {1, 1}, "a F32 (3 x 1) 4 5 6"},
      {3, {3, 1}, {1, 77}, "a F32 (3 x 1) 4 5 6"},
      {0, {1, 2, 1, 3}, {0, 3, 9, 1}, "a F32 (1 x 2 x 1 x 3) 1 2 3 4 5 6"},
      {5, {}, {}, "a F32 (()) 6"},
      {6, {0}, {1}, "a F32 (0)"},
      {0, {2, 0}, {1, 1}, "refused: tensor a is not in row-major order"},
      {0, {1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1}, "a F32 (1 x 1 x 1 x 1 x 1 x 1 x 1 x 1) 1"},
      {0, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1}, "refused: tensor a has 9 dimensions, at most 8"},
      {0, {2}, {1, 1}, "refused: tensor a has 1 sizes and other strides"},
      {0, {2, 3}, {1, 2}, "refused: tensor a is not in row-major order"},
      {0, {2, 3}, {0, 1}, "refused: tensor a is not in row-major order"},
      {0, {3}, {2}, "refused: tensor a is not in row-major order"},
      {0, {3}, {-1}, "refused: tensor a is not in row-major order"},
      {0, {-2}, {1}, "refused: tensor a has a dimension of -2"},
      {0, {1ll << 40, 1ll << 40}, {1ll << 40, 1}, "refused: tensor a: its shape overflows"},
      {1, {6}, {1}, "refused: tensor a reaches past the 6 values of its storage"},
      {0, {7}, {1}, "refused: tensor a reaches past the 6 values of its storage"},
      {7, {0}, {1}, "refused: tensor a reaches past the 6 values of its storage"},
      {-1, {1}, {1}, "refused: tensor a reaches past the 6 values of its storage"},
  };
  for (const auto& row : rows)
    CHECK_EQ(test.view(row.offset, row.sizes, row.strides), row.expected);
  const std::pair<const char*, const char*> types[] = {
      {"FloatStorage", "a F32 (2) 1 2"},      {"HalfStorage", "a F16 (2) 0 1.875"}, {"BFloat16Storage", "a BF16 (2) 0 1"},
      {"ByteStorage", "a U8 (2) 0 0"},        {"CharStorage", "a I8 (2) 0 0"},      {"LongStorage", "a another type (2)"},
      {"DoubleStorage", "a another type (2)"}};
  for (const auto& [name, expected] : types)
    CHECK_EQ(test.view(0, {2}, {1}, name), expected);
  CHECK_EQ(test.view(23, {1}, {1}, "CharStorage"), "a I8 (1) 64");
  CHECK_EQ(test.view(11, {2}, {1}, "HalfStorage"), "refused: tensor a reaches past the 12 values of its storage");
}

TEST(each_opcode) {
  const PickleTest test;
  const std::string key = pickled_text("a"), whole = tensor_of("FloatStorage", "K\6", "K\0", {2}, {1});
  auto at = [](const std::string& offset) { return tensor_of("FloatStorage", "K\6", offset, {1}, {1}); };
  using namespace std::string_literals;
  const std::string tensor = at("K\1"s),
                    damaged = "refused: its pickle is damaged, or holds more than named tensors, at byte ";
  const std::pair<std::string, std::string> rows[] = {
      // Numbers.
      {"}(" + key + at("K\5"s) + "u.", "a F32 (1) 6"},
      {"}(" + key + at("M\4\0"s) + "u.", "a F32 (1) 5"},
      {"}(" + key + at("J\3\0\0\0"s) + "u.", "a F32 (1) 4"},
      {"}(" + key + at("\x8a\1\2"s) + "u.", "a F32 (1) 3"},
      {"}(" + key + at("\x8a\0"s) + "u.", "a F32 (1) 1"},
      {"}(" + key + at("\x88"s) + "u.", "a F32 (1) 2"},
      {"}(" + key + at("\x89"s) + "u.", "a F32 (1) 1"},
      // Dictionaries, one pair at a time and many; lists in their place.
      {"}." + key, ""},
      {"}" + key + tensor + "s.", "a F32 (1) 2"},
      {"}" + key + tensor + "s" + pickled_text("b") + at("K\3"s) + "s.", "a F32 (1) 2; b F32 (1) 4"},
      {"}(" + key + tensor + pickled_text("b") + at("K\3"s) + "u.", "a F32 (1) 2; b F32 (1) 4"},
      {"]" + key + "a" + tensor + "a.", "a F32 (1) 2"},
      {"](" + key + tensor + "e.", "a F32 (1) 2"},
      {key + tensor + "\x86.", "a F32 (1) 2"},
      {"(" + key + tensor + "t.", "a F32 (1) 2"},
      {"ccollections\nOrderedDict\n)R(" + key + tensor + "u}b.", "a F32 (1) 2"},
      {"\x80\4\x95\1\2\3\4\5\6\7\x08}(\x8c\1a" + tensor + "u.", "a F32 (1) 2"},
      {"}(" + key + "\x8c\14torch._utils\x8c\x12_rebuild_parameter\x93(" + tensor + "NG12345678tRu.", "a F32 (1) 2"},
      {"}(" + key + "ctorch._utils\n_rebuild_parameter\n" + tensor + "\x85Ru.", "a F32 (1) 2"},
      {"}(" + key + "ctorch._utils\n_rebuild_parameter\n" + tensor + "NN\x87Ru.", "a F32 (1) 2"},
      // The memo.
      {"}(" + key + "q\2" + tensor + "r\3\0\0\0u."s, "a F32 (1) 2"},
      {"}(" + key + tensor + "q\5" + pickled_text("b") + "h\5u.", "a F32 (1) 2; b F32 (1) 2"},
      {"}(" + key + tensor + "r\5\0\0\0"s + pickled_text("b") + "j\5\0\0\0u."s, "a F32 (1) 2; b F32 (1) 2"},
      {"}\x94(" + key + "\x94" + tensor + "\x94" + pickled_text("b") + "h\2u0."s, damaged},
      {"}\x94(" + key + "\x94" + tensor + "\x94" + pickled_text("b") + "h\2u.", "a F32 (1) 2; b F32 (1) 2"},
      {"}(" + key + tensor + "h\0u."s, damaged},
      {"}(" + key + "q\2" + tensor + "h\1u.", damaged},
      {"q\0."s, damaged},
      // What is too short, or of another kind.
      {"a.", damaged},
      {"]a.", damaged},
      {"s.", damaged},
      {"K\1K\2K\3s."s, damaged},
      {"}K\1u."s, damaged},
      {"}K\1(b"s, damaged},
      {"K\1)R."s, damaged},
      {"ccollections\nOrderedDict\nK\1R."s, damaged},
      {"ccollections\nCounter\n)R.", damaged},
      {"ctorch._utils\n_rebuild_parameter\n)R.", damaged},
      {"ctorch._utils\n_rebuild_tensor_v2\nNNN\x87R.", damaged},
      {"NNNNN\x87Q."s, damaged},
      {"(NNNNtQ.", damaged},
      {"(NNNNNNtQ.", damaged},
      {"K\1Q."s, damaged},
      {"K\1K\2\x93."s, damaged},
      {"\x8a\x09"
       "123456789.",
       damaged},
      {"\x8a\x08"
       "1234567",
       damaged},
      {"X\2\0\0\0a"s, damaged},
      {"ctorch\nFloat", damaged},
      {"\x80", damaged},
      {"K\1."s, "refused: its pickle is no dictionary"},
      {"](" + key + "e.", "refused: its pickle is no dictionary"},
      {"](" + key + tensor + "K\1" + tensor + "e.", "refused: entry 1 of its dictionary is no named tensor"},
      {"](" + key + key + "e.", "refused: entry 0 of its dictionary is no named tensor"},
      {"}(" + key + tensor + key + tensor + "u.", "refused: tensor a is there twice"},
      {"}(" + key + "ctorch._utils\n_rebuild_tensor_v2\n(NNNNtRu.", "refused: tensor a has no storage"},
  };
  for (const auto& [pickle, expected] : rows) {
    const std::string found = test(pickle);
    if (expected == damaged)
      CHECK_EQ(pickle + ": " + found.substr(0, damaged.size()), pickle + ": " + damaged);
    else
      CHECK_EQ(pickle + ": " + found, pickle + ": " + expected);
  }
  CHECK_EQ(test("]a."), damaged + "2");
  CHECK_EQ(test("}K\1Q."s), damaged + "4");
  CHECK_EQ(test("\x8a\x09"
                "123456789."),
           damaged + "2");
  // No other code, whatever is on the stack.
  const std::string known =
      "\x80\x95(})]N\x88\x89KMJ\x8aGX\x8c"
      "c\x93qr\x94hjt\x85\x86\x87QRsaueb."s;
  for (int code = 0; code < 256; code++) {
    if (known.find(static_cast<char>(code)) != std::string::npos) continue;
    CHECK_EQ(test("}((" + std::string(1, static_cast<char>(code)) + "12345678\n12345678\n."), damaged + "4");
  }
  auto global = [&](size_t n) {
    return test(pickled_text("torch") + pickled_text(std::string(n, 'x')) + "\x93.").substr(0, 28);
  };
  CHECK_EQ(global(256), "refused: its pickle is no di");
  CHECK_EQ(global(257), "refused: its pickle is damag");
  CHECK_EQ(test("}" + std::string((4 << 20) - 1, ')') + "b."), "");
  CHECK_EQ(test("}" + std::string(4 << 20, ')') + "."), "refused: its pickle makes more than 4194304 values");
}

// --- Archives ---

TEST(records_of_an_archive) {
  const PickleTest test;
  const std::string pickle = "}(" + pickled_text("a") + tensor_of("FloatStorage", "K\6", "K\1", {2}, {1}) + "u.";
  const std::string good = test.file(pickle), expected = "a F32 (2) 2 3";
  auto of = [&](const std::string& bytes) {
    write_file(test.path, bytes);
    return outcome(test.path);
  };
  CHECK_EQ(of(good), expected);
  const size_t end = good.size() - 22, first = good.find("PK\1\2"), second = good.find("PK\1\2", first + 1);
  auto changed = [&](size_t at, const std::string& by) {
    std::string bytes = good;
    return bytes.replace(at, by.size(), by);
  };
  using namespace std::string_literals;
  const std::string damage = "refused: damaged zip archive: ";
  auto endless = [](size_t bytes) {
    return "refused: a zip archive of " + std::to_string(bytes) + " bytes without its end: it was cut: download it again";
  };
  const struct {
    size_t at;
    std::string by, expected;
  } rows[] = {
      {0, "PK\3\5", "refused: no zip archive, as torch.save has written them since version 1.6"},
      {end, "PK\5\7", endless(good.size())},
      {end + 20, "\1\0"s, endless(good.size())},
      {end + 16, "\xff\xff\xff\x7f", damage + "offset outside the file"},
      {end + 10, "\3\0"s, damage + "directory entry"},
      {first, "PK\1\3", damage + "directory entry"},
      {second, "PK\1\3", damage + "directory entry"},
      {first + 8, "\1\0"s, "refused: member m/data.pkl is encrypted"},
      {first + 8, "\2\0"s, expected},
      {second + 8, "\1\0"s, "refused: member m/data/0 is encrypted"},
      {first + 10, "\x08\0"s, "refused: member m/data.pkl is compressed"},
      {second + 20, "\x17\0"s, "refused: member m/data/0 is compressed"},
      {second + 24, "\x17\0"s, "refused: member m/data/0 is compressed"},
      {second + 42, "\1\0"s, damage + "local header"},
      {second + 28, "\xff\xff", damage + "offset outside the file"},
      {first + 46, "m/data.pkx", "refused: there is no data.pkl in this archive"},
      {second + 46, "m/data/1", "refused: tensor a has no storage"},
      {second + 46, "x/data/0", "refused: tensor a has no storage"},
  };
  for (const auto& row : rows)
    CHECK_EQ(of(changed(row.at, row.by)), row.expected);
  // Comments behind the end, and one that looks like an end.
  auto comment = [&](const std::string& words) {
    return changed(end + 20, Bytes().put(static_cast<u16>(words.size())).data) + words;
  };
  CHECK_EQ(of(comment("hello")), expected);
  CHECK_EQ(of(comment(std::string(65535, 'x'))), expected);
  CHECK_EQ(of(comment("PK\5\6" + std::string(30, 'x'))), expected);
  CHECK_EQ(of(good + "x"), endless(good.size() + 1));
  // Byte order, folders of any name, and members of no bytes at one place.
  auto with = [&](std::vector<ZipMember> more) {
    more.push_back({"m/data.pkl", pickle});
    more.push_back({"m/data/0", test.values});
    return of(zip(more));
  };
  CHECK_EQ(with({{"m/byteorder", "little"}, {"m/version", "3\n"}}), expected);
  CHECK_EQ(with({{"m/byteorder", "big"}}), "refused: its values are big endian");
  CHECK_EQ(of(zip({{"data.pkl", pickle}, {"data/0", test.values}})), expected);
  CHECK_EQ(with({{"m/data/0", "x"}}), "refused: member m/data/0 is there twice");
  // The first member may reach to the second's bytes, over its header, and no further.
  auto longer = [&](size_t n) {
    const std::string size = Bytes().put(static_cast<u32>(pickle.size() + n)).data;
    return of(changed(first + 20, size + size));
  };
  CHECK_EQ(longer(38), expected);
  CHECK_EQ(longer(39), damage + "members overlap");
}

// Sizes, places and counts beyond 32 bits stand in fields of their own.
TEST(zip64) {
  const PickleTest test;
  const std::string pickle = "}(" + pickled_text("a") + tensor_of("FloatStorage", "K\6", "K\1", {2}, {1}) + "u.";
  const std::pair<std::string, std::string> members[] = {{"m/data.pkl", pickle}, {"m/data/0", test.values}};
  constexpr u32 ELSEWHERE = 0xffffffff;
  for (int which = 0; which < 8; which++) {  // which of size, packed size and place are in the extra field
    Bytes out, directory;
    for (const auto& [name, data] : members) {
      const u64 size = data.size(), place = out.data.size();
      Bytes extra;
      if (which & 1) extra.put(size);
      if (which & 2) extra.put(size);
      if (which & 4) extra.put(place);
      Bytes field;
      field.put(u16{7}).put(u16{3}).text("abc").put(u16{1}).put(static_cast<u16>(extra.data.size())).text(extra.data);
      out.put(u32{0x04034b50}).put(u32{0}).put(u16{0}).put(u32{0}).put(u32{0}).put(u32{0}).put(u32{0});
      out.put(static_cast<u16>(name.size())).put(u16{5}).text(name).text("extra").text(data);
      auto number = [&](int bit, u64 value) { return which & bit ? ELSEWHERE : static_cast<u32>(value); };
      directory.put(u32{0x02014b50}).put(u32{0}).put(u16{0}).put(u16{0}).put(u32{0}).put(u32{0});
      directory.put(number(2, size)).put(number(1, size)).put(static_cast<u16>(name.size()));
      directory.put(static_cast<u16>(field.data.size())).put(u16{4}).put(u32{0}).put(u32{0}).put(number(4, place));
      directory.text(name).text(field.data).text("note");
    }
    const u64 start = out.data.size();
    out.text(directory.data);
    const u64 end64 = out.data.size();
    out.put(u32{0x06064b50}).put(u64{44}).put(u32{0}).put(u64{0}).put(u64{2}).put(u64{2}).put(u64{directory.data.size()});
    out.put(start);
    const size_t locator = out.data.size();
    out.put(u32{0x07064b50}).put(u32{0}).put(end64).put(u32{1});
    out.put(u32{0x06054b50}).put(u32{0}).put(u16{0xffff}).put(u16{0xffff}).put(ELSEWHERE).put(ELSEWHERE).put(u16{0});
    write_file(test.path, out.data);
    CHECK_EQ(outcome(test.path), "a F32 (2) 2 3");
    out.data[end64] = 'Q';
    write_file(test.path, out.data);
    CHECK_EQ(outcome(test.path), "refused: damaged zip archive: zip64 end record");
    out.data[locator] = 'Q';
    write_file(test.path, out.data);
    CHECK_EQ(outcome(test.path), "refused: damaged zip archive: offset outside the file");
  }
}

}  // namespace
