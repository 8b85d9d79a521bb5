// edgellm serve MODEL: answers requests over HTTP until a signal asks for the end. Whatever can be wrong with the command line or
// the machine is said before a model is read; whatever memory it takes is planned before any is taken.
#include "server/server.h"

#include <string.h>

#include "cli/command.h"
#include "cli/find_model.h"
#include "cli/foreign_path.h"
#include "engine/conversation.h"
#include "file/legacy.h"
#include "platform/clock.h"
#include "platform/environment.h"
#include "platform/files.h"
#include "platform/seal.h"
#include "platform/seed.h"
#include "platform/signals.h"
#include "platform/sockets.h"
#include "text/unicode.h"

namespace edgellm {

namespace {

constexpr i32 PORT = 8081, EXPERTS_PORT = 8090;
constexpr i64 NAME_BYTES = 128;  // of a model or a node
constexpr i64 KEY_FILE_BYTES = 65536;
constexpr i32 FURTHER_FILES = 64;     // descriptors that are open beside the connections
constexpr i32 FURTHER_EXCHANGES = 4;  // requests beside those that have a slot or a place in the queue

// Bytes that are needed: of the models' files; beside them, what files of version 1 have taken already; and one block, for models and
// for the server. What rounds the block up counts as the server's.
struct Needed {
  i64 files = 0, taken = 0, models = 0, server = 0;

  i64 block() const { return models + server; }
  i64 memory() const { return taken + block(); }
};

constexpr i64 PLACE_BYTES = 4096;  // to a multiple of which each model's part of the block is rounded up
constexpr Text LESS = "less with fewer --slots, --queue, --connections or a smaller --ctx, --max-body-kb";

// All that lasts from the start to the end.
struct Serving {
  Server server;
  ServedModel models[Options::MAX_MODELS];
  Span<const u8> maps[Options::MAX_MODELS];
  bool open[Options::MAX_MODELS] = {};  // the engine is
  ApiKey keys[API_KEYS];
  i64 key_count = 0;
  char node[256];
  i32 listener = -1, set = -1;  // set: of sockets that are waited for
  Needed needed;
};

// It stands in JSON, and people read it.
Status check_name(const char* what, Text name) {
  bool good = name.size > 0 && name.size <= NAME_BYTES;
  for (i64 at = 0; good && at < name.size;) {
    i32 bytes = utf8_length(name.data + at, name.size - at);
    good = bytes > 0 && static_cast<u8>(name[at]) >= ' ' && name[at] != 0x7f;
    at += bytes;
  }
  if (good) return {};
  return usage_error(what, " \"", name, "\": a name is 1 to ", NAME_BYTES, " bytes of UTF-8 without control characters");
}

Status read_keys(const char* path, Serving& serving) {
  static char text[KEY_FILE_BYTES];
  i32 file;
  EDGELLM_TRY(open_regular("--api-key-file", path, &file));
  i64 bytes = file_size(file);
  i64 count = bytes <= KEY_FILE_BYTES ? read_at(file, reinterpret_cast<u8*>(text), KEY_FILE_BYTES, 0) : 0;
  close_file(file);
  if (bytes > KEY_FILE_BYTES) {
    return usage_error("--api-key-file ", path, ": ", bytes, " bytes; at most ", KEY_FILE_BYTES);
  }
  if (count < 0) return failed("--api-key-file ", path, ": it cannot be read");
  return read_api_keys({text, count}, path, {serving.keys, API_KEYS}, &serving.key_count);
}

// Without a folder and an ending, if the command line gives no other.
Status name_models(const Options& options, Serving& serving) {
  for (i32 i = 0; i < options.model_count; i++) {
    FileFacts facts;
    bool folder = examine(options.models[i], &facts) && facts.folder;
    Text& name = serving.models[i].name;
    name = options.model_names[i].size ? options.model_names[i] : bare_name(options.models[i], folder);
    EDGELLM_TRY(check_name("--model", name));
    for (i32 k = 0; k < i; k++) {
      if (serving.models[k].name == name) {
        return usage_error("two models are called ", name, ": --model NAME=FILE gives another name");
      }
    }
  }
  return {};
}

// What needs no model.
Status prepare(const Options& options, Serving& serving) {
  ServeOptions& serve = serving.server.options;
  serve = options.serve;
  EDGELLM_TRY(name_models(options, serving));
  if (serve.port < 0) serve.port = serve.experts_service ? EXPERTS_PORT : PORT;
  if (!serve.node[0]) serve.node = host_name(serving.node, sizeof serving.node);
  EDGELLM_TRY(check_name("--node", serve.node));
  if (serve.key_file) EDGELLM_TRY(read_keys(serve.key_file, serving));
  ConnectionLimits& limits = serve.connections;
  limits.exchanges = options.model_count * (serve.slots + serve.queue) + FURTHER_EXCHANGES;
  EDGELLM_TRY(allow_descriptors(limits.connections + FURTHER_FILES));
  keep_streams();
  EDGELLM_TRY(open_socket_set(&serving.set));
  EDGELLM_TRY(bind_to(serve.host, &serve.port, &serving.listener));
  serving.server.connections.restrict_to({{serving.keys, serving.key_count}, {serve.origins, serve.origin_count}});
  return {};
}

// A file of version 1 is repacked, in memory, before it can be planned.
Status plan_model(Options& options, Serving& serving, i32 i) {
  ServedModel& model = serving.models[i];
  if (options.model_count > 1) {  // one alone was found already
    options.model = options.models[i];
    EDGELLM_TRY(find_models(options));
  }
  EDGELLM_TRY(map_model(options.model, options.map, &serving.maps[i]));
  options.engine.file = serving.maps[i];
  serving.open[i] = is_legacy(serving.maps[i]);
  EDGELLM_TRY(serving.open[i] ? open_mapped(options, &model.engine) : plan_engine(options.engine, &model.engine));
  serving.needed.files += serving.maps[i].count;
  if (serving.open[i]) {
    serving.needed.taken += model.engine.block.count + model.engine.image.count;
  } else {
    serving.needed.models += align_up(model.engine.arena_bytes, PLACE_BYTES);
  }
  return {};
}

Status plan(Options& options, Serving& serving) {
  Server& server = serving.server;
  EDGELLM_TRY(settle_engine(options));
  options.engine.sessions = server.options.slots;
  options.engine.tokens = DEFAULT_CHUNK + server.options.slots;  // of prompts, beside one of each text
  options.engine.text_bytes = server.options.connections.http.body;
  for (i32 i = 0; i < options.model_count; i++)
    EDGELLM_TRY(plan_model(options, serving, i));
  server.models = {serving.models, options.model_count};
  Arena counting;
  server.place(counting);
  serving.needed.server = block_bytes(serving.needed.models + counting.used()) - serving.needed.models;
  server.memory_bytes = serving.needed.memory();
  return {};
}

Status check_memory(const Options& options, const Serving& serving) {
  const Needed& needed = serving.needed;
  i64 limit = options.serve.max_memory, usable = usable_memory(this_machine());
  char words[200];
  Writer parts(words);
  write(parts, megabytes(needed.taken + needed.models, 1), " MB of models' memory, ", megabytes(needed.server, 1),
        " MB of the server's; ", LESS);
  const i64 whole = needed.files + needed.memory();
  if (limit && whole > limit) {
    return failed("--max-memory-mb ", limit / 1'000'000, ": ", div_up(whole, i64{1'000'000}),
                  " are needed: ", megabytes(needed.files, 1), " MB of model files, ", parts.text());
  }
  if (usable && needed.block() > usable) {
    return failed("not enough memory: ", megabytes(usable, 1), " MB can be used, needed are ", parts.text());
  }
  return {};
}

// How conversations are written: as --template says, or as the file does.
Status read_chat(const Options& options, ServedModel& model) {
  EDGELLM_TRY(read_chat_template(model.engine.file, &model.chat, &model.has_chat));
  if (!options.chat_template) return {};
  model.chat = *find_chat_template(options.chat_template);
  model.has_chat = true;
  return {};
}

// Models and the server lie in one block, which is rounded up to huge pages once.
Status open_all(Options& options, Serving& serving) {
  const f32 usual = options.generate.sampling.temperature;
  Span<u8> block;
  const Status taken = take_memory(serving.needed.block(), {.lock = options.engine.lock}, &block);
  if (!taken.ok()) return failed(taken.text(), "; ", LESS);
  for (i32 i = 0; i < options.model_count; i++) {
    ServedModel& model = serving.models[i];
    options.engine.file = serving.maps[i];
    if (!serving.open[i]) {
      const i64 bytes = align_up(model.engine.arena_bytes, PLACE_BYTES);
      EDGELLM_TRY(bind_engine(options.engine, block.slice(0, bytes), &model.engine));
      block = block.slice(bytes, block.count - bytes);
      note_opened(options, model.engine);
    }
    EDGELLM_TRY(model.engine.file.real_or("temperature", usual, 0, MAX_TEMPERATURE, &model.temperature));
    EDGELLM_TRY(read_chat(options, model));
  }
  Arena arena(block.data, block.count);
  serving.server.place(arena);
  return {};
}

// One line, from which a program that started this one can read the port.
void say_ready(const Options& options, const Serving& serving) {
  const ServeOptions& serve = serving.server.options;
  Text host = serve.host;
  bool six = false;
  for (i64 i = 0; i < host.size; i++)
    six |= host[i] == ':';
  Output out(STDERR);
  out.add(options.model_count ? "edgellm: " : "edgellm: no model");
  for (i32 i = 0; i < options.model_count; i++) {
    out.add(i ? ", " : "");
    out.add(serving.models[i].name);
  }
  char line[256];
  Writer rest(line);
  write(rest, " at http://", six ? "[" : "", host, six ? "]" : "", ":", serve.port, ", ");
  if (options.model_count) {
    write(rest, serve.slots, serve.slots == 1 ? " slot" : " slots");
    if (options.model_count == 1) write(rest, " of ", serving.models[0].engine.limits.context, " positions");
    write(rest, options.model_count > 1 ? " each" : "", ", ", megabytes(serving.needed.memory(), 1), " MB of memory, ",
          megabytes(serving.needed.files, 1), " MB of model files\n");
  } else {
    rest.add("texts are refused; to serve one: edgellm serve MODEL\n");
  }
  out.add(rest.text());
  out.flush();
}

void note_open_door(const Serving& serving) {
  const ServeOptions& serve = serving.server.options;
  if (serving.key_count || within_machine(serve.host)) return;
  note("note: whoever reaches ", serve.host, " port ", serve.port, " may ask; --api-key-file FILE asks them for a key\n");
}

}  // namespace

Status serve_command(Options& options) {
  static Serving serving;
  Server& server = serving.server;
  EDGELLM_TRY(prepare(options, serving));
  EDGELLM_TRY(plan(options, serving));
  EDGELLM_TRY(check_memory(options, serving));
  EDGELLM_TRY(open_all(options, serving));
  server.seed = draw_seed();
  EDGELLM_TRY(check_interrupted());
  server.gauges.open(nullptr, now_ns());
  outlive_maps();
  EDGELLM_TRY(start_listening(serving.listener, server.options.host, server.options.port));
  EDGELLM_TRY(seal_as_asked(options, SEAL_SOCKETS | SEAL_FILES | SEAL_MAPS));
  note_open_door(serving);
  say_ready(options, serving);
  const i32 left = server.run(serving.listener, serving.set);
  if (left) note("note: ", left, left == 1 ? " request" : " requests", " did not end within --drain-seconds\n");
  return {};
}

}  // namespace edgellm
