#include <cstring>
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

static long checks, failures, skips;

void add(const char* name, void (*body)()) {
  entries().push_back({name, body});
}

void passed() {
  checks++;
}

void failed(const char* file, int line, const std::string& what) {
  failures++;
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
}

void skipped(const std::string& why) {
  skips++;
  std::fprintf(stderr, "skipped: %s\n", why.c_str());
}

}  // namespace check

// Arguments are names of tests to run; none means all.
int main(int count, char** arguments) {
  for (const check::Entry& entry : check::entries()) {
    bool wanted = count == 1;
    for (int i = 1; i < count; i++)
      wanted |= std::strcmp(arguments[i], entry.name) == 0;
    if (!wanted) continue;
    long before = check::failures;
    entry.body();
    std::printf("%s %s\n", check::failures == before ? "ok  " : "FAIL", entry.name);
  }
  std::printf("%ld checks, %ld failed, %ld skipped\n", check::checks, check::failures, check::skips);
  if (check::failures) return 1;
  if (check::skips) return 77;
  return check::checks == 0;
}
