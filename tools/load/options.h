// What the generator is asked to do.
#pragma once
#include <string>

namespace edgellm::load {

struct Options {
  std::string host = "127.0.0.1";
  int port = 0;
  std::string path = "/v1/completions", key;
  int connections = 100;  // kept open
  double rate = 0;        // requests a second, on a fixed schedule; 0: in_flight
  int in_flight = 0;      // this many at any time
  double seconds = 10;
  int kinds = 64;  // distinct requests
  int least_tokens = 16, most_tokens = 64;
  double temperature = 0.7;
  std::string prompts;  // a file with one a line; empty: words of ours
  unsigned long long seed = 1;
  bool stream = false;
  bool alone = true;  // each kind is asked alone first, and its text is what must come again
  bool ends = false;  // the server is going to end meanwhile
  bool json = false;
  int null_port = 0;  // serve instead
};

}  // namespace edgellm::load
