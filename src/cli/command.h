// The commands of the program. Each takes the parsed options and answers with a status; main turns it into the exit code.
#pragma once
#include "cli/options.h"
#include "engine/state.h"
#include "platform/console.h"
#include "platform/machine.h"

namespace edgellm {

Status run_command(Options& options);
Status chat_command(Options& options);
Status bench_command(Options& options);
Status eval_command(Options& options);
Status info_command(Options& options);
Status selftest_command(Options& options);
Status tokenize_command(Options& options);
Status detokenize_command(Options& options);
Status serve_command(Options& options);

// What the commands share.

// Refuses what --state-save and --logits name, before anything is computed, if something would be lost by writing there.
Status check_outputs(const Options& options);

// The text that -i, -f or standard input give; empty when none does. Standard input is read when `-` asks for it, or when it is a
// file or a pipe and nothing else says how the text goes; to its end, at most STDIN_BYTES, without the line feed at its end. One
// that keeps silent for INPUT_PATIENCE_MS is spoken of on standard error.
constexpr i64 STDIN_BYTES = 16 << 20;
constexpr i32 INPUT_PATIENCE_MS = 1000;
Status read_text(const Options& options, Text* text);

// Maps a model file until the process ends.
Status map_model(const char* path, const MapOptions& how, Span<const u8>* map);

// Opens the model that was named, and the engine as the options want it: with the number of threads that `auto` finds, and the
// tokenizer of another file where --tokenizer names one. The process is not sealed yet. Its two parts, around mapping the file:
// settle_engine is once for all models, open_mapped takes what options.engine.file is.
Status settle_engine(Options& options);
Status open_mapped(Options& options, Engine* engine);

// With --verbose: what was opened.
void note_opened(const Options& options, const Engine& engine);
Status open_model(Options& options, Engine* engine);

// Where the first session's state goes, opened before the seal.
struct StateOutput {
  StateFile file;
  Span<u8> buffer;
};

// Restores the first session as --state-load asks, and opens the file, perhaps the same, that --state-save names.
Status open_states(const Options& options, Engine& engine, StateOutput* output);

// Writes the first session's state where --state-save asks for it.
Status keep_state(const Options& options, const Engine& engine, StateOutput& output);

// Seals the process as --seal asks; files that the options write stay usable, and so does what `extra` names (platform/seal.h).
// Nothing can be opened or taken afterwards.
Status seal_as_asked(const Options& options, u32 extra = 0);

// What read_bandwidth is measured with here: a buffer as large as this machine needs, and how often it is read.
constexpr i32 BANDWIDTH_PASSES = 5;
Status take_bandwidth_buffer(const Machine& machine, Span<u8>* buffer);

// Token ids of a text as the model wants a prompt (its first id in front with `add_bos`, for the start of a timeline, unless
// special tokens are read and the text brings it along). A model without a tokenizer takes a list of ids. The ids lie in
// engine.text_ids.
Status prompt_ids(Engine& engine, Text text, const EncodeOptions& how, Span<const i32>* ids);

// The ids without the first, where both it and the second are the id that begins a text.
Span<const i32> begun_once(Span<const i32> ids, i32 first);

// What ends a text (ending.cpp).

// Checks --stop-id against the model, and lets each --stop that is the text of a special token end at its id, too.
Status settle_stops(Options& options, const Engine& engine);

// How many ids are made where -n does not say: `plain`, or as many as the context holds where the model says by itself when it is
// done, having a chat template or a grammar that ends.
i32 tokens_to_make(const Options& options, const Engine& engine, i32 plain);

// The model has a grammar, and one that says when an answer is whole.
bool grammar_ends(const Engine& engine);

// After a text that only the number of its ids or the context ended: an error if there is a grammar that allows more than its end,
// otherwise a note, unless -n asked for just that.
Status end_of_text(const Options& options, const Engine& engine, const Session& session, const Generated& made);

// Where the bundled model is: beside the program, in its share folder, or in models/ here. Null when it is not installed.
const char* bundled_model();

// What a generation took, to stderr; `prompt` is the number of its first ids.
void note_figures(const Generated& made, i64 prompt, const Options& options);
void note_hash(u64 hash);

}  // namespace edgellm
