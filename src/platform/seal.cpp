#include "platform/seal.h"

#include <errno.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define EDGELLM_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define EDGELLM_SANITIZED
#endif

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__)) && !defined(EDGELLM_SANITIZED)
#define EDGELLM_CAN_SEAL
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace edgellm {

#if defined(EDGELLM_CAN_SEAL)

#if defined(__x86_64__)
constexpr u32 OUR_ARCH = AUDIT_ARCH_X86_64;
#else
constexpr u32 OUR_ARCH = AUDIT_ARCH_AARCH64;
#endif

struct Call {
  u32 needs;  // SEAL_* bit, 0: always
  u32 number;
};

constexpr Call ALLOWED[] = {
    {0, SYS_read},
    {0, SYS_write},
    {0, SYS_writev},
    {0, SYS_futex},
    {0, SYS_clock_gettime},  // usually answered without a system call
    {0, SYS_clock_nanosleep},
    {0, SYS_nanosleep},
    {0, SYS_ppoll},  // a message or Ctrl-C; a terminal or pipe that somebody made non-blocking
#if defined(SYS_poll)
    {0, SYS_poll},
#endif
    {0, SYS_rt_sigprocmask},
    {0, SYS_sched_yield},
    {0, SYS_rt_sigreturn},
    {0, SYS_restart_syscall},  // the kernel's own, after a stop and continue
    {0, SYS_exit},
    {0, SYS_exit_group},
    {SEAL_SOCKETS, SYS_accept4},
    {SEAL_SOCKETS, SYS_accept},
    {SEAL_SOCKETS, SYS_recvfrom},
    {SEAL_SOCKETS, SYS_recvmsg},
    {SEAL_SOCKETS, SYS_sendto},
    {SEAL_SOCKETS, SYS_sendmsg},
    {SEAL_SOCKETS, SYS_shutdown},
    {SEAL_SOCKETS, SYS_setsockopt},
    {SEAL_SOCKETS, SYS_getsockopt},
    {SEAL_SOCKETS, SYS_epoll_ctl},
    {SEAL_SOCKETS, SYS_epoll_pwait},
#if defined(SYS_epoll_wait)
    {SEAL_SOCKETS, SYS_epoll_wait},
#endif
    {SEAL_SOCKETS, SYS_close},
    {SEAL_FILES, SYS_pread64},
    {SEAL_FILES, SYS_pwrite64},
    {SEAL_FILES, SYS_lseek},
    {SEAL_FILES, SYS_ftruncate},
    {SEAL_FILES, SYS_fsync},
    {SEAL_FILES, SYS_fdatasync},
    {SEAL_FIGURES, SYS_getrusage},
};
constexpr i32 CALLS = sizeof ALLOWED / sizeof ALLOWED[0];

// What a terminal may be asked with SEAL_TERMINAL: how it treats keys, in both forms that a libc may know (the numbers of the second
// are those of _IOR('T', 0x2a, struct termios2) and so on, whose header fits beside no libc's own), and how large its window is.
constexpr u32 TERMINAL_REQUESTS[] = {TCGETS,     TCSETS,     TCSETSW,    TCSETSF,   0x802c542a,
                                     0x402c542b, 0x402c542c, 0x402c542d, TIOCGWINSZ};
constexpr i32 REQUESTS = sizeof TERMINAL_REQUESTS / sizeof TERMINAL_REQUESTS[0];
constexpr u32 TERMINAL = 0;  // standard input

constexpr u32 REFUSE = SECCOMP_RET_ERRNO | EPERM;

class Filter {
 public:
  void add(u16 code, u32 value, u8 if_true = 0, u8 if_false = 0) { program_[count_++] = {code, if_true, if_false, value}; }
  void load(size_t offset) { add(BPF_LD | BPF_W | BPF_ABS, static_cast<u32>(offset)); }
  void answer(u32 value) { add(BPF_RET | BPF_K, value); }
  // Answers `value` when the loaded word is `word`, otherwise goes on.
  void when(u32 word, u32 value) {
    add(BPF_JMP | BPF_JEQ | BPF_K, word, 0, 1);
    answer(value);
  }
  // Answers `value` unless the loaded word is `word`.
  void unless(u32 word, u32 value) {
    add(BPF_JMP | BPF_JEQ | BPF_K, word, 1, 0);
    answer(value);
  }
  // What follows, up to end(), is for a call whose number is loaded; it answers in every case.
  void begin(u32 number) {
    begun_ = count_;
    add(BPF_JMP | BPF_JEQ | BPF_K, number);
  }
  void end() { program_[begun_].jf = static_cast<u8>(count_ - begun_ - 1); }
  // Goes on only if an argument of the call, of two words, the low one first on both machines, is `value`.
  void expect(i32 argument, u64 value) {
    const size_t at = offsetof(seccomp_data, args) + sizeof(u64) * static_cast<size_t>(argument);
    load(at);
    unless(static_cast<u32>(value), REFUSE);
    load(at + sizeof(u32));
    unless(static_cast<u32>(value >> 32), REFUSE);
  }
  sock_fprog program() { return {count_, program_}; }

 private:
  sock_filter program_[2 * (CALLS + REQUESTS) + 64];
  u16 begun_ = 0;
  u16 count_ = 0;
};

// ioctl with a descriptor and a request that are allowed. libc fills the high word of both with zeros.
static void allow_terminal(Filter& filter) {
  constexpr size_t REQUEST = offsetof(seccomp_data, args) + sizeof(u64);
  filter.begin(SYS_ioctl);
  filter.expect(0, TERMINAL);
  filter.load(REQUEST + sizeof(u32));
  filter.unless(0, REFUSE);
  filter.load(REQUEST);
  for (u32 request : TERMINAL_REQUESTS)
    filter.when(request, SECCOMP_RET_ALLOW);
  filter.answer(REFUSE);
  filter.end();
}

static void allow_zeros(Filter& filter) {
  filter.begin(SYS_mmap);
  filter.expect(2, PROT_READ);
  filter.expect(3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
  filter.answer(SECCOMP_RET_ALLOW);
  filter.end();
}

static void build(Filter& filter, u32 extra) {
  filter.load(offsetof(seccomp_data, arch));
  filter.add(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0);  // the numbers mean something else to another ABI
  filter.answer(REFUSE);
  filter.load(offsetof(seccomp_data, nr));
  for (const Call& call : ALLOWED) {
    if ((call.needs & ~extra) == 0) filter.when(call.number, SECCOMP_RET_ALLOW);
  }
  // The kernel's brk never answers an error code: it answers the present end of the heap, and libc would take -1 for it.
  filter.when(SYS_brk, SECCOMP_RET_ERRNO | 0);
  if (extra & SEAL_TERMINAL) allow_terminal(filter);
  if (extra & SEAL_MAPS) allow_zeros(filter);
  filter.answer(REFUSE);
}

Seal seal_process(u32 extra, Writer& why) {
  Filter filter;
  build(filter, extra);
  sock_fprog program = filter.program();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    write(why, "not sealed: the system refused no_new_privs: ", strerror(errno));
    return Seal::unavailable;
  }
  long answer = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  if (answer < 0 && (errno == ENOSYS || errno == EINVAL)) {
    write(why, "not sealed: this kernel or emulator has no seccomp");
    return Seal::unavailable;
  }
  if (answer != 0) {
    write(why, "not sealed: ", answer > 0 ? "a thread is under another filter" : strerror(errno));
    return Seal::failed;
  }
  // Verify the filter: getppid must fail now.
  if (syscall(SYS_getppid) != -1 || errno != EPERM) {
    write(why, "not sealed: the filter was accepted but refuses nothing");
    return Seal::failed;
  }
  return Seal::sealed;
}

#else

Seal seal_process(u32, Writer& why) {
#if defined(EDGELLM_SANITIZED)
  write(why, "not sealed: a sanitizer needs system calls of its own");
#else
  write(why, "not sealed: only Linux on x86-64 and arm64 can refuse system calls");
#endif
  return Seal::unavailable;
}

#endif

}  // namespace edgellm
