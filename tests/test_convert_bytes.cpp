// What a conversion writes, to the byte: of every small shape of random weights in every format. A row that changes is a file that
// changes for everyone.
#include <cinttypes>

#include "convert_checks.h"

using namespace convert_checks;

namespace {

struct Row {
  const char* shape;
  std::optional<Format> weights, embed, head;
  double sparsity;
  edgellm::convert::SparsityLayout layout;
  Format sparse;
  uint64_t data;  // the file's checksum of all behind the table of tensors
};

constexpr auto TENSOR_LAYOUT = edgellm::convert::SparsityLayout::tensor, ERK = edgellm::convert::SparsityLayout::erk;
constexpr std::nullopt_t DEFAULT = std::nullopt;

const Row ROWS[] = {
    {"tiny", DEFAULT, DEFAULT, DEFAULT, 0, TENSOR_LAYOUT, Format::I8_MASK, 0xe87225cec756eaa3},
    {"tiny", Format::I4, Format::I4, Format::F16, 0, TENSOR_LAYOUT, Format::I8_MASK, 0x98148cf5256ebb27},
    {"tiny", Format::T5, Format::T2, Format::T5, 0, TENSOR_LAYOUT, Format::I8_MASK, 0x5928586a00ffa4e8},
    {"rwkv7-tiny", DEFAULT, DEFAULT, DEFAULT, 0, TENSOR_LAYOUT, Format::I8_MASK, 0x4b8083764899c3f5},
    {"rwkv7-tiny", Format::T2, DEFAULT, DEFAULT, 0, TENSOR_LAYOUT, Format::I8_MASK, 0x0e3ffbbb0eeb5a9b},
    {"rwkv7-tiny", Format::I8, DEFAULT, DEFAULT, 0.9, TENSOR_LAYOUT, Format::I8_MASK, 0x0cf915765ff81799},
    {"rwkv7-tiny", DEFAULT, DEFAULT, DEFAULT, 0.8, ERK, Format::I8_GROUP, 0xc0cf614526fc6d42},
    {"rwkv7-tiny", DEFAULT, DEFAULT, DEFAULT, 0.75, ERK, Format::I8_MASK, 0x80a2d5253c0e0bbb},
    {"rwkv7-tiny", DEFAULT, DEFAULT, DEFAULT, 0.9, ERK, Format::I8, 0x25d6e87d77cfabec},
    {"rwkv4-tiny", DEFAULT, DEFAULT, Format::I4, 0, TENSOR_LAYOUT, Format::I8_MASK, 0x438a65d0cdfb7d4c},
    {"rwkv4-tiny", Format::F16, DEFAULT, DEFAULT, 0, TENSOR_LAYOUT, Format::I8_MASK, 0xbb093123eb761a6a},
    {"mamba-tiny", DEFAULT, DEFAULT, DEFAULT, 0, TENSOR_LAYOUT, Format::I8_MASK, 0x1ba791c69ba8f617},
    {"mamba-tiny", Format::F32, DEFAULT, DEFAULT, 0.5, ERK, Format::I8_MASK, 0xe77a9db4099b8e6a},
    {"mamba2-tiny", DEFAULT, DEFAULT, DEFAULT, 0, TENSOR_LAYOUT, Format::I8_MASK, 0xe7b159fe0af3570a},
    {"mamba2-tiny", Format::I8, Format::F32, Format::F16, 0.95, ERK, Format::I8_MASK, 0xd95ae139c7df8bdb},
    {"retnet-tiny", DEFAULT, DEFAULT, DEFAULT, 0, TENSOR_LAYOUT, Format::I8_MASK, 0xed5483c0e09f638b},
    {"retnet-tiny", Format::T2, Format::T2, DEFAULT, 0.3, TENSOR_LAYOUT, Format::I8_MASK, 0x868cd9f5e2344e00},
};

TEST(every_shape_and_format) {
  for (const Row& row : ROWS) {
    Folder folder;
    Options options;
    options.source = std::string("synthetic:") + row.shape;
    options.destination = folder / "out.tm2";
    options.formats = {row.weights, row.embed, row.head, row.sparse};
    options.sparsity = row.sparsity;
    options.sparsity_layout = row.layout;
    std::ostringstream report;
    edgellm::convert::convert(options, report, false);
    const uint64_t found = model_reader::at<uint64_t>(model_reader::read_bytes(options.destination), 56);
    CHECK_EQ(found, row.data);
    if (found != row.data) {
      std::printf("%s, row %td: 0x%016" PRIx64 "\n%s\n", row.shape, &row - ROWS, found, report.str().c_str());
    }
  }
}

TEST(metadata_of_every_shape) {
  const std::pair<const char*, const char*> rows[] = {
      {"tiny",
       "arch=transformer gate=relu2 name=synthetic:tiny rope=half context=256 dim=64 ffn_dim=176 head_dim=16 heads=4 "
       "kv_heads=2 layers=2 vocab=300 norm_eps=9.99999975e-06 "},
      {"rwkv7-tiny",
       "arch=rwkv7 name=synthetic:rwkv7-tiny context=4096 dim=64 ffn_dim=256 head_dim=16 layers=2 vocab=256 "
       "head_norm_eps=0.000639999984 norm_eps=9.99999975e-06 "},
      {"rwkv4-tiny",
       "arch=rwkv4 name=synthetic:rwkv4-tiny att_dim=64 context=4096 dim=64 ffn_dim=256 layers=2 vocab=256 "
       "norm_eps=9.99999975e-06 "},
      {"mamba-tiny",
       "arch=mamba name=synthetic:mamba-tiny context=2048 dim=64 inner=128 layers=2 rank=4 states=16 taps=4 vocab=256 "
       "norm_eps=9.99999975e-06 "},
      {"mamba2-tiny",
       "arch=mamba2 name=synthetic:mamba2-tiny context=2048 dim=64 groups=1 head_dim=16 heads=8 layers=2 states=32 taps=4 "
       "vocab=256 norm_eps=9.99999975e-06 "},
      {"retnet-tiny",
       "arch=retnet name=synthetic:retnet-tiny context=2048 dim=64 ffn_dim=128 heads=4 layers=2 value_dim=128 vocab=256 "
       "norm_eps=9.99999997e-07 "},
  };
  for (const auto& [shape, expected] : rows) {
    Folder folder;
    CHECK_EQ(metadata_of(converted(folder, std::string("synthetic:") + shape)), std::string(expected));
  }
}

}  // namespace
