// The body of an error, in the shape that clients of the path expect: below /v1/, but for /v1/edge/, OpenAI's
// {"error":{"message","type","param","code"}}, elsewhere {"error": message}, with "status":"error" at /generate.
#pragma once
#include "base/format.h"
#include "server/http.h"

namespace edgellm {

struct HttpError {
  i32 status = 500;
  Text message;
  Text param = {};       // OpenAI's: the field of the request that is wrong; empty: null
  Text code = {};        // OpenAI's: what a program may ask for; empty: what goes with the status
  HttpField field = {};  // one more of the answer's head, where it has a name
};

void write_error_body(Writer& to, Text path, const HttpError& error);

}  // namespace edgellm
