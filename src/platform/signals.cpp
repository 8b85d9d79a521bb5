#include "platform/signals.h"

#include <errno.h>
#if defined(__linux__)
#include <poll.h>
#else
#include <sys/select.h>
#endif
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>

#include "platform/terminal.h"

namespace edgellm {

constexpr i32 MAX_MAPS = 18;

// Written before the count that admits them, read by the handler.
static Span<const u8> maps[MAX_MAPS];
static std::atomic<bool> lost[MAX_MAPS];
static std::atomic<i32> map_count;
static std::atomic<i64> zero_page;    // bytes of a page where lost maps become zeros, 0: they end the process
static std::atomic<i32> stop_signal;  // the first that asked to stop, 0: none
static std::atomic<bool> heard;       // and the program knows
static_assert(std::atomic<i32>::is_always_lock_free);  // handlers use it

// The end within a handler.
[[noreturn]] static void end_now(int code) {
  end_keys();
  _exit(code);
}

static bool within(Span<const u8> map, const u8* at) {
  return at >= map.begin() && at < map.end();
}

// From the page of `at` to the end of the map there are zeros, which take no memory. The faulting instruction runs again and reads
// them.
static bool replace_by_zeros(i32 map, const u8* at) {
  const i64 page = zero_page.load();
  if (page == 0) return false;
  lost[map].store(true);
  const i64 from = (at - maps[map].begin()) / page * page;  // a map begins at a page
  void* place = const_cast<u8*>(maps[map].begin() + from);
  const size_t bytes = static_cast<size_t>(align_up(maps[map].count, page) - from);
  return mmap(place, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == place;
}

static void on_fault(int signal, siginfo_t* info, void*) {
  const u8* at = static_cast<const u8*>(info->si_addr);
  for (i32 i = 0; i < map_count.load(); i++) {
    if (!within(maps[i], at)) continue;
    if (signal == SIGBUS && replace_by_zeros(i, at)) return;
    const iovec message[] = {{const_cast<char*>("edgellm: "), 9},
                             {const_cast<char*>(MAP_LOST), sizeof MAP_LOST - 1},
                             {const_cast<char*>("\n"), 1}};
    (void)!writev(2, message, 3);
    end_now(static_cast<int>(Code::failed));
  }
  end_keys();
  // Not ours: the faulting instruction runs again and meets the default. A sealed process may not ask for that, and must
  // not fault for ever; what somebody sent has no such instruction.
  const bool sent = info->si_code == SI_USER || info->si_code <= 0;
  if (sent || ::signal(signal, SIG_DFL) == SIG_ERR) _exit(128 + signal);
}

static void on_stop(int signal) {
  i32 none = 0;
  // Closing a terminal sends SIGHUP twice, by the shell and by the system.
  if (!stop_signal.compare_exchange_strong(none, signal) && signal != SIGHUP) end_now(128 + signal);
}

void install_signals() {
  struct sigaction fault{};
  fault.sa_sigaction = on_fault;
  fault.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &fault, nullptr);
  sigaction(SIGSEGV, &fault, nullptr);

  struct sigaction stop{};
  stop.sa_handler = on_stop;  // no SA_RESTART, so that a read from a terminal ends
  sigaction(SIGINT, &stop, nullptr);
  sigaction(SIGTERM, &stop, nullptr);
  struct sigaction hang_up;
  if (sigaction(SIGHUP, nullptr, &hang_up) == 0 && hang_up.sa_handler != SIG_IGN) sigaction(SIGHUP, &stop, nullptr);

  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, nullptr);
  sigaction(SIGXFSZ, &ignore, nullptr);
}

void watch_map(Span<const u8> map) {
  i32 n = map_count.load();
  if (n == MAX_MAPS) return;
  maps[n] = map;
  map_count.store(n + 1);
}

void outlive_maps() {
  zero_page.store(sysconf(_SC_PAGESIZE));
}

bool map_lost(const u8* at) {
  for (i32 i = 0; i < map_count.load(); i++) {
    if (lost[i].load() && within(maps[i], at)) return true;
  }
  return false;
}

bool interrupted() {
  return stop_signal.load(std::memory_order_relaxed) != 0 && !heard.load(std::memory_order_relaxed);
}

void finish_in_peace() {
  heard.store(true);
}

static_assert(static_cast<i32>(Code::hung_up) == 128 + SIGHUP && static_cast<i32>(Code::interrupted) == 128 + SIGINT &&
              static_cast<i32>(Code::closed) == 128 + SIGPIPE && static_cast<i32>(Code::terminated) == 128 + SIGTERM);

Status check_interrupted() {
  const i32 signal = stop_signal.load(std::memory_order_relaxed);
  return interrupted() ? Status::error(static_cast<Code>(128 + signal), "") : Status();
}

// Until there is something to read, or one of the signals that `mask` lets through.
static int wait_unmasked(i32 fd, const sigset_t& mask) {
#if defined(__linux__)
  pollfd wanted{fd, POLLIN, 0};  // a descriptor may be any number: who starts this program may have left a thousand open
  return ppoll(&wanted, 1, nullptr, &mask);
#else
  fd_set wanted;
  FD_ZERO(&wanted);
  FD_SET(fd, &wanted);
  return pselect(fd + 1, &wanted, nullptr, nullptr, nullptr, &mask);
#endif
}

bool wait_to_read(i32 fd) {
  sigset_t stop, before;  // what ends it, and what changes a terminal
  sigemptyset(&stop);
  sigaddset(&stop, SIGINT);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGHUP);
  sigaddset(&stop, SIGWINCH);
  sigaddset(&stop, SIGCONT);
  pthread_sigmask(SIG_BLOCK, &stop, &before);
  int ready = 0;
  while (ready <= 0 && !interrupted() && !terminal_changed()) {
    ready = wait_unmasked(fd, before);
    if (ready < 0 && errno != EINTR) break;  // the read will say what is wrong
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return !interrupted();
}

bool asked_to_end() {
  return stop_signal.load(std::memory_order_relaxed) != 0;
}

bool terminated() {
  const i32 signal = stop_signal.load(std::memory_order_relaxed);
  return signal == SIGTERM || signal == SIGHUP;
}

void set_interrupted(bool value) {
  stop_signal.store(value ? SIGINT : 0);
  heard.store(false);
}

}  // namespace edgellm
