#include "server/metrics.h"

#include "text/unicode.h"

namespace edgellm {

void DurationHistogram::add(i64 ns) {
  i32 bound = 0;
  while (bound < COUNT && ns > BOUNDS[bound].ns)
    bound++;
  counts_[bound]++;
  ns_ += ns;
}

u64 DurationHistogram::at_most(i32 bound) const {
  u64 sum = 0;
  for (i32 i = 0; i <= bound; i++)
    sum += counts_[i];
  return sum;
}

void RequestCounts::place(Arena& arena, i64 routes) {
  const i64 most = (routes + 2) * STATUSES;  // and those of no route, and of preflights
  rows_ = {arena.take<Row>(most), most};
}

void RequestCounts::add(const Route* route, i32 status) {
  for (Row& row : rows_.slice(0, used_)) {
    if (row.route != route || row.status != status) continue;
    row.count++;
    return;
  }
  assert(used_ < rows_.count);
  rows_[used_++] = {route, status, 1};
}

void MetricsWriter::family(const char* name, const char* type, const char* help) {
  name_ = name;
  plain();
  write(to_, "# HELP ", name, ' ', help, "\n# TYPE ", name, ' ', type, '\n');
}

MetricsWriter& MetricsWriter::label(const char* name, Text value) {
  assert(labels_count_ < LABELS);
  labels_[labels_count_++] = {name, value};
  return *this;
}

// A label's value: characters, a question mark for bytes that are none.
static void write_value(Writer& to, Text value) {
  while (value.size) {
    const i32 bytes = utf8_length(value.data, value.size);
    const char c = value[0];
    if (bytes <= 0) {
      to.add('?');
    } else if (c == '\n') {
      to.add("\\n");
    } else {
      if (c == '"' || c == '\\') to.add('\\');
      to.add(value.slice(0, bytes));
    }
    value = value.from(max(bytes, 1));
  }
}

// `bound` is that of a histogram's line, or null.
void MetricsWriter::begin(const char* suffix, const char* bound) {
  write(to_, name_, suffix);
  char between = '{';
  for (const Label& label : Span<const Label>{labels_, labels_count_}) {
    write(to_, between, label.name, "=\"");
    write_value(to_, label.value);
    to_.add('"');
    between = ',';
  }
  if (bound) {
    write(to_, between, "le=\"", bound, '"');
    between = ',';
  }
  to_.add(between == ',' ? "} " : " ");
}

void MetricsWriter::whole(u64 value) {
  begin("", nullptr);
  write(to_, value, '\n');
}

void MetricsWriter::real(f64 value, i32 decimals) {
  begin("", nullptr);
  write(to_, Fixed{value, decimals}, '\n');
}

void MetricsWriter::histogram(const DurationHistogram& durations) {
  for (i32 i = 0; i <= DurationHistogram::COUNT; i++) {
    begin("_bucket", i < DurationHistogram::COUNT ? DurationHistogram::BOUNDS[i].seconds : "+Inf");
    write(to_, durations.at_most(i), '\n');
  }
  summary(durations.seconds(), durations.count());
}

void MetricsWriter::summary(f64 sum, u64 count) {
  begin("_sum", nullptr);
  write(to_, Fixed{sum, 6}, '\n');
  begin("_count", nullptr);
  write(to_, count, '\n');
}

}  // namespace edgellm
