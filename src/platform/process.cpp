#include "platform/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/console.h"
#include "platform/files.h"
#include "platform/signals.h"

namespace edgellm {

namespace {

constexpr int STOPS[] = {SIGINT, SIGTERM, SIGHUP};

// While it lives, a signal that asks to stop waits.
struct Undisturbed {
  sigset_t before;
  Undisturbed() {
    sigset_t stops;
    sigemptyset(&stops);
    for (int stop : STOPS)
      sigaddset(&stops, stop);
    pthread_sigmask(SIG_BLOCK, &stops, &before);
  }
  ~Undisturbed() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
};

// Handlers end with this program, but a signal that came before would have been theirs; what it ignores would stay ignored.
void answer_signals_by_default() {
  for (int stop : STOPS) {
    struct sigaction now;
    if (sigaction(stop, nullptr, &now) == 0 && now.sa_handler != SIG_IGN) signal(stop, SIG_DFL);
  }
  signal(SIGPIPE, SIG_DFL);
  signal(SIGXFSZ, SIG_DFL);
}

// FOLDER/NAME in the buffer, if that is a program.
Text program_in(Text folder, Text name, char* buffer, i64 capacity) {
  Writer path(buffer, capacity);
  write(path, folder, folder.size ? "/" : "", name);
  FileFacts facts;
  const bool program = !path.full() && access(buffer, X_OK) == 0 && examine(buffer, &facts) && facts.regular;
  return program ? path.text() : Text();
}

}  // namespace

Status fork_process(Process* process) {
  signal(SIGCHLD, SIG_DFL);  // a parent that ignores it hands that on, and the ends of children would be lost
  int ends[2];
  if (pipe(ends) != 0) return failed("cannot make a pipe: ", strerror(errno));
  for (int& end : ends)
    end = away_from_streams(end);
  const pid_t pid = fork();
  const int problem = errno, ours = pid == 0 ? 1 : 0;
  close(ends[1 - ours]);
  *process = {.pid = static_cast<i32>(pid), .pipe = ends[ours]};
  if (pid >= 0) return {};
  close(ends[ours]);
  return failed("cannot start another process: ", strerror(problem));
}

Status start_program(const char* path, const char* const* arguments, Process* process) {
  {
    Undisturbed now;
    EDGELLM_TRY(fork_process(process));
    process->program = true;
    if (process->pid != 0) return {};
    answer_signals_by_default();
  }
  dup2(away_from_streams(open("/dev/null", O_RDONLY)), STDIN);
  dup2(process->pipe, STDOUT);
  execv(path, const_cast<char* const*>(arguments));
  _exit(127);
}

i32 wait_for_process(Process& process, void (*sink)(void* context, Text piece), void* context) {
  bool told = false;
  char piece[1024];
  for (i64 n = 1; n != 0;) {
    if (!told && !wait_to_read(process.pipe)) {
      told = true;
      const i32 stop = static_cast<i32>(check_interrupted().code()) - 128;
      if (process.program || stop != SIGINT) kill(process.pid, stop);
      if (process.program) break;  // it answers no more, and what it may have started could hold the pipe for long
    }
    n = read_some(process.pipe, piece, sizeof piece);
    if (n > 0) sink(context, {piece, n});
    if (n < 0 && errno != EINTR) break;
  }
  close(process.pipe);
  int status = 0;
  while (waitpid(process.pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Text find_program(Text name, char* buffer, i64 capacity) {
  char own[1024];
  Text beside = program_path(own, sizeof own);
  while (beside.size && beside[beside.size - 1] != '/')
    beside.size--;
  if (beside.size > 1) {
    beside.size--;
    if (Text found = program_in(beside, name, buffer, capacity); found.size) return found;
  }
  const char* places = getenv("PATH");
  for (Text left = places ? places : ""; left.size > 0;) {
    i64 end = 0;
    while (end < left.size && left[end] != ':')
      end++;
    if (Text found = program_in(left.slice(0, end), name, buffer, capacity); found.size) return found;
    left = left.from(min(end + 1, left.size));
  }
  return {};
}

}  // namespace edgellm
