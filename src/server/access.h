// Who may ask: API keys, and the origins of the pages whose scripts may (CORS).
#pragma once
#include "base/status.h"
#include "server/http.h"

namespace edgellm {

constexpr i32 API_KEYS = 64;        // in one file
constexpr i64 API_KEY_BYTES = 128;  // of the longest

struct ApiKey {
  char bytes[API_KEY_BYTES];  // zeros behind its end
  i64 size;
};

struct Access {
  Span<const ApiKey> keys;   // none: everybody may ask
  Span<const Text> origins;  // none: nothing is said to scripts of other pages; "*" means every origin
};

// The keys of a file called `name`: one in each line, without the white space around it. Empty lines and those that begin with #
// hold none. As many keys as there is room for; *count says how many they are.
Status read_api_keys(Text text, const char* name, Span<ApiKey> room, i64* count);

// "*", or scheme://host[:port] as browsers send it.
bool is_origin(Text text);

// Whether the request carries one of the keys, in `Authorization: Bearer KEY` or `X-Api-Key: KEY`, or none is needed. How long
// that takes depends on what was sent and not on the keys, their lengths included.
bool may_ask(const Access& access, const HttpRequest& request);

// What Access-Control-Allow-Origin is answered with: the origin of the request as the list has it, "*", or empty.
Text allowed_origin(const Access& access, const HttpRequest& request);

}  // namespace edgellm
