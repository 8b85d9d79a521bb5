// The transfer coding `chunked` in pieces: a byte says how long each is. What comes of them is what comes of the whole, and that is
// what a decoder says that is written with strings and looks for nothing but the end of each line.
#include "server/chunked.h"

#include <stdlib.h>

#include <string>

#include "input.h"

using namespace edgellm;

static constexpr HttpLimits LIMITS{300, 60, 200, 64};

static bool is_line(const std::string& line) {
  return std::all_of(line.begin(), line.end(), [](char c) { return is_value_byte(static_cast<u8>(c)); });
}

static bool is_trailer(const std::string& line) {
  const size_t colon = line.find(':');
  if (colon == 0 || colon == std::string::npos || !is_line(line)) return false;
  return std::all_of(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(colon),
                     [](char c) { return is_token_byte(static_cast<u8>(c)); });
}

// True when `bytes` begins with a whole body within the limits.
static bool plainly(const std::string& bytes, std::string* body, size_t* taken) {
  size_t at = 0, extra = 0;
  auto line = [&](std::string* out) {
    const size_t end = bytes.find("\r\n", at);
    if (end == std::string::npos) return false;
    *out = bytes.substr(at, end - at);
    at = end + 2;
    return true;
  };
  for (std::string text; line(&text);) {
    const std::string digits = text.substr(0, text.find(';'));
    if (digits.empty() || digits.size() > 16 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)
      return false;
    if (!is_line(text)) return false;
    if (digits.size() < text.size()) extra += text.size() - digits.size();
    const u64 size = std::stoull(digits, nullptr, 16);
    if (size > static_cast<u64>(LIMITS.body) - body->size()) return false;
    if (size == 0) {
      while (line(&text)) {
        extra += text.size() + 1;
        if (extra > static_cast<size_t>(LIMITS.chunk_extra)) return false;
        *taken = at;
        if (text.empty()) return true;
        if (!is_trailer(text)) return false;
      }
      return false;
    }
    if (bytes.size() - at < size + 2 || bytes.compare(at + size, 2, "\r\n") != 0) return false;
    body->append(bytes, at, size);
    at += size + 2;
  }
  return false;
}

struct Result {
  std::string body;
  size_t taken = 0;
  bool whole = false;
  i32 status = 0;
  const char* why = "";
};

static Result decoded(const std::string& bytes, size_t piece) {
  ChunkedDecoder decoder;
  Result result;
  for (size_t at = 0; at < bytes.size() && !result.whole && !result.status; at += piece) {
    std::string part = bytes.substr(at, piece);
    part.shrink_to_fit();
    const ChunkedOutcome outcome = decoder.decode({part.data(), static_cast<i64>(part.size())}, LIMITS);
    if (outcome.decoded > outcome.taken || outcome.taken > static_cast<i64>(part.size())) abort();
    result.body.append(part, 0, static_cast<size_t>(outcome.decoded));
    result.taken += static_cast<size_t>(outcome.taken);
    result.whole = outcome.whole;
    result.status = outcome.status;
    result.why = outcome.why;
  }
  return result;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const size_t piece = input.take<u8>() % 32 + 1u;
  const std::string bytes = input.rest();
  const Result whole = decoded(bytes, bytes.size() + 1), parts = decoded(bytes, piece);
  if (whole.body != parts.body || whole.taken != parts.taken || whole.whole != parts.whole || whole.why != parts.why)
    abort();
  std::string body;
  size_t taken = 0;
  const bool good = plainly(bytes, &body, &taken);
  if (good != whole.whole) abort();
  if (good && (body != whole.body || taken != whole.taken)) abort();
  return 0;
}
