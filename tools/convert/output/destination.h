// Where the result goes. Whatever stands there stays until the new file is whole, and nothing else is ever written over.
#pragma once
#include <sys/types.h>

#include <string>

namespace edgellm::convert {

// The file that `path` means, links followed, whether it is there already or not. What is there and is no regular file (a folder, a
// device, a FIFO, a socket) is wrong usage.
std::string destination_of(const std::string& path);

// Why a write failed, from errno.
std::string reason_of(int problem);

// A file beside the destination that becomes it.
struct Partial {
  std::string path;
  int descriptor = -1;
  mode_t mode = 0;  // that the destination has, if it is there: `publish` gives it to the new file
  bool replaces = false;
};

// Creates `destination` + ".partial", with the destination's owner and rights if it is there. A regular file of that name is what a
// killed conversion left, and goes; anything else is refused, and so is one that a running conversion has locked. Refuses a
// destination that was opened as a source (`opened_as`).
Partial create_partial(const std::string& destination);

// Gives the whole file its name, in place of what has it, and closes it.
void publish(const Partial& partial, const std::string& destination);

}  // namespace edgellm::convert
