// A command of the program, run in a child process as `main` runs it.
#pragma once
#include <string>
#include <vector>

#include "child.h"
#include "cli/options.h"
#include "platform/console.h"

namespace check {

// The words begin with "edgellm" and the name of the command.
inline Child run_command(edgellm::Status (*command)(edgellm::Options& options), std::vector<std::string> words) {
  return in_child([&] {
    std::vector<char*> arguments;
    for (std::string& word : words)
      arguments.push_back(word.data());
    edgellm::Options options;
    edgellm::Status status = parse_options(static_cast<edgellm::i32>(arguments.size()), arguments.data(), &options);
    if (status.ok()) status = command(options);
    if (status.text()[0]) edgellm::note(status.text(), "\n");
    return static_cast<int>(status.code());
  });
}

}  // namespace check
