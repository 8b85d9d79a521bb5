// The public calls: each checks what the caller hands in and then does what the program does, by the same engine.
#pragma GCC visibility push(default)
#include "edgellm.h"
#pragma GCC visibility pop

#include <errno.h>
#include <string.h>

#include "base/floating_point.h"
#include "base/version.h"
#include "engine/engine.h"
#include "engine/state.h"

// At the beginning of the caller's block.
struct edgellm_engine {
  edgellm::Engine engine;
  edgellm::i32 sessions;
  edgellm::i64 text_bytes;
  edgellm::Step* steps;  // (sessions)
  edgellm::i32* rows;    // (sessions) the row of each one's logits, -1: it has none
};

namespace edgellm {

namespace {

constexpr i32 MAX_CHUNK = 4096;

static_assert(EDGELLM_FAILED == static_cast<int>(Code::failed) && EDGELLM_USAGE == static_cast<int>(Code::usage) &&
              EDGELLM_BAD_MODEL == static_cast<int>(Code::bad_model));

// Makes a call in the environment that the results need, leaves the caller's as it was, and hands the status over.
template <class Call>
edgellm_code public_call(edgellm_error* error, const Call& call) {
  DefaultFloat scope;
  int callers_errno = errno;
  Status status = call();
  errno = callers_errno;
  if (error && !status.ok()) Writer(error->text).add(status.text());
  return static_cast<edgellm_code>(status.code());
}

Status given(const void* pointer, const char* name) {
  return pointer ? Status() : usage_error(name, " is NULL");
}

Status between(const char* name, i64 value, i64 low, i64 high) {
  if (value >= low && value <= high) return {};
  return usage_error(name, " is ", value, ", expected ", low, " to ", high);
}

Status real_between(const char* name, f32 value, f32 low, f32 high) {
  if (value >= low && value <= high) return {};
  return usage_error(name, " is ", Fixed{value, 6}, ", expected ", Fixed{low, 2}, " to ", Fixed{high, 2});
}

Status room_for(const char* name, i64 room, i64 needed, const char* unit) {
  if (room >= needed) return {};
  return usage_error(name, " has room for ", room, unit, ", ", needed, " are needed");
}

i64 signed_size(size_t bytes) {
  return bytes > PTRDIFF_MAX ? PTRDIFF_MAX : static_cast<i64>(bytes);
}

Status read_config(const edgellm_config* config, EngineOptions* options) {
  EDGELLM_TRY(given(config, "config"));
  const edgellm_config& c = *config;
  EDGELLM_TRY(given(c.model, "config.model"));
  if (i64 past = static_cast<i64>(reinterpret_cast<uintptr_t>(c.model) % FILE_ALIGNMENT)) {
    return usage_error("config.model starts ", past, " bytes past a multiple of ", FILE_ALIGNMENT);
  }
  EDGELLM_TRY(between("config.sessions", c.sessions, 0, MAX_SESSIONS));
  EDGELLM_TRY(between("config.context", c.context, 0, MAX_CONTEXT));
  EDGELLM_TRY(between("config.window", c.window, 0, MAX_CONTEXT));
  EDGELLM_TRY(between("config.chunk", c.chunk, 0, MAX_CHUNK));
  EDGELLM_TRY(between("config.threads", c.threads, 0, Threads::MAX));
  EDGELLM_TRY(between("config.kv", c.kv, EDGELLM_KV_I8, EDGELLM_KV_F16));
  EDGELLM_TRY(between("config.f32_activations", c.f32_activations, 0, 1));
  EDGELLM_TRY(between("config.check", c.check, 0, 1));
  EDGELLM_TRY(between("config.text_bytes", signed_size(c.text_bytes), 0, Tokenizer::MAX_TEXT));
  *options = {.file = {static_cast<const u8*>(c.model), signed_size(c.model_bytes)},
              .isa = c.kernels,
              .threads = max(c.threads, 1),
              .context = c.context,
              .window = c.window,
              .kv = c.kv == EDGELLM_KV_F16 ? KvFormat::F16 : KvFormat::I8,
              .f32_activations = c.f32_activations == 1,
              .check = c.check == 1,
              .tokenizer = {},
              .sessions = max(c.sessions, 1),
              .tokens = c.chunk ? c.chunk : DEFAULT_CHUNK,
              .text_bytes = static_cast<i64>(c.text_bytes)};
  return {};
}

// What lies in the block; while counting null. `rest` is for bind_engine.
edgellm_engine* lay_out(Arena& arena, const EngineOptions& options, const Engine& planned, Span<u8>* rest) {
  edgellm_engine* handle = arena.take<edgellm_engine>(1);
  Step* steps = arena.take<Step>(options.sessions);
  i32* rows = arena.take<i32>(options.sessions);
  *rest = {arena.take<u8>(planned.arena_bytes), planned.arena_bytes};
  if (handle) *handle = {planned, options.sessions, options.text_bytes, steps, rows};
  for (i32 i = 0; rows && i < options.sessions; i++)
    rows[i] = -1;
  return handle;
}

// `bytes` with the gap before the first aligned one.
Status plan(const EngineOptions& options, Engine* engine, i64* bytes) {
  EDGELLM_TRY(plan_engine(options, engine));
  Arena counting;
  Span<u8> rest;
  lay_out(counting, options, *engine, &rest);
  *bytes = counting.used() + Arena::ALIGNMENT;
  if (*bytes <= PTRDIFF_MAX) return {};
  return failed(*bytes, " bytes are needed, more than a ", sizeof(void*) * 8, "-bit machine can address");
}

Status fill_facts(const edgellm_config* config, edgellm_facts* facts) {
  EngineOptions options;
  EDGELLM_TRY(read_config(config, &options));
  EDGELLM_TRY(given(facts, "facts"));
  options.check = false;
  Engine engine;
  i64 bytes;
  EDGELLM_TRY(plan(options, &engine, &bytes));
  const Limits& limits = engine.limits;
  *facts = {.block_bytes = static_cast<size_t>(bytes),
            .state_bytes = static_cast<size_t>(state_image_bytes(engine)),
            .weight_bytes = static_cast<u64>(engine.model.weight_bytes),
            .vocabulary = engine.model.vocab,
            .trained_context = engine.model.context,
            .layers = engine.model.layers,
            .first_id = engine.bos,
            .tokenizer = engine.has_tokenizer,
            .unbounded = endless(engine),
            .sessions = options.sessions,
            .context = limits.context,
            .chunk = limits.tokens,
            .threads = limits.threads,
            .family = engine.model.family,
            .kernels = engine.kernels.isa};
  return {};
}

Status init(const edgellm_config* config, void* block, size_t block_bytes, edgellm_engine** handle) {
  EDGELLM_TRY(given(handle, "engine"));
  EngineOptions options;
  EDGELLM_TRY(read_config(config, &options));
  EDGELLM_TRY(given(block, "block"));
  Engine engine;
  i64 bytes;
  EDGELLM_TRY(plan(options, &engine, &bytes));
  EDGELLM_TRY(room_for("block", signed_size(block_bytes), bytes, " bytes"));
  uintptr_t start = align_up<uintptr_t>(reinterpret_cast<uintptr_t>(block), Arena::ALIGNMENT);
  i64 used = bytes - Arena::ALIGNMENT;
  memset(reinterpret_cast<u8*>(start), 0, static_cast<size_t>(used));
  Arena arena(reinterpret_cast<u8*>(start), used);
  Span<u8> rest;
  edgellm_engine* placed = lay_out(arena, options, engine, &rest);
  EDGELLM_TRY(bind_engine(options, rest, &placed->engine));
  *handle = placed;
  return {};
}

Status find_session(const edgellm_engine* handle, i32 index, Session** session) {
  EDGELLM_TRY(given(handle, "engine"));
  EDGELLM_TRY(between("session", index, 0, handle->sessions - 1));
  *session = &handle->engine.sessions[index];
  return {};
}

Status step(edgellm_engine* handle, const edgellm_input* inputs, i32 count) {
  EDGELLM_TRY(given(handle, "engine"));
  EDGELLM_TRY(given(inputs, "inputs"));
  EDGELLM_TRY(between("count", count, 1, handle->sessions));
  for (i32 i = 0; i < count; i++) {
    const edgellm_input& input = inputs[i];
    Session* session;
    EDGELLM_TRY(find_session(handle, input.session, &session));
    EDGELLM_TRY(given(input.ids, "inputs[].ids"));
    EDGELLM_TRY(between("inputs[].count", input.count, 1, INT32_MAX));
    EDGELLM_TRY(between("inputs[].logits", input.logits, 0, 1));
    for (i32 j = 0; j < i; j++) {
      if (inputs[j].session == input.session) return usage_error("inputs: session ", input.session, " is there twice");
    }
    handle->steps[i] = {session, {input.ids, input.count}, input.logits ? Wanted::last : Wanted::nothing};
  }
  for (i32 i = 0; i < handle->sessions; i++)
    handle->rows[i] = -1;
  EDGELLM_TRY(forward(handle->engine, {handle->steps, count}));
  for (i32 i = 0, row = 0; i < count; i++) {
    handle->steps[i].session->pending = -1;
    if (inputs[i].logits) handle->rows[inputs[i].session] = row++;
  }
  return {};
}

i32 row_of(const edgellm_engine* handle, i32 index) {
  Session* session;
  return find_session(handle, index, &session).ok() ? handle->rows[index] : -1;
}

Status read_sampling(const edgellm_sampling& how, SamplingOptions* options) {
  EDGELLM_TRY(real_between("sampling.temperature", how.temperature, 0, MAX_TEMPERATURE));
  EDGELLM_TRY(real_between("sampling.top_p", how.top_p, 0, 1));
  EDGELLM_TRY(real_between("sampling.min_p", how.min_p, 0, 1));
  if (how.repeat_penalty != 0)
    EDGELLM_TRY(real_between("sampling.repeat_penalty", how.repeat_penalty, MIN_REPEAT_PENALTY, MAX_REPEAT_PENALTY));
  EDGELLM_TRY(between("sampling.top_k", how.top_k, 0, INT32_MAX));
  *options = {.temperature = how.temperature,
              .top_p = how.top_p == 0 ? 1 : how.top_p,
              .top_k = how.top_k,
              .min_p = how.min_p,
              .repeat_penalty = how.repeat_penalty == 0 ? 1 : how.repeat_penalty,
              .seed = how.seed};
  return {};
}

Status draw(edgellm_engine* handle, i32 index, const edgellm_sampling* how, i32* id) {
  Session* session;
  EDGELLM_TRY(find_session(handle, index, &session));
  EDGELLM_TRY(given(id, "id"));
  const edgellm_sampling greedy = {};
  SamplingOptions options;
  EDGELLM_TRY(read_sampling(how ? *how : greedy, &options));
  i32 row = handle->rows[index];
  if (row < 0) return usage_error("session ", index, " has no logits: ask edgellm_step for them");
  handle->rows[index] = -1;
  i32 drawn;
  EDGELLM_TRY(draw_id(handle->engine, *session, row, options, &drawn));
  *id = drawn;
  return {};
}

Status reset(edgellm_engine* handle, i32 index) {
  Session* session;
  EDGELLM_TRY(find_session(handle, index, &session));
  session->restart();
  handle->rows[index] = -1;
  return {};
}

Status save(const edgellm_engine* handle, i32 index, void* image, size_t bytes) {
  Session* session;
  EDGELLM_TRY(find_session(handle, index, &session));
  EDGELLM_TRY(given(image, "image"));
  EDGELLM_TRY(room_for("image", signed_size(bytes), state_image_bytes(handle->engine), " bytes"));
  save_state(handle->engine, *session, 0, static_cast<u8*>(image));
  return {};
}

Status restore(edgellm_engine* handle, i32 index, const void* image, size_t bytes) {
  Session* session;
  EDGELLM_TRY(find_session(handle, index, &session));
  EDGELLM_TRY(given(image, "image"));
  EDGELLM_TRY(restore_state(handle->engine, {static_cast<const u8*>(image), signed_size(bytes)}, session));
  handle->rows[index] = -1;
  return {};
}

Status check_tokenizer(const edgellm_engine* handle) {
  EDGELLM_TRY(given(handle, "engine"));
  return handle->engine.has_tokenizer ? Status() : failed(NO_TOKENIZER);
}

Status tokenize(edgellm_engine* handle, const char* text, size_t bytes, i32 flags, i32* ids, i32 room, i32* count) {
  EDGELLM_TRY(check_tokenizer(handle));
  if (bytes) EDGELLM_TRY(given(text, "text"));
  if (room) EDGELLM_TRY(given(ids, "ids"));
  EDGELLM_TRY(given(count, "count"));
  EDGELLM_TRY(between("options", flags, 0, EDGELLM_FIRST | EDGELLM_SPECIAL));
  EDGELLM_TRY(between("room", room, 0, INT32_MAX));
  if (handle->text_bytes == 0) return usage_error("config.text_bytes is 0: the engine has no room to tokenize");
  EDGELLM_TRY(between("text_bytes", signed_size(bytes), 0, handle->text_bytes));
  const Engine& engine = handle->engine;
  const EncodeOptions options = {.add_bos = (flags & EDGELLM_FIRST) != 0, .parse_special = (flags & EDGELLM_SPECIAL) != 0};
  Span<const i32> found;
  *count = 0;
  EDGELLM_TRY(encode(engine, {text, signed_size(bytes)}, options, &found));
  *count = static_cast<i32>(found.count);
  EDGELLM_TRY(room_for("ids", room, found.count, " ids"));
  for (i64 i = 0; i < found.count; i++)
    ids[i] = found[i];
  return {};
}

struct DecoderState {
  Decoder decoder;
  u32 begun;
};
static_assert(sizeof(DecoderState) <= sizeof edgellm_decoder::state);

Status decode(const edgellm_engine* handle, edgellm_decoder* stream, i32 id, char* text, size_t room, size_t* bytes) {
  EDGELLM_TRY(check_tokenizer(handle));
  EDGELLM_TRY(given(stream, "decoder"));
  if (room) EDGELLM_TRY(given(text, "text"));
  EDGELLM_TRY(between("id", id, EDGELLM_END, handle->engine.model.vocab - 1));
  DecoderState now;
  memcpy(&now, stream->state, sizeof now);
  if (!now.begun) {
    const DecodeOptions options = {.specials = stream->specials != 0, .continues = stream->continues != 0};
    now = {Decoder(handle->engine.tokenizer, options), 1};
  }
  if (id == EDGELLM_END) {
    now.decoder.finish();
  } else {
    now.decoder.push(id);
  }
  size_t size = 0;
  for (Text part; (part = now.decoder.take()).size != 0;) {
    size_t n = static_cast<size_t>(part.size);
    if (size + n < room) memcpy(text + size, part.data, n);
    size += n;
  }
  if (bytes) *bytes = size;
  EDGELLM_TRY(room_for("text", signed_size(room), static_cast<i64>(size) + 1, " bytes"));
  text[size] = 0;
  memcpy(stream->state, &now, sizeof now);
  return {};
}

Status map_model(const char* path, const void** model, size_t* bytes) {
  EDGELLM_TRY(given(path, "path"));
  EDGELLM_TRY(given(model, "model"));
  EDGELLM_TRY(given(bytes, "bytes"));
  Span<const u8> map;
  EDGELLM_TRY(map_file(path, {}, &map));
  if (map.count == 0) return bad_model(path, " is empty");
  *model = map.data;
  *bytes = static_cast<size_t>(map.count);
  return {};
}

}  // namespace

}  // namespace edgellm

// --- The calls ---------------------------------------------------------------------------------------------------------------

const char* edgellm_version(void) {
  return EDGELLM_VERSION;
}

edgellm_code edgellm_map(const char* path, const void** model, size_t* bytes, edgellm_error* error) {
  return edgellm::public_call(error, [&] { return edgellm::map_model(path, model, bytes); });
}

void edgellm_unmap(const void* model, size_t bytes) {
  if (model) edgellm::release_memory({static_cast<const edgellm::u8*>(model), edgellm::signed_size(bytes)});
}

edgellm_code edgellm_plan(const edgellm_config* config, edgellm_facts* facts, edgellm_error* error) {
  return edgellm::public_call(error, [&] { return edgellm::fill_facts(config, facts); });
}

edgellm_code edgellm_init(const edgellm_config* config, void* block, size_t block_bytes, edgellm_engine** engine,
                          edgellm_error* error) {
  return edgellm::public_call(error, [&] { return edgellm::init(config, block, block_bytes, engine); });
}

void edgellm_close(edgellm_engine* engine) {
  if (engine) edgellm::close_engine(engine->engine);
}

edgellm_code edgellm_step(edgellm_engine* engine, const edgellm_input* inputs, int32_t count, edgellm_error* error) {
  return edgellm::public_call(error, [&] { return edgellm::step(engine, inputs, count); });
}

float* edgellm_logits(edgellm_engine* engine, int32_t session) {
  int32_t row = edgellm::row_of(engine, session);
  return row < 0 ? nullptr : edgellm::logits_row(engine->engine, row);
}

uint64_t edgellm_logits_hash(const edgellm_engine* engine, int32_t session) {
  int32_t row = edgellm::row_of(engine, session);
  return row < 0 ? 0 : edgellm::logits_hash(engine->engine, row);
}

edgellm_code edgellm_sample(edgellm_engine* engine, int32_t session, const edgellm_sampling* how, int32_t* id,
                            edgellm_error* error) {
  return edgellm::public_call(error, [&] { return edgellm::draw(engine, session, how, id); });
}

int32_t edgellm_is_stop(const edgellm_engine* engine, int32_t id) {
  return engine && edgellm::is_stop(engine->engine, id);
}

int32_t edgellm_position(const edgellm_engine* engine, int32_t session) {
  edgellm::Session* found;
  return edgellm::find_session(engine, session, &found).ok() ? found->position : -1;
}

int32_t edgellm_pending(const edgellm_engine* engine, int32_t session) {
  edgellm::Session* found;
  return edgellm::find_session(engine, session, &found).ok() ? found->pending : -1;
}

edgellm_code edgellm_reset(edgellm_engine* engine, int32_t session, edgellm_error* error) {
  return edgellm::public_call(error, [&] { return edgellm::reset(engine, session); });
}

edgellm_code edgellm_save(const edgellm_engine* engine, int32_t session, void* image, size_t image_bytes,
                          edgellm_error* error) {
  return edgellm::public_call(error, [&] { return edgellm::save(engine, session, image, image_bytes); });
}

edgellm_code edgellm_restore(edgellm_engine* engine, int32_t session, const void* image, size_t image_bytes,
                             edgellm_error* error) {
  return edgellm::public_call(error, [&] { return edgellm::restore(engine, session, image, image_bytes); });
}

edgellm_code edgellm_tokenize(edgellm_engine* engine, const char* text, size_t text_bytes, int32_t options, int32_t* ids,
                              int32_t room, int32_t* count, edgellm_error* error) {
  return edgellm::public_call(error, [&] {  //
    return edgellm::tokenize(engine, text, text_bytes, options, ids, room, count);
  });
}

edgellm_code edgellm_decode(const edgellm_engine* engine, edgellm_decoder* decoder, int32_t id, char* text, size_t room,
                            size_t* bytes, edgellm_error* error) {
  return edgellm::public_call(error, [&] { return edgellm::decode(engine, decoder, id, text, room, bytes); });
}
