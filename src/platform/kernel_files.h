// Small files of the kernel, under /proc and /sys: their bytes, the numbers in them, and the control groups we are in.
#pragma once
#include "base/format.h"

namespace edgellm {

// A file's first bytes, as far as they fit.
struct SmallFile {
  char data[4096];
  i64 size = 0;
  Text text() const { return {data, size}; }
};

// Opens a file for reading and leaves it open; -1: there is none.
i32 open_kernel_file(const char* path);

bool load_path(SmallFile& file, const Writer& path);

// Joins the parts of the path; false when there is no such file, or nothing in it.
template <class... Parts>
bool load(SmallFile& file, const Parts&... parts) {
  char buffer[1024];
  Writer path(buffer);
  write(path, parts...);
  return load_path(file, path);
}

// What an open file says now; false when it says nothing.
bool reload(SmallFile& file, i32 fd);

// Takes the text up to `end` (or all of it) off the front.
Text take_until(Text& rest, char end);

Text trim(Text text);

// A decimal number at the front; -1 when there is none or it is past 18 digits.
i64 number(Text text);

// The same with a sign; false when there is none.
bool signed_number(Text text, i64* value);

// Calls `see` with each control group that holds us, our own first, then those above it: the folder of its files below `root` is
// `mount` and `group` joined. Of both versions. In a container the path may be the host's and mean nothing here; the root of the
// mount is then our own group.
void each_control_group(const char* root, void (*see)(void* context, const char* mount, Text group), void* context);

constexpr i64 NO_MEMORY_LIMIT = i64{1} << 60;  // version 1 says "none" by a number near 2^63, which is past 18 digits

}  // namespace edgellm
