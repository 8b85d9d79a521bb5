#include "cli/foreign_path.h"

#include <string.h>

#include "base/shell_word.h"
#include "base/status.h"

namespace edgellm {

namespace {

constexpr i64 LONGEST = 310;  // bytes of words that an error holds

bool ends_with(Text text, Text end) {
  return text.size > end.size && text.from(text.size - end.size) == end;
}

// FOLDER/NAME in a buffer of PATH_BYTES.
const char* inside(Text folder, Text name, char* buffer) {
  Writer path(buffer, PATH_BYTES);
  write(path, folder, folder.size && folder[folder.size - 1] == '/' ? "" : "/", name);
  return buffer;
}

bool has_file(Text folder, const char* name) {
  char path[PATH_BYTES];
  FileFacts facts;
  return examine(inside(folder, name, path), &facts) && facts.regular;
}

u8 head[FOREIGN_BYTES];  // of the file that was looked at last

Foreign identify_file(const char* path, i64 bytes) {
  constexpr Foreign UNREADABLE = {WayOut::open, nullptr, nullptr};
  i32 fd;
  if (!open_regular("", path, &fd).ok()) return UNREADABLE;
  const i64 size = read_at(fd, head, sizeof head, 0);
  close_file(fd);
  return size < 0 ? UNREADABLE : identify({head, size}, bytes);
}

// A folder's files, of each kind their number and the first by name.
struct Files {
  enum Kind { MODEL, GGUF, PTH, TENSORS, KINDS };
  i32 count[KINDS] = {};
  char first[KINDS][256] = {};

  static void see(void* context, const char* name) {
    static constexpr struct {
      Text end;
      Kind kind;
    } ENDS[] = {{".tm2", MODEL}, {".srnn", MODEL}, {".gguf", GGUF}, {".pth", PTH}, {".safetensors", TENSORS}};
    Files& files = *static_cast<Files*>(context);
    for (const auto& row : ENDS) {
      if (!ends_with(name, row.end)) continue;
      char* first = files.first[row.kind];
      if (files.count[row.kind]++ == 0 || strcmp(name, first) < 0) Writer(first, 256).add(name);
    }
  }
};

// "NAME-00002-of-00003.gguf": where the number of the part begins in the path, 0: it is whole.
i64 split_at(Text path) {
  constexpr Text FORM = "-#####-of-#####.gguf";
  const i64 at = path.size - FORM.size;
  for (i64 i = 0; at > 0 && i < FORM.size; i++) {
    const char c = path[at + i];
    if (FORM[i] == '#' ? c < '0' || c > '9' : c != FORM[i]) return 0;
  }
  return max<i64>(at, 0);
}

void describe_split(Text path, i64 at, Writer& words) {
  char first[PATH_BYTES], whole[PATH_BYTES];
  Writer first_part(first), joined(whole);
  write(first_part, path.slice(0, at), "-00001", path.from(at + 6));
  write(joined, bare_name(path.slice(0, at), true), ".gguf");
  write(words, ": llama-gguf-split --merge ");
  add_shell_word(words, first_part.text());
  words.add(" ");
  add_shell_word(words, joined.text());
  words.add(" joins its parts for edgellm-convert");
}

void convert(Text source, ForeignPath* found, Writer& words) {
  Writer(found->source).add(source);
  words.add(": ");
  add_convert_command(words, source);
}

// The words have its name already.
void describe_file(const char* path, ForeignPath* found, Writer& words);

void describe_inner(const char* path, ForeignPath* found, Writer& words) {
  write(words, " is a folder; ", path);
  describe_file(path, found, words);
  found->what = "a folder";
}

void describe_folder(const char* path, ForeignPath* found, Writer& words) {
  Files files;
  char inner[PATH_BYTES];
  if (!list_folder(path, Files::see, &files)) return;
  found->way = WayOut::advice;
  found->what = "a folder";
  static constexpr Files::Kind WHOLE[] = {Files::MODEL, Files::GGUF, Files::PTH};
  for (Files::Kind kind : WHOLE) {
    const i32 count = files.count[kind];
    if (count == 0 || (kind != Files::MODEL && has_file(path, "config.json"))) continue;
    inside(path, files.first[kind], inner);
    if (kind == Files::MODEL || (count > 1 && split_at(inner) == 0)) {
      write(words, " is a folder with ", count,
            kind == Files::MODEL  ? " model file"
            : kind == Files::GGUF ? " GGUF file"
                                  : " .pth file",
            count > 1 ? "s, name one of them: edgellm " : ": edgellm ");
      add_shell_word(words, inner);
      return;
    }
    return describe_inner(inner, found, words);
  }
  if (has_file(path, "config.json")) {
    const char* const weights[] = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                   "pytorch_model.bin.index.json"};
    for (const char* name : weights) {
      FileFacts facts;
      if (!examine(inside(path, name, inner), &facts) || !facts.regular) continue;
      if (identify_file(inner, facts.bytes).way == WayOut::pull) return describe_inner(inner, found, words);
      found->way = WayOut::convert;
      found->what = "a Hugging Face folder";
      words.add(" is a Hugging Face folder");
      return convert(path, found, words);
    }
    words.add(
        " is a Hugging Face folder without its weights: download model.safetensors, or its parts and their index, too");
  } else if (has_file(path, "adapter_config.json")) {
    words.add(" is a folder with an adapter: edgellm-convert MODEL NEW.tm2 --lora ");
    add_shell_word(words, path);
    words.add(" merges it into the model that it was trained for");
  } else if (files.count[Files::TENSORS] > 0) {
    return describe_inner(inside(path, files.first[Files::TENSORS], inner), found, words);
  } else {
    write(words, " is a folder without a model: ", ABOUT_MODELS);
  }
}

void describe_unpacking(Text path, const char* program, Writer& words) {
  const bool tar = ends_with(path, ".tgz") || holds(path, ".tar.");
  write(words, ": ", tar ? "tar xf" : program, " ");
  add_shell_word(words, path);
}

void describe_part(Text path, ForeignPath* found, Writer& words) {
  const Text folder = folder_of(path);
  if (has_file(folder, "config.json")) {
    found->way = WayOut::convert;
    words.add(" of a Hugging Face folder");
    convert(folder, found, words);
  } else {
    words.add(
        ", at most a part of a model: download the whole folder, with config.json, for edgellm-convert FOLDER NEW.tm2");
  }
}

void describe_file(const char* path, ForeignPath* found, Writer& words) {
  FileFacts facts;
  if (!examine(path, &facts) || !facts.regular) return;
  const Foreign foreign = identify_file(path, facts.bytes);
  found->way = foreign.way;
  found->what = foreign.what;
  if (foreign.way == WayOut::open) return;
  write(words, " is ", foreign.what ? foreign.what : "not a model file");
  const i64 part = split_at(path);
  switch (foreign.way) {
    case WayOut::repack:
    case WayOut::convert:
      if (part) return describe_split(path, part, words);
      return convert(path, found, words);
    case WayOut::folder:
      return describe_part(path, found, words);
    case WayOut::pull:
      words.add(": git ");
      if (Text folder = folder_of(path); !(folder == ".")) {
        words.add("-C ");
        add_shell_word(words, folder);
        words.add(" ");
      }
      words.add("lfs pull");
      return;
    case WayOut::unpack:
      return describe_unpacking(path, foreign.advice, words);
    case WayOut::unknown:
      for (i64 i = 0; i < min<i64>(facts.bytes, 4); i++)
        write(words, i ? " " : " (it begins with ", Hex{head[i], 2});
      write(words, "): ", ABOUT_MODELS);
      return;
    default:
      write(words, ": ", foreign.advice);
  }
}

}  // namespace

void look_at(const char* path, ForeignPath* found) {
  found->way = WayOut::open;
  found->source[0] = 0;
  Writer words(found->words);
  words.add(path);
  FileFacts facts;
  if (!examine(path, &facts)) return;
  if (facts.folder) {
    describe_folder(path, found, words);
  } else {
    describe_file(path, found, words);
  }
}

bool named_like_model(Text name) {
  constexpr Text ENDINGS[] = {".tm2", ".srnn", ".gguf", ".bin", ".pth", ".safetensors"};
  for (Text ending : ENDINGS) {
    if (name.size > ending.size && name.from(name.size - ending.size) == ending) return true;
  }
  return false;
}

Text folder_of(Text path) {
  while (path.size > 1 && path[path.size - 1] == '/')
    path.size--;
  while (path.size && path[path.size - 1] != '/')
    path.size--;
  while (path.size > 1 && path[path.size - 1] == '/')
    path.size--;
  return path.size ? path : Text(".");
}

Text bare_name(Text path, bool is_folder) {
  while (path.size && path[path.size - 1] == '/')
    path.size--;
  i64 start = path.size;
  while (start && path[start - 1] != '/')
    start--;
  Text name = path.from(start);
  if (name == "" || name == "." || name == "..") return "model";
  if (is_folder) return name;
  if (ends_with(name, ".tm2.bin")) return name.slice(0, name.size - 8);
  i64 dot = name.size - 1;
  while (dot > 0 && name[dot] != '.')
    dot--;
  return dot > 0 ? name.slice(0, dot) : name;
}

void add_convert_command(Writer& to, Text source) {
  char name_buffer[300], path_buffer[PATH_BYTES];
  Writer name(name_buffer), path(path_buffer);
  path.add(source);
  FileFacts facts;
  const Text bare = bare_name(source, examine(path_buffer, &facts) && facts.folder);
  write(name, bare[0] == '-' ? "./" : "", bare);                 // no name is an option
  write(name, ends_with(source, ".tm2") ? "-new" : "", ".tm2");  // another than the source, where it is called so
  to.add("edgellm-convert ");
  if (to.text().size + source.size + name.text().size > LONGEST) {
    to.add("SOURCE NEW.tm2");
    return;
  }
  add_shell_word(to, source);
  to.add(" ");
  add_shell_word(to, name.text());
}

}  // namespace edgellm
