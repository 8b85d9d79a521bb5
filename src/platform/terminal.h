// The terminal that somebody types at, for lines that are edited here (cli/line_editor.h) and not by the system. All of it works
// in a sealed process, with SEAL_TERMINAL (platform/seal.h), once open_terminal was called before.
#pragma once
#include "base/types.h"

namespace edgellm {

// True when keys come from standard input and are shown on standard error, both terminals, one that can move its cursor (TERM is
// neither empty nor "dumb"). From then on terminal_changed() hears of new window sizes.
bool open_terminal();

// Keys come one by one from here on, unseen and without a meaning to the system (Ctrl-C is a byte), what is pasted comes between
// marks, and what is written goes to the terminal as it is (a line feed is no carriage return). What was typed before stays to be
// read: *typed_ahead says that there is some, in which the system has put the byte 0 for Ctrl-D. False when the terminal is gone.
bool begin_keys(bool* typed_ahead);

// The terminal as it was before begin_keys; nothing if it is so already. Signal handlers may call it.
void end_keys();

struct WindowSize {
  i32 columns, rows;
};

// 80 by 24 where the terminal does not know.
WindowSize window_size();

// The window has another size, or the process was stopped and goes on, so that others may have used the terminal. The second
// forgets it.
bool terminal_changed();
bool take_terminal_change();

}  // namespace edgellm
