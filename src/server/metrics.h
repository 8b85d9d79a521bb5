// Figures for those who watch: counters and histograms of fixed size, and the text format in which Prometheus reads them
// (version 0.0.4): for each family a line of help and one of its type, then a line for each value.
#pragma once
#include "base/arena.h"
#include "base/format.h"

namespace edgellm {

constexpr Text METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

// Durations, counted by the bounds that they do not exceed.
class DurationHistogram {
 public:
  struct Bound {
    i64 ns;
    const char* seconds;  // the same, as it is written
  };
  static constexpr Bound BOUNDS[] = {
      {250000, "0.00025"}, {500000, "0.0005"},  {1000000, "0.001"},  {2500000, "0.0025"}, {5000000, "0.005"},
      {10000000, "0.01"},  {25000000, "0.025"}, {50000000, "0.05"},  {100000000, "0.1"},  {250000000, "0.25"},
      {500000000, "0.5"},  {1000000000, "1"},   {2500000000, "2.5"}, {5000000000, "5"},   {10000000000, "10"},
      {25000000000, "25"}, {60000000000, "60"},
  };
  static constexpr i32 COUNT = sizeof BOUNDS / sizeof BOUNDS[0];

  void add(i64 ns);

  u64 at_most(i32 bound) const;  // how many did not exceed BOUNDS[bound]
  u64 count() const { return at_most(COUNT); }
  f64 seconds() const { return static_cast<f64>(ns_) / 1e9; }  // their sum

 private:
  u64 counts_[COUNT + 1] = {};  // above the bound before, at most this one; the last: above all
  i64 ns_ = 0;
};

// What the texts of a model have come to since the server began.
struct ModelMetrics {
  static constexpr u64 SAMPLE = 16;  // what a log probability costs is some percent of a token of a very small model

  u64 prompt_tokens = 0;  // of texts that got a slot
  u64 cached_tokens = 0;  // of these, that were not run again
  u64 tokens = 0;         // made
  u64 repetition_stops = 0;
  u64 deadline_misses = 0;
  u64 sampled_tokens = 0;            // of the tokens made, the first of every SAMPLE
  f64 negative_log_probability = 0;  // sum of -ln p over these
  DurationHistogram first_token;     // from a text's arrival
  DurationHistogram between_tokens;

  bool samples_next() const { return tokens % SAMPLE == 0; }
};

struct Route;

// How many requests of each route came to which status.
class RequestCounts {
 public:
  static constexpr i32 STATUSES = 24;  // that a route comes to at most

  void place(Arena& arena, i64 routes);
  void add(const Route* route, i32 status);  // null: of no route; 0: no answer

  struct Row {
    const Route* route;
    i32 status;
    u64 count;
  };
  Span<const Row> rows() const { return {rows_.data, used_}; }

 private:
  Span<Row> rows_;
  i64 used_ = 0;
};

class MetricsWriter {
 public:
  explicit MetricsWriter(Writer& to) : to_(to) {}

  // The values that follow are of this family, which no other call names again. No help has a backslash or a line break.
  void family(const char* name, const char* type, const char* help);

  // One more label of the values that follow, up to `plain`. The value stays where it is until then.
  MetricsWriter& label(const char* name, Text value);
  void plain() { labels_count_ = 0; }

  void whole(u64 value);
  void real(f64 value, i32 decimals);
  void histogram(const DurationHistogram& durations);
  void summary(f64 sum, u64 count);  // without quantiles

 private:
  void begin(const char* suffix, const char* bound);

  struct Label {
    const char* name;
    Text value;
  };
  static constexpr i32 LABELS = 4;

  Writer& to_;
  const char* name_ = "";
  Label labels_[LABELS];
  i32 labels_count_ = 0;
};

}  // namespace edgellm
