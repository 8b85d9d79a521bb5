// edgellm info: this machine, and what is in a model file.
#include "cli/info.h"

#include "base/version.h"
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

bool runs_here(i32 set) {
  return (isa_features(set) & ~cpu_features()) == 0;
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
    if (!runs_here(i)) continue;
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

void print_machine_json(const MachineFacts& facts) {
  const Machine& m = facts.machine;
  JsonOutput json(STDOUT);
  json.text("cpu", m.name);
  json.number("performance_cores", m.performance_cores);
  json.number("physical_cores", m.physical_cores);
  json.number("logical_cpus", m.logical_cpus);
  json.number("cpu_quota", m.cpu_quota);
  json.text("isa", facts.kernels.isa);
  json_kernel_sets(json);
  json.open_list("formats");
  for (i32 i = 0; i < FORMATS; i++)
    json.text({}, format_name(static_cast<Format>(i)));
  json.close_list();
  json.number("threads", facts.threads);
  json.number("memory_bytes", m.memory_bytes);
  json.number("available_bytes", m.available_bytes);
  json.number("memory_limit", m.memory_limit);
  json.number("cache_bytes", m.cache_bytes);
  json.number("page_bytes", m.page_bytes);
  json.real("read_gb_s", {facts.read_bytes_per_second / 1e9, 2});
  json.finish();
}

}  // namespace

void json_kernel_sets(JsonWriter& json) {
  json.open("kernel_sets");
  for (i32 i = 0; isa_name(i); i++)
    json.flag(isa_name(i), runs_here(i));
  json.close();
}

Status info_command(Options& options) {
  if (options.model) return info_model(options);
  MachineFacts facts;
  EDGELLM_TRY(measure_machine(options, &facts));
  (options.json ? print_machine_json : print_machine)(facts);
  return {};
}

}  // namespace edgellm
