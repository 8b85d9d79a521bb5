// The seal, in child processes: what it refuses, what goes on, in all threads.
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "check.h"
#include "child.h"
#include "platform/clock.h"
#include "platform/console.h"
#include "platform/memory.h"
#include "platform/seal.h"
#include "platform/signals.h"
#include "platform/threads.h"

using namespace edgellm;

constexpr int UNAVAILABLE = 9;

// Seals; the exit code to end with, or 0.
static int sealed(u32 extra) {
  char text[200];
  Writer why(text);
  Seal answer = seal_process(extra, why);
  if (answer == Seal::sealed) return 0;
  note(why.text(), "\n");
  return answer == Seal::unavailable ? UNAVAILABLE : 1;
}

#define CHECK_CHILD(child)                                      \
  do {                                                          \
    if ((child).exit_code == UNAVAILABLE) SKIP((child).output); \
    CHECK_EQ((child).output, std::string());                    \
    CHECK_EQ((child).exit_code, 0);                             \
  } while (0)

#if defined(__linux__)
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

// Says which calls were not refused.
static void expect_refused(const char* name, long answer) {
  if (answer != -1 || errno != EPERM) note(name, " was not refused: ", answer, "\n");
}

static void try_everything() {
  expect_refused("mmap", syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  expect_refused("mremap", syscall(SYS_mremap, 0, 4096, 8192, 0, 0));
  expect_refused("mprotect", syscall(SYS_mprotect, 0, 4096, PROT_READ));
  expect_refused("openat", syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY));
#if defined(SYS_open)
  expect_refused("open", syscall(SYS_open, "/dev/null", O_RDONLY));
  expect_refused("fork", syscall(SYS_fork));
  expect_refused("write of the x32 ABI", syscall(0x40000000 + SYS_write, 1, "x", 1));
#endif
  expect_refused("socket", syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
  expect_refused("clone", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  const char* nothing[] = {nullptr};
  expect_refused("execve", syscall(SYS_execve, "/bin/true", nothing, nothing));
  expect_refused("tgkill", syscall(SYS_tgkill, 0, 0, 0));
  expect_refused("kill", syscall(SYS_kill, 0, 0));
  expect_refused("ptrace", syscall(SYS_ptrace, 0, 0, 0, 0));
  expect_refused("io_uring_setup", syscall(425, 8, nullptr));
  expect_refused("prctl", syscall(SYS_prctl, 0, 0, 0, 0, 0));
  expect_refused("unlinkat", syscall(SYS_unlinkat, -1, "", 0));
  long end = syscall(SYS_brk, ~0ul >> 20);
  if (end != 0) note("brk answered ", static_cast<i64>(end), "\n");
#if defined(__x86_64__)
  long pid = 20;  // getpid of the 32-bit system calls
  __asm__ volatile("int $0x80" : "+a"(pid) : : "memory");
  if (static_cast<i32>(pid) != -EPERM) note("a 32-bit system call was not refused: ", static_cast<i64>(pid), "\n");
#endif
}

TEST(refuses_what_generation_does_not_need) {
  check::Child child = check::in_child([] {
    if (int code = sealed(0)) return code;
    try_everything();
    return 0;
  });
  CHECK_CHILD(child);
}

#if defined(__x86_64__) || defined(__aarch64__)  // elsewhere there is no seal
namespace {

struct NamedCall {
  const char* name;
  long number;
  i32 needs;  // SEAL_* bits; NEVER: it is always refused
};
constexpr i32 NEVER = -1;

// With arguments that do nothing: an unknown file, no bytes, no time.
#define CALL(name, needs) {#name, SYS_##name, needs}
const NamedCall CALLS[] = {
    CALL(read, 0),
    CALL(write, 0),
    CALL(writev, 0),
    CALL(futex, 0),
    CALL(clock_gettime, 0),
    CALL(clock_nanosleep, 0),
    CALL(nanosleep, 0),
    CALL(ppoll, 0),
    CALL(rt_sigprocmask, 0),
    CALL(sched_yield, 0),
    CALL(restart_syscall, 0),
#if defined(SYS_poll)
    CALL(poll, 0),
#endif
    CALL(accept4, SEAL_SOCKETS),
    CALL(accept, SEAL_SOCKETS),
    CALL(recvfrom, SEAL_SOCKETS),
    CALL(recvmsg, SEAL_SOCKETS),
    CALL(sendto, SEAL_SOCKETS),
    CALL(sendmsg, SEAL_SOCKETS),
    CALL(shutdown, SEAL_SOCKETS),
    CALL(setsockopt, SEAL_SOCKETS),
    CALL(getsockopt, SEAL_SOCKETS),
    CALL(epoll_ctl, SEAL_SOCKETS),
    CALL(epoll_pwait, SEAL_SOCKETS),
    CALL(close, SEAL_SOCKETS),
#if defined(SYS_epoll_wait)
    CALL(epoll_wait, SEAL_SOCKETS),
#endif
    CALL(pread64, SEAL_FILES),
    CALL(pwrite64, SEAL_FILES),
    CALL(lseek, SEAL_FILES),
    CALL(ftruncate, SEAL_FILES),
    CALL(fsync, SEAL_FILES),
    CALL(fdatasync, SEAL_FILES),
    CALL(getrusage, SEAL_FIGURES),
    CALL(pselect6, NEVER),
    CALL(openat, NEVER),
    CALL(mmap, NEVER),
    CALL(munmap, NEVER),
    CALL(mprotect, NEVER),
    CALL(madvise, NEVER),
    CALL(mlock, NEVER),
    CALL(socket, NEVER),
    CALL(connect, NEVER),
    CALL(bind, NEVER),
    CALL(listen, NEVER),
    CALL(clone, NEVER),
    CALL(execve, NEVER),
    CALL(ptrace, NEVER),
    CALL(kill, NEVER),
    CALL(tgkill, NEVER),
    CALL(prctl, NEVER),
    CALL(ioctl, NEVER),
    CALL(fcntl, NEVER),
    CALL(dup, NEVER),
    CALL(pipe2, NEVER),
    CALL(sendfile, NEVER),
    CALL(splice, NEVER),
    CALL(readv, NEVER),
    CALL(preadv, NEVER),
    CALL(pwritev, NEVER),
    CALL(fallocate, NEVER),
    CALL(unlinkat, NEVER),
    CALL(mkdirat, NEVER),
    CALL(fchmod, NEVER),
    CALL(chdir, NEVER),
    CALL(setuid, NEVER),
    CALL(getpid, NEVER),
    CALL(getppid, NEVER),
    CALL(uname, NEVER),
    CALL(times, NEVER),
    CALL(rt_sigaction, NEVER),
    CALL(set_tid_address, NEVER),
    CALL(epoll_create1, NEVER),
    CALL(sched_setaffinity, NEVER),
    CALL(process_vm_readv, NEVER),
    CALL(memfd_create, NEVER),
    CALL(seccomp, NEVER),
};
#undef CALL

bool refused(long number) {
  errno = 0;
  timespec no_time = {};
  const long zeros = reinterpret_cast<long>(&no_time);
  switch (number) {
    case SYS_clock_nanosleep:
      return syscall(number, CLOCK_MONOTONIC, 0, zeros, 0) != 0 && errno == EPERM;
    case SYS_nanosleep:
      return syscall(number, zeros, 0) != 0 && errno == EPERM;
    case SYS_ppoll:
      return syscall(number, 0, 0, zeros, 0, 8) != 0 && errno == EPERM;
    default:
      return syscall(number, -1L, 0L, 0L, 0L, 0L, 0L) == -1 && errno == EPERM;
  }
}

}  // namespace

// Where the kernel takes a filter from us, it takes the seal: a filter of ours that it refuses would look like a kernel without any.
TEST(seals_where_the_kernel_can) {
  const check::Child able = check::in_child([] {
    sock_filter all[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
    sock_fprog program = {1, all};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 1;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0 ? 0 : 1;
  });
  if (able.exit_code != 0) SKIP("this kernel or emulator has no seccomp");
  for (u32 extra = 0; extra < 16; extra++) {
    const check::Child child = check::in_child([&] { return sealed(extra); });
    if (child.output == "not sealed: a sanitizer needs system calls of its own\n") SKIP(child.output);
    CHECK_EQ(child.output, std::string());
    CHECK_EQ(child.exit_code, 0);
  }
}

// Each call by itself, for each choice of the extras: what no one asked for is refused, and nothing else is.
TEST(each_call_by_itself) {
  for (u32 extra = 0; extra < 16; extra++) {
    check::Child child = check::in_child([&] {
      if (int code = sealed(extra)) return code;
      for (const NamedCall& call : CALLS) {
        const bool wanted = call.needs == NEVER || (static_cast<u32>(call.needs) & ~extra) != 0;
        if (refused(call.number) != wanted) note("extras ", extra, ": ", call.name, wanted ? " goes on\n" : " is refused\n");
      }
      return 0;
    });
    CHECK_CHILD(child);
  }
}

// With SEAL_TERMINAL a request reaches standard input alone, and of the requests only those that an edited line needs. Standard input
// is no terminal here, or one without a right: what goes through answers another error than the seal's.
TEST(each_request_of_a_terminal_by_itself) {
  struct Request {
    const char* name;
    u64 number;
    bool allowed;
  };
  const Request requests[] = {
      {"TCGETS", TCGETS, true},
      {"TCSETS", TCSETS, true},
      {"TCSETSW", TCSETSW, true},
      {"TCSETSF", TCSETSF, true},
      {"TCGETS2", 0x802c542a, true},
      {"TCSETS2", 0x402c542b, true},
      {"TCSETSW2", 0x402c542c, true},
      {"TCSETSF2", 0x402c542d, true},
      {"TIOCGWINSZ", TIOCGWINSZ, true},
      {"TIOCSTI", TIOCSTI, false},
      {"TIOCLINUX", TIOCLINUX, false},
      {"TIOCSWINSZ", TIOCSWINSZ, false},
      {"TIOCSCTTY", TIOCSCTTY, false},
      {"TIOCNOTTY", TIOCNOTTY, false},
      {"TIOCSPGRP", TIOCSPGRP, false},
      {"TIOCGPGRP", TIOCGPGRP, false},
      {"TIOCCONS", TIOCCONS, false},
      {"TIOCSETD", TIOCSETD, false},
      {"TCGETA", TCGETA, false},
      {"TCSETA", TCSETA, false},
      {"TCFLSH", TCFLSH, false},
      {"TCSBRK", TCSBRK, false},
      {"FIONREAD", FIONREAD, false},
      {"FIONBIO", FIONBIO, false},
      {"FIOCLEX", FIOCLEX, false},
      {"KDSETMODE", 0x4b3a, false},
      {"0", 0, false},
      {"TCGETS and a high word", TCGETS | u64{1} << 32, false},
      {"TIOCSTI and a high word", TIOCSTI | u64{1} << 32, false},
  };
  for (u32 extra : {u32{SEAL_TERMINAL}, u32{SEAL_SOCKETS | SEAL_FILES | SEAL_FIGURES}, u32{SEAL_TERMINAL | SEAL_FILES}}) {
    check::Child child = check::in_child([&] {
      if (int code = sealed(extra)) return code;
      for (const Request& request : requests) {
        const u64 descriptors[] = {0, 1, 2, 3, ~u64{0}, u64{1} << 32};
        for (u64 fd : descriptors) {
          errno = 0;
          const long answer = syscall(SYS_ioctl, fd, request.number, 0L);  // 0: no place for an answer
          const bool refused = answer == -1 && errno == EPERM,
                     wanted = fd == 0 && request.allowed && (extra & SEAL_TERMINAL);
          if (refused == wanted)
            note("extras ", extra, ": ", request.name, " of ", fd, wanted ? " is refused\n" : " goes on\n");
        }
      }
      return 0;
    });
    CHECK_CHILD(child);
  }
}

// With SEAL_MAPS zeros that can only be read may be mapped at a place that is named, and nothing else.
TEST(zeros_in_place_of_what_is_lost) {
  const u64 zeros = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  const struct {
    u64 protection, flags;
    bool allowed;
  } rows[] = {{PROT_READ, zeros, true},
              {PROT_READ | PROT_WRITE, zeros, false},
              {PROT_READ | PROT_EXEC, zeros, false},
              {PROT_NONE, zeros, false},
              {PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, false},
              {PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, false},
              {PROT_READ, MAP_PRIVATE | MAP_FIXED, false},
              {PROT_READ | u64{1} << 32, zeros, false},
              {PROT_READ, zeros | u64{1} << 32, false}};
  for (u32 extra : {u32{SEAL_MAPS}, u32{SEAL_MAPS | SEAL_TERMINAL}, u32{SEAL_TERMINAL | SEAL_SOCKETS}}) {
    check::Child child = check::in_child([&] {
      const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
      void* place = mmap(nullptr, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (int code = sealed(extra)) return code;
      for (const auto& row : rows) {
        errno = 0;
        const long answer = syscall(SYS_mmap, place, page, row.protection, row.flags, -1L, 0L);
        const bool refused = answer == -1 && errno == EPERM, wanted = row.allowed && (extra & SEAL_MAPS);
        if (refused == wanted) {
          note("extras ", extra, ": mmap ", Hex{row.protection, 1}, " ", Hex{row.flags, 1},
               wanted ? " is refused\n" : " goes on\n");
        }
      }
      return 0;
    });
    CHECK_CHILD(child);
  }
}

// The end of a thread, and of the process.
TEST(a_sealed_process_can_end) {
  for (long number : {SYS_exit, SYS_exit_group}) {
    check::Child child = check::in_child([&] {
      if (int code = sealed(0)) return code;
      syscall(number, 5);
      return 6;
    });
    if (child.exit_code == UNAVAILABLE) SKIP(child.output);
    CHECK_EQ(child.exit_code, 5);
  }
}
#endif

TEST(binds_threads_that_run_already) {
  check::Child child = check::in_child([] {
    Threads threads;
    if (!threads.start(3).ok()) return 1;
    if (int code = sealed(0)) return code;
    // As many chunks as threads, and none ends before all have begun: each thread takes one.
    std::atomic<i32> begun{0};
    threads.run(3, [&](i32, i32) {
      expect_refused("mmap in a thread", syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
      begun++;
      while (begun < 3)
        sched_yield();
    });
    return 0;
  });
  CHECK_CHILD(child);
}

TEST(what_generation_needs_goes_on) {
  check::Child child = check::in_child([] {
    Threads threads;
    if (!threads.start(2).ok()) return 1;
    int ends[2];
    if (pipe(ends) != 0) return 1;
    std::signal(SIGALRM, [](int) {});
    alarm(1);
    if (int code = sealed(0)) return code;
    char byte = 0;
    if (!write_all(ends[1], "x") || read_all(ends[0], &byte, 1) != 1 || byte != 'x') note("no reading and writing\n");
    sleep_until_ns(now_ns() + 1200000000);  // a signal comes and goes, workers park and wake
    i32 sum = 0;
    threads.run(2, [&](i32, i32) { __atomic_fetch_add(&sum, 1, __ATOMIC_RELAXED); });
    if (sum != 2) note("the pool stopped\n");
    return 0;
  });
  CHECK_CHILD(child);
}

TEST(extras_are_let_through_on_request) {
  for (bool wanted : {false, true}) {
    check::Child child = check::in_child([&] {
      int pair[2];
      if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 1;
      FILE* file = std::tmpfile();
      if (!file) return 1;
      if (int code = sealed(wanted ? SEAL_SOCKETS | SEAL_FILES | SEAL_FIGURES : 0)) return code;
      rusage usage;
      char byte = 'x';
      bool figures = getrusage(RUSAGE_SELF, &usage) == 0;
      bool files =
          pwrite(fileno(file), &byte, 1, 0) == 1 && pread(fileno(file), &byte, 1, 0) == 1 && ftruncate(fileno(file), 0) == 0;
      bool sockets = send(pair[0], &byte, 1, 0) == 1 && recv(pair[1], &byte, 1, 0) == 1;
      if (figures != wanted || files != wanted || sockets != wanted) {
        note("figures ", i32{figures}, " files ", i32{files}, " sockets ", i32{sockets}, "\n");
      }
      return 0;
    });
    CHECK_CHILD(child);
  }
}

// A crash ends, and is not mistaken for a torn file.
TEST(crashes_end) {
  for (bool aborts : {false, true}) {
    check::Child child = check::in_child([&] {
      install_signals();
      Span<const u8> map;
      if (!map_file("/proc/self/exe", {}, &map).ok()) return 1;
      watch_map(map);
      if (int code = sealed(0)) return code;
      if (aborts) std::abort();
      volatile u8* volatile nowhere = reinterpret_cast<u8*>(16);
      *nowhere = 1;
      return 0;
    });
    if (child.exit_code == UNAVAILABLE) SKIP(child.output);
    CHECK_EQ(child.output, std::string());
    // abort's last resort is an instruction that faults. Where it traps (arm64) or signals are blocked by then (glibc from 2.41
    // on), its own signal ends the process.
    CHECK(child.exit_code == 128 + SIGSEGV || (aborts && (child.signal == SIGTRAP || child.signal == SIGSEGV)));
  }
}

// A libc whose heap cannot grow says so; it does not crash.
TEST(malloc_fails_cleanly) {
  check::Child child = check::in_child([] {
    if (int code = sealed(0)) return code;
    for (int i = 0; i < 100; i++) {
      void* volatile piece = std::malloc(4 << 20);
      if (piece) note("4 MiB came from somewhere\n");
    }
    for (int i = 0; i < 100000; i++) {
      void* volatile piece = std::malloc(100);  // until the present heap is used up, and further
      (void)piece;
    }
    return 0;
  });
  CHECK_CHILD(child);
}
#endif

TEST(says_why_not) {
  check::Child child = check::in_child([] {
    int code = sealed(0);
    return code == UNAVAILABLE ? 0 : code;
  });
  CHECK_EQ(child.exit_code, 0);
  if (!child.output.empty()) CHECK_EQ(child.output.find("not sealed: "), size_t{0});
}
