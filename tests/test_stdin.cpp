// Standard input as the text of a run: when it is read and when it is left alone, what is taken of it, and what is said while
// nothing comes. EDGELLM is the command that starts the program.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "program.h"
#include "scripted_model.h"

using namespace edgellm;

namespace {

// Its ids are bytes, so that `tokenize` shows what was read.
std::string byte_model() {
  Script script("ok");
  return write_script(script.then(Script::STOP));
}

std::string ids_of(const std::string& text) {
  std::string list;
  for (char c : text)
    list += (list.empty() ? "" : ",") + std::to_string(static_cast<u8>(c));
  return list + "\n";
}

// The program with a descriptor as its standard input, while it runs.
struct Running {
  Folder folder;
  pid_t pid;

  Running(const std::string& words, int input, int not_its = -1) {
    const std::string line =
        "exec " + std::string(std::getenv("EDGELLM")) + " " + words + " >" + (folder / "out") + " 2>" + (folder / "err");
    write_file(folder / "err", "");
    pid = fork();
    if (pid != 0) return;
    dup2(input, 0);
    close(input);
    if (not_its >= 0) close(not_its);
    execl("/bin/sh", "sh", "-c", line.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  // Until it has said so; what it says otherwise after a minute.
  std::string hears(const std::string& said) {
    for (int tries = 0; tries < 6000 && !contains(read_file(folder / "err"), said); tries++)
      usleep(10000);
    return read_file(folder / "err");
  }
  Said end() {
    int status = 0;
    waitpid(pid, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(folder / "out"), read_file(folder / "err")};
  }
};

void send(int to, const std::string& text) {
  CHECK_EQ(write(to, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

}  // namespace

TEST(what_is_read) {
  const std::string model = byte_model();
  Folder folder;
  for (const auto& [name, text] : std::vector<std::pair<std::string, std::string>>{{"line", "hi\n"},
                                                                                   {"crlf", "hi\r\n"},
                                                                                   {"two", "hi\n\n"},
                                                                                   {"cr", "hi\r"},
                                                                                   {"bare", "hi"},
                                                                                   {"lf", "\n"},
                                                                                   {"none", ""}})
    write_file(folder / name, text);
  const struct {
    const char *before, *words, *after, *text;
    int code = 0;
    const char* says = "";
  } cases[] = {
      {"", "", "<line", "hi"},
      {"", "", "<crlf", "hi"},
      {"", "", "<two", "hi\n"},
      {"", "", "<cr", "hi\r"},
      {"", "", "<bare", "hi"},
      {"", "", "<lf", ""},
      {"", "", "<none", ""},
      {"", "-", "<crlf", "hi"},
      {"", "-", "<none", ""},
      {"", "-f -", "<line", "hi"},
      {"cat line |", "--file /dev/stdin", "", "hi"},
      {"cat line |", "", "", "hi"},
      {"cat line |", "-", "", "hi"},
      {"true |", "", "", ""},
      {"", "", "</dev/null", ""},  // as cron and systemd give it
      {"", "-", "</dev/null", ""},
      {"", "-f line", "", "hi\n"},  // a file is taken as it is
      {"", "-f line", "<crlf", "hi\n"},
      {"cat line |", "-i ab", "", "ab"},
      {"", "-i ''", "<line", ""},
      {"", "--no-stdin", "<line", ""},
      {"cat line |", "--no-stdin -i ab", "", "ab"},
      {"", "", "<&-", ""},
      {"", "", "</", ""},
      {"", "-", "<&-", "", 1, "edgellm: standard input cannot be read: Bad file descriptor\n"},
      {"", "-", "</", "", 1, "edgellm: standard input cannot be read: Is a directory\n"},
      {"", "- --no-stdin", "<line", "", 2, "edgellm: - reads standard input, --no-stdin does not: only one can be\n"},
  };
  const std::string program = std::getenv("EDGELLM"),
                    here = "here=$PWD; edgellm() { (cd \"$here\" && " + program + " \"$@\"); }; cd " + folder.path + "; ";
  for (const auto& one : cases) {
    std::string words = one.words;
    if (const size_t at = words.find("-f line"); at != std::string::npos) words.insert(at + 3, folder.path + "/");
    const std::string command = std::string(one.before) + " edgellm tokenize " + model + " " + words + " " + one.after;
    const Said said = shell(here + command);
    CHECK_EQ(command + ": " + std::to_string(said.code), command + ": " + std::to_string(one.code));
    CHECK_EQ(command + ": " + said.out, command + ": " + (one.code ? "" : ids_of(one.text)));
    CHECK_EQ(command + ": " + said.err, command + ": " + one.says);
  }
  // A run reads it too, but not where a state is what it goes on from.
  const std::string run = model + " -t 0 --state-save " + (folder / "state");
  CHECK(contains(edgellm_says(run, folder / "line").err, "\n2 tokens in, "));
  const std::string on = model + " -t 0 --state-load " + (folder / "state");
  CHECK(contains(edgellm_says(on, folder / "line").err, "\n0 tokens in, "));
  CHECK(contains(edgellm_says(on + " -", folder / "line").err, "\n2 tokens in, "));
  CHECK(contains(edgellm_says(model + " -t 0", folder / "none").err, "the prompt is empty"));
  // A loop over lines keeps its lines.
  write_file(folder / "lines", "a\nb\nc\n");
  const std::string loop = "while read -r line; do " + program + " tokenize " + model + " ";
  CHECK_EQ(shell(loop + "-i $line; done", folder / "lines").out, std::string("97\n98\n99\n"));
  CHECK_EQ(shell(loop + "--no-stdin; done", folder / "lines").out, std::string("\n\n\n"));
}

// Nothing comes: that is said, and then it goes on waiting.
TEST(what_is_said_while_nothing_comes) {
  const std::string model = byte_model();
  const std::string waits =
      "note: waiting for the text on standard input; with -i TEXT, -f FILE or --no-stdin it is not read\n";
  const std::string asked = waits.substr(0, waits.find(';')) + "\n";
  for (const std::string how : {"", " -", " --stdin"}) {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    Running running("tokenize " + model + how, ends[0], ends[1]);
    close(ends[0]);
    const std::string& note = how.empty() ? waits : asked;
    CHECK_EQ(running.hears(note), note);
    send(ends[1], "late\n");
    close(ends[1]);
    const Said said = running.end();
    CHECK_EQ(said.code, 0);
    CHECK_EQ(said.out, ids_of("late"));
    CHECK_EQ(said.err, note);
  }
  // Ctrl-C ends the wait.
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  Running running(model, ends[0], ends[1]);
  close(ends[0]);
  running.hears("note: ");
  kill(running.pid, SIGINT);
  CHECK_EQ(running.end().code, 130);
  close(ends[1]);
}

// A terminal and a socket are read only when `-` asks for it.
TEST(terminals_and_sockets) {
  const std::string model = byte_model();
  for (const bool asked : {false, true}) {
    const std::string words = "tokenize " + model + (asked ? " -" : "");
    const int keyboard = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(keyboard >= 0 && grantpt(keyboard) == 0 && unlockpt(keyboard) == 0);
    const int screen = open(ptsname(keyboard), O_RDWR | O_NOCTTY);
    CHECK(screen >= 0);
    Running typed(words, screen, keyboard);
    if (asked) {
      CHECK_EQ(typed.hears("note: "), std::string("note: type the text, and end it with Ctrl-D on a line of its own\n"));
      send(keyboard, "hi\n\x04");
    }
    Said said = typed.end();
    CHECK_EQ(said.code, 0);
    CHECK_EQ(said.out, ids_of(asked ? "hi" : ""));
    close(screen);
    close(keyboard);

    int ends[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    send(ends[1], "hi\n");
    shutdown(ends[1], SHUT_WR);
    Running plugged(words, ends[0], ends[1]);
    said = plugged.end();
    CHECK_EQ(said.code, 0);
    CHECK_EQ(said.out, ids_of(asked ? "hi" : ""));
    close(ends[0]);
    close(ends[1]);
  }
}

// What has its text, or takes none, does not wait for a pipe that nobody writes to.
TEST(who_does_not_wait) {
  const std::string model = byte_model();
  Folder folder;
  write_file(folder / "text", "abc");
  edgellm_says(model + " -i a -t 0 --state-save " + (folder / "state"));
  for (const std::string& words :
       {model + " -i abc -t 0", model + " -t 0 -f " + (folder / "text"), model + " -t 0 --state-load " + (folder / "state"),
        "tokenize " + model + " --no-stdin", "eval " + model + " --ids 1,2",
        "eval " + model + " --text " + (folder / "text"), "info " + model, "detokenize " + model + " --ids 97"}) {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    Running running(words, ends[0], ends[1]);
    close(ends[0]);
    CHECK_EQ(words + ": " + std::to_string(running.end().code), words + ": 0");
    close(ends[1]);
  }
  // Nor does what lacks its model.
  for (const char* words : {"none.tm2", "none.tm2 -", "tokenize none.tm2"}) {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    Running running(words, ends[0], ends[1]);
    close(ends[0]);
    const Said said = running.end();
    CHECK_EQ(said.code, 3);
    CHECK_EQ(said.err, std::string("edgellm: cannot open none.tm2: No such file or directory\n"));
    close(ends[1]);
  }
}
