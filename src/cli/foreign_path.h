// What lies at a path where a model file was expected, in words that end with what to type.
#pragma once
#include "file/foreign.h"
#include "platform/files.h"

namespace edgellm {

struct ForeignPath {
  WayOut way;               // open: a model file, or what cannot be read at all, as opening it will say
  char source[PATH_BYTES];  // what edgellm-convert takes; empty: nothing
  const char* what;         // "a GGUF file"; null: nothing known
  char words[1024];         // "m.gguf is a GGUF file: edgellm-convert m.gguf m.tm2"
};

void look_at(const char* path, ForeignPath* found);

// "edgellm-convert SOURCE NAME.tm2" for somebody who types it here.
void add_convert_command(Writer& to, Text source);

// The last part of a path without what says its kind: "m" of "x/m.gguf"; of a folder all of it.
Text bare_name(Text path, bool is_folder);

// A model file, or what one is made of, by its name.
bool named_like_model(Text name);

// "." where the path has but a name.
Text folder_of(Text path);

}  // namespace edgellm
