// The answer of every function that can fail: a code and a text that names the thing, the expected and the actual.
#pragma once
#include "base/format.h"

namespace edgellm {

// These are the exit codes of the program. The last four carry no text: they end it in silence.
enum class Code : i32 {
  ok = 0,
  failed = 1,         // a run-time error
  usage = 2,          // a wrong flag or argument
  bad_model = 3,      // an unusable model file
  hung_up = 129,      // SIGHUP asked to end (128 + 1): the terminal was closed
  interrupted = 130,  // SIGINT asked to end (128 + 2)
  closed = 141,       // the reader of standard output went away (128 + 13, SIGPIPE)
  terminated = 143,   // SIGTERM asked to end (128 + 15)
};

class [[nodiscard]] Status {
 public:
  Status() { text_[0] = 0; }

  template <class... Args>
  [[gnu::always_inline]] static inline Status error(Code code, const Args&... args) {
    return error_parts(code, part_types<decltype(part(args))...>(), part(args)...);
  }

  bool ok() const { return code_ == Code::ok; }
  bool interrupted() const { return code_ == Code::hung_up || code_ == Code::interrupted || code_ == Code::terminated; }
  Code code() const { return code_; }
  const char* text() const { return text_; }

 private:
  static Status error_parts(Code code, u64 types, ...);

  Code code_ = Code::ok;
  char text_[316];
};

template <class... Args>
[[gnu::always_inline]] inline Status failed(const Args&... args) {
  return Status::error(Code::failed, args...);
}

template <class... Args>
[[gnu::always_inline]] inline Status usage_error(const Args&... args) {
  return Status::error(Code::usage, args...);
}

template <class... Args>
[[gnu::always_inline]] inline Status bad_model(const Args&... args) {
  return Status::error(Code::bad_model, args...);
}

}  // namespace edgellm

// Passes an error on to the caller.
#define EDGELLM_TRY(expression)                                    \
  do {                                                             \
    if (::edgellm::Status status_ = (expression); !status_.ok()) { \
      return status_;                                              \
    }                                                              \
  } while (0)
