#include "server/server.h"

#include <assert.h>
#include <string.h>

#include "base/random.h"
#include "platform/clock.h"
#include "platform/console.h"
#include "platform/signals.h"

namespace edgellm {

constexpr i32 CONVERSATION_TEXTS = 4096;
constexpr i32 REQUEST_NODES = 16384;  // values and keys of a request's JSON
constexpr i64 FRAME_BYTES = 2048;     // of an answer, beside its texts: what the form and HTTP write around them
constexpr i64 CHOICE_BYTES = 192;     // and around each but the first
constexpr i32 IDLE_WAIT_MS = 200;     // of a round when nothing is to be computed: how late a signal may be seen

// Bytes that a text takes in a JSON string.
static i64 escaped_bytes(Text text) {
  i64 bytes = 0;
  JsonWriter json([](void* total, Text piece) { *static_cast<i64*>(total) += piece.size; }, &bytes);
  json.text({}, text);
  return bytes - 2;  // the quotation marks
}

bool Choice::add(Text more) {
  escaped += escaped_bytes(more);
  if (escaped > room.count) return false;
  memcpy(room.data + used, more.data, static_cast<size_t>(more.size));
  used += more.size;
  return true;
}

namespace {

const char* ending_of(const Completed& completed) {
  if (!completed.status.ok()) return "error";
  if (completed.timed_out) return "timeout";
  switch (completed.ending) {
    case Ending::stop_id:
    case Ending::stop_string:
      return "stop";
    case Ending::length:
      return "length";
    case Ending::repetition:
      return "repetition";
    default:
      return "room";  // it listens no more because the answer has none
  }
}

// For the log, while somebody waits for the answer.
void note_id(Connection& c, i64 now) {
  if (c.figures.tokens_out++ == 0) c.figures.first_token = now;
}

void note_end(Connection& c, const Completed& completed) {
  c.figures.tokens_out += completed.ending == Ending::stop_id;  // that id was not told
  c.figures.cached += completed.cached;
  c.figures.slot = completed.slot;
  c.figures.ending = ending_of(completed);
}

void request_ended(void* context, const Connection& c) {
  Server& server = *static_cast<Server*>(context);
  server.requests.add(c.route, c.figures.status);
  server.log.add(c);
}

// From the scheduler to the form of the answer.
void pass_id(void* context, i32 id) {
  Choice& choice = *static_cast<Choice*>(context);
  const i64 now = now_ns();
  choice.reply->server->rate.count(now, 1);
  if (Connection* c = choice.reply->server->connection(*choice.reply)) note_id(*c, now);
  if (choice.reply->form->id) choice.reply->form->id(choice, id);
}

bool pass_text(void* context, Text text) {
  Choice& choice = *static_cast<Choice*>(context);
  if (!choice.reply->model->loaded()) return false;  // the text may be wrong
  return choice.reply->form->text ? choice.reply->form->text(choice, text) : choice.add(text);
}

void pass_end(void* context, const Completed& completed) {
  Choice& choice = *static_cast<Choice*>(context);
  Reply& reply = *choice.reply;
  choice.completed = completed;
  if (completed.status.ok()) choice.completed.status = check_intact(reply.model->engine);
  reply.running--;
  if (Connection* c = reply.server->connection(reply)) {
    note_end(*c, completed);
    reply.form->ended(choice);
  }
  if (reply.running == 0) reply.number = 0;
}

void pass_prompt(void* context, i64 index) {
  Choice& choice = *static_cast<Choice*>(context);
  choice.reply->form->prompt(choice, index);
}

constexpr CompletionListener LISTENER = {pass_id, pass_text, pass_end, pass_prompt};

template <void (*handle)(Server& server, Connection& c)>
void route(void* server, Connections&, Connection& c) {
  handle(*static_cast<Server*>(server), c);
}

constexpr Route ROUTES[] = {
    {"POST", "/v1/edge/completions", route<edge_completions>},
    {"GET", "/v1/edge/health", route<edge_health>, true},
    {"GET", "/v1/edge/models", route<edge_models>},
    {"POST", "/generate", route<experts_generate>},
    {"GET", "/health", route<experts_health>, true},
    {"POST", "/v1/completions", route<openai_completions>},
    {"POST", "/v1/chat/completions", route<openai_chat_completions>},
    {"GET", "/v1/models", route<openai_models>},
    {"GET", "/v1/models/", route<openai_model>},
    {"GET", "/healthz", route<status_alive>, true},
    {"GET", "/readyz", route<status_ready>, true},
    {"GET", "/metrics", route<status_metrics>},
};

}  // namespace

Span<const Route> server_routes() {
  return {ROUTES, sizeof ROUTES / sizeof ROUTES[0]};
}

void Server::place(Arena& arena) {
  const i64 answer = options.connections.answer;
  connections.place(arena, options.connections);
  const i32 count = options.connections.exchanges;
  replies = {arena.take<Reply>(count), count};
  nodes = {arena.take<JsonNode>(REQUEST_NODES), REQUEST_NODES};
  composed = {arena.take<char>(answer), answer};
  const i64 body = options.connections.http.body;
  conversation = {arena.take<char>(body), body};
  said = {arena.take<Text>(CONVERSATION_TEXTS), CONVERSATION_TEXTS};
  for (i32 i = 0; i < count; i++) {
    char* room = arena.take<char>(answer);
    if (!arena.counting()) replies[i].room = {room, answer};
  }
  for (ServedModel& model : models)
    model.scheduler.place(arena, model.engine, options.queue);
  requests.place(arena, server_routes().count);
}

bool Server::anything_runs() const {
  for (const ServedModel& model : models) {
    if (model.scheduler.busy() > 0 || model.scheduler.waiting() > 0) return true;
  }
  return false;
}

i32 Server::run(i32 listener, i32 set) {
  start(listener, set);
  finish_in_peace();  // a signal cuts no work short: rounds look for it
  while (round()) {
  }
  const i32 left = connections.busy();
  if (left) cut_off();
  return left;
}

// What has not ended by now is an error, as far as its client takes that at once.
void Server::cut_off() {
  Completed completed;
  completed.status = failed("the server ends before the text");
  for (Reply& reply : replies) {
    for (Choice& choice : reply.choices) {
      if (reply.number && reply.model->scheduler.cancel(choice.completion)) pass_end(&choice, completed);
    }
  }
  connections.round(now_ns(), unix_seconds(), 0);
}

void Server::start(i32 listener, i32 set) {
  log.on = options.log;
  began = now_ns();
  began_unix = unix_seconds();
  connections.report_to(request_ended);
  connections.start(listener, set, server_routes(), this);
}

bool Server::round() {
  connections.round(now_ns(), unix_seconds(), anything_runs() ? 0 : IDLE_WAIT_MS);
  drop_gone();
  gauges.update(now_ns());
  for (ServedModel& model : models)
    model.scheduler.step();
  note_lost();
  keep_streams_open();
  if (!draining && asked_to_end()) {
    draining = true;
    drain_until = now_ns() + options.drain;
    connections.drain();
  }
  return !draining || (!connections.drained() && now_ns() <= drain_until);
}

Reply* Server::free_reply() {
  for (Reply& reply : replies) {
    if (reply.number == 0) return &reply;
  }
  return nullptr;
}

// Answers whose client has gone away: nobody waits for their texts.
void Server::drop_gone() {
  for (Reply& reply : replies) {
    if (reply.number && !connection(reply)) abandon(reply);
  }
}

void Server::abandon(Reply& reply) {
  for (Choice& choice : reply.choices)
    reply.model->scheduler.cancel(choice.completion);
  reply.number = 0;
}

// Once for each model, and not to somebody who does not read it.
void Server::note_lost() {
  for (ServedModel& model : models) {
    if (model.lost || model.loaded()) continue;
    model.lost = true;
    if (takes_bytes(STDERR)) note("note: ", model.name, " is served no more: ", check_intact(model.engine).text(), "\n");
  }
}

// So that nothing on the way takes a stream for dead while its prompt is run.
void Server::keep_streams_open() {
  const i64 now = now_ns();
  for (Reply& reply : replies) {
    if (reply.number == 0 || !reply.streams || now - reply.said < options.comment) continue;
    reply.said = now;
    Connection* c = connection(reply);
    if (c) (void)connections.event_comment(*c);
  }
}

ServedModel* Server::loaded_model(Connection& c, ServedModel& model) {
  const Status intact = check_intact(model.engine);
  if (intact.ok()) return &model;
  char buffer[200];
  Writer words(buffer);
  connections.answer_error(c, 503, write(words, "Model not loaded: ", intact.text()).text());
  return nullptr;
}

ServedModel* Server::choose_model(Connection& c, const JsonNode& object) {
  const JsonField field = json_field(object, "model");
  Text name;
  const Status status = read_string(field, &name);
  if (!status.ok()) {
    connections.answer_error(c, {400, status.text(), "model"});
    return nullptr;
  }
  if (models.count == 0) {
    connections.answer_error(c, 503, "Model not loaded");
    return nullptr;
  }
  char buffer[200];
  Writer names(buffer);
  for (ServedModel& model : models) {
    if (models.count == 1 || !field.value || model.name == name) return loaded_model(c, model);
    write(names, names.text().size ? ", " : "one of ", model.name);
  }
  const Text known = names.cut() ? Text("the name of a model that is served") : names.text();
  connections.answer_error(c, {404, expected(field, known).text(), "model", "model_not_found"});
  return nullptr;
}

Reply* Server::begin_reply(Connection& c, ServedModel& model, i32 choices, const ReplyForm& form) {
  assert(choices > 0 && choices <= MAX_CHOICES);
  Reply* reply = choices <= model.scheduler.room() ? free_reply() : nullptr;
  if (!reply) {
    connections.answer_error(c, {.status = 429, .message = "the queue is full: try again", .field = {"Retry-After", "1"}});
    return nullptr;
  }
  reply->server = this;
  reply->model = &model;
  reply->form = &form;
  reply->connection = c.id;
  reply->choices = {reply->all, choices};
  reply->running = 0;
  reply->number = ++answers;
  reply->streams = false;
  reply->said = now_ns();
  reply->openai = {};
  const i64 share = (reply->room.count - FRAME_BYTES - (choices - 1) * CHOICE_BYTES) / choices;
  for (i32 i = 0; i < choices; i++) {
    reply->all[i] = {};
    reply->all[i].reply = reply;
    reply->all[i].index = i;
    reply->all[i].room = reply->room.slice(i * share, share);
  }
  return reply;
}

void Server::submit(Reply& reply, i32 index, CompletionRequest request) {
  Choice& choice = reply.choices[index];
  request.listener = &LISTENER;
  request.context = &choice;
  request.options.stop_repeats |= options.stop_repeats;
  if (Connection* c = connection(reply)) c->figures.tokens_in += static_cast<i32>(request.prompt.count);
  reply.running++;
  choice.completion = reply.model->scheduler.submit(request);
}

u64 Server::next_seed() {
  return random_bits(seed, answers) >> 11;  // clients may keep seeds as f64
}

void Server::answer_json(Connection& c, const Writer& body) {
  if (body.cut()) return connections.answer_error(c, 500, "the answer is longer than the server has room for");
  connections.answer(c, {.type = "application/json"}, body.text());
}

void Server::write_first_model(JsonWriter& json, Text key) const {
  loaded() ? json.text(key, models[0].name) : json.null(key);
}

bool Server::read_body(Connection& c, const JsonNode** object) {
  const Status status = parse_json(c.body(), nodes);
  if (!status.ok()) {
    connections.answer_error(c, 400, status.text());
  } else if (nodes[0].kind != JsonKind::object) {
    connections.answer_error(c, 400, "the body of the request is not a JSON object");
  } else {
    *object = nodes.data;
    return true;
  }
  return false;
}

bool Server::read_prompt(Connection& c, ServedModel& model, Text text, Span<const i32>* ids) {
  if (!model.engine.has_tokenizer) {
    connections.answer_error(c, 400, NO_TOKENIZER);
    return false;
  }
  Status status = encode(model.engine, text, {.add_bos = true}, ids);
  if (status.ok() && ids->count == 0) status = failed("the prompt is empty, and the tokenizer names no first id");
  if (status.ok()) status = model.scheduler.check_prompt(*ids);
  if (!status.ok())
    connections.answer_error(c, !model.loaded() ? 503 : status.code() == Code::bad_model ? 500 : 400, status.text());
  return status.ok();
}

}  // namespace edgellm
