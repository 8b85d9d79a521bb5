#include "engine/generation.h"

namespace edgellm {

void stop_at_special_tokens(const Engine& engine, GenerateOptions* options) {
  if (!engine.has_tokenizer) return;
  for (Text text : options->stop.texts()) {
    const i32 id = engine.tokenizer.find_added(text);
    if (engine.tokenizer.special(id) && !options->stop_ids.has(id)) options->stop_ids.add(id);
  }
}

Generation::Generation(Engine& engine, Session& session, Span<const i32> prompt, const GenerateOptions& options,
                       TextSink sink, void* context)
    : engine_(&engine), session_(&session), options_(&options), stop_(options.stop), sink_(sink), context_(context) {
  const bool continues = session.position > 0 || prompt.count > 1 || prompt[0] != engine.bos;
  if (engine.has_tokenizer) decoder_ = Decoder(engine.tokenizer, {.specials = false, .continues = continues});
  stop_.reset();
}

Status Generation::draw(i32 row) {
  return draw_id(*engine_, *session_, row, options_->sampling, &id);
}

bool Generation::ends_text() const {
  return id == options_->end_id || options_->stop_ids.has(id) || (!options_->ignore_stop_ids && is_stop(*engine_, id));
}

Text Generation::bytes(i64* text_bytes, bool* inside) const {
  *text_bytes = 0;
  *inside = false;
  if (!engine_->has_tokenizer) return {};
  Decoder decoder = decoder_;
  decoder.push(id);
  const Text bytes = decoder.pushed();
  for (Text piece; (piece = decoder.take()).size != 0;)
    *text_bytes += piece.size;
  *inside = decoder.inside();
  return bytes;
}

void Generation::say() {
  count++;
  if (ends_text()) {
    ending = Ending::stop_id;
    return;
  }
  if (engine_->has_tokenizer) {
    decoder_.push(id);
    print_decoded();
  } else {
    char buffer[16];
    Writer writer(buffer);
    print(write(writer, " ", id).text());
  }
  if (options_->stop_repeats && repeats_.push(id)) ending = Ending::repetition;
  if (stopped_) ending = Ending::stop_string;
  if (!open_) ending = Ending::sink_closed;
}

void Generation::finish() {
  if (engine_->has_tokenizer) {
    decoder_.finish();
    print_decoded();
  }
  if (!stopped_) stop_.finish(give, this);
}

void Generation::print_decoded() {
  for (Text piece; (piece = decoder_.take()).size != 0;)
    print(piece);
}

void Generation::print(Text piece) {
  if (!stopped_) stopped_ = stop_.push(piece, give, this);
}

void Generation::give(void* self, Text text) {
  Generation& generation = *static_cast<Generation*>(self);
  if (generation.open_ && text.size) generation.open_ = generation.sink_(generation.context_, text);
}

}  // namespace edgellm
