// A GGUF file of any bytes: what is opened is read to the last weight, and its tokenizer is built.
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "convert/base/error.h"
#include "convert/base/mapped_file.h"
#include "convert/family/open.h"
#include "convert/tokenizer/tokenizer.h"
#include "reading.h"

using namespace edgellm;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  int file = memfd_create("gguf", 0);
  if (file < 0 || write(file, data, size) != static_cast<ssize_t>(size)) abort();
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  try {
    convert::Model model = convert::open_gguf(convert::Source(path));
    read(model);
    convert::TokenizerInfo info;
    if (!model.tokenizer.empty()) convert::build_tokenizer_section(model.tokenizer, model.vocab, &info);
  } catch (const convert::Error&) {
  }
  convert::forget_opened();
  close(file);
  return 0;
}
