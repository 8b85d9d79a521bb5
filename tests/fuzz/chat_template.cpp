// Any text as a chat template: it is taken apart or refused, in little time and memory.
#include "convert/base/error.h"
#include "convert/chat/chat.h"

using namespace edgellm;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const convert::Chat chat = convert::chat_of_jinja({reinterpret_cast<const char*>(data), size}, "<s>", "</s>");
    if (!convert::view(chat).check().ok()) abort();
  } catch (const convert::Error&) {
  }
  return 0;
}
