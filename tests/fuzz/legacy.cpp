// Any bytes as a TM2 version 1 file: what is accepted must make a version 2 image that the reader accepts.
#include <stdlib.h>
#include <string.h>

#include "file/legacy.h"
#include "file/model_file.h"
#include "platform/memory.h"

using namespace edgellm;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  u8 magic[4] = {'T', 'M', '2', 0};
  u8* bytes = static_cast<u8*>(malloc(size + sizeof magic));
  memcpy(bytes, magic, sizeof magic);
  if (size) memcpy(bytes + sizeof magic, data, size);
  Span<const u8> source = {bytes, static_cast<i64>(size + sizeof magic)};
  i64 image_bytes;
  if (upgrade_legacy(source, false, nullptr, &image_bytes).ok() && image_bytes < 64 << 20) {
    Span<u8> image;
    if (take_memory(image_bytes, {.huge_pages = false, .lock = false}, &image).ok()) {
      Status status = upgrade_legacy(source, false, image.data, &image_bytes);
      ModelFile file;
      if (!status.ok() || !file.open(image.slice(0, image_bytes)).ok() || !file.check_data().ok()) abort();
      release_memory(image);
    }
  }
  free(bytes);
  return 0;
}
