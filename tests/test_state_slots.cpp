// The two slots of a state file: which of them is read, which is written over, and what is left when something fails.
#include <algorithm>

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "child.h"
#include "files.h"
#include "make_model.h"
#include "state_image.h"

using namespace edgellm;

namespace {

EngineOptions plain() {
  EngineOptions options;
  options.threads = 1;
  return options;
}

std::string model_file(u64 seed = 1) {
  const std::string path = temporary_path("model_" + std::to_string(seed) + ".tm2");
  write_model({}, path, seed);
  return path;
}

void write_bytes(const std::string& path, const std::vector<u8>& bytes) {
  write_file(path, {bytes.begin(), bytes.end()});
}

// Where a state of this sequence stands.
i32 position_of(u64 sequence) {
  return 10 + static_cast<i32>(sequence % 50);
}

std::vector<u8> saved(const Engine& engine, u64 sequence) {
  engine.sessions[0].restart();
  engine.sessions[0].position = position_of(sequence);
  return StateImage(engine, 0, sequence).bytes;
}

struct Slot {
  enum Kind { whole, damaged, foreign, begun, cut, none } kind;
  u64 sequence = 0;
};

class Slots {
 public:
  Slots() : ours_(plain(), model_file(1)), other_(plain(), model_file(2)), path_(temporary_path("slots.state")) {}

  Engine& engine() { return ours_.engine; }
  const std::string& path() const { return path_; }

  std::vector<u8> bytes_of(Slot slot) {
    std::vector<u8> bytes = saved(slot.kind == Slot::foreign ? other_.engine : ours_.engine, slot.sequence);
    if (slot.kind == Slot::damaged) bytes[600] ^= 1;
    if (slot.kind == Slot::begun) {  // a header without a save, then nothing
      std::fill(bytes.begin() + 512, bytes.end(), u8{0});
      for (size_t at : {size_t{offsetof(StateHeader, position)}, size_t{offsetof(StateHeader, pending)}})
        std::memset(bytes.data() + at, 0, 4);
      std::memset(bytes.data() + offsetof(StateHeader, checksum), 0, 8);
    }
    if (slot.kind == Slot::cut) bytes.resize(1000);
    if (slot.kind == Slot::none) bytes.clear();
    return bytes;
  }

  void write(Slot first, Slot second) {
    std::vector<u8> bytes = bytes_of(first), more = bytes_of(second);
    bytes.insert(bytes.end(), more.begin(), more.end());
    write_bytes(path_, bytes);
  }

  // The position that is loaded, or why none is.
  std::string load() {
    std::vector<u8> buffer(static_cast<size_t>(state_image_bytes(engine())));
    Session& session = engine().sessions[0];
    session.restart();
    Status status = load_state_file(engine(), path_.c_str(), buffer.data(), &session);
    CHECK(status.ok() || status.code() == Code::failed);
    return status.ok() ? std::to_string(session.position) : status.text();
  }

  Status open(StateFile* file) {
    buffer_.assign(static_cast<size_t>(state_image_bytes(engine())), 0);
    return open_state_file(engine(), path_.c_str(), buffer_.data(), file);
  }

  // Saves the state of that sequence, as another run of the program would.
  void save(StateFile& file, u64 sequence) {
    engine().sessions[0].restart();
    engine().sessions[0].position = position_of(sequence);
    CHECK_EQ(std::string(save_state_file(engine(), engine().sessions[0], buffer_.data(), file).text()), "");
  }

 private:
  OpenEngine ours_, other_;
  std::string path_;
  std::vector<u8> buffer_;
};

std::string damage(const std::vector<u8>& bytes) {
  std::vector<u8> summed = bytes;
  std::memset(summed.data() + offsetof(StateHeader, checksum), 0, 8);
  return "damaged, its checksum is " + hex(model_reader::xxh64(summed)) + ", it says " +
         hex(model_reader::at<u64>(bytes, offsetof(StateHeader, checksum)));
}

std::vector<u8> part(const std::vector<u8>& bytes, i64 begin, i64 end) {
  return {bytes.begin() + begin, bytes.begin() + std::min(end, static_cast<i64>(bytes.size()))};
}

}  // namespace

TEST(which_slot_is_read_and_which_is_written) {
  constexpr u64 LATE = (u64{1} << 63) + 7;  // larger than 1, whatever its sign as a signed number
  const struct {
    Slot first, second;
    i32 read;      // the slot, or the one whose error is told: 10 + slot
    i32 next;      // the slot that a save goes to
    u64 sequence;  // of the newest
  } cases[] = {
      {{Slot::whole, 1}, {Slot::whole, 2}, 1, 0, 2},       {{Slot::whole, 3}, {Slot::whole, 2}, 0, 1, 3},
      {{Slot::whole, 2}, {Slot::whole, 2}, 0, 1, 2},       {{Slot::whole, LATE}, {Slot::whole, 1}, 0, 1, LATE},
      {{Slot::whole, 1}, {Slot::whole, LATE}, 1, 0, LATE}, {{Slot::whole, 1}, {Slot::damaged, 2}, 0, 1, 1},
      {{Slot::damaged, 3}, {Slot::whole, 2}, 1, 0, 2},     {{Slot::damaged, 1}, {Slot::whole, 2}, 1, 0, 2},
      {{Slot::damaged, 3}, {Slot::damaged, 2}, 10, 1, 3},  {{Slot::damaged, 1}, {Slot::damaged, 2}, 11, 1, 1},
      {{Slot::foreign, 5}, {Slot::whole, 1}, 1, 0, 1},     {{Slot::whole, 1}, {Slot::foreign, 5}, 0, 1, 1},
      {{Slot::foreign, 5}, {Slot::damaged, 1}, 11, 0, 1},  {{Slot::whole, 1}, {Slot::none}, 0, 1, 1},
      {{Slot::whole, 1}, {Slot::cut, 2}, 0, 1, 1},         {{Slot::damaged, 1}, {Slot::none}, 10, 1, 1},
      {{Slot::begun}, {Slot::whole, 1}, 1, 0, 1},          {{Slot::begun}, {Slot::damaged, 1}, 11, 1, 0},
  };
  Slots slots;
  const i64 half = state_image_bytes(slots.engine());
  for (const auto& one : cases) {
    slots.write(one.first, one.second);
    const Slot of_error = one.read == 11 ? one.second : one.first, read = one.read == 1 ? one.second : one.first;
    CHECK_EQ(slots.load(), one.read >= 10 ? "state file " + slots.path() + ": " + damage(slots.bytes_of(of_error))
                                          : std::to_string(position_of(read.sequence)));
    const std::vector<u8> before = read_array<u8>(slots.path());
    StateFile file;
    CHECK_EQ(std::string(slots.open(&file).text()), "");
    CHECK_EQ(file.next_slot, one.next);
    CHECK_EQ(file.sequence, one.sequence);
    CHECK(read_array<u8>(slots.path()) == before);  // not touched before a save
    slots.save(file, one.sequence + 1);
    close(file.fd);
    const std::vector<u8> after = read_array<u8>(slots.path());
    CHECK(part(after, one.next * half, (one.next + 1) * half) == saved(slots.engine(), one.sequence + 1));
    const i64 kept = (1 - one.next) * half;
    CHECK(part(after, kept, kept + half) == part(before, kept, kept + half));
    CHECK_EQ(slots.load(), std::to_string(position_of(one.sequence + 1)));
  }
}

TEST(each_run_leaves_the_state_before_it) {
  Slots slots;
  const i64 half = state_image_bytes(slots.engine());
  std::remove(slots.path().c_str());
  std::vector<u8> before;
  for (u64 run = 1; run <= 5; run++) {
    StateFile file;
    CHECK_EQ(std::string(slots.open(&file).text()), "");
    CHECK(file.path == slots.path());
    CHECK_EQ(file.sequence, run - 1);
    CHECK_EQ(file.next_slot, static_cast<i32>(run % 2));
    slots.save(file, run);
    close(file.fd);
    CHECK_EQ(slots.load(), std::to_string(position_of(run)));
    std::vector<u8> after = read_array<u8>(slots.path());
    if (run > 1) {  // the older one survives damage of the newer
      const i64 kept = run % 2 ? 0 : half;
      CHECK(part(after, kept, kept + half) == part(before, kept, kept + half));
      std::vector<u8> damaged = after;
      damaged[static_cast<size_t>((run % 2 ? half : 0) + half - 1)] ^= 1;
      write_bytes(slots.path(), damaged);
      CHECK_EQ(slots.load(), std::to_string(position_of(run - 1)));
      write_bytes(slots.path(), after);
    }
    before = after;
  }
}

TEST(saves_of_one_run_go_to_each_slot_in_turn) {
  Slots slots;
  const i64 half = state_image_bytes(slots.engine());
  std::remove(slots.path().c_str());
  StateFile file;
  CHECK(slots.open(&file).ok());
  for (u64 save = 1; save <= 4; save++) {
    slots.save(file, save);
    const std::vector<u8> bytes = read_array<u8>(slots.path());
    for (u64 slot : {u64{0}, u64{1}}) {
      const u64 sequence = save % 2 == slot ? save : save - 1;
      if (sequence == 0) continue;
      const i64 at = static_cast<i64>(slot) * half;
      CHECK(part(bytes, at, at + half) == saved(slots.engine(), sequence));
    }
  }
  close(file.fd);
}

TEST(a_new_file_begins_with_a_header) {
  Slots slots;
  for (size_t zeros : {size_t{0}, size_t{1}, size_t{511}, size_t{512}}) {
    write_bytes(slots.path(), std::vector<u8>(zeros));
    StateFile file;
    CHECK_EQ(std::string(slots.open(&file).text()), "");
    CHECK(file.next_slot == 1 && file.sequence == 0 && file.fd > 2);
    close(file.fd);
    std::vector<u8> header = slots.bytes_of({Slot::begun});
    header.resize(512);
    CHECK(read_array<u8>(slots.path()) == header);
    CHECK_EQ(slots.load(), "state file " + slots.path() + ": no state was saved in it yet");
    CHECK_EQ(std::string(slots.open(&file).text()), "");  // and again
    CHECK(file.next_slot == 1 && file.sequence == 0);
    close(file.fd);
    CHECK(read_array<u8>(slots.path()) == header);
  }
  std::remove(slots.path().c_str());
  StateFile file;
  const mode_t mask = umask(0);
  CHECK(slots.open(&file).ok());
  umask(mask);
  close(file.fd);
  struct stat info;
  CHECK(stat(slots.path().c_str(), &info) == 0 && (info.st_mode & 0777) == 0600);
}

TEST(what_is_no_state_file_is_left_as_it_is) {
  Slots slots;
  const size_t half = static_cast<size_t>(state_image_bytes(slots.engine()));
  const std::vector<u8> whole = slots.bytes_of({Slot::whole, 1}), foreign = slots.bytes_of({Slot::foreign, 1});
  auto size = [&](std::vector<u8> bytes, size_t n) {
    bytes.resize(n);
    return bytes;
  };
  std::vector<u8> last(512), older = whole, twice = foreign;
  last[511] = 1;
  older[3] = '1';
  twice.insert(twice.end(), foreign.begin(), foreign.end());
  const struct {
    std::vector<u8> bytes;
    std::string says;
  } cases[] = {
      {std::vector<u8>(513), "not a saved state (it begins with 00000000)"},
      {std::vector<u8>(3 * half), "not a saved state (it begins with 00000000)"},
      {last, "not a saved state (it begins with 00000000)"},
      {{1}, "1 bytes are less than a header"},
      {size(whole, 511), "511 bytes are less than a header"},
      {foreign, "it was saved from another model"},
      {twice, "it was saved from another model"},
      {older, "it was saved by an older version, which did not note every option; make it anew"},
  };
  for (const auto& one : cases) {
    write_bytes(slots.path(), one.bytes);
    CHECK_EQ(slots.load(), "state file " + slots.path() + ": " + one.says);
    StateFile file;
    for (i32 again = 0; again < 2; again++) {  // the first has closed it
      CHECK_EQ(std::string(slots.open(&file).text()),
               "--state-save " + slots.path() + ": " + one.says + "; it is left as it is, name another file");
    }
    CHECK(read_array<u8>(slots.path()) == one.bytes);
  }
  std::remove(slots.path().c_str());
  CHECK_EQ(slots.load(), "state file " + slots.path() + ": No such file or directory");
}

TEST(what_is_no_regular_file) {
  Slots slots;
  const Folder folder;
  std::vector<u8> buffer(static_cast<size_t>(state_image_bytes(slots.engine())));
  StateFile file;
  Status status = open_state_file(slots.engine(), folder.path.c_str(), buffer.data(), &file);
  CHECK(status.code() == Code::usage);
  CHECK_EQ(std::string(status.text()),
           "--state-save " + folder.path + ": is a folder, not a regular file; nothing is written to it");
  status = load_state_file(slots.engine(), folder.path.c_str(), buffer.data(), &slots.engine().sessions[0]);
  CHECK_EQ(std::string(status.text()), "state file " + folder.path + ": not a regular file");
}

TEST(a_file_that_cannot_be_read) {
  const char* path = "/proc/self/mem";  // no memory is at its beginning
  if (access(path, R_OK) != 0) SKIP("there is no /proc/self/mem");
  Slots slots;
  std::vector<u8> buffer(static_cast<size_t>(state_image_bytes(slots.engine())));
  Status status = load_state_file(slots.engine(), path, buffer.data(), &slots.engine().sessions[0]);
  CHECK_EQ(std::string(status.text()), "state file /proc/self/mem: it cannot be read: Input/output error");
}

TEST(files_are_closed_again) {
  Slots slots;
  slots.write({Slot::whole, 1}, {Slot::whole, 2});
  const int before = dup(0);
  close(before);
  for (i32 i = 0; i < 3; i++)
    CHECK_EQ(slots.load(), std::to_string(position_of(2)));
  write_bytes(slots.path(), {1, 2, 3});
  StateFile file;
  for (i32 i = 0; i < 3; i++) {
    CHECK(slots.load().size() > 10);
    CHECK(!slots.open(&file).ok());
  }
  const int after = dup(0);
  close(after);
  CHECK_EQ(before, after);
}

namespace {

// What a body says whose files may have so many bytes; "no limit" where the system has none.
template <class Body>
std::string limited(i64 bytes, const Body& body) {
  const std::string path = temporary_path("limited");
  check::Child child = check::in_child([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {static_cast<rlim_t>(bytes), static_cast<rlim_t>(bytes)};
    const int fd = open(path.c_str(), O_CREAT | O_WRONLY, 0600);
    const bool has_limit = setrlimit(RLIMIT_FSIZE, &limit) == 0 && pwrite(fd, "x", 1, static_cast<off_t>(bytes)) < 0;
    std::printf("%s", has_limit ? body().text() : "no limit");
    std::fflush(stdout);
    return 0;
  });
  CHECK_EQ(child.exit_code, 0);
  return child.output;
}

}  // namespace

TEST(a_header_that_does_not_fit_leaves_nothing) {
  Slots slots;
  for (i64 size : {0, 100}) {
    write_bytes(slots.path(), std::vector<u8>(static_cast<size_t>(size)));
    StateFile file;
    const std::string said = limited(300, [&] { return slots.open(&file); });
    if (said == "no limit") SKIP("the size of files is not limited here");
    CHECK_EQ(said, "--state-save " + slots.path() + ": File too large");
    CHECK_EQ(read_array<u8>(slots.path()).size(), size_t{0});
  }
}

TEST(a_state_that_does_not_fit_leaves_the_one_before) {
  Slots slots;
  const i64 half = state_image_bytes(slots.engine());
  std::vector<u8> buffer(static_cast<size_t>(half));
  for (u64 saves = 0; saves < 4; saves++) {
    std::remove(slots.path().c_str());
    StateFile file;
    CHECK(slots.open(&file).ok());
    for (u64 save = 1; save <= saves; save++)
      slots.save(file, save);
    const std::string said = limited(1000 + (saves % 2 ? 0 : half), [&] {
      const i32 next = file.next_slot;
      Status status = save_state_file(slots.engine(), slots.engine().sessions[0], buffer.data(), file);
      return file.next_slot == next ? status : failed("the next slot is another one");
    });
    if (said == "no limit") SKIP("the size of files is not limited here");
    CHECK_EQ(said,
             "--state-save " + slots.path() + ": File too large" + (saves ? "; the state saved before is still there" : ""));
    close(file.fd);
    if (saves) CHECK_EQ(slots.load(), std::to_string(position_of(saves)));
  }
}
