// Destinations: what is refused stands as before, what is opened is not emptied.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "check.h"
#include "child.h"
#include "files.h"
#include "platform/console.h"
#include "platform/destination.h"

#if defined(__linux__)
#include <sys/sysmacros.h>
#endif

using namespace edgellm;

namespace {

struct Scratch {
  std::string path;
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "edgellm_XXXXXX").string();
    CHECK(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  std::string file(const std::string& name, const std::string& bytes) const {
    std::ofstream(path + "/" + name) << bytes;
    return path + "/" + name;
  }
};

// The error of opening, empty when there is none; what was opened is closed again.
std::string open_error(const std::string& path) {
  i32 fd = -1;
  Status status = open_destination("--to", path.c_str(), 0600, &fd);
  if (status.ok()) {
    CHECK(fd > 2);
    close(fd);
  }
  return status.text();
}

TEST(a_regular_file_is_opened_as_it_stands) {
  Scratch scratch;
  std::string path = scratch.file("there", "kept");
  CHECK_EQ(open_error(path), std::string());
  CHECK_EQ(read_file(path), std::string("kept"));
  std::string made = scratch.path + "/new";
  CHECK_EQ(open_error(made), std::string());
  CHECK_EQ(std::filesystem::file_size(made), std::uintmax_t{0});
  CHECK(contains(open_error(scratch.path + "/absent/new"), "--to " + scratch.path + "/absent/new: No such file"));
}

TEST(one_process_at_a_time) {
  Scratch scratch;
  std::string path = scratch.file("state", "kept");
  i32 fd = -1;
  CHECK(open_destination("--to", path.c_str(), 0600, &fd).ok());
  check::Child child = check::in_child([&] { return open_error(path).empty() ? 0 : 3; });
  CHECK_EQ(child.exit_code, 3);
  CHECK(contains(open_error(path), "another process has it open for writing"));
  close(fd);
  CHECK_EQ(open_error(path), std::string());
}

TEST(links_are_followed) {
  Scratch scratch;
  std::string target = scratch.file("target", "kept"), link = scratch.path + "/link", dangling = scratch.path + "/dangling";
  CHECK_EQ(symlink(target.c_str(), link.c_str()), 0);
  CHECK_EQ(symlink("made", dangling.c_str()), 0);
  CHECK_EQ(open_error(link), std::string());
  CHECK_EQ(open_error(dangling), std::string());
  CHECK(std::filesystem::is_symlink(link) && std::filesystem::is_symlink(dangling));
  CHECK_EQ(read_file(target), std::string("kept"));
  CHECK(std::filesystem::is_regular_file(scratch.path + "/made"));
}

TEST(what_is_no_file_is_refused_by_name) {
  Scratch scratch;
  CHECK(contains(open_error(scratch.path), "--to " + scratch.path + ": is a folder"));
  std::string fifo = scratch.path + "/fifo", link = scratch.path + "/link";
  CHECK_EQ(mkfifo(fifo.c_str(), 0600), 0);
  CHECK_EQ(symlink(fifo.c_str(), link.c_str()), 0);
  CHECK(contains(open_error(fifo), fifo + ": is a named pipe"));
  CHECK(contains(open_error(link), link + ": is a named pipe"));
  CHECK(std::filesystem::is_fifo(fifo));

  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  std::string socket_path = scratch.path + "/socket";
  int listening = socket(AF_UNIX, SOCK_STREAM, 0);
  if (socket_path.size() < sizeof name.sun_path) {
    std::memcpy(name.sun_path, socket_path.c_str(), socket_path.size());
    CHECK_EQ(bind(listening, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
    CHECK(contains(open_error(socket_path), socket_path + ": is a socket"));
  }
  close(listening);
}

#if defined(__linux__)
TEST(a_device_is_refused) {
  Scratch scratch;
  std::string device = scratch.path + "/null";
  if (mknod(device.c_str(), S_IFCHR | 0600, makedev(1, 3)) != 0) SKIP("device nodes cannot be made here");
  CHECK(contains(open_error(device), device + ": is a device"));
  CHECK(std::filesystem::is_character_file(device));
}
#endif

TEST(an_input_is_refused_however_it_is_named) {
  Scratch scratch;
  std::string model = scratch.file("model", "weights"), other = scratch.file("other", "x");
  std::string soft = scratch.path + "/soft", hard = scratch.path + "/hard", around = scratch.path + "/./model";
  CHECK_EQ(symlink(model.c_str(), soft.c_str()), 0);
  CHECK_EQ(link(model.c_str(), hard.c_str()), 0);
  const char* inputs[] = {nullptr, model.c_str(), "absent"};
  for (const std::string& path : {model, soft, hard, around}) {
    Status status = check_destination("--to", path.c_str(), {inputs, 3});
    CHECK(status.code() == Code::usage);
    CHECK(contains(status.text(), "--to " + path + ": is the same file as " + model + ", which is read"));
  }
  CHECK(check_destination("--to", other.c_str(), {inputs, 3}).ok());
  CHECK(check_destination("--to", (scratch.path + "/new").c_str(), {inputs, 3}).ok());
  CHECK_EQ(read_file(model), std::string("weights"));
}

TEST(a_standard_stream_is_refused) {
  Scratch scratch;
  std::string path = scratch.file("log", "");
  check::Child child = check::in_child([&] {
    int log = open(path.c_str(), O_WRONLY);
    if (log < 0 || dup2(log, STDIN) < 0) return 1;
    Status status = check_destination("--to", path.c_str(), {});
    note(status.text(), "\n");
    return static_cast<int>(status.code());
  });
  CHECK_EQ(child.exit_code, static_cast<int>(Code::usage));
  CHECK(contains(child.output, "the same file as standard input"));
}

TEST(each_standard_stream_by_its_name) {
  Scratch scratch;
  const std::string path = scratch.file("log", ""), words = "--to " + path + ": is the same file as standard ";
  const char* names[] = {"input", "output", "error"};
  for (int stream = STDIN; stream <= STDERR; stream++) {
    char text[400] = "";
    i32 code = 0;
    const int kept = dup(stream), log = open(path.c_str(), O_RDWR);
    std::fflush(nullptr);
    dup2(log, stream);
    {
      Status status = check_destination("--to", path.c_str(), {});
      code = static_cast<i32>(status.code());
      std::strncpy(text, status.text(), sizeof text - 1);
    }
    dup2(kept, stream);
    close(kept), close(log);
    CHECK_EQ(code, 2);
    CHECK_EQ(std::string(text), words + names[stream] + "; name another file");
  }
}

// How the file that is made may be used, what stays closed for programs that are started, and that what is refused is not left open.
TEST(what_is_opened) {
  Scratch scratch;
  const std::string made = scratch.path + "/made", there = scratch.file("there", "x");
  i32 fd = -1;
  umask(0);
  CHECK(open_destination("--to", made.c_str(), 0640, &fd).ok());
  struct stat info;
  CHECK_EQ(fstat(fd, &info), 0);
  CHECK_EQ(info.st_mode & 0777u, 0640u);
  CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
  close(fd);
  umask(022);
  auto next_free = [] {
    const int free_one = open("/dev/null", O_RDONLY);
    close(free_one);
    return free_one;
  };
  i32 first = -1;
  CHECK(open_destination("--to", there.c_str(), 0600, &first).ok());
  const int before = next_free();
  CHECK(!open_error(there).empty() && !open_error(scratch.path).empty());
  CHECK_EQ(next_free(), before);
  close(first);
  CHECK_EQ(open_error(there + "/below"), "--to " + there + "/below: Not a directory");
  CHECK(check_destination("--to", (there + "/below").c_str(), {}).code() == Code::failed);
}

// Streams that are closed, one by one and together: the file gets a descriptor behind them.
TEST(every_closed_stream) {
  Scratch scratch;
  const std::string path = scratch.file("state", "kept");
  for (int closed = 1; closed < 8; closed++) {
    check::Child child = check::in_child([&] {
      for (int stream = STDIN; stream <= STDERR; stream++) {
        if (closed >> stream & 1) close(stream);
      }
      i32 fd = -1;
      if (!open_destination("--to", path.c_str(), 0600, &fd).ok() || fd <= STDERR || (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0)
        return 2;
      for (int stream = STDIN; stream <= STDERR; stream++) {
        if ((closed >> stream & 1) && fcntl(stream, F_GETFD) != -1) return 3;  // its place is still free
      }
      return 0;
    });
    CHECK_EQ(child.exit_code, 0);
  }
  CHECK_EQ(read_file(path), std::string("kept"));
}

TEST(kinds_of_files) {
  CHECK_EQ(std::string(file_kind(S_IFDIR)), std::string("a folder"));
  CHECK_EQ(std::string(file_kind(S_IFIFO)), std::string("a named pipe"));
  CHECK_EQ(std::string(file_kind(S_IFSOCK)), std::string("a socket"));
  CHECK_EQ(std::string(file_kind(S_IFLNK)), std::string("a symbolic link"));
  CHECK_EQ(std::string(file_kind(S_IFCHR)), std::string("a device"));
  CHECK_EQ(std::string(file_kind(S_IFBLK)), std::string("a device"));
}

// A destination never becomes the stream that was closed: prints would end up in it.
TEST(a_closed_stream_leaves_no_place) {
  Scratch scratch;
  std::string path = scratch.file("state", "kept");
  check::Child child = check::in_child([&] {
    close(STDIN);
    close(STDOUT);
    i32 fd = -1;
    if (!open_destination("--to", path.c_str(), 0600, &fd).ok() || fd <= STDERR) return 2;
    return print("lost") ? 3 : 0;
  });
  CHECK_EQ(child.exit_code, 0);
  CHECK_EQ(read_file(path), std::string("kept"));
}

}  // namespace
