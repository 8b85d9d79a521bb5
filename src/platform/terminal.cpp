#include "platform/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>

#include "platform/console.h"

namespace edgellm {

static struct termios before;            // written before `keys` admits it
static std::atomic<bool> keys, changed;  // begin_keys was called and end_keys was not; terminal_changed
static_assert(std::atomic<bool>::is_always_lock_free);

bool open_terminal() {
  const char* kind = getenv("TERM");
  if (!kind || !*kind || strcmp(kind, "dumb") == 0) return false;
  if (!is_terminal(STDIN) || !is_terminal(STDERR)) return false;
  struct sigaction action{};
  action.sa_handler = [](int) { changed.store(true); };
  sigaction(SIGWINCH, &action, nullptr);
  sigaction(SIGCONT, &action, nullptr);
  return true;
}

// Terminals that know no bracketed paste ignore these words.
static void mark_pastes(bool on) {
  (void)write_all(STDERR, on ? "\x1b[?2004h" : "\x1b[?2004l");
}

bool begin_keys(bool* typed_ahead) {
  if (!keys.load() && tcgetattr(STDIN, &before) != 0) return false;
  struct termios raw = before;
  raw.c_iflag &= ~static_cast<tcflag_t>(ICRNL | INLCR | IGNCR | ISTRIP | IXON);
  raw.c_oflag &= ~static_cast<tcflag_t>(OPOST);
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | IEXTEN | ISIG);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  keys.store(true);
  while (tcsetattr(STDIN, TCSANOW, &raw) != 0) {
    if (errno == EINTR) continue;
    keys.store(false);
    return false;
  }
  pollfd waiting{STDIN, POLLIN, 0};
  *typed_ahead = poll(&waiting, 1, 0) > 0;
  mark_pastes(true);
  return true;
}

void end_keys() {
  if (!keys.load()) return;
  mark_pastes(false);
  // In the background the system would stop whoever does this; it must be done before the end.
  sigset_t output, others;
  sigemptyset(&output);
  sigaddset(&output, SIGTTOU);
  pthread_sigmask(SIG_BLOCK, &output, &others);
  while (tcsetattr(STDIN, TCSANOW, &before) != 0 && errno == EINTR) {
  }
  keys.store(false);
  pthread_sigmask(SIG_SETMASK, &others, nullptr);
}

WindowSize window_size() {
  struct winsize size{};
  const bool known = ioctl(STDIN, TIOCGWINSZ, &size) == 0;
  return {known && size.ws_col ? size.ws_col : 80, known && size.ws_row ? size.ws_row : 24};
}

bool terminal_changed() {
  return changed.load();
}

bool take_terminal_change() {
  return changed.exchange(false);
}

}  // namespace edgellm
