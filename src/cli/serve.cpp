// edgellm serve MODEL: answers requests over HTTP until a signal asks for the end.
#include "server/server.h"

#include "cli/command.h"
#include "engine/conversation.h"
#include "platform/clock.h"
#include "platform/seal.h"
#include "platform/seed.h"
#include "platform/sockets.h"

namespace edgellm {

namespace {

// The name of a model is that of its file, without folders and ending.
Text model_name(const char* path) {
  Text name(path);
  for (i64 i = name.size - 1; i >= 0; i--) {
    if (name[i] != '/') continue;
    name = name.from(i + 1);
    break;
  }
  if (name.size > 4 && name.from(name.size - 4) == ".tm2") name.size -= 4;
  return name;
}

}  // namespace

Status serve_command(Options& options) {
  static Server server;
  static ServedModel model;
  ServeOptions& serve = server.options;
  serve = options.serve;
  serve.connections.exchanges = serve.slots + serve.queue + 4;
  options.engine.sessions = serve.slots;
  options.engine.text_bytes = serve.connections.http.body;
  model.name = model_name(options.model);
  EDGELLM_TRY(open_model(options, &model.engine));
  EDGELLM_TRY(read_chat_template(model.engine.file, &model.chat, &model.has_chat));
  server.models = {&model, 1};
  server.seed = draw_seed();
  Arena counting;
  server.place(counting);
  Span<u8> block;
  EDGELLM_TRY(take_memory(counting.used(), {.lock = options.engine.lock}, &block));
  Arena arena(block.data, block.count);
  server.place(arena);
  i32 listener, set;
  EDGELLM_TRY(open_socket_set(&set));
  EDGELLM_TRY(listen_on(serve.host, &serve.port, &listener));
  EDGELLM_TRY(allow_descriptors(serve.connections.connections + 64));
  server.gauges.open(nullptr, now_ns());
  EDGELLM_TRY(seal_as_asked(options, SEAL_SOCKETS | SEAL_FILES));
  note("edgellm: ", model.name, " at http://", serve.host, ":", serve.port, "\n");
  server.run(listener, set);
  return {};
}

}  // namespace edgellm
