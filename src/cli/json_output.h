// One JSON object on a descriptor, and a line feed behind it.
#pragma once
#include "base/json_writer.h"
#include "platform/console.h"

namespace edgellm {

class JsonOutput : Output, public JsonWriter {
 public:
  explicit JsonOutput(i32 fd) : Output(fd), JsonWriter(send, static_cast<Output*>(this)) { open({}); }

  // Ends the object; false when any of it could not be written.
  bool finish() {
    close();
    send(static_cast<Output*>(this), "\n");
    return flush();
  }

 private:
  static void send(void* output, Text text) { static_cast<Output*>(output)->add(text); }
};

}  // namespace edgellm
