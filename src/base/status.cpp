#include "base/status.h"

namespace edgellm {

Status Status::error_parts(Code code, u64 types, ...) {
  Status status;
  status.code_ = code;
  Writer writer(status.text_);
  Parts parts(types);
  va_start(parts.arguments, types);
  for (Text text; parts.next(&text);)
    writer.add(text);
  va_end(parts.arguments);
  return status;
}

}  // namespace edgellm
