// The whole test framework: TEST(name) { CHECK(...); } in any tests/test_*.cpp, each file its own program with check_main.cpp.
// A failed check prints where and what, and the program goes on. Exit code 1 when any failed or no check was made, 77 (for ctest:
// it did not run) when that is because every test called SKIP. What was skipped is named at the end, a line for each reason.
#pragma once
#include <cstdio>
#include <functional>
#include <sstream>
#include <string>

namespace check {

void add(const char* name, void (*body)());
void passed();
void failed(const char* file, int line, const std::string& what);
void skipped(const std::string& why);

struct Registered {
  Registered(const char* name, void (*body)()) { add(name, body); }
};

template <class A, class B>
void equal(const A& a, const B& b, const char* text, const char* file, int line) {
  if (a == b) {
    passed();
    return;
  }
  std::ostringstream out;
  out << text << ": " << a << " is not " << b;
  failed(file, line, out.str());
}

}  // namespace check

#define TEST(name)                                                      \
  static void test_##name();                                            \
  static const check::Registered registered_##name(#name, test_##name); \
  static void test_##name()

#define CHECK(condition) ((condition) ? check::passed() : check::failed(__FILE__, __LINE__, #condition))

#define CHECK_EQ(a, b) check::equal((a), (b), #a " == " #b, __FILE__, __LINE__)

#define SKIP(why)        \
  do {                   \
    check::skipped(why); \
    return;              \
  } while (0)
