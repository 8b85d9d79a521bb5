// How a text ends: how many ids are made, which ids and texts end it, and what is said of one that was cut.
#include "cli/command.h"

namespace edgellm {

namespace {

// Ids that may follow in this state of the grammar and end the answer.
i64 endings(const Engine& engine, i32 state) {
  i64 count = 0;
  for (const Transition& transition : engine.grammar.from(state))
    count += is_stop(engine, static_cast<i32>(transition.id));
  return count;
}

bool has_template(const Engine& engine) {
  Text name;
  return engine.file.text_or("chat", "", &name).ok() && name.size > 0;
}

// Where a part is in a text, -1: nowhere.
i64 find(Text text, Text part) {
  for (i64 at = 0; at + part.size <= text.size; at++) {
    if (text.slice(at, part.size) == part) return at;
  }
  return -1;
}

// Special tokens print nothing, so that a text never has one in it: whoever names one among other text hears of it.
void note_special_within(const Tokenizer& tokenizer, Text text) {
  for (i32 id = 0; id < tokenizer.vocab(); id++) {
    Text piece = tokenizer.special(id) ? tokenizer.piece(id) : Text();
    if (piece.size < 3 || find(text, piece) < 0) continue;
    note("note: --stop: the special token ", piece, " prints nothing, so that no text has it; --stop \"", piece,
         "\" alone ends at it\n");
    return;
  }
}

}  // namespace

Status settle_stops(Options& options, const Engine& engine) {
  for (i32 id : options.generate.stop_ids.ids()) {
    if (id >= engine.model.vocab)
      return usage_error("--stop-id: ", id, " is not in the vocabulary of ", engine.model.vocab, " ids");
  }
  if (!engine.has_tokenizer) return {};
  for (Text text : options.generate.stop.texts()) {
    if (!engine.tokenizer.special(engine.tokenizer.find_added(text))) note_special_within(engine.tokenizer, text);
  }
  stop_at_special_tokens(engine, &options.generate);
  return {};
}

bool grammar_ends(const Engine& engine) {
  for (i32 state = 0; state < engine.grammar.states(); state++) {
    if (endings(engine, state)) return true;
  }
  return false;
}

i32 tokens_to_make(const Options& options, const Engine& engine, i32 plain) {
  if (options.count_given) return options.generate.count;
  return has_template(engine) || grammar_ends(engine) ? engine.limits.context : plain;
}

Status end_of_text(const Options& options, const Engine& engine, const Session& session, const Generated& made) {
  if (made.ending != Ending::length || made.count == 0) return {};
  const i32 state = session.grammar_state;
  const bool grammar = grammar_ends(engine);
  if (grammar ? endings(engine, state) == engine.grammar.from(state).count : options.count_given) return {};
  char words[160];
  Writer writer(words);
  const bool full = !check_room(engine, i64{session.position} + 1).ok();
  write(writer, full ? "the context is full; take " : "-n allows more");
  if (full) more_room(engine, writer);
  const char* tokens = made.count == 1 ? " token" : " tokens";
  if (grammar) return failed("the answer was cut after ", made.count, tokens, ", before its grammar ends: ", writer.text());
  note("note: cut after ", made.count, tokens, full ? ": " : "; ", writer.text(), "\n");
  return {};
}

}  // namespace edgellm
