// The commands of the program. Each takes the parsed options and answers with a status; main turns it into the exit code.
#pragma once
#include "cli/options.h"
#include "engine/state.h"
#include "platform/console.h"

namespace edgellm {

Status run_command(Options& options);
Status chat_command(Options& options);
Status bench_command(Options& options);
Status eval_command(Options& options);
Status info_command(Options& options);
Status selftest_command(Options& options);
Status tokenize_command(Options& options);
Status detokenize_command(Options& options);

// What the commands share.

// Refuses what --state-save and --logits name, before anything is computed, if something would be lost by writing there.
Status check_outputs(const Options& options);

// The text that -i, -f or - give; empty when none does. Standard input is read to its end, at most STDIN_BYTES.
constexpr i64 STDIN_BYTES = 16 << 20;
Status read_text(const Options& options, Text* text);

// Maps a model file for good.
Status map_model(const char* path, const MapOptions& how, Span<const u8>* map);

// Chooses the thread count when asked for `auto`, opens the engine, and the tokenizer of another file where --tokenizer
// names one. The process is not sealed yet.
Status open_for(Options& options, Engine* engine);

// Where the session's state goes, opened before the seal.
struct Saved {
  StateFile to;
  Span<u8> buffer;
};

// Restores the first session as --state-load asks, and opens the file, perhaps the same, that --state-save names.
Status open_saved(const Options& options, Engine& engine, Saved* saved);

// Keeps the state as --state-save asks.
Status save(const Options& options, const Engine& engine, Saved& saved);

// Seals the process as --seal asks; `extra` as in platform/seal.h. Nothing can be opened or taken afterwards.
Status seal_for(const Options& options, u32 extra);

// Token ids of a text as the model wants a prompt (its first id in front, if the text is the `start` of a timeline). A model without a tokenizer takes a list of ids.
// The ids lie in engine.text_ids.
Status prompt_ids(Engine& engine, Text text, bool start, Span<const i32>* ids);

// Where the bundled model is: beside the program, in its share folder, or in models/ here. Null when it is not installed.
const char* bundled_model();

// What a generation took, to stderr; `prompt` is the number of its first ids.
void note_figures(const Generated& made, i64 prompt, const Options& options);
void note_hash(u64 hash);

}  // namespace edgellm
