// The server: models with their slots, connections, and the answers that are in the making between them. One thread: a round of the
// connections, then a pass of each model that has something to do. All memory is taken before it starts.
#pragma once
#include "base/json_writer.h"
#include "engine/conversation.h"
#include "platform/gauges.h"
#include "server/connections.h"
#include "server/json.h"
#include "server/request_log.h"
#include "server/scheduler.h"
#include "server/token_rate.h"
#include "server/token_records.h"

namespace edgellm {

// What the command line says of a server. Of models, see the command itself.
struct ServeOptions {
  static constexpr i32 MAX_ORIGINS = 16;

  const char* host = "127.0.0.1";
  i32 port = -1;                 // 0: any that is free; -1: 8081, or that of the expert-model service
  bool experts_service = false;  // its port is 8090
  const char* node = "";         // what this machine is called; empty: its host name
  i32 slots = 4;                 // of each model
  i32 queue = 32;                // texts of each model that wait for a slot
  i32 edge_tokens = 200;         // the most that one text of the edge routes may have
  i32 most_tokens = INT32_MAX;   // and of OpenAI's
  i64 max_memory = 0;            // bytes that models and server may take; 0: what there is
  i64 comment = 5 * SECOND_NS;   // without an event, until a stream gets a comment
  i64 drain = 30 * SECOND_NS;    // for what runs when a signal asks for the end
  bool log = false;              // a line of JSON on standard error for each request
  bool stop_repeats = false;     // texts that go in a circle end (engine/repeats.h)
  const char* key_file = nullptr;
  Text origins[MAX_ORIGINS];
  i32 origin_count = 0;
  ConnectionLimits connections = {.answer = 128 << 10, .http = {.body = 256 << 10}};
};

struct ServedModel {
  Text name;
  Engine engine;
  Scheduler scheduler;
  ChatTemplate chat;
  bool has_chat = false;
  bool lost = false;       // its file was cut, and that was said
  f32 temperature = 0.7f;  // where a request names none

  bool loaded() const { return check_intact(engine).ok(); }  // its file was not cut meanwhile
};

struct Server;
struct Reply;

constexpr const char* DEVICE = "cpu";  // what computes

constexpr i32 MAX_CHOICES = 16;  // texts of one answer

// One text of an answer.
struct Choice {
  Reply* reply;
  i32 index;
  CompletionId completion;
  Span<char> room;  // for what has been made
  i64 used;         // bytes
  i64 escaped;      // bytes that these take in JSON
  Completed completed;

  // Of OpenAI's routes.
  TokenRecords tokens;             // where log probabilities are wanted
  i64 characters;                  // of the text that was sent already
  i64 begun;                       // ids of the prompt that are not in an echo
  bool spaced_text, spaced_token;  // nothing came yet that a space would be dropped from
  bool full;                       // there is no room for more tokens

  Text text() const { return {room.data, used}; }
  // False: there is no room for it.
  bool add(Text more);
};

// What a family of routes makes of texts. Each function is told of every choice of its replies.
struct ReplyForm {
  void (*id)(Choice& choice, i32 id);                   // null: does not matter
  bool (*text)(Choice& choice, Text text);              // false: nobody listens any more; null: the choice keeps it
  void (*ended)(Choice& choice);                        // choice.completed says how
  void (*prompt)(Choice& choice, i64 index) = nullptr;  // as CompletionListener has it
};

// What OpenAI's routes keep with an answer (openai.h).
struct OpenAiReply {
  bool chat = false;
  bool usage = false;          // it ends with an event that tells it
  bool spaced = false;         // ChatTemplate::spaces_answer
  i32 each = 1;                // texts of one prompt
  i32 log_probabilities = -1;  // of so many most probable tokens beside each; -1: none
  i64 created = 0;             // seconds since 1970
  u64 seed = 0;                // of the first text
  EndOfTurn end = {};
};

// An answer in the making. It holds a place from the request to the end of its last text.
struct Reply {
  Server* server;
  ServedModel* model;
  const ReplyForm* form;
  ConnectionId connection;
  Span<Choice> choices;  // of this answer
  i32 running;           // of them
  u64 number;            // of the answer, from 1; 0: the place is free
  bool streams;
  i64 said;  // now_ns(): when a stream was written to last
  OpenAiReply openai;
  Choice all[MAX_CHOICES];
  Span<char> room;  // shared by the choices
};

struct Server {
  ServeOptions options;
  Connections connections;
  Span<ServedModel> models;
  Span<Reply> replies;
  u64 answers = 0;  // begun so far
  u64 seed = 0;     // of seeds that nobody gave
  bool draining = false;
  i64 drain_until = 0;  // now_ns()

  // For the request that is handled.
  Span<JsonNode> nodes;
  Span<char> composed;      // body of its answer
  Span<char> conversation;  // of a chat, as its template has it
  Span<Text> said;          // texts in it that are not the template's

  // What is told of the server.
  Gauges gauges;   // opened before the seal
  TokenRate rate;  // of all models together
  RequestCounts requests;
  RequestLog log;
  i64 memory_bytes = 0;  // taken for models and server, beside the mapped files
  i64 began = 0;         // now_ns()
  i64 began_unix = 0;    // seconds since 1970-01-01 UTC

  // Takes memory beside that of the models' engines.
  void place(Arena& arena);

  bool loaded() const { return models.count > 0 && models[0].loaded(); }  // the first model

  // Serves until a signal asks for the end, and then what has begun; a second signal ends the process. How many requests had not
  // ended in time.
  i32 run(i32 listener, i32 set);

  // The same in steps: a round of the connections and a pass of each model; false when it is over.
  void start(i32 listener, i32 set);
  bool round();

  // The model that a request names, or the first where it names none. A single one has every name. Null: an error was answered.
  ServedModel* choose_model(Connection& c, const JsonNode& object);
  // A free place for an answer with so many texts; null when there is none, or the model's queue has no room for as many, and that
  // was answered.
  Reply* begin_reply(Connection& c, ServedModel& model, i32 choices, const ReplyForm& form);
  void submit(Reply& reply, i32 index, CompletionRequest request);
  // Nobody waits for its texts any more: its place is free.
  void abandon(Reply& reply);
  // The connection that waits for it; null when the client has gone away.
  Connection* connection(const Reply& reply) { return connections.find(reply.connection); }
  u64 next_seed();
  // Where the body of an answer is composed, one at a time, and its answer.
  Writer compose() { return {composed.data, composed.count}; }
  void answer_json(Connection& c, const Writer& body);
  // The name of the model that requests which name none get, or null.
  void write_first_model(JsonWriter& json, Text key) const;
  // Reads the body of a request as a JSON object; false: an error was answered.
  bool read_body(Connection& c, const JsonNode** object);
  // The ids of a text as the model wants a prompt; false: an error was answered.
  bool read_prompt(Connection& c, ServedModel& model, Text text, Span<const i32>* ids);

 private:
  ServedModel* loaded_model(Connection& c, ServedModel& model);
  Reply* free_reply();
  void drop_gone();
  void note_lost();
  void cut_off();
  void keep_streams_open();
  bool anything_runs() const;
};

// Every route of the server.
Span<const Route> server_routes();

// The families (routes_*.cpp).
void edge_completions(Server& server, Connection& c);
void edge_health(Server& server, Connection& c);
void edge_models(Server& server, Connection& c);
void openai_completions(Server& server, Connection& c);
void openai_chat_completions(Server& server, Connection& c);
void openai_models(Server& server, Connection& c);
void openai_model(Server& server, Connection& c);
void experts_generate(Server& server, Connection& c);
void experts_health(Server& server, Connection& c);
void status_alive(Server& server, Connection& c);
void status_ready(Server& server, Connection& c);
void status_metrics(Server& server, Connection& c);

}  // namespace edgellm
