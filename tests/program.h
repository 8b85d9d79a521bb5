// Runs the program as a shell does. EDGELLM is the command that starts it.
#pragma once
#include <sys/wait.h>

#include <cstdlib>
#include <string>

#include "files.h"

struct Said {
  int code;  // -1: ended by a signal
  std::string out, err;
};

inline Said shell(const std::string& command, const std::string& input = "/dev/null") {
  static const Folder folder;
  const int status =
      std::system(("(" + command + ") >" + (folder / "out") + " 2>" + (folder / "err") + " <" + input).c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(folder / "out"), read_file(folder / "err")};
}

inline Said edgellm_says(const std::string& words, const std::string& input = "/dev/null") {
  return shell(std::string(std::getenv("EDGELLM")) + " " + words, input);
}
