// Every check of a model file: for each a file that nothing else refuses, with checksums that fit, and the exact words; beside it
// the last value that is still taken. What the next check says of that value, where no small file can pass it, tells as much.
#include "check.h"
#include "file/model_file.h"
#include "raw_model_file.h"

using namespace edgellm;

namespace {

std::string opened(const std::vector<u8>& bytes) {
  Aligned copy(bytes);
  ModelFile file;
  Status status = file.open(copy.span);
  CHECK(status.ok() || status.code() == Code::bad_model);
  return status.text();
}

struct Case {
  const char* what;
  void (*change)(raw::File& file);
  const char* says;  // empty: it is taken
};

template <int N>
void check_cases(const Case (&cases)[N]) {
  for (const Case& one : cases) {
    raw::File file = raw::small_file();
    one.change(file);
    CHECK_EQ(one.what + std::string(": ") + opened(file.bytes()), one.what + std::string(": ") + one.says);
  }
}

void set_metadata_u32(raw::File& file, size_t at, u32 value) {
  std::memcpy(file.metadata.bytes.data() + at, &value, 4);
}

void rename(TensorEntry& entry, const std::string& name) {
  std::memset(entry.name, 0, sizeof entry.name);
  std::memcpy(entry.name, name.data(), name.size());
}

#define NOT_INSIDE " bytes, are not inside the file of 5632"
#define TABLE(count, at)                                                 \
  "header: a table of " count " tensors at " at                          \
  " is not between the metadata and the end of the file (at most 65536 " \
  "tensors)"
#define TOKENIZER(bytes, at) \
  "header: a tokenizer section of " bytes " bytes at " at " is not between the tensor table and the end of the file"

}  // namespace

TEST(the_file_made_by_hand_is_read) {
  const std::vector<u8> bytes = raw::small_file().bytes();
  CHECK_EQ(bytes.size(), size_t{5632});
  Aligned copy(bytes);
  ModelFile file;
  CHECK_EQ(std::string(file.open(copy.span).text()), "");
  CHECK_EQ(std::string(file.check_data().text()), "");
  CHECK(file.bytes().data == copy.span.data && file.bytes().count == 5632);
  CHECK(file.metadata().data == copy.span.data + 64 && file.metadata().count == 128);
  CHECK(file.tokenizer().data == copy.span.data + 960 && file.tokenizer().count == 100);
  CHECK_EQ(file.tensors().count, i64{6});
  CHECK(static_cast<const void*>(file.tensors().data) == copy.span.data + 192);
}

TEST(sections_lie_in_the_file_and_in_order) {
  const Case cases[] = {
      {"version 1", [](raw::File& f) { f.header.magic = 0x00324d54; },
       "not a model file but a TM2 version 1 file: edgellm-convert makes a model file of it"},
      {"a sparse one", [](raw::File& f) { f.header.magic = 0x024e5253; }, ""},
      {"zeros in front", [](raw::File& f) { f.header.magic = 0x324d0000; },
       "not a model file: the first four bytes are 00004d32, expected \"TM2\\2\" or \"SRN\\2\""},
      {"another", [](raw::File& f) { f.header.magic = 0x024e5254; },
       "not a model file: the first four bytes are 54524e02, expected \"TM2\\2\" or \"SRN\\2\""},
      {"a smaller header", [](raw::File& f) { f.header.header_bytes = 63; },
       "header: its size is said to be 63, expected 64"},
      {"a larger header", [](raw::File& f) { f.header.header_bytes = 65; },
       "header: its size is said to be 65, expected 64"},
      {"cut", [](raw::File& f) { f.header.file_bytes++; },
       "the file has 5632 bytes, its header says 5633: it was cut; copy or make it again"},
      {"longer", [](raw::File& f) { f.header.file_bytes--; }, "the file has 5632 bytes, its header says 5631"},
      {"metadata in the header", [](raw::File& f) { f.header.metadata_offset = 0; },
       "header: metadata at 0, 128" NOT_INSIDE},
      {"metadata not aligned", [](raw::File& f) { f.header.metadata_offset = 72; },
       "header: metadata at 72, 128" NOT_INSIDE},
      {"metadata to the end", [](raw::File& f) { f.header.metadata_bytes = 5568; }, TABLE("6", "192")},
      {"metadata past the end", [](raw::File& f) { f.header.metadata_bytes = 5569; },
       "header: metadata at 64, 5569" NOT_INSIDE},
      {"metadata of most bytes", [](raw::File& f) { f.header.metadata_bytes = 0xffffffff; },
       "header: metadata at 64, 4294967295" NOT_INSIDE},
      {"no metadata at the end", [](raw::File& f) { f.header.metadata_offset = 5632, f.header.metadata_bytes = 0; },
       TABLE("6", "192")},
      {"no metadata past the end", [](raw::File& f) { f.header.metadata_offset = 5696, f.header.metadata_bytes = 0; },
       "header: metadata at 5696, 0" NOT_INSIDE},
      {"the table in the metadata", [](raw::File& f) { f.header.tensor_offset = 128; }, TABLE("6", "128")},
      {"metadata in the table", [](raw::File& f) { f.header.metadata_bytes = 129; }, TABLE("6", "192")},
      {"the table not aligned", [](raw::File& f) { f.header.tensor_offset = 200; }, TABLE("6", "200")},
      {"the table to the end", [](raw::File& f) { f.header.tensor_count = 42; }, TOKENIZER("100", "960")},
      {"the table past the end", [](raw::File& f) { f.header.tensor_count = 43; }, TABLE("43", "192")},
      {"no table at the end", [](raw::File& f) { f.header.tensor_offset = 5632, f.header.tensor_count = 0; },
       TOKENIZER("100", "960")},
      {"no table past the end", [](raw::File& f) { f.header.tensor_offset = 5696, f.header.tensor_count = 0; },
       TABLE("0", "5696")},
      {"the table far away", [](raw::File& f) { f.header.tensor_offset = 0xffffffc0; }, TABLE("6", "4294967232")},
      {"no tokenizer", [](raw::File& f) { f.header.tokenizer_offset = f.header.tokenizer_bytes = 0; }, ""},
      {"a tokenizer at no place", [](raw::File& f) { f.header.tokenizer_offset = 0; }, TOKENIZER("100", "0")},
      {"a tokenizer of a byte at no place",
       [](raw::File& f) { f.header.tokenizer_offset = 0, f.header.tokenizer_bytes = 1; }, TOKENIZER("1", "0")},
      {"the tokenizer in the table", [](raw::File& f) { f.header.tokenizer_offset = 896; }, TOKENIZER("100", "896")},
      {"the tokenizer not aligned", [](raw::File& f) { f.header.tokenizer_offset = 968; }, TOKENIZER("100", "968")},
      {"the tokenizer to the end", [](raw::File& f) { f.header.tokenizer_bytes = 4672; }, ""},
      {"the tokenizer past the end", [](raw::File& f) { f.header.tokenizer_bytes = 4673; }, TOKENIZER("4673", "960")},
      {"the tokenizer in 64 bits", [](raw::File& f) { f.header.tokenizer_bytes = u64{0} - 960 + 64; },
       TOKENIZER("18446744073709550720", "960")},
      {"an empty tokenizer at the end", [](raw::File& f) { f.header.tokenizer_offset = 5632, f.header.tokenizer_bytes = 0; },
       ""},
      {"a tokenizer at the end", [](raw::File& f) { f.header.tokenizer_offset = 5632, f.header.tokenizer_bytes = 1; },
       TOKENIZER("1", "5632")},
      {"an empty tokenizer past it", [](raw::File& f) { f.header.tokenizer_offset = 5696, f.header.tokenizer_bytes = 0; },
       TOKENIZER("0", "5696")},
      {"the tokenizer far away", [](raw::File& f) { f.header.tokenizer_offset = u64{0} - 64; },
       TOKENIZER("100", "18446744073709551552")},
  };
  check_cases(cases);
}

TEST(less_than_a_header) {
  CHECK_EQ(opened({}), "not a model file but an empty file: what made or fetched it did not finish; do that again");
  raw::File empty;
  empty.lay_out(0);
  std::vector<u8> bytes = empty.bytes();
  CHECK_EQ(bytes.size(), size_t{64});
  CHECK_EQ(opened(bytes), "");
  bytes.pop_back();
  CHECK_EQ(opened(bytes), "not a model file: 63 bytes are less than a header");
}

TEST(a_checksum_of_the_tables_that_does_not_fit) {
  auto hex = [](u64 value) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
    return std::string(text);
  };
  std::vector<u8> good;
  FileHeader header = {};
  header.table_checksum = ~u64{0};
  for (u32 layers = 0; header.table_checksum >> 60 != 0; layers++) {  // until it is written with a zero in front
    raw::File file = raw::small_file();
    set_metadata_u32(file, 16, layers);
    good = file.bytes();
    std::memcpy(&header, good.data(), sizeof header);
  }
  for (u64 said : {u64{0}, ~u64{0}, header.table_checksum ^ 1, header.table_checksum ^ u64{1} << 63}) {
    std::vector<u8> bytes = good;
    std::memcpy(bytes.data() + 48, &said, 8);
    CHECK_EQ(opened(bytes), "damaged: checksum of header, metadata and tensor table is " + hex(header.table_checksum) +
                                ", the header says " + hex(said));
  }
  for (size_t at : {size_t{64}, size_t{191}, size_t{192}, size_t{959}}) {  // the first and last byte of each section
    std::vector<u8> bytes = good;
    bytes[at] ^= 64;
    CHECK(opened(bytes).starts_with("damaged: checksum of header, metadata and tensor table is "));
  }
  std::vector<u8> rest = good;
  rest[960] ^= 64;
  CHECK_EQ(opened(rest), "");
}

// In pieces of a megabyte: the first and last byte of each are looked at.
TEST(a_checksum_of_the_data_that_does_not_fit) {
  raw::File large = raw::small_file();
  constexpr size_t PIECE = 1 << 20;
  large.rest.resize(2 * PIECE + 64, 7);
  large.lay_out(100);
  std::vector<u8> bytes = large.bytes();
  while (model_reader::at<u64>(bytes, 56) >> 60 != 0) {  // until it is written with a zero in front
    large.rest[5000]++;
    bytes = large.bytes();
  }
  Aligned copy(bytes);
  ModelFile file;
  CHECK_EQ(std::string(file.open(copy.span).text()), "");
  CHECK_EQ(std::string(file.check_data().text()), "");
  FileHeader header;
  std::memcpy(&header, copy.span.data, sizeof header);
  for (size_t at : {size_t{0}, PIECE - 1, PIECE, 2 * PIECE - 1, 2 * PIECE, 2 * PIECE + 63}) {
    u8& byte = copy.span.data[960 + at];
    byte ^= 1;
    CHECK(std::string(file.check_data().text()).starts_with("damaged: checksum of the weights is "));
    CHECK(file.check_data().code() == Code::bad_model);
    byte ^= 1;
  }
  std::memset(copy.span.data + 56, 0, 8);
  char expected[128];
  std::snprintf(expected, sizeof expected, "damaged: checksum of the weights is %016llx, the header says 0000000000000000",
                static_cast<unsigned long long>(header.data_checksum));
  CHECK_EQ(std::string(file.check_data().text()), expected);
}

TEST(the_table_has_a_limit) {
  for (u32 count : {65536u, 65537u}) {
    raw::File file;
    file.entries.resize(count);
    file.lay_out(0);
    CHECK_EQ(opened(file.bytes()),
             count == 65536 ? "tensor 0: its name has no or more than 63 characters" : TABLE("65537", "64"));
  }
}

// The entries: layers 0 to 24, eps 24 to 48, gate 48 to 72, window 72 to 104, factors 104 to 128.
TEST(entries_of_the_metadata_fit) {
  const Case cases[] = {
      {"without the last", [](raw::File& f) { f.header.metadata_bytes = 104; }, ""},
      {"a byte more", [](raw::File& f) { f.header.metadata_bytes = 105; }, "metadata: 1 bytes are left over at 104"},
      {"seven more", [](raw::File& f) { f.header.metadata_bytes = 111; }, "metadata: 7 bytes are left over at 104"},
      {"eight more", [](raw::File& f) { f.header.metadata_bytes = 112; },
       "metadata: entry at 104 with a key of 7 and a value of 8 bytes does not fit the 8 bytes left"},
      {"a byte less", [](raw::File& f) { f.header.metadata_bytes = 127; },
       "metadata: entry at 104 with a key of 7 and a value of 8 bytes does not fit the 23 bytes left"},
      {"no key", [](raw::File& f) { f.metadata.bytes[105] = 0; },
       "metadata: entry at 104 with a key of 0 and a value of 8 bytes does not fit the 24 bytes left"},
      {"a value to the end", [](raw::File& f) { f.metadata.bytes[105] = 8; }, ""},
      {"a key into the value", [](raw::File& f) { f.metadata.bytes[105] = 9; },
       "metadata: entry at 104 with a key of 9 and a value of 8 bytes does not fit the 24 bytes left"},
      {"a value past the end", [](raw::File& f) { set_metadata_u32(f, 108, 9); },
       "metadata: entry at 104 with a key of 7 and a value of 9 bytes does not fit the 24 bytes left"},
      {"a value of most bytes", [](raw::File& f) { set_metadata_u32(f, 108, 0xffffffff); },
       "metadata: entry at 104 with a key of 7 and a value of 4294967295 bytes does not fit the 24 bytes left"},
      {"type 0", [](raw::File& f) { f.metadata.bytes[104] = 0; }, "metadata: \"factors\" has the unknown type 0"},
      {"type 6", [](raw::File& f) { f.metadata.bytes[104] = 6; }, "metadata: \"factors\" has the unknown type 6"},
      {"type 255", [](raw::File& f) { f.metadata.bytes[104] = 255; }, "metadata: \"factors\" has the unknown type 255"},
      {"a whole number of 3", [](raw::File& f) { set_metadata_u32(f, 4, 3); },
       "metadata: \"layers\" has 3 bytes of numbers, expected 4"},
      {"a whole number of 8", [](raw::File& f) { set_metadata_u32(f, 4, 8); },
       "metadata: \"layers\" has 8 bytes of numbers, expected 4"},
      {"a real number of 5", [](raw::File& f) { set_metadata_u32(f, 28, 5); },
       "metadata: \"eps\" has 5 bytes of numbers, expected 4"},
      {"a text of 5", [](raw::File& f) { set_metadata_u32(f, 52, 5); }, ""},
      {"a list of 10", [](raw::File& f) { set_metadata_u32(f, 76, 10); },
       "metadata: \"window\" has 10 bytes of numbers, expected a multiple of 4"},
      {"a list of 16", [](raw::File& f) { set_metadata_u32(f, 76, 16); }, ""},
      {"a real list of 7", [](raw::File& f) { set_metadata_u32(f, 108, 7); },
       "metadata: \"factors\" has 7 bytes of numbers, expected a multiple of 4"},
      {"a real list of 4", [](raw::File& f) { set_metadata_u32(f, 108, 4); }, ""},
      {"two with one key", [](raw::File& f) { std::memcpy(&f.metadata.bytes[112], "window", 7); }, ""},
  };
  check_cases(cases);
}

TEST(keys_and_their_number_have_limits) {
  auto with = [](const raw::Metadata& metadata) {
    raw::File file;
    file.metadata = metadata;
    file.lay_out(0);
    return opened(file.bytes());
  };
  raw::Metadata longest, longer, many, empty;
  longest.number(std::string(63, 'k'), 1);
  longer.number(std::string(64, 'k'), 1);
  CHECK_EQ(with(longest), "");
  CHECK_EQ(with(longer), "metadata: entry at 0 with a key of 64 and a value of 4 bytes does not fit the 80 bytes left");
  for (u32 i = 0; i < 4096; i++)
    many.number("k", i);
  CHECK_EQ(with(many), "");
  many.number("k", 4096);
  CHECK_EQ(with(many), "metadata: more than 4096 entries");
  empty.numbers("list", {});
  empty.reals("more", {});
  empty.text("text", "");
  CHECK_EQ(with(empty), "");
}

TEST(what_a_file_requires) {
  auto with = [](void (*add)(raw::Metadata&)) {
    raw::File file;
    add(file.metadata);
    file.lay_out(0);
    return opened(file.bytes());
  };
  CHECK_EQ(with([](raw::Metadata& m) { m.text("requires", ""); }), "");
  CHECK_EQ(with([](raw::Metadata& m) { m.text("requires", "a second head"); }),
           "the file needs a newer version of this program: it requires \"a second head\"");
  CHECK_EQ(with([](raw::Metadata& m) { m.number("requires", 0); }), "metadata: \"requires\" is not a text");
}

TEST(names_of_tensors_ascend) {
  const Case cases[] = {
      {"no name", [](raw::File& f) { rename(f["cube"], ""); }, "tensor 0: its name has no or more than 63 characters"},
      {"63", [](raw::File& f) { rename(f["vector"], std::string(63, 'v')); }, ""},
      {"64", [](raw::File& f) { rename(f["vector"], std::string(64, 'v')); },
       "tensor 5: its name has no or more than 63 characters"},
      {"twice", [](raw::File& f) { rename(f["embed"], "cube"); },
       "tensor table: \"cube\" follows \"cube\", names must ascend"},
      {"shorter", [](raw::File& f) { rename(f["embed"], "cub"); },
       "tensor table: \"cub\" follows \"cube\", names must ascend"},
      {"longer", [](raw::File& f) { rename(f["embed"], "cubes"); }, ""},
      {"before", [](raw::File& f) { rename(f["vector"], "sparsd"); },
       "tensor table: \"sparsd\" follows \"sparse\", names must ascend"},
      {"bytes are not signed", [](raw::File& f) { rename(f["vector"], "\xc3\xa9"); }, ""},
      {"what is behind a NUL does not count", [](raw::File& f) { f["vector"].name[20] = 'x'; }, ""},
  };
  check_cases(cases);
}

#define VECTOR "tensor vector: a vector of 5 must be 20 bytes of f32 without scales"

TEST(shapes_and_formats_of_tensors) {
  const Case cases[] = {
      {"format 9", [](raw::File& f) { f["matrix"].format = 9; }, "tensor matrix: unknown format 9"},
      {"rank 0", [](raw::File& f) { f["matrix"].rank = 0; }, "tensor matrix: rank 0, expected 1 to 3"},
      {"rank 4", [](raw::File& f) { f["cube"].rank = 4; }, "tensor cube: rank 4, expected 1 to 3"},
      {"order 1", [](raw::File& f) { f["matrix"].order = 1; }, "tensor matrix: unknown panel order 1"},
      {"no rows", [](raw::File& f) { f["matrix"].shape[0] = 0; }, "tensor matrix: dimension 0 is 0 at rank 2"},
      {"no columns", [](raw::File& f) { f["matrix"].shape[1] = 0; }, "tensor matrix: dimension 1 is 0 at rank 2"},
      {"no columns of three", [](raw::File& f) { f["cube"].shape[2] = 0; }, "tensor cube: dimension 2 is 0 at rank 3"},
      {"a second", [](raw::File& f) { f["vector"].shape[1] = 1; }, "tensor vector: dimension 1 is 1 at rank 1"},
      {"a third", [](raw::File& f) { f["matrix"].shape[2] = 1; }, "tensor matrix: dimension 2 is 1 at rank 2"},
      {"a fourth", [](raw::File& f) { f["cube"].shape[3] = 1; }, "tensor cube: dimension 3 is 1 at rank 3"},
      {"2^31 - 17", [](raw::File& f) { f["vector"].shape[0] = 2147483631; },
       "tensor vector: a vector of 2147483631 must be 8589934524 bytes of f32 without scales"},
      {"2^31 - 16", [](raw::File& f) { f["vector"].shape[0] = 2147483632; },
       "tensor vector: dimension 0 is 2147483632 at rank 1"},
      {"2^31 - 16 rows", [](raw::File& f) { f["plain"].shape[0] = 2147483632; },
       "tensor plain: dimension 0 is 2147483632 at rank 2"},
      {"a vector of f16", [](raw::File& f) { f["vector"].format = 1; }, VECTOR},
      {"a vector with a scale", [](raw::File& f) { f["vector"].scale = 1; }, VECTOR},
      {"a vector with activations", [](raw::File& f) { f["vector"].activations = 1; }, VECTOR},
      {"a vector with a place of scales", [](raw::File& f) { f["vector"].scale_offset = 5440; }, VECTOR},
      {"a shorter vector", [](raw::File& f) { f["vector"].bytes = 16; }, VECTOR},
      {"a longer vector", [](raw::File& f) { f["vector"].bytes = 24; }, VECTOR},
      {"131072 columns", [](raw::File& f) { f["plain"].shape[1] = 131072; },
       "tensor plain: 512 bytes, its shape and format want 8388608"},
      {"131073 columns", [](raw::File& f) { f["plain"].shape[1] = 131073; }, "tensor plain: 131073 columns, at most 131072"},
      {"columns of three", [](raw::File& f) { f["cube"].shape[2] = 131073; }, "tensor cube: 131073 columns, at most 131072"},
      {"scale 3", [](raw::File& f) { f["matrix"].scale = 3; },
       "tensor matrix: format t2 does not go with scale kind 3 and activation kind 1"},
      {"activations 3", [](raw::File& f) { f["matrix"].activations = 3; },
       "tensor matrix: format t2 does not go with scale kind 2 and activation kind 3"},
      {"sparse and rank 3",
       [](raw::File& f) { f["sparse"] = raw::entry("sparse", 6, 2, 1, {1, 20, 33}, 4544, 896, 5440, 0); },
       "tensor sparse: rank 3 of the sparse format i8_mask"},
      {"reserved", [](raw::File& f) { f["matrix"].reserved = 1; }, ""},  // not read
  };
  check_cases(cases);
}

TEST(bytes_strides_and_places_of_tensors) {
  const Case cases[] = {
      {"less", [](raw::File& f) { f["matrix"].bytes = 448; }, "tensor matrix: 448 bytes, its shape and format want 512"},
      {"more", [](raw::File& f) { f["matrix"].bytes = 513; }, "tensor matrix: 513 bytes, its shape and format want 512"},
      {"a row more", [](raw::File& f) { f["matrix"].shape[0] = 33; },
       "tensor matrix: 512 bytes, its shape and format want 768"},
      {"a column more", [](raw::File& f) { f["matrix"].shape[1] = 65; },
       "tensor matrix: 512 bytes, its shape and format want 768"},
      {"a matrix more", [](raw::File& f) { f["cube"].shape[0] = 4; },
       "tensor cube: 1664 bytes, its shape and format want 2240"},
      {"one matrix less", [](raw::File& f) { f["cube"].shape[0] = 2, f["cube"].bytes = 1088; }, ""},
      {"a stride at rank 2", [](raw::File& f) { f["matrix"].stride = 512; },
       "tensor matrix: stride 512 for matrices of 512 bytes"},
      {"not a multiple", [](raw::File& f) { f["cube"].stride = 544; }, "tensor cube: stride 544 for matrices of 512 bytes"},
      {"overlapping", [](raw::File& f) { f["cube"].stride = 448; }, "tensor cube: stride 448 for matrices of 512 bytes"},
      {"without a gap", [](raw::File& f) { f["cube"].stride = 512, f["cube"].bytes = 1536; }, ""},
      {"no stride", [](raw::File& f) { f["cube"].stride = 0, f["cube"].bytes = 512; },
       "tensor cube: stride 0 for matrices of 512 bytes"},
      {"no stride of one", [](raw::File& f) { f["cube"].shape[0] = 1, f["cube"].stride = 0, f["cube"].bytes = 512; }, ""},
      {"a stride of one", [](raw::File& f) { f["cube"].shape[0] = 1, f["cube"].bytes = 512; }, ""},
      {"no stride and two", [](raw::File& f) { f["cube"].shape[0] = 2, f["cube"].stride = 0, f["cube"].bytes = 512; },
       "tensor cube: stride 0 for matrices of 512 bytes"},
      {"as long as the file", [](raw::File& f) { f["cube"].stride = 5632; },
       "tensor cube: 1664 bytes, its shape and format want 11776"},
      {"longer than the file", [](raw::File& f) { f["cube"].stride = 5696; },
       "tensor cube: stride 5696 for matrices of 512 bytes"},
      {"twice the stride is 2^64", [](raw::File& f) { f["cube"].stride = u64{1} << 63, f["cube"].bytes = 512; },
       "tensor cube: stride 9223372036854775808 for matrices of 512 bytes"},
      {"scales in the table", [](raw::File& f) { f["matrix"].scale_offset = 896; },
       "tensor matrix: 128 bytes of scales at 896 are not inside the file"},
      {"scales behind the table", [](raw::File& f) { f["matrix"].scale_offset = 960; }, ""},
      {"scales at no place", [](raw::File& f) { f["matrix"].scale_offset = 0; },
       "tensor matrix: 128 bytes of scales at 0 are not inside the file"},
      {"scales not aligned", [](raw::File& f) { f["matrix"].scale_offset = 3936; },
       "tensor matrix: 128 bytes of scales at 3936 are not inside the file"},
      {"scales to the end", [](raw::File& f) { f["matrix"].scale_offset = 5504; }, ""},
      {"scales past the end", [](raw::File& f) { f["matrix"].scale_offset = 5568; },
       "tensor matrix: 128 bytes of scales at 5568 are not inside the file"},
      {"scales in 64 bits", [](raw::File& f) { f["matrix"].scale_offset = u64{0} - 64; },
       "tensor matrix: 128 bytes of scales at 18446744073709551552 are not inside the file"},
      {"a scale for each of three", [](raw::File& f) { f["cube"].scale_offset = 5632; },
       "tensor cube: 12 bytes of scales at 5632 are not inside the file"},
      {"row scales of three to the end", [](raw::File& f) { f["cube"].scale = 2, f["cube"].scale_offset = 5248; }, ""},
      {"row scales of three past it", [](raw::File& f) { f["cube"].scale = 2, f["cube"].scale_offset = 5312; },
       "tensor cube: 384 bytes of scales at 5312 are not inside the file"},
      {"no scales at a place", [](raw::File& f) { f["plain"].scale_offset = 4544; },
       "tensor plain: 0 bytes of scales at 4544 are not inside the file"},
      {"data in the table", [](raw::File& f) { f["vector"].offset = 896; },
       "tensor vector: 20 bytes at 896 are not inside the file of 5632 bytes"},
      {"data behind the table", [](raw::File& f) { f["vector"].offset = 960; }, ""},
      {"data not aligned", [](raw::File& f) { f["vector"].offset = 5536; },
       "tensor vector: 20 bytes at 5536 are not inside the file of 5632 bytes"},
      {"data to the end", [](raw::File& f) { f["vector"].shape[0] = 16, f["vector"].bytes = 64; }, ""},
      {"data past the end", [](raw::File& f) { f["vector"].shape[0] = 17, f["vector"].bytes = 68; },
       "tensor vector: 68 bytes at 5568 are not inside the file of 5632 bytes"},
      {"data at the end", [](raw::File& f) { f["vector"].offset = 5632; },
       "tensor vector: 20 bytes at 5632 are not inside the file of 5632 bytes"},
      {"data in 64 bits", [](raw::File& f) { f["matrix"].offset = u64{0} - 512; },
       "tensor matrix: 512 bytes at 18446744073709551104 are not inside the file of 5632 bytes"},
      {"data of a sparse one past the end", [](raw::File& f) { f["sparse"].offset = 4800; },
       "tensor sparse: 896 bytes at 4800 are not inside the file of 5632 bytes"},
      {"data that others have too", [](raw::File& f) { f["vector"].offset = 3392; }, ""},
  };
  check_cases(cases);
}

// The places: 1, 3 and 5, in units of 64 bytes.
TEST(panels_of_sparse_matrices) {
  const Case cases[] = {
      {"fewest bytes", [](raw::File& f) { f["sparse"].bytes = 640, f.set_u32(4548, 1), f.set_u32(4552, 1); }, ""},
      {"fewer", [](raw::File& f) { f["sparse"].bytes = 639, f.set_u32(4548, 1), f.set_u32(4552, 1); },
       "tensor sparse: 639 bytes, a sparse matrix of 20 rows has at least 640"},
      {"in the table", [](raw::File& f) { f.set_u32(4544, 0); },
       "tensor sparse: panel 0 is said to begin at 0, expected 64"},
      {"behind the table", [](raw::File& f) { f.set_u32(4544, 2); },
       "tensor sparse: panel 0 is said to begin at 128, expected 64"},
      {"in 64 bits", [](raw::File& f) { f.set_u32(4544, (1u << 26) + 1); },
       "tensor sparse: panel 0 is said to begin at 4294967360, expected 64"},
      {"an empty panel", [](raw::File& f) { f.set_u32(4548, 1); }, ""},
      {"before the first", [](raw::File& f) { f.set_u32(4548, 0); },
       "tensor sparse: panel 1 is said to begin at 0, expected at least 64"},
      {"an empty last panel", [](raw::File& f) { f.set_u32(4548, 5); }, ""},
      {"not ascending", [](raw::File& f) { f.set_u32(4548, 6); },
       "tensor sparse: panel 2 is said to begin at 320, expected at least 384"},
      {"bytes behind", [](raw::File& f) { f.set_u32(4552, 4); },
       "tensor sparse: 896 bytes, its panels and what follows them are 832"},
      {"bytes that are not there", [](raw::File& f) { f.set_u32(4552, 6); },
       "tensor sparse: 896 bytes, its panels and what follows them are 960"},
      {"32 rows", [](raw::File& f) { f["sparse"].shape[0] = 32; }, ""},
      {"33 rows", [](raw::File& f) { f["sparse"].shape[0] = 33; },
       "tensor sparse: panel 3 is said to begin at 0, expected at least 320"},
      {"no rows more", [](raw::File& f) { f["sparse"].shape[0] = 16; },
       "tensor sparse: 896 bytes, its panels and what follows them are 768"},
      {"16 panels",  // whose table has 17 numbers, 128 bytes
       [](raw::File& f) { f["sparse"].shape[0] = 256, f["sparse"].bytes = 703, f["sparse"].scale_offset = 4480; },
       "tensor sparse: 703 bytes, a sparse matrix of 256 rows has at least 704"},
      {"16 panels behind a table of 64 bytes",
       [](raw::File& f) { f["sparse"].shape[0] = 256, f["sparse"].bytes = 704, f["sparse"].scale_offset = 4480; },
       "tensor sparse: panel 0 is said to begin at 64, expected 128"},
  };
  check_cases(cases);
}

// Which format goes with which scales and activations, as docs/FILE.md lists it.
TEST(combinations_of_a_matrix) {
  const struct {
    const char* name;
    u64 columns, bytes;   // of a unit
    const char* allowed;  // scale and activations of each
  } formats[] = {{"f32", 4, 256, "00"},   {"f16", 4, 128, "00"},          {"i8", 32, 512, "21 22"},
                 {"i4", 64, 576, "02"},   {"t2", 32, 128, "11 12 21 22"}, {"t2_group", 256, 1088, "02"},
                 {"i8_mask", 0, 0, "21"}, {"i8_group", 0, 0, "21"},       {"t5", 20, 64, "11 21"}};
  for (i32 format = 0; format < 9; format++) {
    for (i32 scale = 0; scale < 3; scale++) {
      for (i32 activations = 0; activations < 3; activations++) {
        const auto& f = formats[format];
        const u64 bytes = f.columns ? 2 * ((300 + f.columns - 1) / f.columns) * f.bytes : 64 + 576;  // 17 rows of 300
        raw::File file;
        file.rest.assign(raw::round_up(bytes, 64) + 128, 0);
        const u64 end = 192 + file.rest.size();
        file.entries = {raw::entry("m", format, scale, activations, {17, 300}, 192, bytes, scale ? end - 128 : 0)};
        if (!f.columns) {
          for (u64 i = 0; i < 3; i++)
            file.set_u32(192 + 4 * i, 1);
        }
        file.lay_out(0);
        const std::string kinds = std::to_string(scale) + std::to_string(activations);
        const bool allowed = std::string(f.allowed).find(kinds) != std::string::npos;
        CHECK_EQ(f.name + kinds + opened(file.bytes()),
                 f.name + kinds +
                     (allowed ? ""
                              : std::string("tensor m: format ") + f.name + " does not go with scale kind " +
                                    kinds.substr(0, 1) + " and activation kind " + kinds.substr(1)));
      }
    }
  }
}
