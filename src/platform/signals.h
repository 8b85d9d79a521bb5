// Signals: a model file that vanishes under the map ends with a sentence instead of a crash, Ctrl-C ends politely the first
// time and at once the second, a closed pipe is an error of write and not a signal.
#pragma once
#include "base/status.h"

namespace edgellm {

// Installs the handlers, for the whole process; the program calls it once, and the embedding API never. SIGBUS and SIGSEGV
// inside a watched map: one line on stderr, exit code 1; elsewhere they do what they always did (exit code 128 + the signal in
// a sealed process). SIGINT, SIGTERM and SIGHUP (unless it was ignored, as under nohup): interrupted() turns true; one more
// SIGINT or SIGTERM while it is ends the process (exit code 128 + the signal). Whatever ends here leaves the terminal as it
// was. SIGPIPE and SIGXFSZ (a file larger than `ulimit -f`) are ignored: the write fails and says why.
void install_signals();

// The map of a file on a medium that can fail or be pulled out. At most 18; further ones are not watched.
void watch_map(Span<const u8> map);

// From now on the loss of a watched map does not end the process: what is lost reads as zeros, and map_lost() is true. A process that
// is sealed needs SEAL_MAPS for it.
void outlive_maps();

// Whether the watched map that holds this byte has lost some: what was computed since it was whole is of no use.
bool map_lost(const u8* at);
inline constexpr char MAP_LOST[] = "the model file was cut short or its medium was removed while in use";

bool interrupted();

// An error without words once SIGINT, SIGTERM or SIGHUP came, whose code tells which was first. Whatever can take long asks this
// between two pieces of its work. Never an error where no handlers are installed, as in a host program.
Status check_interrupted();

// Waits until `fd` can be read, or the terminal changed (platform/terminal.h; whoever edits no lines hears of none). False when one
// of these signals came, before or meanwhile: none is missed between a look at interrupted() and the wait.
bool wait_to_read(i32 fd);

// The signal was heard, and the program ends what it has begun: interrupted() is false from now on, for check_interrupted too. One
// more SIGINT or SIGTERM ends the process.
void finish_in_peace();

// One of them came, heard or not.
bool asked_to_end();

// It was SIGTERM or SIGHUP, which ask to end and not just to stop.
bool terminated();

// As if Ctrl-C was pressed, or forgets that a signal came.
void set_interrupted(bool value);

}  // namespace edgellm
