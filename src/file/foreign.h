// What a file is that is no model file, told by its first bytes: what others publish, what belongs to another option, and what
// comes of a download that went wrong.
#pragma once
#include "base/types.h"

namespace edgellm {

enum class WayOut : u8 {
  open,      // none is needed: a model file
  repack,    // of version 1: file/legacy.h reads it, and edgellm-convert takes it
  convert,   // edgellm-convert takes the file
  folder,    // edgellm-convert takes the folder that it belongs to, if config.json is there
  pull,      // git lfs pull
  download,  // once more, as `advice` says
  unpack,    // `advice` is the program that does
  advice,    // what `advice` says
  unknown,   // nothing is known about these bytes
};

struct Foreign {
  WayOut way = WayOut::unknown;
  const char* what = nullptr;    // "a GGUF file"
  const char* advice = nullptr;  // see WayOut; otherwise what to do, for somebody who has no more than the bytes
};

constexpr i64 FOREIGN_BYTES = 1 << 16;  // that are looked at, at most

// `head` is the beginning of a file of `file_bytes`.
Foreign identify(Span<const u8> head, i64 file_bytes);

// Whether `part` is somewhere in the text.
bool holds(Text text, Text part);

// What a model file is and how to come by one, for whatever is nothing like it.
constexpr const char* ABOUT_MODELS =
    "a model file is what edgellm-convert makes of a GGUF file, a Hugging Face folder or others (edgellm-convert --help)";

}  // namespace edgellm
