// What the machine does now: how busy its CPUs are, how full its memory, how hot and how hungry it is. Every file that is looked
// at is opened once, before the seal; from then on it is read again with pread (SEAL_FILES).
//
// What a system does not have or does not show is unknown, never 0.
//
// cpu_share         /proc/stat: time that was neither idle nor waiting for a disk, of the time of all CPUs
// process_share     /proc/self/stat: what this process had of the time of all CPUs
// memory_share      what is not available, of what may be used: all memory (/proc/meminfo), or less where a control group says so
// available_bytes   the smaller of MemAvailable and what the control group leaves: its limit less what is in use, but for files that
//                   nobody uses at the moment (inactive_file)
// resident_bytes    /proc/self/statm: physical memory of this process, mapped files included
// temperature       the hottest of the CPU's sensors: hwmon coretemp, k10temp, zenpower, cpu_thermal; thermal zones whose type
//                   names a cpu, a soc or an x86_pkg
// power             one source, the first that there is: a power monitor of the board (hwmon ina*, ltc*, adm1*: its input that is
//                   labelled *_IN, otherwise its first), or the energy counters of all CPU packages (RAPL intel-rapl:N, also AMD's;
//                   many systems show them to root alone). Not ACPI's power_meter, whose firmware may take long to answer
#pragma once
#include "base/types.h"

namespace edgellm {

struct Reading {
  bool known = false;
  f64 value = 0;
};

struct Readings {
  Reading cpu_share, process_share;  // 0 to 1, of the time between the last two updates
  Reading memory_share;              // 0 to 1
  Reading available_bytes, resident_bytes;
  Reading temperature;  // degrees Celsius
  Reading power;        // watts; from counters of energy: between the last two updates
};

class Gauges {
 public:
  static constexpr i64 INTERVAL = 1000000000;  // ns between two updates, so that a share has many clock ticks to go by

  // Opens what there is under `root`, and reads it; null: that of EDGELLM_SYSFS, otherwise the system's own, "". Once, before the
  // seal. What counts from one update to the next is unknown until the first. `now` is of a clock that never goes back, in ns.
  void open(const char* root, i64 now);

  // Reads everything anew when INTERVAL has passed since the last time.
  void update(i64 now);

  const Readings& readings() const { return readings_; }

 private:
  static constexpr i32 SENSORS = 8;

  struct PowerInput {
    i32 watts = -1;                // a file in millionths
    i32 volts = -1, amperes = -1;  // or two, in thousandths
    void close();
    bool given() const { return watts >= 0 || (volts >= 0 && amperes >= 0); }
  };
  struct EnergyCounter {
    i32 fd;
    i64 range;  // it begins anew behind this, in millionths of a joule; 0: unknown
    i64 last;   // -1: unknown
  };

  static void see_group(void* self, const char* mount, Text group);
  static void see_hwmon(void* self, const char* name);
  static void see_zone(void* self, const char* name);
  static void see_package(void* self, const char* name);
  i32 open_file(const char* folder, const char* name, const char* file) const;
  void add_sensor(i32 fd);
  void open_power_monitor(const char* name, i32 index);
  void read_all(i64 elapsed);
  void read_shares();
  void read_memory();
  i64 group_available() const;
  Reading hottest() const;
  Reading monitored_power() const;
  Reading counted_power(i64 elapsed);

  const char* root_ = "";
  i32 stat_ = -1, process_stat_ = -1, process_memory_ = -1, memory_ = -1;
  i64 group_limit_ = 0;  // bytes, 0: none
  i32 group_used_ = -1, group_stat_ = -1;
  i32 sensors_[SENSORS];
  i32 sensor_count_ = 0;
  PowerInput monitor_;
  i32 monitor_index_ = INT32_MAX;  // of the device, the first is taken
  EnergyCounter packages_[SENSORS];
  i32 package_count_ = 0;

  struct Ticks {
    i64 total = -1, busy = -1, process = -1;  // since the system began; -1: unknown
  };
  Ticks read_ticks() const;

  i64 updated_ = 0;
  Ticks ticks_;
  Readings readings_;
};

}  // namespace edgellm
