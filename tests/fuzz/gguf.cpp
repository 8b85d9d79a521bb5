// A GGUF file of any bytes: what is opened is read to the last weight, and its tokenizer is built.
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "convert/error.h"
#include "convert/source.h"
#include "convert/tokenizer.h"

using namespace edgellm;

static void read(const convert::Tensor& tensor) {
  constexpr i64 MOST = 1 << 20;  // weights
  const i64 rows = min<i64>(tensor.rows, MOST / tensor.cols + 1);
  const size_t n = static_cast<size_t>(rows * tensor.cols);
  std::vector<f32> values(n);
  std::vector<i8> codes(n);
  std::vector<f32> scales(n);
  std::vector<u16> halves(n);
  for (i64 first : {i64{0}, tensor.rows - rows}) {
    tensor.values(first, rows, values.data());
    if (tensor.native() == Format::I4) tensor.i4(first, rows, codes.data(), halves.data());
    if (tensor.ternary()) tensor.codes(first, rows, codes.data(), scales.data());
  }
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  int file = memfd_create("gguf", 0);
  if (file < 0 || write(file, data, size) != static_cast<ssize_t>(size)) abort();
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  try {
    convert::Model model = convert::open_gguf(path);
    for (const std::unique_ptr<convert::Tensor>& tensor : model.tensors)
      read(*tensor);
    convert::TokenizerInfo info;
    if (!model.tokenizer.empty()) convert::build_tokenizer_section(model.tokenizer, model.vocab, &info);
  } catch (const convert::Error&) {
  }
  close(file);
  return 0;
}
