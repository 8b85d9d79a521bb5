// What came of a load: counts, times, and the same as JSON.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "load/options.h"

namespace edgellm::load {

struct Times {
  std::vector<double> ms;
  void add(double value) { ms.push_back(value); }
};

struct Report {
  long offered = 0;
  long whole = 0;        // answers that are right in every respect
  long busy = 0;         // 429 with Retry-After
  long unavailable = 0;  // 503 with Retry-After
  long unanswered = 0;   // the connection ended before the first byte, while the server was to end
  long unsent = 0;       // no connection could be made for them, while the server was to end
  std::map<std::string, long> failures;
  long reconnected = 0;
  long tokens_in = 0, tokens_out = 0;              // of whole answers that were complete before the end of the time
  double seconds = 0;                              // of the load
  double waited = 0;                               // for the last answers behind it
  Times first_byte, first_token, between, answer;  // of whole answers, from when they were due

  void fail(const std::string& why) { failures[why]++; }
  long failed() const;
};

void print_report(const Options& options, Report& report);

}  // namespace edgellm::load
