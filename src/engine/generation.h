// One text in the making: a row of logits becomes an id, the id text, and the text an end. Whoever drives it runs the ids, alone
// or in a pass with those of other texts: the same ids come out.
//
//   Generation text(engine, session, prompt, options, sink, context);
//   forward the prompt; then, until text.over():  text.draw(row);  text.say();  forward text.id
//   text.finish();
#pragma once
#include "engine/engine.h"
#include "engine/repeats.h"
#include "engine/sample.h"
#include "engine/stop.h"

namespace edgellm {

struct GenerateOptions {
  SamplingOptions sampling;
  i32 count = 32;  // ids to make at most
  StopStrings stop;
  StopIds stop_ids;              // end the text too, as the model's own do
  i32 end_id = -1;               // ends the text too, as the model's own stop ids do; -1: none
  bool ignore_stop_ids = false;  // for benchmarks
  bool stop_repeats = false;     // a text that goes in a circle ends (engine/repeats.h)
  bool hash = false;             // fill Generated::last_hash
  f64 pace = 0;                  // tokens per second, on absolute deadlines; 0: as fast as it goes
  f64 most_duty = 0;  // with a pace: computing for a larger share of the time is an error (REALTIME_DUTY); 0: is not
};

// Special tokens print nothing: a stop string that is the text of one ends a text at its id.
void stop_at_special_tokens(const Engine& engine, GenerateOptions* options);

enum class Ending : u8 {
  length,
  stop_id,
  stop_string,
  repetition,   // it goes in a circle
  interrupted,  // platform/signals.h
  sink_closed,
};

// Where text goes, piece by piece, always whole characters. False: nobody listens any more.
using TextSink = bool (*)(void* context, Text text);

class Generation {
 public:
  Generation() = default;

  // `prompt` is what the session runs next; it may be empty where the session stands behind other ids. The engine, the session, the options and the bytes of their stop
  // strings outlive this.
  Generation(Engine& engine, Session& session, Span<const i32> prompt, const GenerateOptions& options, TextSink sink,
             void* context);

  // Draws the next id from a row of logits, which is used up.
  Status draw(i32 row);

  // The id that was drawn has no text and ends it.
  bool ends_text() const;

  // What the id that was drawn last prints: its bytes, which need not be whole characters, and how many bytes of text are whole with
  // them, before stop strings are looked for, and whether more stand inside a character. To be asked before it is said.
  Text bytes(i64* text_bytes, bool* inside) const;

  // Counts the id that was drawn and gives its text to the sink, unless it ends the text.
  void say();

  // The text has ended, or holds all the ids that were wanted.
  bool over() const { return ending != Ending::length || count == options_->count; }

  // Gives what was held back, because it might have become a stop string or a character.
  void finish();

  i32 id = -1;    // drawn last: what the session runs next, unless the text is over
  i32 count = 0;  // ids made
  Ending ending = Ending::length;

 private:
  static void give(void* self, Text text);
  void print(Text piece);
  void print_decoded();

  Engine* engine_ = nullptr;
  Session* session_ = nullptr;
  const GenerateOptions* options_ = nullptr;
  StopStrings stop_;
  bool stopped_ = false;  // a stop string was seen: nothing more is printed
  bool open_ = true;      // the sink still listens
  Decoder decoder_;
  RepeatWatch repeats_;
  TextSink sink_ = nullptr;
  void* context_ = nullptr;
};

}  // namespace edgellm
