// What the machine does now, on made roots and on the real one.
#include <unistd.h>

#include <cmath>

#include "check.h"
#include "child.h"
#include "made_root.h"
#include "platform/clock.h"
#include "platform/console.h"
#include "platform/gauges.h"
#include "platform/seal.h"

using namespace edgellm;

namespace {

constexpr i64 SECOND = Gauges::INTERVAL;

struct Root : MadeRoot {
  Root& file(const std::string& name, const std::string& text) {
    MadeRoot::file(name, text);
    return *this;
  }
  Root& memory(int total_mib, int available_mib) {
    return file("proc/meminfo", "MemTotal:     " + std::to_string(total_mib * 1024) +
                                    " kB\nMemFree:   5 kB\nMemAvailable:  " + std::to_string(available_mib * 1024) +
                                    " kB\n");
  }
  Root& hwmon(int index, const std::string& name) { return file(monitor(index) + "name", name + "\n"); }
  Root& hwmon(int index, const std::string& name, const std::string& value) {
    return file(monitor(index) + name, value + "\n");
  }
  Root& zone(int index, const std::string& type, const std::string& value) {
    const std::string folder = "sys/class/thermal/thermal_zone" + std::to_string(index) + "/";
    return file(folder + "type", type + "\n").file(folder + "temp", value + "\n");
  }
  Root& package(const std::string& name, const std::string& kind, const std::string& energy) {
    const std::string folder = "sys/class/powercap/" + name + "/";
    return file(folder + "name", kind + "\n").file(folder + "energy_uj", energy + "\n");
  }
  static std::string monitor(int index) { return "sys/class/hwmon/hwmon" + std::to_string(index) + "/"; }
};

std::string words(const Reading& reading) {
  if (!reading.known) return "unknown";
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", reading.value);
  return text;
}

std::string read_once(const Root& root, Reading Readings::* which) {
  Gauges gauges;
  gauges.open(root.path.c_str(), 0);
  gauges.update(SECOND);
  return words(gauges.readings().*which);
}

std::string process(const std::string& name, int user, int system) {
  return "7 (" + name + ") R 1 7 7 0 -1 4194304 100 0 0 0 " + std::to_string(user) + " " + std::to_string(system) +
         " 9 9 20 0 1 0 5344882\n";
}

}  // namespace

TEST(nothing_to_read_is_unknown) {
  Root root;
  Gauges gauges;
  gauges.open(root.path.c_str(), 0);
  gauges.update(SECOND);
  const Readings& r = gauges.readings();
  for (const Reading& reading :
       {r.cpu_share, r.process_share, r.memory_share, r.available_bytes, r.resident_bytes, r.temperature, r.power})
    CHECK_EQ(words(reading), "unknown");
}

TEST(shares_are_of_the_time_between_two_updates) {
  Root root;
  root.file("proc/stat", "cpu  1000 100 200 5000 300 10 20 30 400 40\ncpu0 1 1 1 1\n");
  root.file("proc/self/stat", process("a) R (b", 40, 10));  // a name may hold anything
  Gauges gauges;
  gauges.open(root.path.c_str(), 100);
  const Readings& r = gauges.readings();
  CHECK_EQ(words(r.cpu_share), "unknown");
  root.file("proc/stat", "cpu  1100 150 230 5100 400 15 25 40 500 50\ncpu0 1 1 1 1\n");  // 200 busy, 200 idle or waiting
  root.file("proc/self/stat", process("a) R (b", 110, 20));
  gauges.update(100 + SECOND - 1);  // too early
  CHECK_EQ(words(r.cpu_share), "unknown");
  gauges.update(100 + SECOND);
  CHECK_EQ(words(r.cpu_share), "0.5");
  CHECK_EQ(words(r.process_share), "0.2");
  root.file("proc/stat", "cpu  1100 150 230 5110 390 15 25 40\n");  // waiting went back
  gauges.update(100 + 2 * SECOND);
  CHECK_EQ(words(r.cpu_share), "unknown");
  root.file("proc/stat", "cpu  1100 150 230 5210 390 15 25 40\n");
  gauges.update(100 + 3 * SECOND);
  CHECK_EQ(words(r.cpu_share), "0");
  CHECK_EQ(words(r.process_share), "0");
  root.file("proc/stat", "cpu  1300 150 230 5210 390 15 25 40\n");
  gauges.update(100 + 4 * SECOND);
  CHECK_EQ(words(r.cpu_share), "1");
  root.file("proc/stat", "intr 5\n");
  gauges.update(100 + 5 * SECOND);
  CHECK_EQ(words(r.cpu_share), "unknown");
}

TEST(memory) {
  Root root;
  root.memory(1000, 250).file("proc/self/statm", "5000 300 200 1 0 900 0\n");
  CHECK_EQ(read_once(root, &Readings::memory_share), "0.75");
  CHECK_EQ(read_once(root, &Readings::available_bytes), words({true, 250 * 1048576.0}));
  CHECK_EQ(read_once(root, &Readings::resident_bytes), words({true, 300.0 * static_cast<double>(sysconf(_SC_PAGESIZE))}));
}

TEST(memory_in_control_groups) {
  struct Case {
    const char *limit, *used, *stat, *share, *available_mib;
    int total, available;
  };
  const Case cases[] = {
      // 400 MiB, of which 300 are used and 100 of these are files that nobody uses at the moment
      {"419430400", "314572800", "anon 5\ninactive_file 104857600\nactive_file 7\n", "0.5", "200", 1000, 800},
      {"419430400", "314572800", "anon 5\n", "0.75", "100", 1000, 800},
      {"419430400", "314572800", "inactive_file 104857600\n", "0.875", "50", 1000, 50},  // the machine has less
      {"419430400", "524288000", "anon 5\n", "1", "0", 1000, 800},                       // over its limit
      {"max", "314572800", "anon 5\n", "0.2", "800", 1000, 800},                         // no limit
  };
  for (const Case& c : cases) {
    for (const bool second : {false, true}) {
      Root root;
      root.memory(c.total, c.available);
      const std::string group = second ? "sys/fs/cgroup/box/" : "sys/fs/cgroup/memory/box/";
      const std::string none = second ? "max" : "9223372036854771712";
      root.file("proc/self/cgroup", second ? "0::/box/inner\n" : "4:memory:/box/inner\n1:cpu:/\n");
      root.file(group + (second ? "memory.max" : "memory.limit_in_bytes"),
                (std::string(c.limit) == "max" ? none : c.limit) + "\n");
      root.file(group + (second ? "memory.current" : "memory.usage_in_bytes"), std::string(c.used) + "\n");
      std::string stat = c.stat;
      const size_t files = stat.find("inactive_file");
      if (!second && files != std::string::npos) stat.insert(files, "inactive_file 1\ntotal_");  // without the groups below
      root.file(group + "memory.stat", stat);
      CHECK_EQ(read_once(root, &Readings::memory_share), c.share);
      CHECK_EQ(read_once(root, &Readings::available_bytes), words({true, std::atof(c.available_mib) * 1048576}));
    }
  }
}

TEST(temperatures) {
  Root root;
  root.zone(0, "acpitz", "99000").zone(1, "iwlwifi_1", "98000").hwmon(0, "nvme").hwmon(0, "temp1_input", "97000");
  CHECK_EQ(read_once(root, &Readings::temperature), "unknown");  // none of them is the CPU's
  root.zone(2, "cpu-thermal", "41500");
  CHECK_EQ(read_once(root, &Readings::temperature), "41.5");
  root.zone(3, "CPU-therm", "42000").zone(4, "soc_thermal", "43000").zone(5, "x86_pkg_temp", "-5000");
  CHECK_EQ(read_once(root, &Readings::temperature), "43");
  root.hwmon(1, "k10temp").hwmon(1, "temp1_input", "61250").hwmon(1, "temp2_input", "90000");
  CHECK_EQ(read_once(root, &Readings::temperature), "61.25");
  root.hwmon(2, "coretemp").hwmon(2, "temp2_input", "70000");  // without a package's
  CHECK_EQ(read_once(root, &Readings::temperature), "70");
  root.zone(6, "cpu1-thermal", "").zone(7, "cpu2-thermal", "-273000").zone(8, "cpu3-thermal", "hot");
  CHECK_EQ(read_once(root, &Readings::temperature), "70");
}

TEST(a_temperature_below_zero) {
  Root root;
  root.zone(0, "cpu-thermal", "-12500");
  CHECK_EQ(read_once(root, &Readings::temperature), "-12.5");
}

TEST(a_sensor_that_answers_no_more_is_unknown) {
  Root root;
  root.zone(0, "cpu-thermal", "50000");
  Gauges gauges;
  gauges.open(root.path.c_str(), 0);
  CHECK_EQ(words(gauges.readings().temperature), "50");
  root.zone(0, "cpu-thermal", "");
  gauges.update(SECOND);
  CHECK_EQ(words(gauges.readings().temperature), "unknown");
}

TEST(power_of_a_monitor) {
  Root root;
  root.hwmon(3, "amdgpu").hwmon(3, "power1_input", "90000000");
  CHECK_EQ(read_once(root, &Readings::power), "unknown");  // a part of the machine
  root.hwmon(7, "ina226").hwmon(7, "power1_input", "4250000");
  CHECK_EQ(read_once(root, &Readings::power), "4.25");
  root.hwmon(2, "power_meter").hwmon(2, "power1_average", "99000000");  // its firmware may take long
  CHECK_EQ(read_once(root, &Readings::power), "4.25");
  root.hwmon(5, "ltc2947").hwmon(5, "power1_input", "31000000");
  CHECK_EQ(read_once(root, &Readings::power), "31");  // the first device
  root.hwmon(4, "ina3221");
  for (int channel = 1; channel <= 3; channel++) {
    const std::string n = std::to_string(channel);
    const char* const labels[] = {"VDD_CPU", "VDD_IN", "VDD_SOC"};
    root.hwmon(4, "in" + n + "_input", "5000").hwmon(4, "curr" + n + "_input", n + "00");
    root.hwmon(4, "in" + n + "_label", labels[channel - 1]);
  }
  CHECK_EQ(read_once(root, &Readings::power), "1");  // 5 V, 200 mA
  root.hwmon(4, "in2_label", "VDD_GPU");
  CHECK_EQ(read_once(root, &Readings::power), "0.5");  // none is the board's: the first
  root.hwmon(4, "curr1_input", "0");
  CHECK_EQ(read_once(root, &Readings::power), "unknown");
}

TEST(power_of_energy_counters) {
  Root root;
  root.package("intel-rapl:0", "package-0", "1000000").package("intel-rapl:1", "package-1", "9000000");
  root.file("sys/class/powercap/intel-rapl:1/max_energy_range_uj", "10000000\n");
  root.package("intel-rapl:2", "psys", "0")
      .package("intel-rapl:0:0", "core", "0")
      .package("intel-rapl-mmio:0", "package-0", "0");
  Gauges gauges;
  gauges.open(root.path.c_str(), 0);
  CHECK_EQ(words(gauges.readings().power), "unknown");
  root.package("intel-rapl:0", "package-0", "25000000").package("intel-rapl:1", "package-1", "5000000");  // began anew
  root.package("intel-rapl:2", "psys", "77000000").package("intel-rapl:0:0", "core", "88000000");
  gauges.update(2 * SECOND);
  CHECK_EQ(words(gauges.readings().power), "15");
  gauges.update(3 * SECOND);
  CHECK_EQ(words(gauges.readings().power), "unknown");  // counters that stand still count nothing
  root.package("intel-rapl:0", "package-0", "");
  gauges.update(4 * SECOND);
  CHECK_EQ(words(gauges.readings().power), "unknown");
}

TEST(a_root_from_the_environment) {
  Root root;
  root.zone(0, "cpu-thermal", "33000");
  setenv("EDGELLM_SYSFS", root.path.c_str(), 1);
  Gauges gauges;
  gauges.open(nullptr, 0);
  CHECK_EQ(words(gauges.readings().temperature), "33");
  unsetenv("EDGELLM_SYSFS");
}

#if defined(__linux__)
// The files of this machine, behind the seal: what was known stays so.
TEST(behind_the_seal) {
  const check::Child child = check::in_child([] {
    static Gauges gauges;
    gauges.open("", now_ns());
    char text[200];
    Writer why(text);
    const Seal answer = seal_process(SEAL_FILES, why);
    if (answer != Seal::sealed) {
      note(why.text(), "\n");
      return answer == Seal::unavailable ? 9 : 1;
    }
    const bool memory = gauges.readings().memory_share.known, resident = gauges.readings().resident_bytes.known;
    sleep_until_ns(now_ns() + SECOND);
    gauges.update(now_ns());
    const Readings& r = gauges.readings();
    if (!memory || !resident) note("no memory at first\n");
    if (!r.memory_share.known || !(r.memory_share.value > 0 && r.memory_share.value <= 1)) note("no share of memory\n");
    if (!r.available_bytes.known || !(r.available_bytes.value > 0)) note("no available memory\n");
    if (!r.resident_bytes.known || !(r.resident_bytes.value > 4096)) note("no resident memory\n");
    if (!r.cpu_share.known || !r.process_share.known) note("no share of the CPUs\n");
    return 0;
  });
  if (child.exit_code == 9) SKIP(child.output);
  CHECK_EQ(child.output, std::string());
  CHECK_EQ(child.exit_code, 0);
}
#endif
