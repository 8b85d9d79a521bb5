// edgellm eval: how well a model predicts a text, or given ids (teacher-forced).
//
//   nll(t) = log(sum over v of exp(l_v - m)) - (l_t - m),  m the largest logit: nats for id t under the logits before it
//
// A text is cut into windows of --ctx positions, each begun with the model's first id (or, without one, with the window's own
// first id, which is then not scored); every window starts from nothing.
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/math.h"
#include "cli/command.h"
#include "cli/json_output.h"
#include "platform/clock.h"
#include "platform/destination.h"
#include "platform/files.h"
#include "platform/stage.h"

namespace edgellm {

namespace {

f64 nll(const f32* logits, i32 vocab, i32 target) {
  f32 top = logits[0];
  for (i32 i = 1; i < vocab; i++)
    top = logits[i] > top ? logits[i] : top;
  f64 sum = 0;
  for (i32 i = 0; i < vocab; i++)
    sum += static_cast<f64>(exp32(logits[i] - top));
  return log(sum) - static_cast<f64>(logits[target] - top);
}

struct Score {
  f64 nll = 0;
  i64 tokens = 0;
  i64 bytes = 0;  // of the text that the scored ids print
  i64 run = 0;    // ids that were run
};

// Runs ids through a fresh session and adds up the nll of ids[1...]; `top` (ids.count), if given, gets the best id after each.
Status score(Engine& engine, Span<const i32> ids, i32* top, Score* result) {
  Session& session = engine.sessions[0];
  session.restart();
  for (i64 at = 0; at < ids.count;) {
    i64 n = min<i64>(ids.count - at, engine.limits.logits);
    Step step = {&session, ids.slice(at, n), Wanted::all};
    EDGELLM_TRY(forward(engine, {&step, 1}));
    for (i64 i = 0; i < n; i++) {
      const f32* logits = logits_row(engine, static_cast<i32>(i));
      if (top) top[at + i] = engine.kernels.argmax(logits, engine.model.vocab);
      if (at + i + 1 == ids.count) continue;
      i32 next = ids[at + i + 1];
      result->nll += nll(logits, engine.model.vocab, next);
      result->tokens++;
      advance_stage(1, Unit::tokens);
      if (engine.has_tokenizer) result->bytes += engine.tokenizer.piece(next).size;
    }
    result->run = at += n;
  }
  return {};
}

// `window` has room for the ids of one window.
Status score_text(Engine& engine, Text text, const Options& options, Span<i32> window, Score* result) {
  if (!engine.has_tokenizer) return failed(NO_TOKENIZER, "; give --ids");
  const i32 most = options.max_tokens;
  Span<const i32> ids;
  EDGELLM_TRY(encode(engine, text, {.parse_special = options.special}, &ids));
  bool bos = engine.bos >= 0;
  if (options.special && bos && ids.count && ids[0] == engine.bos)
    ids = ids.slice(1, ids.count - 1);  // each window has it in front
  const i64 scored = bos ? ids.count : ids.count - div_up(ids.count, window.count);
  begin_stage("scoring the text", most ? min<i64>(most, scored) : scored, Unit::tokens);
  for (i64 at = 0; at < ids.count && (most == 0 || result->tokens < most);) {
    i64 n = min<i64>(ids.count - at, window.count - bos);
    if (most) n = min<i64>(n, most - result->tokens + !bos);
    if (bos) window[0] = engine.bos;
    for (i64 i = 0; i < n; i++)
      window[bos + i] = ids[at + i];
    EDGELLM_TRY(score(engine, window.slice(0, n + bos), nullptr, result));
    at += n;
  }
  return {};
}

// `partial`: a signal ended it. `top`, if given, are the best ids after each that was run.
void print_score(const Options& options, const Score& s, const i32* top, bool partial, f64 seconds) {
  f64 mean = s.tokens ? s.nll / static_cast<f64>(s.tokens) : 0;
  f64 perplexity = exp(mean), per_byte = s.bytes ? s.nll / static_cast<f64>(s.bytes) : 0;
  f64 speed = static_cast<f64>(s.tokens) / seconds;
  if (!options.json) {
    print("mean nll ", Fixed{mean, 6}, " nats, perplexity ", Fixed{perplexity, 4}, ", ", s.tokens, " tokens, ");
    if (s.bytes) print(Fixed{per_byte, 6}, " nats a byte, ");
    print(Fixed{speed, 1}, " tok/s", partial ? " (partial: interrupted)\n" : "\n");
    return;
  }
  JsonOutput json(STDOUT);
  json.real("mean_nll", {mean, 6});
  if (options.text_file) {
    json.real("perplexity", {perplexity, 6});
    json.number("tokens", s.tokens);
    json.real("nats_per_byte", {per_byte, 6});
    json.real("tok_s", {speed, 1});
  }
  if (top) json.numbers("argmax", {top, s.run});
  if (partial) json.flag("partial", true);
  json.finish();
}

// --ids: scores them and writes the last logits where --logits says. `file` is open already, or -1.
Status eval_ids(Options& options, Engine& engine, Span<i32> ids, Span<i32> top, i32 file) {
  Score result;
  i64 start = now_ns();
  begin_stage("scoring the ids", ids.count - 1, Unit::tokens);
  Status status = score(engine, ids, top.data, &result);
  end_stage();
  if (result.tokens == 0 || (!status.ok() && !status.interrupted())) return status;
  print_score(options, result, top.data, !status.ok(), static_cast<f64>(now_ns() - start) / 1e9);
  EDGELLM_TRY(status);
  i32 row = static_cast<i32>((ids.count - 1) % engine.limits.logits);
  if (options.generate.hash) note_hash(logits_hash(engine, row));
  Text bytes(reinterpret_cast<const char*>(logits_row(engine, row)),
             i64{engine.model.vocab} * static_cast<i64>(sizeof(f32)));
  // A file that was cut short shows by its size.
  if (file < 0 || (empty_file(file) && write_all(file, bytes) && sync_file(file))) return {};
  return failed("--logits ", options.logits_file, ": ", strerror(errno));
}

Status eval_text(Options& options, Engine& engine, Text text, Span<i32> window) {
  Score result;
  i64 start = now_ns();
  Status status = score_text(engine, text, options, window, &result);
  end_stage();
  if (!status.ok() && !status.interrupted()) return status;
  if (result.tokens > 0) {
    print_score(options, result, nullptr, !status.ok(), static_cast<f64>(now_ns() - start) / 1e9);
  } else if (status.ok()) {
    return failed("--text ", options.text_file, ": nothing is predicted in it, as it has not more than one id");
  }
  return status;
}

struct IdList {
  i32* ids;
  i32 count;

  static void add(void* context, i32 id) {
    IdList& list = *static_cast<IdList*>(context);
    list.ids[list.count++] = id;
  }
};

}  // namespace

Status eval_command(Options& options) {
  constexpr i32 ROWS = 32;  // logits kept at a time
  options.engine.logits = ROWS;
  EDGELLM_TRY(check_outputs(options));
  Text text;
  if (options.text_file) EDGELLM_TRY(read_text(options, &text));
  options.engine.text_bytes = max<i64>(text.size, 1);
  i64 listed = options.ids ? static_cast<i64>(strlen(options.ids)) / 2 + 1 : 0;
  Engine engine;
  EDGELLM_TRY(open_model(options, &engine));
  i64 room = max<i64>(listed, engine.limits.context);
  Span<u8> block;
  EDGELLM_TRY(take_memory(2 * room * static_cast<i64>(sizeof(i32)), {}, &block));
  i32* numbers = reinterpret_cast<i32*>(block.data);
  IdList list = {numbers, 0};
  if (options.ids) EDGELLM_TRY(parse_list("--ids", options.ids, IdList::add, &list));
  if (options.ids && list.count < 2) return usage_error("--ids: ", list.count, " ids predict nothing; give 2 or more");
  if (engine.limits.context < 2) return usage_error("--ctx: in one position nothing is predicted; eval needs 2 or more");
  if (options.ids) EDGELLM_TRY(check_ids(engine, {list.ids, list.count}));
  if (options.ids) EDGELLM_TRY(check_room(engine, list.count));
  i32 file = -1;
  if (options.logits_file) EDGELLM_TRY(open_destination("--logits", options.logits_file, 0666, &file));
  EDGELLM_TRY(seal_as_asked(options));
  if (!options.ids) return eval_text(options, engine, text, {numbers, engine.limits.context});
  return eval_ids(options, engine, {numbers, list.count}, {numbers + room, list.count}, file);
}

}  // namespace edgellm
