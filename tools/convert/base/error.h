// How the converter fails: an exception that carries the exit code and a text naming the thing, the expected and the actual.
#pragma once
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/status.h"

namespace edgellm::convert {

struct Error : std::runtime_error {
  Error(Code what, const std::string& text) : std::runtime_error(text), code(what) {}
  Code code;
};

// The arguments as one text.
template <class... Args>
std::string text(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

// "a, b, c"
inline std::string list_text(const std::vector<std::string>& names, const char* separator = ", ") {
  std::string out;
  for (const std::string& name : names)
    out += (out.empty() ? "" : separator) + name;
  return out;
}

// Reading or writing went wrong.
template <class... Args>
[[noreturn]] void io_error(const Args&... args) {
  throw Error(Code::failed, text(args...));
}

// A wrong argument.
template <class... Args>
[[noreturn]] void wrong_usage(const Args&... args) {
  throw Error(Code::usage, text(args...));
}

// The source is damaged, or says what it cannot mean, or is of a kind that is not supported.
template <class... Args>
[[noreturn]] void unusable(const Args&... args) {
  throw Error(Code::bad_model, text(args...));
}

}  // namespace edgellm::convert
