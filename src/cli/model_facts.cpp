#include "cli/model_facts.h"

#include "file/legacy.h"
#include "platform/signals.h"
#include "platform/stage.h"

namespace edgellm {

f64 share(i64 part, i64 whole) {
  return static_cast<f64>(part) / static_cast<f64>(max<i64>(whole, 1));
}

i64 weights_of(const TensorEntry& entry) {
  i64 n = 1;
  for (i32 i = 0; i < entry.rank; i++)
    n *= entry.shape[i];
  return n;
}

namespace {

constexpr i64 QUICKLY_COUNTED = 100'000'000;  // weights whose zeros the summary counts: a second or two on a small board

void add(const TensorEntry& entry, Sum* sum) {
  sum->tensors++;
  sum->weights += weights_of(entry);
  sum->bytes += tensor_bytes(entry);
}

// What the matrices of a sparse format would take as i8.
i64 dense_bytes(const TensorEntry& entry) {
  Format format = static_cast<Format>(entry.format);
  if (unit_bytes(format)) return tensor_bytes(entry);
  i64 rows = entry.shape[0];
  return matrix_bytes(Format::I8, rows, entry.shape[1]) + scale_count(Scale::row, rows) * i64{sizeof(f32)};
}

// The zeros of a matrix of integers, -1 of anything else. Reads all its weights, unless a signal comes meanwhile.
i64 zeros_of(const ModelFile& file, const Kernels& kernels, const TensorEntry& entry) {
  static f32 row[MAX_COLUMNS];
  Matrix w;
  const i32 rows = static_cast<i32>(entry.shape[0]), cols = static_cast<i32>(entry.shape[1]);
  if (entry.rank != 2 || cols > MAX_COLUMNS || !file.matrix(Text(entry.name), rows, cols, &w).ok()) return -1;
  if (w.format == Format::F32 || w.format == Format::F16) return -1;
  const i64 bytes = tensor_bytes(entry);
  i64 zeros = 0;
  for (i32 r = 0; r < rows && !interrupted(); r++) {
    kernels.row(w, r, row);
    for (i32 c = 0; c < cols; c++)
      zeros += row[c] == 0;
    advance_stage(bytes * (r + 1) / rows - bytes * r / rows, Unit::bytes);
  }
  return zeros;
}

Status count_zeros(Facts* facts) {
  const Span<const TensorEntry> tensors = facts->file.tensors();
  Span<u8> block;
  EDGELLM_TRY(take_memory(max<i64>(tensors.count, 1) * i64{sizeof(i64)}, {.huge_pages = false}, &block));
  facts->zeros = {reinterpret_cast<i64*>(block.data), tensors.count};
  begin_stage("counting zeros", facts->all.bytes, Unit::bytes);
  for (i64 i = 0; i < tensors.count; i++) {
    const i64 zeros = facts->zeros[i] = zeros_of(facts->file, facts->kernels, tensors[i]);
    if (zeros < 0) {
      advance_stage(tensor_bytes(tensors[i]), Unit::bytes);
      continue;
    }
    add(tensors[i], &facts->integers);
    facts->zeros_counted += zeros;
  }
  end_stage();
  return check_interrupted();
}

void add_up(Facts* facts) {
  for (const TensorEntry& entry : facts->file.tensors()) {
    add(entry, &facts->all);
    add(entry, &facts->formats[entry.format]);
    facts->dense_bytes += dense_bytes(entry);
  }
}

// As a run without a prompt would.
void plan(const Options& options, Span<const u8> file, Facts* facts) {
  EngineOptions wanted = options.engine;
  wanted.file = file;
  wanted.check = false;
  wanted.text_bytes = 16;
  if (wanted.threads == 0) wanted.threads = default_threads(this_machine());
  facts->refused = plan_engine(wanted, &facts->engine);
  if (!facts->refused.ok()) return;
  wanted.context = SMALL_CONTEXT;
  Engine small;
  if (plan_engine(wanted, &small).ok()) facts->arena_bytes_small = small.arena_bytes;
}

}  // namespace

Status open_facts(const Options& options, Facts* facts) {
  Span<const u8> map;
  EDGELLM_TRY(map_model(options.model, {}, &map));
  facts->path = options.model_count ? options.models[0] : options.model;
  facts->file_bytes = map.count;
  if (is_legacy(map)) {
    i64 bytes;
    EDGELLM_TRY(upgrade_legacy(map, false, nullptr, &bytes));
    EDGELLM_TRY(take_memory(bytes, {}, &facts->image));
    EDGELLM_TRY(upgrade_legacy(map, false, facts->image.data, &bytes));
    map = facts->image = facts->image.slice(0, bytes);
  }
  EDGELLM_TRY(facts->file.open(map));
  EDGELLM_TRY(choose_kernels(options.engine.isa, &facts->kernels));
  facts->checked = options.engine.check;
  if (facts->checked) EDGELLM_TRY(facts->file.check_data());
  add_up(facts);
  plan(options, map, facts);
  if (!options.tensors && !options.json && facts->all.weights > QUICKLY_COUNTED) return {};
  return count_zeros(facts);
}

}  // namespace edgellm
