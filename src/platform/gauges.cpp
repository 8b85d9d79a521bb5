#include "platform/gauges.h"

#include <unistd.h>

#include "platform/environment.h"
#include "platform/files.h"
#include "platform/kernel_files.h"

namespace edgellm {

constexpr const char *HWMON = "/sys/class/hwmon", *ZONES = "/sys/class/thermal", *PACKAGES = "/sys/class/powercap";

static bool starts(Text text, Text with) {
  return text.size >= with.size && text.slice(0, with.size) == with;
}

static bool ends(Text text, Text with) {
  return text.size >= with.size && text.from(text.size - with.size) == with;
}

// Whatever the case of ASCII letters; `lower` has none in upper case.
static bool has(Text text, Text lower) {
  for (i64 at = 0; at + lower.size <= text.size; at++) {
    i64 n = 0;
    while (n < lower.size && (text[at + n] | (text[at + n] >= 'A' && text[at + n] <= 'Z' ? 0x20 : 0)) == lower[n])
      n++;
    if (n == lower.size) return true;
  }
  return false;
}

// The value of `key` in lines of keys and values, apart by `between`; -1: there is none.
static i64 value_of(Text lines, Text key, char between) {
  while (lines.size) {
    Text value = take_until(lines, '\n');
    if (take_until(value, between) == key) return number(value);
  }
  return -1;
}

static bool read_number(i32 fd, i64* value) {
  SmallFile file;
  return fd >= 0 && reload(file, fd) && signed_number(file.text(), value);
}

static void close_one(i32 fd) {
  if (fd >= 0) close(fd);
}

void Gauges::PowerInput::close() {
  close_one(watts);
  close_one(volts);
  close_one(amperes);
}

template <class... Parts>
static i32 open_path(const Parts&... parts) {
  char buffer[1024];
  Writer path(buffer);
  write(path, parts...);
  return path.full() ? -1 : open_kernel_file(buffer);
}

// --- What is opened ------------------------------------------------------------------------------------------------------

void Gauges::see_group(void* self, const char* mount, Text group) {
  Gauges& gauges = *static_cast<Gauges*>(self);
  SmallFile file;
  const bool unified = load(file, gauges.root_, mount, group, "/memory.max");
  if (!unified && !load(file, gauges.root_, mount, group, "/memory.limit_in_bytes")) return;
  const i64 limit = number(file.text());
  if (limit <= 0 || limit >= NO_MEMORY_LIMIT || (gauges.group_limit_ && limit >= gauges.group_limit_)) return;
  close_one(gauges.group_used_);
  close_one(gauges.group_stat_);
  gauges.group_limit_ = limit;
  gauges.group_used_ = open_path(gauges.root_, mount, group, unified ? "/memory.current" : "/memory.usage_in_bytes");
  gauges.group_stat_ = open_path(gauges.root_, mount, group, "/memory.stat");
}

void Gauges::add_sensor(i32 fd) {
  if (fd < 0) return;
  if (sensor_count_ == SENSORS) {
    close(fd);
  } else {
    sensors_[sensor_count_++] = fd;
  }
}

// The input that is labelled as the board's, or the first; of the device with the least number.
void Gauges::open_power_monitor(const char* name, i32 index) {
  constexpr i32 CHANNELS = 8;
  if (index >= monitor_index_) return;
  PowerInput chosen;
  for (i32 channel = 1; channel <= CHANNELS; channel++) {
    PowerInput input = {open_path(root_, HWMON, "/", name, "/power", channel, "_input"),
                        open_path(root_, HWMON, "/", name, "/in", channel, "_input"),
                        open_path(root_, HWMON, "/", name, "/curr", channel, "_input")};
    SmallFile label;
    if (!load(label, root_, HWMON, "/", name, "/power", channel, "_label"))
      (void)load(label, root_, HWMON, "/", name, "/in", channel, "_label");
    const bool board = input.given() && ends(trim(label.text()), "_IN");
    if (board || (input.given() && !chosen.given())) {
      chosen.close();
      chosen = input;
    } else {
      input.close();
    }
    if (board) break;
  }
  if (!chosen.given()) return;
  monitor_.close();
  monitor_ = chosen;
  monitor_index_ = index;
}

void Gauges::see_hwmon(void* self, const char* name) {
  Gauges& gauges = *static_cast<Gauges*>(self);
  SmallFile file;
  if (!load(file, gauges.root_, HWMON, "/", name, "/name")) return;
  const Text device = trim(file.text());
  if (device == "coretemp" || device == "k10temp" || device == "zenpower" || device == "cpu_thermal") {
    const i32 package = open_path(gauges.root_, HWMON, "/", name, "/temp1_input");
    gauges.add_sensor(package >= 0 ? package : open_path(gauges.root_, HWMON, "/", name, "/temp2_input"));
  }
  const i64 index = starts(name, "hwmon") ? number(Text(name).from(5)) : -1;
  const bool monitor = starts(device, "ina") || starts(device, "ltc") || starts(device, "adm1");
  if (monitor && index >= 0 && index < INT32_MAX) gauges.open_power_monitor(name, static_cast<i32>(index));
}

void Gauges::see_zone(void* self, const char* name) {
  Gauges& gauges = *static_cast<Gauges*>(self);
  SmallFile file;
  if (!starts(name, "thermal_zone") || !load(file, gauges.root_, ZONES, "/", name, "/type")) return;
  const Text type = file.text();
  if (has(type, "cpu") || has(type, "soc") || has(type, "x86_pkg"))
    gauges.add_sensor(open_path(gauges.root_, ZONES, "/", name, "/temp"));
}

// Parts of a package have names of their own, intel-rapl:0:0; psys, the platform, contains the packages.
void Gauges::see_package(void* self, const char* name) {
  Gauges& gauges = *static_cast<Gauges*>(self);
  SmallFile file;
  Text index = name;
  if (!(take_until(index, ':') == "intel-rapl") || has(index, ":") || gauges.package_count_ == SENSORS) return;
  if (!load(file, gauges.root_, PACKAGES, "/", name, "/name") || !starts(file.text(), "package")) return;
  const i32 fd = open_path(gauges.root_, PACKAGES, "/", name, "/energy_uj");
  if (fd < 0) return;
  const bool range = load(file, gauges.root_, PACKAGES, "/", name, "/max_energy_range_uj");
  gauges.packages_[gauges.package_count_++] = {fd, range ? max<i64>(0, number(file.text())) : 0, -1};
}

void Gauges::open(const char* root, i64 now) {
  const char* named = root ? root : environment_variable("EDGELLM_SYSFS");
  root_ = named ? named : "";
  stat_ = open_path(root_, "/proc/stat");
  process_stat_ = open_path(root_, "/proc/self/stat");
  process_memory_ = open_path(root_, "/proc/self/statm");
  memory_ = open_path(root_, "/proc/meminfo");
  each_control_group(root_, see_group, this);
  const struct {
    const char* folder;
    void (*see)(void* self, const char* name);
  } folders[] = {{HWMON, see_hwmon}, {ZONES, see_zone}, {PACKAGES, see_package}};
  for (const auto& [folder, see] : folders) {
    char path[1024];
    Writer writer(path);
    write(writer, root_, folder);
    if (!writer.full()) (void)list_folder(path, see, this);
  }
  updated_ = now;
  read_all(0);
}

// --- What is read again --------------------------------------------------------------------------------------------------

Gauges::Ticks Gauges::read_ticks() const {
  Ticks ticks;
  SmallFile file;
  if (stat_ >= 0 && reload(file, stat_)) {  // cpu user nice system idle iowait irq softirq steal; guests are users
    Text rest = file.text(), line = take_until(rest, '\n');
    if (take_until(line, ' ') == "cpu") {
      line = trim(line);
      ticks.total = ticks.busy = 0;
      for (i32 kind = 0; kind < 8 && line.size; kind++) {
        const i64 spent = max<i64>(0, number(take_until(line, ' ')));
        ticks.total += spent;
        if (kind != 3 && kind != 4) ticks.busy += spent;
      }
    }
  }
  if (process_stat_ < 0 || !reload(file, process_stat_)) return ticks;
  Text rest = file.text();  // pid (name) state, and 10 numbers before the time as a user and in the kernel
  while (has(rest, ")"))
    take_until(rest, ')');
  rest = trim(rest);
  for (i32 field = 0; field < 11; field++)
    take_until(rest, ' ');
  const i64 user = number(take_until(rest, ' ')), system = number(take_until(rest, ' '));
  if (user >= 0 && system >= 0) ticks.process = user + system;
  return ticks;
}

// Of counters that may go back a little (iowait does).
static Reading share(i64 part, i64 before, i64 whole) {
  if (part < 0 || before < 0 || whole <= 0) return {};
  const f64 value = static_cast<f64>(part - before) / static_cast<f64>(whole);
  return {true, min(max(value, 0.0), 1.0)};
}

void Gauges::read_shares() {
  const Ticks now = read_ticks();
  const i64 total = now.total >= 0 && ticks_.total >= 0 ? now.total - ticks_.total : 0;
  readings_.cpu_share = share(now.busy, ticks_.busy, total);
  readings_.process_share = share(now.process, ticks_.process, total);
  ticks_ = now;
}

// -1: unknown.
i64 Gauges::group_available() const {
  SmallFile file;
  i64 used = -1;
  if (!read_number(group_used_, &used) || used < 0) return -1;
  i64 files = -1;
  if (group_stat_ >= 0 && reload(file, group_stat_)) {
    files = value_of(file.text(), "total_inactive_file", ' ');
    if (files < 0) files = value_of(file.text(), "inactive_file", ' ');
  }
  return max<i64>(0, group_limit_ - max<i64>(0, used - max<i64>(0, files)));
}

void Gauges::read_memory() {
  SmallFile file;
  i64 usable = -1, available = -1;
  if (memory_ >= 0 && reload(file, memory_)) {
    usable = value_of(file.text(), "MemTotal", ':') * 1024;
    available = value_of(file.text(), "MemAvailable", ':') * 1024;
  }
  if (group_limit_) {
    const i64 left = group_available();
    usable = usable > 0 ? min(usable, group_limit_) : group_limit_;
    if (left >= 0) available = available >= 0 ? min(available, left) : left;
  }
  readings_.available_bytes = {available >= 0, static_cast<f64>(max<i64>(0, available))};
  readings_.memory_share = usable > 0 ? share(usable - min(available, usable), 0, available >= 0 ? usable : 0) : Reading{};

  readings_.resident_bytes = {};
  if (process_memory_ < 0 || !reload(file, process_memory_)) return;
  Text rest = file.text();  // pages: all, resident
  take_until(rest, ' ');
  const i64 pages = number(take_until(rest, ' '));
  if (pages >= 0) readings_.resident_bytes = {true, static_cast<f64>(pages * static_cast<i64>(sysconf(_SC_PAGESIZE)))};
}

Reading Gauges::hottest() const {
  Reading hottest;
  for (i32 i = 0; i < sensor_count_; i++) {
    i64 thousandths;
    if (!read_number(sensors_[i], &thousandths)) continue;
    const f64 celsius = static_cast<f64>(thousandths) / 1000;
    const bool possible = celsius > -60 && celsius < 200;  // a sensor that is off may answer -273
    if (possible && (!hottest.known || celsius > hottest.value)) hottest = {true, celsius};
  }
  return hottest;
}

Reading Gauges::monitored_power() const {
  i64 micro = 0, volts = 0, amperes = 0;
  if (!read_number(monitor_.watts, &micro) && read_number(monitor_.volts, &volts) && read_number(monitor_.amperes, &amperes))
    micro = volts * amperes;
  return {micro > 0, static_cast<f64>(micro) / 1e6};
}

Reading Gauges::counted_power(i64 elapsed) {
  f64 spent = 0;
  bool known = package_count_ > 0 && elapsed > 0;
  for (EnergyCounter& counter : Span<EnergyCounter>{packages_, package_count_}) {
    i64 energy = -1;
    (void)read_number(counter.fd, &energy);
    i64 difference = energy - counter.last;
    if (difference < 0 && counter.range > 0) difference += counter.range;
    known = known && energy >= 0 && counter.last >= 0 && difference >= 0;
    spent += static_cast<f64>(difference);
    counter.last = energy;
  }
  if (!known || !(spent > 0)) return {};
  return {true, spent * 1000 / static_cast<f64>(elapsed)};
}

void Gauges::read_all(i64 elapsed) {
  read_shares();
  read_memory();
  readings_.temperature = hottest();
  readings_.power = monitor_.given() ? monitored_power() : counted_power(elapsed);
}

void Gauges::update(i64 now) {
  if (now - updated_ < INTERVAL) return;
  read_all(now - updated_);
  updated_ = now;
}

}  // namespace edgellm
