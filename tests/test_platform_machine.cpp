// The reading of /proc and /sys, on made machines.
#include <unistd.h>

#include <filesystem>

#include "check.h"
#include "files.h"
#include "platform/machine.h"

using namespace edgellm;

// A root folder that lives as long as the object.
struct Root : Folder {
  Root& file(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(*this / name).parent_path());
    write_file(*this / name, text);
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
#elif defined(__aarch64__)
  CHECK(features & CPU_NEON);
  if (features & CPU_I8MM) CHECK(features & CPU_DOTPROD);
#else
  CHECK_EQ(features, 0u);
#endif
}
