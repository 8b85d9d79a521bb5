// edgellm info: this machine, and what is in a model file.
#include "base/version.h"
#include "cli/command.h"
#include "cli/json_writer.h"
#include "platform/bandwidth.h"
#include "platform/cpu.h"
#include "platform/signals.h"

namespace edgellm {

namespace {

struct MachineFacts {
  Machine machine;
  Kernels kernels;
  i32 threads;
  f64 read_bytes_per_second;
};

Status measure_machine(Options& options, MachineFacts* facts) {
  facts->machine = this_machine();
  const Machine& m = facts->machine;
  EDGELLM_TRY(choose_kernels(options.engine.isa, &facts->kernels));
  facts->threads = options.engine.threads ? options.engine.threads : default_threads(m);
  Threads threads;
  EDGELLM_TRY(threads.start(facts->threads));
  Span<u8> buffer;
  EDGELLM_TRY(take_bandwidth_buffer(m, &buffer));
  facts->read_bytes_per_second = read_bandwidth(threads, buffer, BANDWIDTH_PASSES);
  release_memory(buffer);
  threads.stop();
  return check_interrupted();
}

void print_machine(const MachineFacts& facts) {
  const Machine& m = facts.machine;
  print("edgellm " EDGELLM_VERSION "\n");
  print("cpu            ", m.name, "\n");
  print("cores          ", m.performance_cores, " performance, ", m.physical_cores, " physical, ", m.logical_cpus,
        " logical\n");
  if (m.cpu_quota) print("cpu quota      ", m.cpu_quota, "\n");
  Output sets(STDOUT);
  sets.add("kernel sets    ");
  for (i32 i = 0; isa_name(i); i++) {
    Kernels set;
    if (!select_kernels(isa_name(i), cpu_features(), &set)) continue;
    sets.add(Text(isa_name(i)));
    sets.add(" ");
  }
  sets.add("(chosen: ");
  sets.add(Text(facts.kernels.isa));
  sets.add(")\n");
  sets.flush();
  print("memory         ", megabytes(m.memory_bytes, 0), " MB, ", megabytes(m.available_bytes, 0), " MB available");
  if (m.memory_limit) print(", limit ", megabytes(m.memory_limit, 0), " MB");
  print("\ncache          ", megabytes(m.cache_bytes, 1), " MB\n");
  print("page size      ", m.page_bytes, "\n");
  print("read bandwidth ", Fixed{facts.read_bytes_per_second / 1e9, 1}, " GB/s with ", facts.threads,
        facts.threads == 1 ? " thread\n" : " threads\n");
}

void json_machine(JsonWriter& json, const MachineFacts& facts) {
  const Machine& m = facts.machine;
  json.text("cpu", m.name);
  json.number("performance_cores", m.performance_cores);
  json.number("physical_cores", m.physical_cores);
  json.number("logical_cpus", m.logical_cpus);
  json.number("cpu_quota", m.cpu_quota);
  json.text("isa", facts.kernels.isa);
  json.number("threads", facts.threads);
  json.number("memory_bytes", m.memory_bytes);
  json.number("available_bytes", m.available_bytes);
  json.number("memory_limit", m.memory_limit);
  json.number("cache_bytes", m.cache_bytes);
  json.number("page_bytes", m.page_bytes);
  json.real("read_gb_s", {facts.read_bytes_per_second / 1e9, 2});
}

void print_value(Output& out, const Metadata& entry) {
  constexpr u32 SHOWN = 64;
  if (entry.type != MetadataType::text && entry.bytes / 4 > SHOWN) {
    out.add(entry.bytes / 4);
    out.add(" numbers");
    return;
  }
  switch (entry.type) {
    case MetadataType::text:
      out.add(Text(reinterpret_cast<const char*>(entry.value), entry.bytes));
      break;
    case MetadataType::u32_:
    case MetadataType::u32_list:
      for (u32 i = 0; i < entry.bytes / 4; i++) {
        if (i) out.add(", ");
        out.add(reinterpret_cast<const u32*>(entry.value)[i]);
      }
      break;
    case MetadataType::f32_:
    case MetadataType::f32_list:
      for (u32 i = 0; i < entry.bytes / 4; i++) {
        if (i) out.add(", ");
        out.add(Fixed{static_cast<f64>(reinterpret_cast<const f32*>(entry.value)[i]), 9});
      }
      break;
  }
}

i64 weights_of(const TensorEntry& entry) {
  i64 n = 1;
  for (i32 i = 0; i < entry.rank; i++)
    n *= entry.shape[i];
  return n;
}

// The zeros of a matrix of integers, -1 of anything else, or when a signal came meanwhile. Reads all its weights.
i64 zeros_of(const ModelFile& file, const Kernels& kernels, const TensorEntry& entry, Span<f32> row) {
  Matrix w;
  i32 rows = static_cast<i32>(entry.shape[0]), cols = static_cast<i32>(entry.shape[1]);
  if (entry.rank != 2 || cols > row.count || !file.matrix(Text(entry.name), rows, cols, &w).ok()) return -1;
  if (w.format == Format::F32 || w.format == Format::F16) return -1;
  i64 zeros = 0;
  for (i32 r = 0; r < rows && !interrupted(); r++) {
    kernels.row(w, r, row.data);
    for (i32 c = 0; c < cols; c++)
      zeros += row[c] == 0;
  }
  return interrupted() ? -1 : zeros;
}

// What the matrices of a sparse format would take as i8.
i64 dense_bytes(const TensorEntry& entry) {
  Format format = static_cast<Format>(entry.format);
  if (unit_bytes(format)) return tensor_bytes(entry);
  i64 rows = entry.shape[0];
  return matrix_bytes(Format::I8, rows, entry.shape[1]) + scale_count(Scale::row, rows) * i64{sizeof(f32)};
}

struct Totals {
  i64 weights = 0;
  i64 bytes = 0;
  i64 dense_bytes = 0;  // with i8 for sparse formats
};

Totals totals_of(const ModelFile& file) {
  Totals totals;
  for (const TensorEntry& entry : file.tensors()) {
    totals.weights += weights_of(entry);
    totals.bytes += tensor_bytes(entry);
    totals.dense_bytes += dense_bytes(entry);
  }
  return totals;
}

f64 share(i64 part, i64 whole) {
  return static_cast<f64>(part) / static_cast<f64>(max<i64>(whole, 1));
}

void print_metadata(Output& out, const ModelFile& file) {
  i64 offset = 0;
  for (Metadata entry; next_metadata(file.metadata(), &offset, &entry);) {
    out.add(entry.key);
    for (i64 i = entry.key.size; i < 24; i++)
      out.add(" ");
    print_value(out, entry);
    out.add("\n");
  }
  out.add("tokenizer               ");
  out.add(file.tokenizer().count);
  out.add(" bytes\n\n");
}

// A line; `zeros` as zeros_of says.
void print_tensor(Output& out, const TensorEntry& entry, i64 zeros) {
  const char* scales[] = {"", " tensor scale", " row scales"};
  const char* activations[] = {"", " token", " group32"};
  Text name(entry.name);
  out.add(name);
  for (i64 i = name.size; i < 28; i++)
    out.add(" ");
  for (i32 i = 0; i < entry.rank; i++) {
    if (i) out.add(" x ");
    out.add(entry.shape[i]);
  }
  out.add("  ");
  out.add(format_name(static_cast<Format>(entry.format)));
  out.add(scales[entry.scale]);
  out.add(activations[entry.activations]);
  out.add("  ");
  out.add(Fixed{8.0 * share(tensor_bytes(entry), weights_of(entry)), 2});
  out.add(" bits");
  if (zeros >= 0) {
    out.add("  ");
    out.add(Fixed{100 * share(zeros, weights_of(entry)), 1});
    out.add(" % zeros");
  }
  out.add("\n");
}

// Of `counted` weights in matrices of integers so many are zeros.
void print_totals(Output& out, const ModelFile& file, i64 zeros, i64 counted) {
  Totals totals = totals_of(file);
  out.add("\n");
  out.add(file.tensors().count);
  out.add(" tensors, ");
  out.add(Fixed{static_cast<f64>(totals.weights) / 1e6, 2});
  out.add(" M weights, ");
  out.add(megabytes(totals.bytes, 2));
  out.add(" MB, ");
  out.add(Fixed{8.0 * share(totals.bytes, totals.weights), 2});
  out.add(" bits a weight");
  if (counted) {
    out.add(", ");
    out.add(Fixed{100 * share(zeros, counted), 1});
    out.add(" % zeros in the matrices of integers");
  }
  if (totals.dense_bytes != totals.bytes) {
    out.add("; dense in i8: ");
    out.add(megabytes(totals.dense_bytes, 2));
    out.add(" MB");
  }
  out.add("\n");
}

// The metadata, then a line for each tensor, then the sums.
void print_file(const ModelFile& file, const Kernels& kernels, Span<f32> row) {
  Output out(STDOUT);
  print_metadata(out, file);
  i64 counted = 0, zeros = 0;
  for (const TensorEntry& entry : file.tensors()) {
    i64 none = zeros_of(file, kernels, entry, row);
    print_tensor(out, entry, none);
    if (!out.flush() || interrupted()) return;
    if (none < 0) continue;
    counted += weights_of(entry);
    zeros += none;
  }
  print_totals(out, file, zeros, counted);
  out.flush();
}

void json_file(JsonWriter& json, const ModelFile& file, const Kernels& kernels, Span<f32> row) {
  i64 offset = 0;
  json.open("metadata");
  for (Metadata entry; next_metadata(file.metadata(), &offset, &entry);) {
    if (entry.type == MetadataType::text) {
      json.text(entry.key, {reinterpret_cast<const char*>(entry.value), entry.bytes});
    } else if (entry.type == MetadataType::u32_) {
      json.number(entry.key, *reinterpret_cast<const u32*>(entry.value));
    } else if (entry.type == MetadataType::f32_) {
      json.real(entry.key, {static_cast<f64>(*reinterpret_cast<const f32*>(entry.value)), 9});
    }
  }
  json.close();
  Totals totals = totals_of(file);
  json.number("tokenizer_bytes", file.tokenizer().count);
  json.number("tensors", file.tensors().count);
  json.number("weights", totals.weights);
  json.number("weight_bytes", totals.bytes);
  json.number("dense_weight_bytes", totals.dense_bytes);
  json.open("sparsity");
  for (const TensorEntry& entry : file.tensors()) {
    if (i64 none = zeros_of(file, kernels, entry, row); none >= 0) {
      json.real(Text(entry.name), {share(none, weights_of(entry)), 4});
    }
  }
  json.close();
}

}  // namespace

Status info_command(Options& options) {
  if (!options.model) {
    MachineFacts facts;
    EDGELLM_TRY(measure_machine(options, &facts));
    if (!options.json) {
      print_machine(facts);
      return {};
    }
    JsonWriter json(STDOUT);
    json_machine(json, facts);
    json.finish();
    return {};
  }
  Span<const u8> map;
  EDGELLM_TRY(map_model(options.model, {}, &map));
  ModelFile file;
  EDGELLM_TRY(file.open(map));
  if (options.engine.check) EDGELLM_TRY(file.check_data());
  Kernels kernels;
  EDGELLM_TRY(choose_kernels(options.engine.isa, &kernels));
  static f32 row[MAX_COLUMNS];
  if (!options.json) {
    print_file(file, kernels, {row, MAX_COLUMNS});
    return {};
  }
  JsonWriter json(STDOUT);
  json_file(json, file, kernels, {row, MAX_COLUMNS});
  json.finish();
  return {};
}

}  // namespace edgellm
