// edgellm chat at a terminal: keys and marks, Ctrl-C and Ctrl-D, signals, and that every end leaves the terminal as it was.
#if defined(__linux__)
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "check.h"
#include "files.h"
#include "make_model.h"

namespace {

struct Terminal {
  pid_t pid = -1;
  int fd = -1;
  std::string seen;
  bool escapes = false;  // something but text came

  explicit Terminal(const std::string& arguments, const std::string& environment = "TERM=xterm") {
    std::string command = environment + " exec " + std::string(std::getenv("EDGELLM")) + " chat " + arguments;
    winsize size = {24, 200, 0, 0};
    pid = forkpty(&fd, nullptr, nullptr, &size);
    if (pid == 0) {
      execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      _exit(127);
    }
  }
  ~Terminal() {
    if (fd >= 0) close(fd);
  }

  // Reads until `what` is seen after what was waited for before, at most a minute.
  bool wait_for(const std::string& what) {
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < end) {
      if (size_t at = seen.find(what); at != std::string::npos) {
        seen.erase(0, at + what.size());
        return true;
      }
      pollfd ready{fd, POLLIN, 0};
      if (poll(&ready, 1, 1000) <= 0) continue;
      char buffer[4096];
      ssize_t n = read(fd, buffer, sizeof buffer);
      if (n <= 0) break;
      seen.append(buffer, static_cast<size_t>(n));
      escapes = escapes || std::find(buffer, buffer + n, '\x1b') != buffer + n;
    }
    std::fprintf(stderr, "never seen: %s; but: %s\n", what.c_str(), seen.c_str());
    return false;
  }
  // One byte more, of an answer: behind the word that ends the taking of keys.
  bool wait_for_some() {
    char byte;
    bool some = wait_for("\x1b[?2004l") && (!seen.empty() || read(fd, &byte, 1) == 1);
    seen.clear();
    return some;
  }
  // How the terminal treats keys, as bytes to compare.
  std::string modes() const {
    termios now = {};
    CHECK_EQ(tcgetattr(fd, &now), 0);
    const tcflag_t flags[] = {now.c_iflag, now.c_oflag, now.c_lflag};
    return {reinterpret_cast<const char*>(flags), sizeof flags};
  }
  void type(const std::string& keys) { CHECK(write(fd, keys.data(), keys.size()) == static_cast<ssize_t>(keys.size())); }
  int exit_code() {
    int status = 0;
    for (int hundredths = 0; hundredths < 6000; hundredths++) {
      if (waitpid(pid, &status, WNOHANG) == pid) return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
      usleep(10000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return -SIGKILL;
  }
};

std::string tiny_model() {
  std::string path = temporary_path("chat.tm2");
  std::string command =
      std::string(std::getenv("EDGELLM_CONVERT")) + " synthetic:tiny " + path + " --chat plain >/dev/null 2>&1";
  CHECK_EQ(std::system(command.c_str()), 0);
  return path;
}

// An answer without end, a token now and then.
const char* const ENDLESS = " -s 1 -t 1 --window 64 -n 1000000000 --pace 200";

// What the editor sends when it takes keys, and its mark.
const char* const PROMPT = "\x1b[?2004h\r\x1b[J> ";

TEST(control_c_stops_the_answer_and_then_ends) {
  Terminal terminal(tiny_model() + ENDLESS);
  if (terminal.pid < 0) SKIP("no terminals here");
  CHECK(terminal.wait_for("/help shows the commands"));
  CHECK(terminal.wait_for(PROMPT));
  terminal.type("Hello\r");
  CHECK(terminal.wait_for("Hello\r\n"));
  CHECK(terminal.wait_for_some());  // the answer has begun, and has no end
  terminal.type("\x03");
  CHECK(terminal.wait_for(PROMPT));
  terminal.type("/reset\r");
  CHECK(terminal.wait_for(PROMPT));
  terminal.type("again\r");
  CHECK(terminal.wait_for("again\r\n"));
  CHECK(terminal.wait_for_some());
  terminal.type("\x03");
  CHECK(terminal.wait_for(PROMPT));
  terminal.type("half");
  terminal.type("\x03");
  CHECK(terminal.wait_for("half^C\r\n\r\x1b[J> "));
  terminal.type("\x03");
  CHECK(terminal.wait_for("^C\r\nCtrl-C once more, Ctrl-D or /quit leaves"));
  CHECK(terminal.wait_for("> "));
  terminal.type("x\x7f\x03");  // not once more: something was typed
  CHECK(terminal.wait_for("leaves"));
  CHECK(terminal.wait_for("> "));
  terminal.type("\x03");
  CHECK_EQ(terminal.exit_code(), 0);
}

// However it ends, where keys are taken or within an answer, the terminal is as it was. SIGHUP comes twice, as the shell and the system
// send it when a terminal is closed. A signal that says the program is broken ends it with its number, or by itself without a seal.
TEST(every_end_leaves_the_terminal_as_it_was) {
  struct End {
    const char* keys;
    int signal, code;
    bool answering;
    const char* more = "";
  };
  const End ends[] = {{"/quit\r", 0, 0, false},
                      {"/exit\r", 0, 0, false},
                      {"/bye\r", 0, 0, false},
                      {"\x04", 0, 0, false},
                      {"\x03\x03", 0, 0, false},
                      {"half\x03/quit\r", 0, 0, false},
                      {"half", SIGTERM, 143, false},
                      {"half", SIGHUP, 129, false},
                      {"half", SIGBUS, 128 + SIGBUS, false},
                      {"half", SIGSEGV, 128 + SIGSEGV, false},
                      {"half", SIGBUS, 128 + SIGBUS, false, " --seal no"},
                      {"half", SIGSEGV, 128 + SIGSEGV, false, " --seal no"},
                      {"half", SIGTERM, 143, false, " --seal no"},
                      {"", SIGTERM, 143, true},
                      {"", SIGHUP, 129, true}};
  const std::string path = tiny_model();
  for (const End& end : ends) {
    Terminal terminal(path + ENDLESS + end.more);
    if (terminal.pid < 0) SKIP("no terminals here");
    const std::string before = terminal.modes();
    CHECK(terminal.wait_for(PROMPT));
    CHECK(terminal.modes() != before);
    if (end.answering) {
      terminal.type("Hello\r");
      CHECK(terminal.wait_for("Hello\r\n"));
      CHECK(terminal.wait_for_some());
      CHECK(terminal.modes() == before);
    }
    terminal.type(end.keys);
    if (end.signal) {
      if (*end.keys) CHECK(terminal.wait_for(end.keys));
      kill(terminal.pid, end.signal);
      if (end.signal == SIGHUP) kill(terminal.pid, end.signal);
    }
    const int code = terminal.exit_code();
    CHECK_EQ(code, end.code);
    CHECK(terminal.modes() == before);
    CHECK(end.answering || terminal.wait_for("\x1b[?2004l"));
  }
}

TEST(a_model_cut_beneath_it_leaves_the_terminal_as_it_was) {
  const std::string path = tiny_model();
  Terminal terminal(path + " -s 1");
  if (terminal.pid < 0) SKIP("no terminals here");
  const std::string before = terminal.modes();
  CHECK(terminal.wait_for(PROMPT));
  CHECK_EQ(truncate(path.c_str(), 0), 0);
  terminal.type("Hello\r");
  CHECK(terminal.wait_for("the model file was cut short"));
  CHECK_EQ(terminal.exit_code(), 1);
  CHECK(terminal.modes() == before);
}

// Keys that are typed within an answer wait for their turn, Ctrl-D too.
TEST(what_is_typed_ahead_is_not_lost) {
  Terminal terminal(tiny_model() + " -s 1 -t 1 --window 64 -n 100 --pace 100");
  if (terminal.pid < 0) SKIP("no terminals here");
  CHECK(terminal.wait_for(PROMPT));
  terminal.type("Hello\r");
  CHECK(terminal.wait_for("Hello\r\n"));
  CHECK(terminal.wait_for_some());
  terminal.type("ahead\r\x04");
  CHECK(terminal.wait_for(std::string(PROMPT) + "ahead\r\n"));
  CHECK(terminal.wait_for(PROMPT));
  CHECK_EQ(terminal.exit_code(), 0);
}

// A shell stops it and uses the terminal meanwhile; the window changes. Under the seal, where there is one.
TEST(it_goes_on_after_a_stop_and_in_another_window) {
  Terminal terminal(tiny_model() + " -s 1 -n 5");
  if (terminal.pid < 0) SKIP("no terminals here");
  termios cooked;
  tcgetattr(terminal.fd, &cooked);
  CHECK(terminal.wait_for(PROMPT));
  const std::string raw = terminal.modes();
  terminal.type("abc");
  CHECK(terminal.wait_for("abc"));
  kill(terminal.pid, SIGSTOP);
  int status;
  CHECK_EQ(waitpid(terminal.pid, &status, WUNTRACED), terminal.pid);
  CHECK(WIFSTOPPED(status));
  tcsetattr(terminal.fd, TCSANOW, &cooked);
  kill(terminal.pid, SIGCONT);
  CHECK(terminal.wait_for("\x1b[?2004h\r\x1b[J> abc"));
  CHECK(terminal.modes() == raw);
  winsize narrow = {10, 10, 0, 0};
  CHECK_EQ(ioctl(terminal.fd, TIOCSWINSZ, &narrow), 0);
  CHECK(terminal.wait_for("\r\x1b[J> abc"));
  terminal.type("defgh");
  CHECK(terminal.wait_for("> abcdefgh\r\n"));  // the row is full
  terminal.type("\x1a\x04\x15\x04");           // Ctrl-Z is no stop here
  CHECK_EQ(terminal.exit_code(), 0);
}

TEST(commands_and_what_is_none) {
  struct Row {
    const char *typed, *seen;
  };
  const Row rows[] = {
      {"/help", "\r\n/system TEXT   begin one with another system text\r\n"},
      {"/?", "/help          show this\r\n"},
      {"/hepl",
       "\x1b[?2004lnote: /hepl is no command: did you mean /help? (/help shows them; a message can have a space before "
       "it)\r\n"},
      {"/x", "\x1b[?2004lnote: /x is no command (/help shows them; a message can have a space before it)\r\n"},
      {"/rest now", "\x1b[?2004lnote: /rest is no command: did you mean /reset? ("},
      {"/quit now", "\x1b[?2004lnote: /quit takes no words; to say it put a space before it\r\n"},
      {"/system", "\x1b[?2004lnote: /system needs a text: /system Be brief.; to say it put a space before it\r\n"},
      {"/reset ", "/reset \r\n"},
      {"/system Be brief.", "brief.\r\n"},
      {"/usr/bin/x is what?", "\r\nnote: the answer was cut; "},  // messages
      {"/* a comment */", "\r\nnote: the answer was cut; "},
      {" /quit", "\r\nnote: the answer was cut; "},
      {"\x1b[200~/quit\rnow\x1b[201~", "\r\nnote: the answer was cut; "},
  };
  Terminal terminal(tiny_model() + " -s 1 -n 2 --window 64");
  if (terminal.pid < 0) SKIP("no terminals here");
  for (const Row& row : rows) {
    CHECK(terminal.wait_for(PROMPT));
    terminal.type(std::string(row.typed) + "\r");
    CHECK(terminal.wait_for(row.seen));
  }
  CHECK(terminal.wait_for(PROMPT));
  terminal.type("/exit \r");
  CHECK_EQ(terminal.exit_code(), 0);
}

// What was typed comes back with the next start, from a file that is its owner's alone.
TEST(a_history_file) {
  const std::string path = tiny_model(), file = temporary_path("history"), options = path + " -s 1 -n 2 --history " + file;
  std::remove(file.c_str());
  for (int round = 0; round < 2; round++) {
    Terminal terminal(options);
    if (terminal.pid < 0) SKIP("no terminals here");
    CHECK(terminal.wait_for(PROMPT));
    if (round == 1) {
      terminal.type("\x1b[A\x1b[A");
      CHECK(terminal.wait_for("> two\r\n... lines"));
    } else {
      terminal.type("one\r");
      CHECK(terminal.wait_for(PROMPT));
      terminal.type("\x1b[200~two\rlines\x1b[201~");
    }
    terminal.type("\r");
    CHECK(terminal.wait_for(PROMPT));
    terminal.type("/quit\r");
    CHECK_EQ(terminal.exit_code(), 0);
  }
  CHECK_EQ(read_file(file), std::string("one\ntwo\\\nlines\n/quit\ntwo\\\nlines\n/quit\n"));
  struct stat info;
  CHECK_EQ(stat(file.c_str(), &info), 0);
  CHECK_EQ(info.st_mode & 0777, mode_t{0600});
  write_file(file, std::string("MZ\0\n", 4));
  const std::string refusals[][2] = {{path + " --history " + path, "is the same file as"},
                                     {path + " --history /dev/null", "is a device, not a regular file"},
                                     {options, "is no list of messages; name a new file"}};
  for (const auto& refusal : refusals) {
    Terminal terminal(refusal[0]);
    CHECK(terminal.wait_for(refusal[1]));
    CHECK_EQ(terminal.exit_code(), 2);
  }
}

// Where lines cannot be edited, the system does it, and nothing but text comes out.
TEST(plain_lines_on_a_terminal_that_is_none) {
  const std::string path = tiny_model();
  const char* const environments[][2] = {{"TERM=dumb", ""}, {"TERM=", ""}, {"TERM=xterm", " 2>/dev/null"}};
  for (const auto& environment : environments) {
    const bool marks = !*environment[1];
    Terminal terminal(path + " -s 1 -n 5" + environment[1], environment[0]);
    if (terminal.pid < 0) SKIP("no terminals here");
    const std::string before = terminal.modes();
    if (marks) CHECK(terminal.wait_for("ends\r\n> "));
    terminal.type("Hello\n");
    CHECK(terminal.wait_for("Hello\r\n"));
    if (marks) {
      CHECK(terminal.wait_for("\r\n> "));
      CHECK(terminal.modes() == before);
    }
    terminal.type("\x04");
    CHECK_EQ(terminal.exit_code(), 0);
    CHECK(!terminal.escapes);
  }
}

// Each line is a request of its own.
TEST(a_model_with_a_grammar_on_a_terminal) {
  Terminal terminal("models/home.srnn");
  if (terminal.pid < 0) SKIP("no terminals here");
  for (int round = 0; round < 2; round++) {
    CHECK(terminal.wait_for(PROMPT));
    terminal.type("dim the bedroom lamp to forty percent\r");
    CHECK(terminal.wait_for("\x1b[?2004l{\"device\":\"light\",\"room\":\"bedroom\",\"action\":\"set\",\"value\":40}\r\n"));
  }
  CHECK(terminal.wait_for(PROMPT));
  terminal.type("/system Be brief.\r");
  CHECK(terminal.wait_for(
      "note: /system: the model has a grammar and no chat template, so that each message is a request of its own"));
  CHECK(terminal.wait_for(PROMPT));
  terminal.type("\x04");
  CHECK_EQ(terminal.exit_code(), 0);
}

}  // namespace
#else
#include "check.h"
TEST(a_terminal) {
  SKIP("made for Linux");
}
#endif
