#include <stdlib.h>

#include <cstring>
#include <map>
#include <vector>

#include "check.h"

namespace check {

struct Entry {
  const char* name;
  void (*body)();
};

static std::vector<Entry>& entries() {
  static std::vector<Entry> list;
  return list;
}

static long checks, failures;
static const char *running = "", *outcome = "";   // the test's name, and what came of it so far
static std::map<std::string, std::string> skips;  // by reason: the tests that gave it

void add(const char* name, void (*body)()) {
  entries().push_back({name, body});
}

void passed() {
  checks++;
}

void failed(const char* file, int line, const std::string& what) {
  failures++;
  outcome = "FAIL";
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
}

void skipped(const std::string& why) {
  if (std::strcmp(outcome, "FAIL") != 0) outcome = "skip";
  std::string reason = why.substr(0, why.find('\n'));
  std::string& names = skips[reason];
  names += (names.empty() ? "" : ", ") + std::string(running);
}

}  // namespace check

// Arguments are names of tests to run; none means all.
int main(int count, char** arguments) {
  for (const char* variable : {"EDGELLM_MODEL", "EDGELLM_THREADS", "EDGELLM_TEMPLATE"})
    unsetenv(variable);  // what the program would take for typed
  for (const check::Entry& entry : check::entries()) {
    bool wanted = count == 1;
    for (int i = 1; i < count; i++)
      wanted |= std::strcmp(arguments[i], entry.name) == 0;
    if (!wanted) continue;
    check::running = entry.name;
    check::outcome = "ok  ";
    entry.body();
    std::printf("%s %s\n", check::outcome, entry.name);
  }
  std::printf("%ld checks, %ld failed\n", check::checks, check::failures);
  const char* slash = std::strrchr(arguments[0], '/');
  for (const auto& [why, names] : check::skips)
    std::printf("skipped: %s: %s: %s\n", slash ? slash + 1 : arguments[0], names.c_str(), why.c_str());
  if (check::failures) return 1;
  if (check::checks == 0) return check::skips.empty() ? 1 : 77;
  return 0;
}
