// A source is converted into $XDG_CACHE_HOME/edgellm, or $HOME/.cache/edgellm, under a name that tells it from every other:
//
//   NAME-KEY.tm2   KEY is XXH64 of what `edgellm-convert --version` prints, the source's real path, its size and time of
//                  modification; of a folder those of each file in it, of a file also those of the tokenizers beside it
//
// The converter gives a file its name when it is whole. One run at a time converts a source: it holds a lock on it.
#include "cli/find_model.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/checksum.h"
#include "cli/command.h"
#include "cli/foreign_path.h"
#include "file/legacy.h"
#include "platform/clock.h"
#include "platform/environment.h"
#include "platform/process.h"
#include "platform/signals.h"

namespace edgellm {

namespace {

constexpr const char* CONVERTER = "edgellm-convert";

// A conversion that could be: where the program is and where the file would lie.
struct Cache {
  char converter[PATH_BYTES];
  char folder[PATH_BYTES];
  char file[PATH_BYTES];
};

// Whether the file at `path` can be used; what is wrong with it otherwise.
Status check_file(const char* path) {
  Span<const u8> map;
  EDGELLM_TRY(map_file(path, {}, &map));
  ModelFile file;
  Status status = is_legacy(map) ? Status() : file.open(map);
  release_memory(map);
  return status;
}

struct Printed {
  char buffer[256];
  Writer writer = Writer(buffer);

  static void add(void* context, Text piece) { static_cast<Printed*>(context)->writer.add(piece); }
};

// What the converter says of its version; false where it is none.
bool ask_version(const char* converter, Printed* version) {
  const char* const arguments[] = {CONVERTER, "--version", nullptr};
  Process process;
  return start_program(converter, arguments, &process).ok() && wait_for_process(process, Printed::add, version) == 0 &&
         version->writer.text().size > 0;
}

// The sum of what tells each file of a folder from what it was: in whatever order they come.
struct FolderKey {
  const char* folder;
  bool tokenizers_alone;
  u64 sum = 0;

  static void see(void* context, const char* name) {
    FolderKey& key = *static_cast<FolderKey*>(context);
    char path[PATH_BYTES];
    Writer writer(path);
    write(writer, key.folder, "/", name);
    FileFacts facts;
    if (key.tokenizers_alone && !holds(name, "token") && !holds(name, "vocab")) return;
    if (examine(path, &facts) && facts.regular) key.add(name, facts);
  }
  void add(Text name, const FileFacts& facts) {
    Checksum one;
    one.update(name.data, name.size);
    one.update(&facts.bytes, sizeof facts.bytes);
    one.update(&facts.modified_ns, sizeof facts.modified_ns);
    sum += one.value();
  }
};

u64 key_of(const char* source, const char* real, Text version) {
  char beside[PATH_BYTES];
  FileFacts facts = {};
  (void)examine(source, &facts);
  Writer(beside).add(folder_of(source));
  FolderKey files = {facts.folder ? source : beside, !facts.folder};
  (void)list_folder(files.folder, FolderKey::see, &files);
  if (!facts.folder) files.add("", facts);
  Checksum key;
  key.update(version.data, version.size);
  key.update(real, static_cast<i64>(strlen(real)) + 1);
  key.update(&files.sum, sizeof files.sum);
  return key.value();
}

// Where the file of a source lies; `why` says what keeps it from lying anywhere.
bool place(const char* source, Cache* cache, Writer& why) {
  if (find_program(CONVERTER, cache->converter, sizeof cache->converter).size == 0) {
    write(why, CONVERTER, " is neither beside edgellm nor on PATH");
    return false;
  }
  const char *caches = environment_variable("XDG_CACHE_HOME"), *home = environment_variable("HOME");
  if (caches && caches[0] != '/') caches = nullptr;  // as its specification wants it
  if (!caches && !home) {
    write(why, "there is no HOME for a converted file to lie in");
    return false;
  }
  Writer folder(cache->folder), file(cache->file);
  write(folder, caches ? caches : home, caches ? "/edgellm" : "/.cache/edgellm");
  Printed version;
  char real[PATH_BYTES];
  if (!real_path(source, real)) Writer(real).add(source);
  if (!ask_version(cache->converter, &version)) {
    write(why, cache->converter, " --version does not answer");
    return false;
  }
  FileFacts facts;
  Text name = bare_name(real, examine(real, &facts) && facts.folder);
  constexpr i64 MOST = 200;  // bytes of a name: file systems take 255
  if (name.size > MOST) {
    name.size = MOST;
    while (name.size && (name[name.size] & 0xc0) == 0x80)  // not within a letter
      name.size--;
  }
  write(file, folder.text(), "/", name, "-", Hex{key_of(source, real, version.writer.text()), 16}, ".tm2");
  if (folder.full() || file.full()) write(why, "the name of ", cache->folder, " is too long");
  return why.text().size == 0;
}

// Waits until no other run converts this source; the lock, -1 where there are none.
Status wait_for_lock(const char* source, i32* lock) {
  constexpr i64 BETWEEN = 50'000'000;  // ns
  *lock = open_to_lock(source);
  for (bool told = false; *lock >= 0 && !take_lock(*lock); told = true) {
    if (!told) note("note: another run converts ", source, ": waiting for it\n");
    sleep_until_ns(now_ns() + BETWEEN);
    EDGELLM_TRY(check_interrupted());
  }
  return {};
}

Status run_converter(const ForeignPath& found, const Cache& cache) {
  char option[PATH_BYTES];  // no name is one
  Writer source(option);
  write(source, found.source[0] == '-' ? "./" : "", found.source);
  const char* const arguments[] = {CONVERTER, option, cache.file, "--quiet", nullptr};
  Process process;
  EDGELLM_TRY(start_program(cache.converter, arguments, &process));
  auto to_stderr = [](void*, Text piece) { note(piece); };
  const i32 code = wait_for_process(process, to_stderr, nullptr);
  EDGELLM_TRY(check_interrupted());
  if (code == 0) return check_file(cache.file);
  const Code ours = code == static_cast<i32>(Code::bad_model) ? Code::bad_model : Code::failed;
  return Status::error(ours, found.source, " was not converted: ", CONVERTER,
                       code > 128 ? " was ended by signal " : " ended with code ", code > 128 ? code - 128 : code,
                       code > 3 ? "" : " and said why above");
}

Status convert_once(const ForeignPath& found, const Cache& cache) {
  i32 lock;
  EDGELLM_TRY(wait_for_lock(found.source, &lock));
  Status status = check_file(cache.file);
  if (!status.ok()) {
    char command[700];
    Writer elsewhere(command);
    add_convert_command(elsewhere, found.source);
    note("note: ", found.source, " is converted, once, into ", cache.file, " (", command,
         " makes one elsewhere, --no-convert none)\n");
    status = run_converter(found, cache);
  }
  if (lock >= 0) close_file(lock);
  return status;
}

// The name of a file that took the place of another's, until the process ends: there are models and a tokenizer.
const char* keep(const char* path) {
  static char names[Options::MAX_MODELS + 1][PATH_BYTES];
  static i32 used = 0;
  assert(used <= Options::MAX_MODELS);
  Writer(names[used]).add(path);
  return names[used++];
}

// *path becomes that of the converted file; or it stays, and `why` says what was in the way.
Status convert_first(const Options& options, const ForeignPath& found, const char** path, Writer& why) {
  static Cache cache;
  EDGELLM_TRY(check_outputs(options));
  if (!place(found.source, &cache, why)) return check_interrupted();
  if (!check_file(cache.file).ok()) {
    if (!make_folder(cache.folder)) {
      write(why, "no file can be made in ", cache.folder, ": ", strerror(errno));
      return {};
    }
    EDGELLM_TRY(convert_once(found, cache));
  }
  if (options.verbose) note("note: ", *path, " is read from ", cache.file, "\n");
  *path = keep(cache.file);
  return {};
}

// What opening it would say, with its name.
Status check_model(const char* path) {
  FileFacts facts;
  if (!examine(path, &facts) || !facts.regular || !can_read(path)) return {};  // opening it says why
  const Status status = check_file(path);
  return status.ok() ? Status() : Status::error(status.code(), path, ": ", status.text());
}

// *path becomes that of the file that it was converted into, if that can be done.
Status convert_if_possible(const Options& options, const ForeignPath& found, const char** path, Writer& why) {
  return found.source[0] && !options.no_convert ? convert_first(options, found, path, why) : Status();
}

// "owner/model", as models are called on the hub, and no path to a file here.
bool is_hub_name(const char* path) {
  const char* slash = strchr(path, '/');
  if (!slash || slash == path || !slash[1] || strchr(slash + 1, '/') || path[0] == '.' || path[0] == '~' ||
      named_like_model(path)) {
    return false;
  }
  char owner[PATH_BYTES];
  Writer(owner).add(folder_of(path));
  FileFacts facts;
  return !examine(owner, &facts);
}

// Of a name at which nothing lies: what else may have been meant by it.
Status absent(const Options& options, const char* path) {
  if (strstr(path, "://")) return bad_model(path, " is an address: download the file or folder, and give its name");
  if (is_hub_name(path)) {
    const char* name = strchr(path, '/') + 1;
    return bad_model("there is no file ", path, "; if it is a model on huggingface.co: `hf download ", path, " --local-dir ",
                     name, "`, then edgellm ", name);
  }
  if (options.command_given || options.model_from_variable || strpbrk(path, "/.")) return {};
  return usage_error("there is neither a file nor a command \"", path, "\" (edgellm help lists the commands)");
}

Status find_model(const Options& options, const char** path) {
  static ForeignPath found;
  FileFacts facts;
  if (!examine(*path, &facts) && errno == ENOENT) EDGELLM_TRY(absent(options, *path));
  look_at(*path, &found);
  if (found.way == WayOut::open) return check_model(*path);
  if (found.way == WayOut::repack && (options.command & (RUN | CHAT | BENCH | EVAL | SELFTEST | SERVE))) return {};
  const char* given = *path;
  char reason[300];
  Writer why(reason);
  EDGELLM_TRY(convert_if_possible(options, found, path, why));
  if (*path != given) return {};
  return bad_model(found.words, reason[0] ? " (" : "", reason, reason[0] ? ")" : "");
}

Status find_tokenizer(const Options& options, const char** path) {
  static ForeignPath found;
  look_at(*path, &found);
  if (found.way == WayOut::open) return {};
  const char* given = *path;
  char reason[300];
  Writer why(reason);
  EDGELLM_TRY(convert_if_possible(options, found, path, why));
  if (*path != given) return {};
  return bad_model("--tokenizer ", given, found.what ? " is " : "", found.what ? found.what : "", found.what ? "," : " is",
                   " not a model file: `", CONVERTER, " SOURCE NEW.tm2 --tokenizer ", given,
                   "`, from what the model was made of, puts a tokenizer into one");
}

}  // namespace

Status find_models(Options& options) {
  if (options.model) EDGELLM_TRY(find_model(options, &options.model));
  return options.tokenizer_file ? find_tokenizer(options, &options.tokenizer_file) : Status();
}

}  // namespace edgellm
