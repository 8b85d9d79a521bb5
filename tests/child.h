// Runs a piece of a test in a child process, for what cannot be taken back: a seal, a crash, lowered rights.
#pragma once
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace check {

struct Child {
  int exit_code = -1;  // -1: ended by a signal
  int signal = 0;
  std::string output;  // of stdout and stderr
};

// The body's answer is the exit code.
template <class Body>
Child in_child(const Body& body) {
  Child child;
  int ends[2];
  std::fflush(nullptr);
  if (pipe(ends) != 0) return child;
  pid_t pid = fork();
  if (pid == 0) {
    dup2(ends[1], 1);
    dup2(ends[1], 2);
    close(ends[0]);
    close(ends[1]);
    _exit(body());
  }
  close(ends[1]);
  char buffer[4096];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
    child.output.append(buffer, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  if (WIFEXITED(status)) child.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) child.signal = WTERMSIG(status);
  return child;
}

}  // namespace check
