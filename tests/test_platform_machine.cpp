// The reading of /proc and /sys, on made machines.
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>

#include "check.h"
#include "made_root.h"
#include "platform/machine.h"

using namespace edgellm;

struct Root : MadeRoot {
  Root& file(const std::string& name, const std::string& text) {
    MadeRoot::file(name, text);
    return *this;
  }
  Root& cpu(int index, const std::string& siblings, int capacity = 0) {
    std::string folder = "sys/devices/system/cpu/cpu" + std::to_string(index) + "/";
    file(folder + "topology/thread_siblings_list", siblings + "\n");
    if (capacity) file(folder + "cpu_capacity", std::to_string(capacity) + "\n");
    return *this;
  }
  Machine read(const CpuSet& allowed = {}) { return read_machine(path.c_str(), allowed); }
};

static CpuSet cpus(std::initializer_list<int> list) {
  CpuSet set;
  for (int cpu : list)
    set.add(cpu);
  return set;
}

TEST(nothing_to_read) {
  Root root;
  Machine machine = root.read();
  CHECK_EQ(std::string(machine.name), std::string("unknown"));
  CHECK_EQ(machine.logical_cpus, 1);
  CHECK_EQ(machine.physical_cores, 1);
  CHECK_EQ(machine.performance_cores, 1);
  CHECK_EQ(default_threads(machine), 1);
  CHECK_EQ(machine.memory_bytes, 0);
  CHECK_EQ(machine.memory_limit, 0);
  CHECK_EQ(usable_memory(machine), 0);
  CHECK_EQ(root.read(cpus({0, 1, 5})).physical_cores, 3);
}

TEST(four_equal_cores) {
  Root root;
  root.file("proc/device-tree/model", std::string("Raspberry Pi 5 Model B Rev 1.0\0", 31));
  root.file("sys/devices/system/cpu/online", "0-3\n");
  root.file("proc/meminfo", "MemTotal:        8245632 kB\nMemFree:         100 kB\nMemAvailable:    7000000 kB\n");
  for (int i = 0; i < 4; i++)
    root.cpu(i, std::to_string(i), 1024);
  root.file("sys/devices/system/cpu/cpu0/cache/index0/size", "64K\n");
  root.file("sys/devices/system/cpu/cpu0/cache/index3/size", "2048K\n");
  Machine machine = root.read();
  CHECK_EQ(std::string(machine.name), std::string("Raspberry Pi 5 Model B Rev 1.0"));
  CHECK_EQ(machine.logical_cpus, 4);
  CHECK_EQ(machine.performance_cores, 4);
  CHECK_EQ(machine.memory_bytes, i64{8245632} * 1024);
  CHECK_EQ(machine.available_bytes, i64{7000000} * 1024);
  CHECK_EQ(machine.cache_bytes, 2048 * 1024);
  CHECK_EQ(usable_memory(machine), machine.memory_bytes);
}

TEST(big_and_little_cores) {
  Root root;
  root.file("sys/devices/system/cpu/online", "0-7\n");
  for (int i = 0; i < 8; i++)
    root.cpu(i, std::to_string(i), i < 4 ? 397 : 1024);
  CHECK_EQ(root.read().physical_cores, 8);
  CHECK_EQ(default_threads(root.read()), 4);
  CHECK_EQ(default_threads(root.read(cpus({0, 1, 2}))), 3);     // the little ones are all we have
  CHECK_EQ(default_threads(root.read(cpus({2, 3, 4, 5}))), 2);  // two of the big ones
}

TEST(hybrid_with_hyper_threads) {
  Root root;
  root.file("sys/devices/system/cpu/online", "0-15\n");
  for (int i = 0; i < 12; i++)
    root.cpu(i, std::to_string(i / 2 * 2) + "-" + std::to_string(i / 2 * 2 + 1));
  for (int i = 12; i < 16; i++)
    root.cpu(i, std::to_string(i));
  root.file("sys/devices/cpu_core/cpus", "0-11\n");
  root.file("proc/cpuinfo", "processor\t: 0\nvendor_id\t: X\nmodel name\t: A Hybrid CPU @ 3.00GHz\nflags\t\t: fpu\n");
  Machine machine = root.read();
  CHECK_EQ(std::string(machine.name), std::string("A Hybrid CPU @ 3.00GHz"));
  CHECK_EQ(machine.logical_cpus, 16);
  CHECK_EQ(machine.physical_cores, 10);
  CHECK_EQ(machine.performance_cores, 6);
  CHECK_EQ(root.read(cpus({1, 3})).performance_cores, 2);  // second threads of two cores
  CHECK_EQ(root.read(cpus({12, 13})).performance_cores, 2);
}

TEST(cpus_that_are_offline) {
  Root root;
  root.file("sys/devices/system/cpu/online", "0,2-3\n");
  CHECK_EQ(root.read().logical_cpus, 3);
  CHECK_EQ(root.read(cpus({0, 1, 2})).logical_cpus, 2);
}

TEST(cgroup_2) {
  Root root;
  root.file("proc/self/cgroup", "0::/machine.slice/box\n");
  root.file("proc/meminfo", "MemTotal: 8000000 kB\n");
  root.file("sys/devices/system/cpu/online", "0-7\n");
  root.file("sys/fs/cgroup/machine.slice/box/memory.max", "max\n");
  root.file("sys/fs/cgroup/machine.slice/box/cpu.max", "150000 100000\n");
  root.file("sys/fs/cgroup/machine.slice/memory.max", "1073741824\n");
  root.file("sys/fs/cgroup/machine.slice/cpu.max", "max 100000\n");
  Machine machine = root.read();
  CHECK_EQ(machine.memory_limit, i64{1} << 30);
  CHECK_EQ(usable_memory(machine), i64{1} << 30);
  CHECK_EQ(machine.cpu_quota, 2);
  CHECK_EQ(default_threads(machine), 2);
}

TEST(cgroup_2_seen_from_inside) {
  Root root;
  root.file("proc/self/cgroup", "0::/\n");
  root.file("sys/fs/cgroup/memory.max", "67108864\n");
  root.file("sys/fs/cgroup/cpu.max", "20000 100000\n");
  CHECK_EQ(root.read().memory_limit, 64 << 20);
  CHECK_EQ(root.read().cpu_quota, 1);
}

TEST(cgroup_1_with_the_path_of_the_host) {
  Root root;
  root.file("proc/self/cgroup", "9:name=systemd:/\n4:memory:/docker/abc\n1:cpuacct,cpu:/docker/abc\n0::/\n");
  root.file("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n");
  root.file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "350000\n");
  root.file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  Machine machine = root.read();
  CHECK_EQ(machine.memory_limit, 256 << 20);
  CHECK_EQ(machine.cpu_quota, 4);
}

TEST(cgroup_1_without_limits) {
  Root root;
  root.file("proc/self/cgroup", "4:memory:/\n1:cpu:/\n");
  root.file("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  root.file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  root.file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  CHECK_EQ(root.read().memory_limit, 0);
  CHECK_EQ(root.read().cpu_quota, 0);
}

TEST(files_that_lie) {
  Root root;
  root.file("sys/devices/system/cpu/online", "7-3,,x,999999999999999999999,5000-6000,2-\n");
  root.file("proc/meminfo", "MemTotal:\nMemAvailable: lots\nno colon");
  root.file("proc/self/cgroup", "::\n:::::\n0\n\n0::" + std::string(3000, '/') + "x\n");
  root.file("proc/cpuinfo", std::string(100000, 'a') + ": b\n");
  root.file("sys/devices/system/cpu/cpu0/cache/index0/size", "K\n");
  root.file("sys/devices/system/cpu/cpu2/cpu_capacity", "-5\n");
  root.file("sys/fs/cgroup/cpu.max", "0 0\n");
  Machine machine = root.read();
  CHECK(machine.logical_cpus >= 1);
  CHECK(default_threads(machine) >= 1);
  CHECK_EQ(machine.memory_bytes, 0);
  CHECK_EQ(machine.cpu_quota, 0);
}

// Three fifths of the largest capacity are enough; a list of performance cores without any of ours counts for nothing.
TEST(at_the_bounds_of_what_is_little) {
  struct Row {
    int capacity, expected;
  };
  for (Row row : {Row{599, 1}, {600, 2}, {601, 2}, {1000, 2}}) {
    Root root;
    root.file("sys/devices/system/cpu/online", "0-1").cpu(0, "0", 1000).cpu(1, "1", row.capacity);
    CHECK_EQ(root.read().performance_cores, row.expected);
    CHECK_EQ(root.read().physical_cores, 2);
    root.file("sys/devices/cpu_core/cpus", "5-7\n");
    CHECK_EQ(root.read().performance_cores, row.expected);
    root.file("sys/devices/cpu_core/cpus", "1\n");
    CHECK_EQ(root.read().performance_cores, 1);
  }
}

TEST(lists_of_cpus) {
  struct Row {
    const char* list;
    int expected;
  };
  for (Row row : {Row{"0", 1},
                  {"0-3", 4},
                  {" 0-3 , 8 \n", 5},
                  {"0-3,8-9,11\n", 7},
                  {"3-3\n", 1},
                  {"1023", 1},
                  {"1020-1100", 4},
                  {"1024", 1},
                  {"0,0,0-1", 2},
                  {"-3", 1},
                  {"x-3,5", 1},
                  {"2-x,5", 1},
                  {"999999999999999999-1", 1},
                  {"", 1}}) {
    Root root;
    root.file("sys/devices/system/cpu/online", row.list);
    CHECK_EQ(root.read().logical_cpus, row.expected);
  }
}

// The largest of eight caches, in K or M; the first line of the name that is not empty.
TEST(caches_and_names) {
  struct Row {
    int index;
    const char* size;
    i64 expected;
  };
  for (Row row : {Row{0, "48K\n", 48 << 10},
                  {3, "33M\n", 33 << 20},
                  {7, "5K\n", 5 << 10},
                  {8, "5K\n", 0},
                  {1, "7\n", 7 << 10},
                  {1, "0K\n", 0},
                  {1, "M", 0}}) {
    Root root;
    root.file("sys/devices/system/cpu/cpu0/cache/index" + std::to_string(row.index) + "/size", row.size);
    CHECK_EQ(root.read().cache_bytes, row.expected);
    root.file("sys/devices/system/cpu/cpu0/cache/index2/size", "6K");
    CHECK_EQ(root.read().cache_bytes, std::max<i64>(row.expected, row.index == 2 ? 0 : 6 << 10));
  }
  Root root;
  root.file("proc/cpuinfo", "model\t: 7\nmodel name: \t first CPU \t\nmodel name: second\n");
  CHECK_EQ(std::string(root.read().name), std::string("first CPU"));
  root.file("proc/device-tree/model", " \t\n" + std::string(120, 'n'));
  CHECK_EQ(std::string(root.read().name), std::string(95, 'n'));
}

TEST(memory_in_kilobytes) {
  struct Row {
    const char* text;
    i64 total, available;
  };
  for (Row row : {Row{"MemTotal: 12 kB\nMemAvailable:\t7 kB", 12 << 10, 7 << 10},
                  {"MemAvailable: 7\n", 0, 7 << 10},
                  {"MemTotal: 0 kB\n", 0, 0},
                  {"XMemTotal: 5\nMemTotalX: 6\n", 0, 0},
                  {"MemTotal: 999999999999999 kB\n", i64{999999999999999} << 10, 0},
                  {"MemTotal: 1234567890123456789 kB\n", 0, 0}}) {
    Root root;
    root.file("proc/meminfo", row.text);
    CHECK_EQ(root.read().memory_bytes, row.total);
    CHECK_EQ(root.read().available_bytes, row.available);
  }
}

// The least of all limits over us, whichever file says it.
TEST(limits_of_groups) {
  struct Row {
    const char *groups, *file, *text;
    i64 memory;
    int cpus;
  };
  for (Row row : {Row{"0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "100\n", 100, 0},
                  {"0::/a/b\n", "sys/fs/cgroup/a/memory.max", "100\n", 100, 0},
                  {"0::/a/b\n", "sys/fs/cgroup/memory.max", "100\n", 100, 0},
                  {"0::/a/b\n", "sys/fs/cgroup/b/memory.max", "100\n", 0, 0},
                  {"0::/a/b\n", "sys/fs/cgroup/a/bc/memory.max", "100\n", 0, 0},
                  {"0::/a/\n", "sys/fs/cgroup/a/memory.max", "100\n", 100, 0},
                  {"0::/a/b\n", "sys/fs/cgroup/unified/a/memory.max", "100\n", 100, 0},
                  {"3:memory:/a/b\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "100\n", 100, 0},
                  {"3:cpu,memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "100\n", 100, 0},
                  {"3:cpu:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "100\n", 0, 0},
                  {"3:memory:/a\n", "sys/fs/cgroup/a/memory.max", "100\n", 0, 0},
                  {"0::/a\n", "sys/fs/cgroup/a/memory.max", "0\n", 0, 0},
                  {"0::/a\n", "sys/fs/cgroup/a/memory.max", "999999999999999999\n", 999999999999999999, 0},
                  {"0::/a\n", "sys/fs/cgroup/a/cpu.max", "100000 100000\n", 0, 1},
                  {"0::/a\n", "sys/fs/cgroup/a/cpu.max", "100001 100000\n", 0, 2},
                  {"0::/a\n", "sys/fs/cgroup/a/cpu.max", "99999 100000\n", 0, 1},
                  {"0::/a\n", "sys/fs/cgroup/a/cpu.max", "max 100000\n", 0, 0},
                  {"0::/a\n", "sys/fs/cgroup/a/cpu.max", "100000\n", 0, 0},
                  {"0::/a\n", "sys/fs/cgroup/a/cpu.max", "999999999999 1\n", 0, 1024},
                  {"2:cpu,cpuacct:/a\n", "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "300000\n", 0, 3},
                  {"2:cpu:/a\n", "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "0\n", 0, 0},
                  {"2:memory:/a\n", "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "300000\n", 0, 0}}) {
    Root root;
    root.file("proc/self/cgroup", row.groups).file(row.file, row.text);
    root.file("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
    CHECK_EQ(root.read().memory_limit, row.memory);
    CHECK_EQ(root.read().cpu_quota, row.cpus);
  }
  for (bool inner_is_less : {false, true}) {
    Root root;
    root.file("proc/self/cgroup", "0::/a\n");
    root.file("sys/fs/cgroup/a/memory.max", inner_is_less ? "100" : "200")
        .file("sys/fs/cgroup/memory.max", inner_is_less ? "200" : "100");
    root.file("sys/fs/cgroup/a/cpu.max", inner_is_less ? "2 1" : "3 1")
        .file("sys/fs/cgroup/cpu.max", inner_is_less ? "3 1" : "2 1");
    CHECK_EQ(root.read().memory_limit, 100);
    CHECK_EQ(root.read().cpu_quota, 2);
  }
  Root root;  // a quota without a period
  root.file("proc/self/cgroup", "2:cpu:/a\n").file("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "300000\n");
  CHECK_EQ(root.read().cpu_quota, 0);
}

TEST(what_follows_from_a_machine) {
  struct Row {
    int cores, quota, threads;
    i64 memory, limit, usable;
  };
  for (Row row : {Row{0, 0, 1, 0, 0, 0}, {4, 0, 4, 9, 0, 9}, {4, 3, 3, 9, 8, 8}, {4, 5, 4, 9, 10, 9}, {1, 1, 1, 0, 7, 7}}) {
    Machine machine{};
    machine.performance_cores = row.cores, machine.cpu_quota = row.quota;
    machine.memory_bytes = row.memory, machine.memory_limit = row.limit;
    CHECK_EQ(default_threads(machine), row.threads);
    CHECK_EQ(usable_memory(machine), row.usable);
  }
}

TEST(sets_of_cpus) {
  CpuSet set;
  CHECK_EQ(set.count(), 0);
  for (int cpu : {0, 63, 64, 127, 1023}) {
    CHECK(!set.has(cpu));
    set.add(cpu);
    set.add(cpu);
    CHECK(set.has(cpu));
  }
  CHECK_EQ(set.count(), 5);
  CHECK(!set.has(1) && !set.has(62) && !set.has(65) && !set.has(1022));
#if defined(__linux__)
  const CpuSet here = allowed_cpus();
  CHECK(here.count() >= 1);
  cpu_set_t mask;
  CPU_ZERO(&mask);
  CHECK_EQ(sched_getaffinity(0, sizeof mask, &mask), 0);
  for (int cpu = 0; cpu < CpuSet::MAX; cpu++) {
    if (here.has(cpu) != (CPU_ISSET(cpu, &mask) != 0)) CHECK_EQ(cpu, -1);
  }
#endif
}

TEST(this_machine_makes_sense) {
  Machine machine = this_machine();
  CHECK(machine.logical_cpus >= machine.physical_cores);
  CHECK(machine.physical_cores >= machine.performance_cores);
  CHECK(machine.performance_cores >= 1);
  CHECK_EQ(machine.page_bytes, sysconf(_SC_PAGESIZE));
  CHECK(machine.memory_bytes > 1 << 20);
  CHECK(machine.name[0] != 0);
}

TEST(features_are_consistent) {
  u32 features = cpu_features();
#if defined(__x86_64__)
  if (features & (CPU_AVX512_VNNI | CPU_AVX512_VBMI2)) CHECK(features & CPU_AVX512);
  CHECK_EQ((features & CPU_AVX2) != 0, __builtin_cpu_supports("avx2") != 0);
  CHECK_EQ((features & CPU_FMA) != 0, __builtin_cpu_supports("fma") != 0);
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  CHECK_EQ((features & CPU_AVX512) != 0, wide);
  CHECK_EQ((features & CPU_AVX512_VNNI) != 0, wide && __builtin_cpu_supports("avx512vnni"));
  CHECK_EQ((features & CPU_AVX512_VBMI2) != 0,
           wide && __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512vbmi"));
  u32 a = 0, b = 0, c = 0, d = 0;
  CHECK(__get_cpuid(1, &a, &b, &c, &d));
  if (features & CPU_AVX2) CHECK_EQ((features & CPU_F16C) != 0, (c & 1u << 29) != 0);
  CHECK_EQ(features & ~u32{CPU_AVX2 | CPU_FMA | CPU_F16C | CPU_AVX512 | CPU_AVX512_VNNI | CPU_AVX512_VBMI2}, 0u);
#elif defined(__aarch64__)
  CHECK(features & CPU_NEON);
  if (features & CPU_I8MM) CHECK(features & CPU_DOTPROD);
#else
  CHECK_EQ(features, 0u);
#endif
}
