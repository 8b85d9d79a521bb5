// What `bench` measures of one model, and how it is shown.
#pragma once
#include "cli/command.h"

namespace edgellm {

constexpr i32 MAX_PLACES = 16;

struct Percentiles {
  f64 p50, p99, p999, max;  // ms
};

// A figure of several repetitions: their median, and half the distance from the least to the most in percent of it.
struct Rate {
  f64 tok_s;
  f64 spread;  // NaN for one repetition
};

// What is measured at one position.
struct Place {
  i32 position;
  Rate decode;
  Percentiles token_ms;
  f64 cpu_percent;  // processor time of all threads while it decodes, of the time that it takes: 100 is one core
};

struct Measured {
  f64 load_ms;
  f64 ttft_ms;  // prompt to first id, median of the repetitions
  Rate prefill;
  f64 read_bytes_per_second;
  Place places[MAX_PLACES];
  i32 place_count;
  i32 places_done;             // fewer than place_count: a signal came meanwhile
  bool complete;               // no signal came before everything was measured
  Percentiles alternating_ms;  // tokens at the first place, each followed by
  Percentiles empty_ms;        // a loop of as long that touches no memory: what the machine itself does to such a time
  f64 faults_per_token;
  i64 resident_bytes;  // at most, less the buffer that the read bandwidth was measured with
  u64 hash;
};

struct Bench {
  Engine engine;
  const char* path;
  i32 prompt_tokens;
  i32 count;
  i32 repeat;
  i32 sessions;       // decoded in one batch
  Span<i32> ids;      // (prompt_tokens or the furthest position) made-up prompt
  Span<f64> samples;  // (count * repeat) ms of each pass
  Span<f64> empty;    // (count * repeat) ms of each empty loop
  Span<f64> seconds;  // (repeat)
  Span<Step> steps;   // (sessions) one token each
  Span<i32> next;     // (sessions) these tokens
};

// Where the figures of a model go.
struct Report {
  i32 fd;
  bool json;
  const char* machine;  // its name; null: a single model, and no table
  bool head;            // what stands above the first row is still to be written
  i64 name_columns;     // of the longest name
};

// Bytes of weights and caches that one pass at `position` reads.
i64 bytes_per_pass(const Bench& bench, i32 position);

void report_figures(const Report& report, const Bench& bench, const Measured& measured);

// Why there are none.
void report_failure(const Report& report, const char* path, i32 exit_code, const char* why);

}  // namespace edgellm
