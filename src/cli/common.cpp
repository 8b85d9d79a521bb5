#include <errno.h>
#include <string.h>

#include "cli/command.h"
#include "platform/bandwidth.h"
#include "platform/destination.h"
#include "platform/files.h"
#include "platform/heap.h"
#include "platform/seal.h"
#include "platform/signals.h"

namespace edgellm {

Status check_outputs(const Options& options) {
  const char* const inputs[] = {options.model, options.text_file, options.tokenizer_file};
  const Span<const char* const> read = {inputs, sizeof inputs / sizeof inputs[0]};
  if (options.state_save) EDGELLM_TRY(check_destination("--state-save", options.state_save, read));
  return options.logits_file ? check_destination("--logits", options.logits_file, read) : Status();
}

Status map_model(const char* path, const MapOptions& how, Span<const u8>* map) {
  EDGELLM_TRY(map_file(path, how, map));
  watch_map(*map);
  return {};
}

// The tokenizer section of another model file; the map stays until the process ends.
static Status open_other_tokenizer(const char* path, Span<const u8>* section) {
  Span<const u8> map;
  EDGELLM_TRY(map_model(path, {}, &map));
  ModelFile file;
  if (Status status = file.open(map); !status.ok()) return bad_model("--tokenizer ", path, ": ", status.text());
  *section = file.tokenizer();
  return section->count ? Status() : bad_model("--tokenizer ", path, ": ", NO_TOKENIZER);
}

Status take_bandwidth_buffer(const Machine& machine, Span<u8>* buffer) {
  return take_memory(bandwidth_buffer_bytes(machine.cache_bytes, usable_memory(machine)), {}, buffer);
}

// The fewest threads that read within 3 % of the most that any number of them reads.
static Status rewarding_threads(i32* best) {
  Machine machine = this_machine();
  i32 most = default_threads(machine);
  Span<u8> buffer;
  EDGELLM_TRY(take_bandwidth_buffer(machine, &buffer));
  f64 rates[Threads::MAX + 1] = {}, top = 0;
  for (i32 n = 1; n <= most; n++) {
    Threads threads;
    EDGELLM_TRY(threads.start(n));
    rates[n] = read_bandwidth(threads, buffer, BANDWIDTH_PASSES);
    threads.stop();
    EDGELLM_TRY(check_interrupted());
    if (rates[n] > top) top = rates[n];
  }
  release_memory(buffer);
  for (*best = 1; rates[*best] < 0.97 * top;)
    (*best)++;
  return {};
}

Status settle_engine(Options& options) {
  EngineOptions& wanted = options.engine;
  if (options.tokenizer_file) EDGELLM_TRY(open_other_tokenizer(options.tokenizer_file, &wanted.tokenizer));
  if (options.threads_auto) EDGELLM_TRY(rewarding_threads(&wanted.threads));
  if (wanted.threads == 0) wanted.threads = default_threads(this_machine());
  wanted.lock |= options.realtime;
  options.map.lock = wanted.lock;
  return {};
}

void note_opened(const Options& options, const Engine& engine) {
  if (!options.verbose) return;
  note("kernels ", engine.kernels.isa, ", threads ", engine.threads.count(), ", context ", engine.limits.context,
       ", memory ", megabytes(engine.arena_bytes, 1), " MB, file ", megabytes(options.engine.file.count, 1), " MB\n");
}

Status open_mapped(Options& options, Engine* engine) {
  EDGELLM_TRY(open_engine(options.engine, engine));
  f32* temperature = &options.generate.sampling.temperature;
  f32 own;
  EDGELLM_TRY(engine->file.real_or("temperature", *temperature, 0, MAX_TEMPERATURE, &own));
  if (!options.temperature_given) *temperature = own;
  if (engine->image.count) {
    note("note: a TM2 version 1 file was repacked in memory; edgellm-convert makes one that starts at once\n");
  }
  note_opened(options, *engine);
  return {};
}

Status open_model(Options& options, Engine* engine) {
  EDGELLM_TRY(settle_engine(options));
  EDGELLM_TRY(map_model(options.model, options.map, &options.engine.file));
  return open_mapped(options, engine);
}

Status open_states(const Options& options, Engine& engine, StateOutput* output) {
  if (!options.state_load && !options.state_save) return {};
  EDGELLM_TRY(take_memory(state_image_bytes(engine), {}, &output->buffer));
  u8* buffer = output->buffer.data;
  if (options.state_load) EDGELLM_TRY(load_state_file(engine, options.state_load, buffer, &engine.sessions[0]));
  return options.state_save ? open_state_file(engine, options.state_save, buffer, &output->file) : Status();
}

Status keep_state(const Options& options, const Engine& engine, StateOutput& output) {
  return options.state_save ? save_state_file(engine, engine.sessions[0], output.buffer.data, output.file) : Status();
}

Status seal_as_asked(const Options& options, u32 extra) {
  close_heap();
  if (options.seal == SealMode::no) return {};
  if (options.state_save || options.logits_file) extra |= SEAL_FILES;
  char why[160];
  Writer writer(why);
  Seal seal = seal_process(extra, writer);
  if (seal == Seal::sealed) return {};
  if (options.seal == SealMode::require) return failed("--seal=require: ", why);
  if (seal == Seal::failed || options.verbose) note("note: the process is not sealed: ", why, "\n");
  return {};
}

Span<const i32> begun_once(Span<const i32> ids, i32 first) {
  return ids.count > 1 && ids[0] == first && ids[1] == first ? ids.slice(1, ids.count - 1) : ids;
}

Status prompt_ids(Engine& engine, Text text, const EncodeOptions& how, Span<const i32>* ids) {
  if (engine.has_tokenizer) {
    EDGELLM_TRY(encode(engine, text, how, ids));
    if (how.add_bos && how.parse_special) *ids = begun_once(*ids, engine.bos);
    if (ids->count) return {};
    return failed("the prompt is empty, and the tokenizer names no first id; give a prompt with -i");
  }
  note("note: ", NO_TOKENIZER, "; --tokenizer FILE takes that of another model file\n");
  char list[4096];
  if (text.size >= static_cast<i64>(sizeof list)) return failed(NO_TOKENIZER, "; the list of ids is too long");
  memcpy(list, text.data, static_cast<size_t>(text.size));
  list[text.size] = 0;
  struct Target {
    Engine& engine;
    i32 count;
  } target = {engine, 0};
  if (how.add_bos && engine.bos >= 0 && text.size == 0) engine.text_ids[target.count++] = engine.bos;
  EDGELLM_TRY(parse_list(
      "without a tokenizer the text is a list of ids", list,
      [](void* context, i32 id) {
        Target& to = *static_cast<Target*>(context);
        if (to.count < to.engine.text_ids.count) to.engine.text_ids[to.count++] = id;
      },
      &target));
  *ids = engine.text_ids.slice(0, target.count);
  return target.count ? Status() : failed(NO_TOKENIZER, ", and names no first id; give ids with -i 1,2,3");
}

const char* bundled_model() {
  static char path[512];
  char program[400];
  Text folder = program_path(program, sizeof program);
  while (folder.size > 0 && folder[folder.size - 1] != '/')
    folder.size--;
  const char* places[] = {"", "models/", "../models/", "../share/edgellm/"};
  for (const char* place : places) {
    Writer writer(path);
    write(writer, place == places[0] ? Text("models/") : folder, place, "stories.tm2");
    if (can_read(path)) return path;
  }
  return nullptr;
}

void note_figures(const Generated& made, i64 prompt, const Options& options) {
  f64 decode_s = static_cast<f64>(made.decode_ns) / 1e9, prompt_s = static_cast<f64>(made.prompt_ns) / 1e9;
  note("\n", prompt, " tokens in, ");
  if (made.count) note("first out after ", Fixed{prompt_s * 1e3, 1}, " ms; ");
  note(made.count, " out");
  if (made.count > 1 && decode_s > 0) note(", ", Fixed{(made.count - 1) / decode_s, 1}, " tok/s");
  if (options.generate.sampling.temperature > 0) note("; seed ", options.generate.sampling.seed);
  note("\n");
  if (options.generate.pace > 0) note("missed deadlines: ", made.missed_deadlines, " of ", max(made.count - 1, 0), "\n");
}

void note_hash(u64 hash) {
  note("logits hash: ", Hex{hash, 16}, "\n");
}

}  // namespace edgellm
