// Other processes: a program that is started, or this one going on twice. What one writes comes back through a pipe. Only while
// this process has one thread, and before it takes memory, a priority or the seal.
#pragma once
#include "base/status.h"

namespace edgellm {

struct Process {
  i32 pid = 0;           // 0: this is the child
  i32 pipe = -1;         // of the child: the end to write to; of its parent: the end to read from
  bool program = false;  // another one than this
};

// Two go on from here, the child with a pipe of its own and otherwise with what its parent has: it ends by returning, too.
Status fork_process(Process* process);

// Starts the program at `path`, its name and arguments ended by a null. It answers signals as programs do by default, reads an
// empty standard input, prints into the pipe, and has our standard error. A program that cannot be started ends with 127.
Status start_program(const char* path, const char* const* arguments, Process* process);

// Hands on what the process writes, piece by piece, until it closes its pipe, and waits for its end. The first signal that asks
// this process to stop is passed on to it; but SIGINT not to a child that is this program: a terminal sends it to both, and a
// second one ends it at once. The answer is its exit code, or 128 + the signal that ended it.
i32 wait_for_process(Process& process, void (*sink)(void* context, Text piece), void* context);

// The path of the program `name` that lies beside this one, otherwise of the first that PATH leads to; empty: there is none.
Text find_program(Text name, char* buffer, i64 capacity);

}  // namespace edgellm
