// Programs that are started, and this one going on twice: output, ends, signals, closed streams, and where a program lies.
#include <fcntl.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "check.h"
#include "child.h"
#include "files.h"
#include "platform/console.h"
#include "platform/process.h"
#include "platform/signals.h"

using namespace edgellm;

namespace {

void append(void* context, Text piece) {
  static_cast<std::string*>(context)->append(piece.data, static_cast<size_t>(piece.size));
}

struct Ended {
  i32 code;
  std::string printed;
};

// A line of the shell.
Ended ran(const char* line) {
  const char* const arguments[] = {"sh", "-c", line, nullptr};
  Process process;
  Ended ended{-1, ""};
  CHECK(start_program("/bin/sh", arguments, &process).ok());
  CHECK(process.pid > 0 && process.program);
  ended.code = wait_for_process(process, append, &ended.printed);
  return ended;
}

std::string found(const char* name, i64 capacity = 400) {
  char buffer[400];
  const Text path = find_program(name, buffer, capacity);
  return {path.data, static_cast<size_t>(path.size)};
}

void write_program(const std::string& path, mode_t mode) {
  write_file(path, "#!/bin/sh\n");
  CHECK_EQ(chmod(path.c_str(), mode), 0);
}

}  // namespace

TEST(what_a_program_prints_and_how_it_ends) {
  struct Row {
    const char* line;
    i32 code;
    std::string printed;
  };
  for (const Row& row : {Row{"echo a; echo b", 0, "a\nb\n"},
                         {"exit 3", 3, ""},
                         {"kill -KILL $$", 128 + SIGKILL, ""},
                         {"kill -PIPE $$", 128 + SIGPIPE, ""},  // which this process ignores
                         {"cat; echo .", 0, ".\n"},             // its standard input is empty
                         {"head -c 300000 /dev/zero | tr '\\0' x", 0, std::string(300000, 'x')}}) {
    const check::Child child = check::in_child([&] {
      install_signals();
      const Ended ended = ran(row.line);
      return ended.code == row.code && ended.printed == row.printed ? 0 : 1;
    });
    CHECK_EQ(row.line + std::string(": ") + std::to_string(child.exit_code), row.line + std::string(": 0"));
  }
}

TEST(its_standard_error_is_ours) {
  const check::Child child = check::in_child([] { return ran("echo out; echo err >&2").printed == "out\n" ? 0 : 1; });
  CHECK_EQ(child.exit_code, 0);
  CHECK_EQ(child.output, std::string("err\n"));
}

TEST(what_is_no_program) {
  const char* const arguments[] = {"x", nullptr};
  Process process;
  std::string printed;
  CHECK(start_program("/absent/x", arguments, &process).ok());
  CHECK_EQ(wait_for_process(process, append, &printed), 127);
}

// Whatever of the standard streams is closed, and where SIGCHLD is ignored, as some launchers hand it on.
TEST(closed_streams) {
  for (int closed = 0; closed < 8; closed++) {
    const check::Child child = check::in_child([&] {
      signal(SIGCHLD, SIG_IGN);
      for (int fd = 0; fd < 3; fd++) {
        if (closed & 1 << fd) close(fd);
      }
      const Ended ended = ran("cat && echo all && exit 5");
      return ended.code == 5 && ended.printed == "all\n" ? 0 : 1;
    });
    CHECK_EQ(child.exit_code, 0);
    CHECK_EQ(child.output, std::string());
  }
}

// A signal that only this process gets ends the program too; it prints when it is ready for one. What it has started itself lives on,
// with the pipe, and is not waited for.
TEST(signals_are_passed_on) {
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const check::Child child = check::in_child([&] {
      install_signals();
      const char* const arguments[] = {"sh", "-c", "sleep 60 & echo $!; exec sleep 600", nullptr};
      Process process;
      if (!start_program("/bin/sh", arguments, &process).ok()) return 1;
      struct Heard {
        int signal;
        std::string text;
      } heard{signal, ""};
      const i32 code = wait_for_process(
          process,
          [](void* context, Text piece) {
            Heard& self = *static_cast<Heard*>(context);
            append(&self.text, piece);
            if (self.text.back() == '\n') raise(self.signal);
          },
          &heard);
      if (kill(std::stoi(heard.text), SIGKILL) != 0) return 2;
      return code == 128 + signal && interrupted() ? 0 : 3;
    });
    CHECK_EQ(child.exit_code, 0);
  }
}

// The child of a fork has this program's handlers, and gets but one SIGINT from a terminal.
TEST(going_on_twice) {
  const check::Child child = check::in_child([] {
    install_signals();
    Process process;
    if (!fork_process(&process).ok()) return 1;
    if (process.pid == 0) {
      output(process.pipe, "ready");
      while (!interrupted())
        (void)wait_to_read(process.pipe);  // the writing end, which nothing can be read from: until a signal
      output(process.pipe, " and stopped politely");
      _exit(static_cast<int>(check_interrupted().code()));
    }
    struct Heard {
      i32 pid;
      std::string text;
    } heard{process.pid, ""};
    const i32 code = wait_for_process(
        process,
        [](void* context, Text piece) {
          Heard& self = *static_cast<Heard*>(context);
          if (self.text.empty()) {  // what a terminal does
            kill(self.pid, SIGINT);
            raise(SIGINT);
          }
          append(&self.text, piece);
        },
        &heard);
    return code == 130 && heard.text == "ready and stopped politely" ? 0 : 2;
  });
  CHECK_EQ(child.exit_code, 0);
}

TEST(where_a_program_lies) {
  Folder folder;
  const std::string first = folder / "first", second = folder / "second one";
  CHECK_EQ(mkdir(first.c_str(), 0700) + mkdir(second.c_str(), 0700), 0);
  write_program(first + "/edgellm-locked", 0600);
  write_program(second + "/edgellm-locked", 0700);
  write_program(second + "/edgellm-x", 0700);
  CHECK_EQ(mkdir((first + "/edgellm-x").c_str(), 0700), 0);  // a folder is no program
  const std::string path = "/absent::" + first + ":" + second;
  CHECK_EQ(setenv("PATH", path.c_str(), 1), 0);
  CHECK_EQ(found("edgellm-x"), second + "/edgellm-x");
  CHECK_EQ(found("edgellm-locked"), second + "/edgellm-locked");
  CHECK_EQ(found("edgellm-absent"), std::string());
  CHECK_EQ(found("edgellm-x", 20), std::string());  // its path does not fit
  CHECK_EQ(setenv("PATH", "", 1), 0);
  CHECK_EQ(found("edgellm-x"), std::string());
  CHECK_EQ(unsetenv("PATH"), 0);
  CHECK_EQ(found("edgellm-x"), std::string());
}
