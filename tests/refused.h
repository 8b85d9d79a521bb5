// What a piece of the converter says, or the words in which it refuses.
#pragma once
#include <string>

#include "check.h"
#include "convert/base/error.h"

namespace check {

template <class Body>
std::string said(Body body, edgellm::Code code = edgellm::Code::bad_model) {
  try {
    return body();
  } catch (const edgellm::convert::Error& error) {
    CHECK(error.code == code);
    return std::string("refused: ") + error.what();
  }
}

}  // namespace check
