#include "platform/machine.h"

#include <string.h>
#include <unistd.h>
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "platform/kernel_files.h"

namespace edgellm {

// "0-3,8" as a set.
static CpuSet cpu_list(Text text) {
  CpuSet set;
  text = trim(text);
  while (text.size) {
    Text part = take_until(text, ',');
    Text first = take_until(part, '-');
    i64 a = number(first), b = part.size ? number(part) : a;
    for (i64 cpu = max(a, i64{0}); a >= 0 && cpu <= min(b, i64{CpuSet::MAX - 1}); cpu++)
      set.add(static_cast<i32>(cpu));
  }
  return set;
}

// --- CPUs ----------------------------------------------------------------------------------------------------------------

static CpuSet both(const CpuSet& a, const CpuSet& b) {
  CpuSet set;
  for (i32 i = 0; i < CpuSet::MAX / 64; i++)
    set.bits[i] = a.bits[i] & b.bits[i];
  return set;
}

// Of the hyper-threads of a core that are in the set, the first counts.
static i32 count_cores(const char* root, const CpuSet& set) {
  SmallFile file;
  i32 cores = 0;
  for (i32 cpu = 0; cpu < CpuSet::MAX; cpu++) {
    if (!set.has(cpu)) continue;
    bool first = true;
    if (load(file, root, "/sys/devices/system/cpu/cpu", cpu, "/topology/thread_siblings_list")) {
      CpuSet siblings = cpu_list(file.text());
      for (i32 other = 0; other < cpu; other++)
        first &= !(siblings.has(other) && set.has(other));
    }
    cores += first;
  }
  return cores;
}

// Without little cores: those with less than three fifths of the capacity of the largest (Arm), or those that the kernel
// keeps out of its list of performance cores (hybrid x86).
static CpuSet performance_set(const char* root, const CpuSet& set) {
  SmallFile file;
  i64 capacity[CpuSet::MAX], largest = 0;
  for (i32 cpu = 0; cpu < CpuSet::MAX; cpu++) {
    capacity[cpu] = 0;
    if (!set.has(cpu) || !load(file, root, "/sys/devices/system/cpu/cpu", cpu, "/cpu_capacity")) continue;
    capacity[cpu] = number(file.text());
    largest = max(largest, capacity[cpu]);
  }
  CpuSet fast;
  for (i32 cpu = 0; cpu < CpuSet::MAX; cpu++) {
    if (set.has(cpu) && capacity[cpu] * 5 >= largest * 3) fast.add(cpu);
  }
  if (load(file, root, "/sys/devices/cpu_core/cpus")) {
    CpuSet listed = both(fast, cpu_list(file.text()));
    if (listed.count()) return listed;
  }
  return fast;
}

static void read_cpus(const char* root, const CpuSet& allowed, Machine& machine) {
  SmallFile file;
  CpuSet set = allowed;
  if (load(file, root, "/sys/devices/system/cpu/online")) {
    CpuSet online = cpu_list(file.text());
    set = allowed.count() ? both(allowed, online) : online;
  }
  if (!set.count()) set = allowed;
  if (!set.count()) set.add(0);
  machine.logical_cpus = set.count();
  machine.physical_cores = count_cores(root, set);
  machine.performance_cores = count_cores(root, performance_set(root, set));

  for (i32 index = 0; index < 8; index++) {
    if (!load(file, root, "/sys/devices/system/cpu/cpu0/cache/index", index, "/size")) continue;
    Text text = trim(file.text());
    i64 size = number(text), unit = text.size && text[text.size - 1] == 'M' ? 1 << 20 : 1 << 10;
    if (size > 0) machine.cache_bytes = max(machine.cache_bytes, size * unit);
  }
}

static void read_name(const char* root, Machine& machine) {
  SmallFile file;
  Writer name(machine.name);
  if (load(file, root, "/proc/device-tree/model")) {
    name.add(trim(file.text()));
    return;
  }
  (void)load(file, root, "/proc/cpuinfo");
  for (Text rest = file.text(); rest.size;) {
    Text value = take_until(rest, '\n');
    Text key = trim(take_until(value, ':'));
    if (key == "model name") {
      name.add(trim(value));
      return;
    }
  }
  name.add("unknown");
}

// --- Memory and limits ---------------------------------------------------------------------------------------------------

static void read_memory(const char* root, Machine& machine) {
  SmallFile file;
  (void)load(file, root, "/proc/meminfo");
  for (Text rest = file.text(); rest.size;) {
    Text value = take_until(rest, '\n');
    Text key = take_until(value, ':');
    if (key == "MemTotal") machine.memory_bytes = max(i64{0}, number(value)) << 10;
    if (key == "MemAvailable") machine.available_bytes = max(i64{0}, number(value)) << 10;
  }
}

static void limit_memory(Machine& machine, i64 bytes) {
  if (bytes <= 0 || bytes >= NO_MEMORY_LIMIT) return;
  machine.memory_limit = machine.memory_limit ? min(machine.memory_limit, bytes) : bytes;
}

static void limit_cpus(Machine& machine, i64 quota, i64 period) {
  if (quota <= 0 || period <= 0) return;
  i64 cpus = min(div_up(quota, period), i64{CpuSet::MAX});
  machine.cpu_quota = static_cast<i32>(machine.cpu_quota ? min(i64{machine.cpu_quota}, cpus) : cpus);
}

struct Groups {
  const char* root;
  Machine& machine;
};

// The limits of one group, of whichever version the files are: the least of all groups holds.
static void read_group(void* context, const char* mount, Text group) {
  const char* root = static_cast<Groups*>(context)->root;
  Machine& machine = static_cast<Groups*>(context)->machine;
  SmallFile file;
  if (load(file, root, mount, group, "/memory.max")) limit_memory(machine, number(file.text()));
  if (load(file, root, mount, group, "/memory.limit_in_bytes")) limit_memory(machine, number(file.text()));
  if (load(file, root, mount, group, "/cpu.max")) {
    Text rest = file.text();
    Text quota = take_until(rest, ' ');
    limit_cpus(machine, number(quota), number(rest));
  }
  SmallFile period;
  if (load(file, root, mount, group, "/cpu.cfs_quota_us") && load(period, root, mount, group, "/cpu.cfs_period_us")) {
    limit_cpus(machine, number(file.text()), number(period.text()));
  }
}

Machine read_machine(const char* root, const CpuSet& allowed) {
  Machine machine{};
  read_name(root, machine);
  read_cpus(root, allowed, machine);
  read_memory(root, machine);
  Groups groups = {root, machine};
  each_control_group(root, read_group, &groups);
  machine.page_bytes = static_cast<i64>(sysconf(_SC_PAGESIZE));
  return machine;
}

#if defined(__APPLE__)

static i64 system_number(const char* name) {
  i64 value = 0;  // little endian: right for 4-byte answers too
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 ? value : 0;
}

Machine this_machine() {
  Machine machine{};
  size_t size = sizeof machine.name;
  if (sysctlbyname("machdep.cpu.brand_string", machine.name, &size, nullptr, 0) != 0) strcpy(machine.name, "unknown");
  machine.logical_cpus = static_cast<i32>(max(i64{1}, system_number("hw.logicalcpu")));
  machine.physical_cores = static_cast<i32>(max(i64{1}, system_number("hw.physicalcpu")));
  i64 fast = system_number("hw.perflevel0.physicalcpu");
  machine.performance_cores = fast ? static_cast<i32>(fast) : machine.physical_cores;
  machine.memory_bytes = system_number("hw.memsize");
  machine.cache_bytes = max(system_number("hw.perflevel0.l2cachesize"), system_number("hw.l3cachesize"));
  machine.page_bytes = static_cast<i64>(sysconf(_SC_PAGESIZE));
  return machine;
}

#else

Machine this_machine() {
  return read_machine("", allowed_cpus());
}

#endif

i32 default_threads(const Machine& machine) {
  i32 threads = max(machine.performance_cores, 1);
  return machine.cpu_quota ? min(threads, machine.cpu_quota) : threads;
}

i64 usable_memory(const Machine& machine) {
  if (!machine.memory_limit) return machine.memory_bytes;
  return machine.memory_bytes ? min(machine.memory_bytes, machine.memory_limit) : machine.memory_limit;
}

}  // namespace edgellm
