#include "arch/arch.h"

namespace edgellm {

#define ARCH(name) extern const Arch name##_arch;
#include "arch/arch.def"
#undef ARCH

static const Arch* const ARCHS[] = {
#define ARCH(name) &name##_arch,
#include "arch/arch.def"
#undef ARCH
};

i64 bytes_per_token(const ModelFile& file) {
  i64 bytes = 0;
  bool own_head = file.find("head") != nullptr;
  for (const TensorEntry& entry : file.tensors()) {
    if (!(own_head && Text("embed") == Text(entry.name))) bytes += tensor_bytes(entry);
  }
  return bytes;
}

Status find_arch(const ModelFile& file, const Arch** arch) {
  Text name;
  EDGELLM_TRY(file.text_or("arch", "", &name));
  for (const Arch* candidate : ARCHS) {
    if (name == candidate->name) {
      *arch = candidate;
      return {};
    }
  }
  char known[128];
  Writer list(known);
  for (const Arch* candidate : ARCHS)
    write(list, list.text().size ? ", " : "", candidate->name);
  return bad_model("metadata: unknown model family \"", name, "\", known: ", known);
}

}  // namespace edgellm
