#include "engine/engine.h"

#include "base/checksum.h"
#include "file/legacy.h"
#include "platform/cpu.h"
#include "platform/machine.h"
#include "platform/signals.h"

namespace edgellm {

namespace {

// A version 1 file is replaced by its repacked image.
Status repack_legacy(EngineOptions* options, Engine* engine) {
  if (!is_legacy(options->file)) return {};
  i64 bytes;
  EDGELLM_TRY(upgrade_legacy(options->file, options->half_rope, nullptr, &bytes));
  EDGELLM_TRY(take_memory(bytes, {.huge_pages = true, .lock = options->lock}, &engine->image));
  EDGELLM_TRY(upgrade_legacy(options->file, options->half_rope, engine->image.data, &bytes));
  options->file = engine->image.slice(0, bytes);
  return {};
}

Status check_id(const char* key, u32 id, i32 vocab) {
  if (id < static_cast<u32>(vocab)) return {};
  return bad_model("metadata: \"", key, "\" is ", id, ", the vocabulary has ", vocab, " ids");
}

// The special ids and the tokenizer: the text side of the file.
Status open_text(const EngineOptions& options, Engine* engine) {
  i32 vocab;
  EDGELLM_TRY(engine->file.number("vocab", 1, MAX_VOCAB, &vocab));
  EDGELLM_TRY(engine->file.number_or("bos", -1, 0, MAX_VOCAB - 1, &engine->bos));
  if (engine->bos >= 0) EDGELLM_TRY(check_id("bos", static_cast<u32>(engine->bos), vocab));
  EDGELLM_TRY(engine->file.numbers_or_none("stop", &engine->stop_ids));
  EDGELLM_TRY(engine->grammar.open(engine->file, vocab));
  Span<const u8> section = options.tokenizer.count ? options.tokenizer : engine->file.tokenizer();
  engine->tokenizer_bytes = section;
  engine->has_tokenizer = section.count > 0;
  if (!engine->has_tokenizer) return {};
  EDGELLM_TRY(engine->tokenizer.open(section, vocab));
  engine->bos = engine->tokenizer.bos();
  return {};
}

// Everything the engine takes, in the counting pass as in the real one.
Status take_all(const EngineOptions& options, Arena& arena, Engine* engine) {
  Model& model = engine->model;
  const Limits& limits = engine->limits;
  EDGELLM_TRY(load_model(engine->file, limits, arena, &model));
  engine->items = arena.take<Item>(limits.tokens);
  engine->done = arena.take<i64>(options.sessions);
  engine->order = arena.take<i32>(model.vocab);
  engine->sessions = arena.take<Session>(options.sessions);
  for (i32 i = 0; i < options.sessions; i++) {
    Session session;
    session.state = arena.take<u8>(model.state_bytes);
    session.recent = arena.take<i32>(2 * REPEAT_SPAN);
    if (engine->sessions) engine->sessions[i] = session;
  }
  if (options.text_bytes) {
    bool text = engine->has_tokenizer;
    i64 workspace = text ? engine->tokenizer.workspace_bytes(options.text_bytes) : 0;
    i64 ids = text ? engine->tokenizer.max_ids(options.text_bytes) : options.text_bytes;
    engine->text_workspace = {arena.take<u8>(workspace), workspace};
    engine->text_ids = {arena.take<i32>(ids), ids};
  }
  return {};
}

Status count_bytes(const EngineOptions& options, Engine* engine, i64* bytes) {
  Arena counting;
  EDGELLM_TRY(take_all(options, counting, engine));
  *bytes = counting.used();
  return {};
}

// The largest context (a multiple of 64) that fits into `available`, 0 if none does.
i32 fitting_context(const EngineOptions& options, Engine* engine, i64 available) {
  i32 low = 0, high = engine->limits.context / 64;
  while (low < high) {
    i32 middle = (low + high + 1) / 2;
    engine->limits.context = middle * 64;
    i64 bytes;
    if (count_bytes(options, engine, &bytes).ok() && bytes <= available) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low * 64;
}

// Beside `taken` bytes, the planned ones fit the machine.
Status check_fit(const EngineOptions& options, i64 usable, i64 taken, Engine* engine) {
  i64 bytes = engine->arena_bytes;
  if (usable == 0 || bytes <= usable - taken) return {};
  i32 context = engine->limits.window ? 0 : fitting_context(options, engine, usable - taken);
  char advice[64] = "";
  if (context) {
    Writer writer(advice);
    write(writer, "; --ctx ", context, " fits");
  }
  return failed("not enough memory: ", megabytes(bytes, 1), " MB are needed beside the model file, ", megabytes(usable, 1),
                " MB can be used", advice);
}

Status set_limits(const EngineOptions& options, Engine* engine) {
  engine->limits = {.context = options.context,
                    .window = options.window,
                    .tokens = max(options.tokens, max(options.sessions, options.logits)),
                    .logits = max(options.logits, options.sessions),
                    .threads = max(options.threads, 1),
                    .kv = options.kv,
                    .f32_activations = options.f32_activations};
  static_assert(MIN_CONTEXT_LIMIT > SINKS);  // some window is always allowed
  i32& limit = engine->context_limit;
  EDGELLM_TRY(engine->file.number_or("context_limit", 0, MIN_CONTEXT_LIMIT, MAX_CONTEXT, &limit));
  if (engine->limits.context == 0) {
    i32 trained;
    EDGELLM_TRY(engine->file.number("context", 1, MAX_CONTEXT, &trained));
    const i32 context = max(min(trained, options.default_context), options.least_context);
    engine->limits.context = limit ? min(context, limit) : context;
  }
  return {};
}

// No token sees another that is further away than the file's numbers hold for. With a window of the cache the first sink is
// the furthest, and it is never seen from further than position SINKS + window - 1 (arch/attention.cpp).
Status check_context_limit(const Engine& engine) {
  const i32 limit = engine.context_limit, window = engine.limits.window, context = engine.limits.context;
  if (limit == 0 || engine.model.unbounded()) return {};
  const i64 reach = window ? i64{SINKS} + window : context;
  if (reach <= limit) return {};
  return usage_error(window ? "--window " : "--ctx ", window ? window : context, ": a token could see ", reach,
                     " positions, but the numbers in the file are the model's for ", limit, " at most; take --ctx ", limit,
                     ", or --window ", limit - SINKS, " to go on without an end");
}

}  // namespace

void Session::remember(i32 id) {
  if (recent_count == 2 * REPEAT_SPAN) {
    for (i32 i = 0; i < REPEAT_SPAN; i++)
      recent[i] = recent[REPEAT_SPAN + i];
    recent_count = REPEAT_SPAN;
  }
  recent[recent_count++] = id;
}

void Session::restart() {
  position = recent_count = 0;
  pending = -1;
  grammar_state = Grammar::START;
}

Status choose_kernels(const char* isa, Kernels* kernels) {
  if (select_kernels(isa, cpu_features(), kernels)) return {};
  return usage_error("this CPU or this build has no kernel set \"", isa ? isa : "", "\": edgellm info lists what there is");
}

Status plan_engine(const EngineOptions& options, Engine* engine) {
  if (is_legacy(options.file)) {
    return bad_model("a TM2 version 1 file must be repacked: `edgellm-convert OLD NEW` makes one that starts at once");
  }
  EDGELLM_TRY(engine->file.open(options.file));
  if (options.check) EDGELLM_TRY(engine->file.check_data());
  EDGELLM_TRY(choose_kernels(options.isa, &engine->kernels));
  EDGELLM_TRY(set_limits(options, engine));
  EDGELLM_TRY(open_text(options, engine));
  EDGELLM_TRY(count_bytes(options, engine, &engine->arena_bytes));
  return check_context_limit(*engine);
}

Status bind_engine(const EngineOptions& options, Span<u8> block, Engine* engine) {
  Arena arena(block.data, block.count);
  EDGELLM_TRY(take_all(options, arena, engine));
  return engine->threads.start(engine->limits.threads);
}

Status open_engine(const EngineOptions& wanted, Engine* engine) {
  EngineOptions options = wanted;
  const Machine machine = this_machine();
  if (options.threads == 0) options.threads = default_threads(machine);
  EDGELLM_TRY(repack_legacy(&options, engine));
  EDGELLM_TRY(plan_engine(options, engine));
  i64 taken = engine->image.count ? options.file.count : 0;
  EDGELLM_TRY(check_fit(options, usable_memory(machine), taken, engine));
  EDGELLM_TRY(take_memory(engine->arena_bytes, {.huge_pages = true, .lock = options.lock}, &engine->block));
  EDGELLM_TRY(bind_engine(options, engine->block, engine));
  engine->arena_bytes += taken;
  return {};
}

void close_engine(Engine& engine) {
  engine.threads.stop();
  if (engine.block.count) release_memory(engine.block);
  if (engine.image.count) release_memory(engine.image);
  engine = {};
}

Status check_ids(const Engine& engine, Span<const i32> ids) {
  for (i32 id : ids) {
    if (id < 0 || id >= engine.model.vocab) {
      return failed("token id ", id, " is not in the vocabulary of ", engine.model.vocab, " ids");
    }
  }
  return {};
}

bool endless(const Engine& engine) {
  return engine.limits.window || engine.model.unbounded();
}

Status check_room(const Engine& engine, i64 positions) {
  if (endless(engine) || positions <= engine.limits.context) return {};
  char words[128];
  Writer writer(words);
  return failed("the context is full: ", positions, " positions are needed, there are ", engine.limits.context, "; take ",
                more_room(engine, writer));
}

static Status check_steps(const Engine& engine, Span<const Step> steps) {
  const Limits& limits = engine.limits;
  for (const Step& step : steps) {
    assert(step.ids.count > 0);
    i64 end = step.session->position + step.ids.count;
    EDGELLM_TRY(check_room(engine, end));
    if (end > INT32_MAX / 2) return failed("position ", end, " is beyond what a session can count");
    EDGELLM_TRY(check_ids(engine, step.ids));
    assert(step.wanted != Wanted::all || (steps.count == 1 && step.ids.count <= min(limits.tokens, limits.logits)));
  }
  return {};
}

// Takes up to `room` of the ids that are left of a step, but leaves `keep` of them.
static i32 add_item(const Step& step, i64* done, i32 room, i64 keep, Item* item) {
  i32 count = static_cast<i32>(min<i64>(room, step.ids.count - *done - keep));
  if (count <= 0) return 0;
  *item = {.state = step.session->state,
           .position = step.session->position,
           .ids = step.ids.data + *done,
           .count = count,
           .wanted = keep ? Wanted::nothing : step.wanted};
  *done += count;
  step.session->position += count;
  return count;
}

Status forward(Engine& engine, Span<const Step> steps) {
  EDGELLM_TRY(check_steps(engine, steps));
  assert(steps.count <= engine.limits.logits);
  i64 left = 0;
  for (i64 s = 0; s < steps.count; s++) {
    engine.done[s] = 0;
    left += steps[s].ids.count;
  }
  Status status;
  while (left > 0 && (status = check_interrupted()).ok()) {
    bool last = left <= engine.limits.tokens;
    i32 tokens = 0;
    i64 items = 0;
    for (i64 s = 0; s < steps.count && tokens < engine.limits.tokens; s++) {
      i32 count = add_item(steps[s], &engine.done[s], engine.limits.tokens - tokens, last ? 0 : 1, &engine.items[items]);
      tokens += count;
      items += count > 0;
    }
    const Status computed = run_model(engine.model, engine.kernels, engine.threads, {engine.items, items});
    EDGELLM_TRY(check_intact(engine));
    EDGELLM_TRY(computed);
    left -= tokens;
  }
  for (i64 s = 0; s < steps.count; s++) {
    const Step& step = steps[s];
    i64 run = engine.done[s];
    bool answering = step.ids.count == 1 && step.ids[0] == step.session->pending;
    if (run > 0 && !answering) step.session->grammar_state = Grammar::START;
    for (i64 i = max<i64>(0, run - REPEAT_SPAN); i < run; i++)
      step.session->remember(step.ids[i]);
  }
  return status;
}

Status draw_id(Engine& engine, Session& session, i32 row, const SamplingOptions& options, i32* id) {
  f32* logits = logits_row(engine, row);
  i32 vocab = engine.model.vocab;
  engine.grammar.restrict(session.grammar_state, logits, vocab, engine.order);
  *id =
      sample(engine.kernels, logits, vocab, options, {session.recent, session.recent_count}, session.position, engine.order);
  i32 next = *id < 0 ? -1 : engine.grammar.after(session.grammar_state, *id);
  if (next < 0) return failed("every logit at position ", session.position - 1, " is not a number");
  session.grammar_state = next;
  session.pending = *id;
  return {};
}

Status encode(const Engine& engine, Text text, const EncodeOptions& options, Span<const i32>* ids) {
  i32 count = 0;
  const Status encoded = engine.tokenizer.encode(text, options, engine.text_workspace, engine.text_ids, &count);
  EDGELLM_TRY(check_intact(engine));
  EDGELLM_TRY(encoded);
  *ids = engine.text_ids.slice(0, count);
  return {};
}

Text more_room(const Engine& engine, Writer& words) {
  const i32 limit = engine.context_limit, most = limit ? limit : engine.model.context;
  if (engine.limits.context < most) write(words, "a larger context (--ctx, up to ", most, ") or ");
  write(words, "a window (--window W");
  if (limit) write(words, ", W up to ", limit - SINKS);
  return write(words, ") to go on with the last W").text();
}

u64 logits_hash(const Engine& engine, i32 row) {
  return checksum(logits_row(engine, row), i64{engine.model.vocab} * static_cast<i64>(sizeof(f32)));
}

Status check_intact(const Engine& engine) {
  const bool lost = map_lost(engine.file.bytes().data) || map_lost(engine.tokenizer_bytes.data);
  return lost ? failed(MAP_LOST) : Status();
}

bool is_stop(const Engine& engine, i32 id) {
  for (u32 stop : engine.stop_ids) {
    if (stop == static_cast<u32>(id)) return true;
  }
  return false;
}

}  // namespace edgellm
