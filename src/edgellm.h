// EdgeLLM for a host program, in plain C: ask how much memory a model needs, hand over a block, feed ids, read logits.
//
//   edgellm_map or bytes of your own -> edgellm_plan -> edgellm_init -> tokenize, step, sample, decode ... -> edgellm_close
//
// Memory is the caller's: the model's bytes are only read, everything else lies in one block. No call allocates, prints, ends
// the process, installs a handler, or keeps anything outside that block. With one thread (the default) no thread is
// started; with more, edgellm_init starts them and edgellm_close ends them.
//
// The same model, ids and configuration give the same logits, bit for bit, on every machine, for any number of threads, any
// chunk, and any cutting of the ids into calls. Calls enter the floating-point environment that this needs (round to nearest,
// subnormals kept, nothing trapped) and give the caller's back; errno is left alone, too.
//
// One engine serves one call at a time. Different engines may be used by different threads at once; they may share the
// model's bytes. A call needs 128 KiB of stack at most.
//
// Link with libedgellm.a, libm and the threads of libc: cc program.c -ledgellm -lm -lpthread
#ifndef EDGELLM_H
#define EDGELLM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// --- Errors ------------------------------------------------------------------------------------------------------------------

typedef enum edgellm_code {
  EDGELLM_OK = 0,
  EDGELLM_FAILED = 1,    // at run time: the context is full, an id is not in the vocabulary, a state does not fit...
  EDGELLM_USAGE = 2,     // a wrong argument or configuration, a block or buffer that is too small
  EDGELLM_BAD_MODEL = 3  // an unusable model file
} edgellm_code;

// A sentence that names the thing, the expected and the actual. Every call that can fail takes one, or NULL when the text is
// not wanted; it is written only when the call fails. A call that answers EDGELLM_USAGE has changed nothing.
typedef struct edgellm_error {
  char text[320];  // NUL terminated
} edgellm_error;

// The release, such as "0.1.0".
const char* edgellm_version(void);

// --- The model's bytes -------------------------------------------------------------------------------------------------------

// Maps a model file read-only. It must not shrink while it is mapped: the system would answer a read with SIGBUS.
edgellm_code edgellm_map(const char* path, const void** model, size_t* bytes, edgellm_error* error);

// Gives the map back. NULL is allowed.
void edgellm_unmap(const void* model, size_t bytes);

// --- Planning ----------------------------------------------------------------------------------------------------------------

enum { EDGELLM_KV_I8 = 0, EDGELLM_KV_F16 = 1 };

// What is wanted. Zero everywhere but in the first two members is a useful engine of one session.
typedef struct edgellm_config {
  // The bytes of a .tm2 or .srnn file, from edgellm_map, flash or memory. Start at a multiple of 64; stay there, unchanged,
  // until edgellm_close. A TM2 version 1 file is refused: convert it.
  const void* model;
  size_t model_bytes;

  int32_t sessions;  // timelines that are held at once, 1 to 256. 0: 1.
  int32_t context;   // positions (ids) that a session can hold, 1 to 2^24. 0: what the model was trained for, at most 2048.
                     // Refused where the file's `context_limit` is less (docs/FILE.md).
  int32_t window;    // 1 to 2^24: only the first 4 and the last `window` positions are seen, and a session does not end.
                     // 0: all are seen. Refused where window + 4 exceeds the file's `context_limit`. Recurrent models need
                     // none: their sessions do not end.
  int32_t chunk;     // ids computed together, 1 to 4096: more is faster for prompts and takes more memory. 0: 64.
                     // At least `sessions` are taken.
  int32_t threads;   // 1 to 64; above 1 threads of the system are started, and their stacks are the system's.
                     // 0: 1, the caller's own.
  int32_t kv;        // format of the attention cache: EDGELLM_KV_I8 (0), or EDGELLM_KV_F16, twice the memory.
  int32_t f32_activations;  // 1: activations are not quantised: slow, other bits, for checking. 0: as the model says.
  int32_t check;            // 1: edgellm_init reads the whole model and compares its checksum. 0: headers and tables only.
  size_t text_bytes;        // the longest text that will be tokenized, up to 2^28; takes 40 to 120 bytes of block for each.
                            // 0: edgellm_tokenize is not used.
  const char* kernels;      // a kernel set by name ("ref", "avx2", "neon"...). NULL: the best that the CPU has.
} edgellm_config;

// What a model is, and what an engine for a configuration takes.
typedef struct edgellm_facts {
  size_t block_bytes;       // what edgellm_init wants
  size_t state_bytes;       // what edgellm_save writes
  uint64_t weight_bytes;    // of the model that are read for one token
  int32_t vocabulary;       // ids are 0 to vocabulary - 1, and a row of logits has as many floats
  int32_t trained_context;  // positions the model was trained for
  int32_t layers;
  int32_t first_id;   // that a text begins with; -1: none
  int32_t tokenizer;  // 1: the model can tokenize and decode. 0: ids only.
  int32_t unbounded;  // 1: sessions go on for 2^30 positions. 0: they end after `context`.
  int32_t sessions;   // as configured, defaults filled in
  int32_t context;
  int32_t chunk;
  int32_t threads;
  const char* family;   // "transformer", "rwkv7"...
  const char* kernels;  // the kernel set that will run
} edgellm_facts;

// Checks the model and the configuration and fills the facts. Takes nothing, keeps nothing.
edgellm_code edgellm_plan(const edgellm_config* config, edgellm_facts* facts, edgellm_error* error);

// --- An engine ---------------------------------------------------------------------------------------------------------------

typedef struct edgellm_engine edgellm_engine;  // lies in the caller's block

// Builds an engine in `block`, which may start anywhere, has at least facts.block_bytes, and belongs to the engine until
// edgellm_close. Of the configuration only the model's bytes are needed afterwards.
edgellm_code edgellm_init(const edgellm_config* config, void* block, size_t block_bytes, edgellm_engine** engine,
                          edgellm_error* error);

// Ends the engine's threads, if it has any. Block and model are the caller's again. NULL is allowed.
void edgellm_close(edgellm_engine* engine);

// --- Ids in, logits out ------------------------------------------------------------------------------------------------------

// The next ids of one session.
typedef struct edgellm_input {
  int32_t session;     // 0 to sessions - 1
  int32_t count;       // of the ids, at least 1; they are cut into chunks inside
  const int32_t* ids;  // (count) each below the vocabulary
  int32_t logits;      // 1: those after the last id are wanted. 0: they are not, which saves the output head.
} edgellm_input;

// Runs the ids of `count` different sessions together: weights are read once for all of them. What does not fit the context or
// the vocabulary is refused before anything is computed. Any other failure (a model whose values are not finite) leaves the
// sessions of the call somewhere in between: reset or restore them.
edgellm_code edgellm_step(edgellm_engine* engine, const edgellm_input* inputs, int32_t count, edgellm_error* error);

// The (vocabulary) logits that the last edgellm_step gave a session, in the block: read them, or change them before
// edgellm_sample. NULL: none were wanted, edgellm_sample has used them up, or a later step, restore or reset has ended them.
float* edgellm_logits(edgellm_engine* engine, int32_t session);

// XXH64 of these logits, the number that the program's --hash prints; 0: there are none.
uint64_t edgellm_logits_hash(const edgellm_engine* engine, int32_t session);

// How the next id is drawn. All zero is greedy: the largest logit, of equal ones the lowest id.
typedef struct edgellm_sampling {
  float temperature;     // up to 100. 0: greedy, and only the repetition penalty below counts.
  float top_p;           // the fewest most probable ids that hold this share, up to 1. 0: all.
  float min_p;           // least share of the largest probability, up to 1. 0: none.
  float repeat_penalty;  // 0.01 to 100, of the session's last 64 ids: divides logits above 0, multiplies others. 0: none.
  int32_t top_k;         // at most so many ids. 0: all.
  uint64_t seed;         // with the position it decides the draw; any value
} edgellm_sampling;

// Draws the next id from the session's logits and uses them up. `how` may be NULL: greedy. The id is not run: feed it to
// edgellm_step. Of a model with a grammar only ids that it allows are drawn; an answer begins when other ids were run than the
// one that was drawn.
edgellm_code edgellm_sample(edgellm_engine* engine, int32_t session, const edgellm_sampling* how, int32_t* id,
                            edgellm_error* error);

// 1: the id ends a text (end of turn, end of text).
int32_t edgellm_is_stop(const edgellm_engine* engine, int32_t id);

// --- Sessions ----------------------------------------------------------------------------------------------------------------

// Ids that the session has run; -1: there is no such session.
int32_t edgellm_position(const edgellm_engine* engine, int32_t session);

// The id that was drawn and not yet run; -1: none. It is part of a saved state.
int32_t edgellm_pending(const edgellm_engine* engine, int32_t session);

// Begins the timeline anew.
edgellm_code edgellm_reset(edgellm_engine* engine, int32_t session, edgellm_error* error);

// Writes the session's state, facts.state_bytes, to `image`, any address.
edgellm_code edgellm_save(const edgellm_engine* engine, int32_t session, void* image, size_t image_bytes,
                          edgellm_error* error);

// Takes a saved state over into a session, of this engine or of any other with the same model, context, window, kv,
// f32_activations and, with a window, chunk, on any machine. Going on gives the bits of a run that never stopped. Foreign or
// damaged bytes are refused with words that name what differs, and the session is as before.
edgellm_code edgellm_restore(edgellm_engine* engine, int32_t session, const void* image, size_t image_bytes,
                             edgellm_error* error);

// --- Text --------------------------------------------------------------------------------------------------------------------

enum {
  EDGELLM_FIRST = 1,   // put the model's first id in front: for the beginning of a timeline
  EDGELLM_SPECIAL = 2  // texts such as <|im_end|> become the ids of special tokens; otherwise they are plain text
};

// Ids of a text (any bytes, at most config.text_bytes, not NUL terminated). `options` is a sum of the above. *count is the
// number of ids of the text, also when `ids` has not room for them, which is an error (EDGELLM_USAGE).
edgellm_code edgellm_tokenize(edgellm_engine* engine, const char* text, size_t text_bytes, int32_t options, int32_t* ids,
                              int32_t room, int32_t* count, edgellm_error* error);

enum { EDGELLM_END = -1 };

// A stream of ids on its way to text. Set to zero it is at the beginning of a text.
typedef struct edgellm_decoder {
  int32_t specials;    // 1: print special tokens, too. 0: they are left out.
  int32_t continues;   // 1: the text goes on from a prompt and keeps its first space. 0: a text of its own.
  uint64_t state[10];  // the library's
} edgellm_decoder;

// Adds one id, and writes the text that is certain now: whole UTF-8 characters and a NUL behind them; perhaps none yet. After
// the last id give EDGELLM_END for what was held back. *bytes (or NULL) is the length without the NUL, also when it does not fit
// `room`, which is an error (EDGELLM_USAGE): the decoder is then as before.
edgellm_code edgellm_decode(const edgellm_engine* engine, edgellm_decoder* decoder, int32_t id, char* text, size_t room,
                            size_t* bytes, edgellm_error* error);

#ifdef __cplusplus
}
#endif

#endif
