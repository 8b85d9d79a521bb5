// A line of JSON on standard error for each request: when it ended, who asked for what, what was answered, and how long that took.
// Whoever reads the lines too slowly misses some, and the next line says how many: the server does not wait.
#pragma once
#include "server/connections.h"

namespace edgellm {

class RequestLog {
 public:
  bool on = false;

  void add(const Connection& c);

 private:
  i64 lost_ = 0;  // lines since the last that was written
};

}  // namespace edgellm
