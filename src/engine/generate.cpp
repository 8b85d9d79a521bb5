#include "engine/generate.h"

#include "platform/clock.h"
#include "platform/signals.h"
#include "platform/stage.h"

namespace edgellm {

namespace {

// Waits for the deadline of a token that took `busy` ns to compute.
Status keep_pace(const GenerateOptions& options, i64 busy, i64 deadline, i64 period, Generated* result) {
  result->busy_ns += busy;
  if (now_ns() > deadline) {
    result->missed_deadlines++;
  } else {
    sleep_until_ns(deadline);
  }
  constexpr i32 SETTLED = 16;  // tokens after which the duty is judged
  f64 duty = static_cast<f64>(result->busy_ns) / (static_cast<f64>(period) * result->count);
  if (options.most_duty == 0 || result->count < SETTLED || duty <= options.most_duty) return {};
  return failed("the pace needs ", Fixed{duty * 100, 0}, " % of the time for computing, at most ",
                Fixed{options.most_duty * 100, 0}, " % may be used; take a lower --pace");
}

// Runs ids, after which none is pending. A signal is an ending and no error.
Status run(Engine& engine, Session& session, Span<const i32> ids, Wanted wanted, Ending* ending) {
  Step step = {&session, ids, wanted};
  if (ids.count > 1) begin_stage("reading the prompt", ids.count, Unit::model_tokens);
  Status status = forward(engine, {&step, 1});
  end_stage();
  if (status.ok()) session.pending = -1;
  if (!status.interrupted()) return status;
  *ending = Ending::interrupted;
  return {};
}

}  // namespace

Status generate(Engine& engine, Session& session, Span<const i32> prompt, const GenerateOptions& options, TextSink sink,
                void* context, Generated* result) {
  *result = {};
  Generation text(engine, session, prompt, options, sink, context);
  i64 start = now_ns(), first = start, woken = start;
  i64 period = options.pace > 0 ? static_cast<i64>(1e9 / options.pace) : 0;
  i32 waiting = session.pending;
  Span<const i32> next = prompt;
  if (waiting >= 0 && prompt.count == 0) next = {&waiting, 1};
  if (waiting >= 0 && prompt.count > 0) EDGELLM_TRY(run(engine, session, {&waiting, 1}, Wanted::nothing, &text.ending));
  while (!text.over()) {
    EDGELLM_TRY(run(engine, session, next, Wanted::last, &text.ending));
    if (text.over()) break;
    if (options.hash) result->last_hash = logits_hash(engine, 0);
    EDGELLM_TRY(text.draw(0));
    i64 now = now_ns();
    if (text.count == 0) {
      first = now;
      result->prompt_ns = now - start;
    } else if (period) {
      EDGELLM_TRY(keep_pace(options, now - woken, first + text.count * period, period, result));
    }
    woken = now_ns();
    result->decode_ns = woken - first;
    text.say();
    result->count = text.count;
    if (interrupted() && text.ending != Ending::stop_id) text.ending = Ending::interrupted;
    next = {&text.id, 1};
  }
  text.finish();
  result->ending = text.ending;
  return {};
}

}  // namespace edgellm
