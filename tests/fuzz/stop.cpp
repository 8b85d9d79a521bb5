// Stop strings over a stream that comes in pieces, against a search of the whole: a byte says how many strings, each has a byte for
// its length before it, then the bytes of a piece of the stream, which is the rest.
#include "engine/stop.h"

#include <stdlib.h>

#include <vector>

#include "input.h"

using namespace edgellm;

// The stream up to the stop string that ends first, of those that end there the longest.
static std::string expected(const std::string& stream, const std::vector<std::string>& strings, bool* stops) {
  for (size_t end = 1; end <= stream.size(); end++) {
    size_t longest = 0;
    for (const std::string& string : strings) {
      const bool ends = string.size() <= end && stream.compare(end - string.size(), string.size(), string) == 0;
      if (ends) longest = std::max(longest, string.size());
    }
    if (longest > 0) {
      *stops = true;
      return stream.substr(0, end - longest);
    }
  }
  *stops = false;
  return stream;
}

static void append(void* context, Text text) {
  static_cast<std::string*>(context)->append(text.data, static_cast<size_t>(text.size));
}

static std::string printed(StopStrings& stop, const std::string& stream, size_t piece, bool* stopped) {
  std::string out;
  *stopped = false;
  for (size_t at = 0; at < stream.size() && !*stopped; at += piece) {
    const size_t size = std::min(piece, stream.size() - at);
    *stopped = stop.push({stream.data() + at, static_cast<i64>(size)}, append, &out);
  }
  if (!*stopped) stop.finish(append, &out);
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  std::vector<std::string> strings;
  strings.reserve(StopStrings::MAX_STRINGS);  // they stay where they are
  StopStrings stop;
  for (i32 left = input.take<u8>() % (StopStrings::MAX_STRINGS + 2); left > 0; left--) {
    const bool room = strings.size() < StopStrings::MAX_STRINGS;
    const std::string string = input.text(input.take<u8>());
    if (room && !string.empty()) strings.push_back(string);
    const std::string& kept = room && !string.empty() ? strings.back() : string;
    if (stop.add({kept.data(), static_cast<i64>(kept.size())}) != (room && !string.empty())) abort();
  }
  const size_t piece = input.take<u8>() % 16 + 1u;
  const std::string stream = input.rest();
  bool stops, stopped;
  const std::string wanted = expected(stream, strings, &stops);
  for (i32 round = 0; round < 2; round++) {  // the second as the first, of which nothing is left
    if (printed(stop, stream, piece, &stopped) != wanted || stopped != stops) abort();
    stop.reset();
  }
  return 0;
}
