// An engine is a loaded model and everything it will ever need; a session is one timeline in it. Memory is planned, taken
// once, and then only used. The caller's file owns the weights, the arena owns the rest.
#pragma once
#include "arch/model.h"
#include "engine/grammar.h"
#include "engine/sample.h"
#include "platform/memory.h"
#include "text/tokenizer.h"

namespace edgellm {

constexpr i32 MAX_SESSIONS = 256;  // of an engine
constexpr i32 DEFAULT_CHUNK = 64;  // tokens of one forward pass

// What people call the formats of the cache, in the order of KvFormat, and of activations: quantised or not.
inline constexpr const char* KV_NAMES[] = {"i8", "f16", "f32"};
inline constexpr const char* ACTIVATION_NAMES[] = {"int8", "f32"};

struct EngineOptions {
  Span<const u8> file;        // a model file, 64-byte aligned, that stays where it is
  const char* isa = nullptr;  // null: the best the CPU has
  i32 threads = 0;            // 0: open_engine takes one for each performance core, plan_engine one
  i32 context = 0;            // 0: the model's, at most default_context
  i32 default_context = 2048;
  i32 least_context = 0;  // more than the model's if need be, but not more than the file's context_limit
  i32 window = 0;         // 0: none
  KvFormat kv = KvFormat::I8;
  bool f32_activations = false;
  bool half_rope = false;    // of version 1 files
  bool check = false;        // read the whole file and compare its checksum
  bool lock = false;         // pin the memory in RAM
  Span<const u8> tokenizer;  // a tokenizer section for files that have none; empty: the file's own
  i32 sessions = 1;
  i32 tokens = DEFAULT_CHUNK;
  i32 logits = 1;      // logits rows of one pass; at least `sessions`
  i64 text_bytes = 0;  // the longest text that will be tokenized
};

struct Session {
  u8* state = nullptr;    // Model::state_bytes, flat, no pointers
  i32* recent = nullptr;  // (2 * REPEAT_SPAN) the last ids of the timeline: REPEAT_SPAN or more, if there were so many
  i32 recent_count = 0;
  i32 position = 0;                    // of the next token
  i32 pending = -1;                    // an id that was chosen and not yet run, -1: none
  i32 grammar_state = Grammar::START;  // after the ids drawn since others were run

  void remember(i32 id);

  // Begins the timeline anew. The state needs nothing: at position 0 a model takes it for empty.
  void restart();
};

// The next ids of one session in a batch, and which of them want logits.
struct Step {
  Session* session;
  Span<const i32> ids;
  Wanted wanted;
};

struct Engine {
  ModelFile file;
  Kernels kernels;
  Threads threads;
  Limits limits;
  Model model;
  Grammar grammar;
  Tokenizer tokenizer;
  Span<const u8> tokenizer_bytes;  // of the file's own section or another's; none without a tokenizer
  bool has_tokenizer = false;
  i32 bos = -1;           // id that begins every text, -1: none. The tokenizer's word; without a tokenizer the file's "bos"
  i32 context_limit = 0;  // positions past which the file's numbers are not the model's, 0: none
  Span<const u32> stop_ids;
  Span<u8> image;       // a version 1 file, repacked
  Span<u8> block;       // the arena
  i64 arena_bytes = 0;  // what the plan needs; once open, all memory taken

  Session* sessions = nullptr;  // (limits' count)
  Item* items = nullptr;        // (tokens)
  i64* done = nullptr;          // (sessions) ids of each step that have been run
  i32* order = nullptr;         // (vocab) scratch of sampling
  Span<u8> text_workspace;      // of `encode`, enough for a text of text_bytes
  Span<i32> text_ids;           // its answer
};

// The kernel set of that name, or the best that the CPU has when it is null.
Status choose_kernels(const char* isa, Kernels* kernels);

// Checks the file and plans: engine->arena_bytes is what bind_engine will need. Takes nothing.
Status plan_engine(const EngineOptions& options, Engine* engine);

// Lays the planned engine out in `block` (arena_bytes, 64-byte aligned, zeros) and starts the threads.
Status bind_engine(const EngineOptions& options, Span<u8> block, Engine* engine);

// Both, in memory that is taken from the system. What does not fit is an error that says how much was needed and which context
// would fit. A version 1 file is repacked first.
Status open_engine(const EngineOptions& options, Engine* engine);

// Stops the threads and gives everything back: for hosts that outlive an engine. The program never does.
void close_engine(Engine& engine);

// Runs the steps, in as few passes as `tokens` allows. The last pass holds the last id of every step, so that the rows of
// engine.model.logits are in the order of the steps that want them. `Wanted::all` rows must fit one pass: a step alone, of at
// most min(tokens, logits) ids. Too long for the context is an error, and nothing is run. A signal (platform/signals.h) ends it
// between two passes: the sessions then stand after the ids that were run, as if no more had been asked for. Where the loss of the
// model file is outlived, it is an error.
Status forward(Engine& engine, Span<const Step> steps);

inline f32* logits_row(const Engine& engine, i32 row) {
  return engine.model.logits + row * engine.model.logits_stride;
}

// Draws the session's next id from a row of logits, which is used up, within the grammar: it is pending then. Fails when every
// logit that counts is NaN.
Status draw_id(Engine& engine, Session& session, i32 row, const SamplingOptions& options, i32* id);

// The ids of a text of at most text_bytes, in engine.text_ids until the next call. The engine has a tokenizer.
Status encode(const Engine& engine, Text text, const EncodeOptions& options, Span<const i32>* ids);

// Fails unless all are ids of the model.
Status check_ids(const Engine& engine, Span<const i32> ids);

// Sessions go on past the context: it is a window, or the model keeps no positions.
bool endless(const Engine& engine);

// Fails unless a session can hold this many positions.
Status check_room(const Engine& engine, i64 positions);

// What gives a session more positions than its full context has, in words that follow "take" or "start with".
Text more_room(const Engine& engine, Writer& words);

// XXH64 of a row of logits.
u64 logits_hash(const Engine& engine, i32 row);

bool is_stop(const Engine& engine, i32 id);

// Fails once a byte of what the engine reads was lost under its map (platform/signals.h), whatever was computed before.
Status check_intact(const Engine& engine);

}  // namespace edgellm
