#include "platform/kernel_files.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "platform/console.h"

namespace edgellm {

i32 open_kernel_file(const char* path) {
  return open(path, O_RDONLY | O_CLOEXEC);
}

bool load_path(SmallFile& file, const Writer& path) {
  file.size = 0;
  if (path.full()) return false;
  const i32 fd = open_kernel_file(path.text().data);
  if (fd < 0) return false;
  file.size = max(i64{0}, read_all(fd, file.data, sizeof file.data));
  close(fd);
  return file.size > 0;
}

// One call: the kernel makes such a file anew for each read at its start, and for one behind it makes all that is before.
bool reload(SmallFile& file, i32 fd) {
  ssize_t n;
  do
    n = pread(fd, file.data, sizeof file.data, 0);
  while (n < 0 && errno == EINTR);
  file.size = max<i64>(0, n);
  return file.size > 0;
}

Text take_until(Text& rest, char end) {
  i64 n = 0;
  while (n < rest.size && rest[n] != end)
    n++;
  Text head = rest.slice(0, n);
  rest = n < rest.size ? rest.from(n + 1) : rest.from(n);
  return head;
}

Text trim(Text text) {
  auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == 0; };
  while (text.size && blank(text[0]))
    text = text.from(1);
  while (text.size && blank(text[text.size - 1]))
    text.size--;
  return text;
}

i64 number(Text text) {
  text = trim(text);
  i64 value = 0, digits = 0;
  for (; digits < text.size && text[digits] >= '0' && text[digits] <= '9'; digits++) {
    if (digits == 18) return -1;
    value = value * 10 + (text[digits] - '0');
  }
  return digits ? value : -1;
}

bool signed_number(Text text, i64* value) {
  text = trim(text);
  const bool negative = text.size && text[0] == '-';
  *value = number(negative ? text.from(1) : text);
  if (*value < 0) return false;
  if (negative) *value = -*value;
  return true;
}

static void see_groups(const char* mount, Text group, void (*see)(void*, const char*, Text), void* context) {
  for (;;) {
    while (group.size && group[group.size - 1] == '/')
      group.size--;
    see(context, mount, group);
    if (!group.size) return;
    while (group.size && group[group.size - 1] != '/')
      group.size--;
  }
}

void each_control_group(const char* root, void (*see)(void* context, const char* mount, Text group), void* context) {
  SmallFile file;
  (void)load(file, root, "/proc/self/cgroup");
  for (Text rest = file.text(); rest.size;) {
    Text group = take_until(rest, '\n');  // "4:memory:/path", version 2: "0::/path"
    take_until(group, ':');
    Text controllers = take_until(group, ':');
    if (!controllers.size) {
      see_groups("/sys/fs/cgroup", group, see, context);
      see_groups("/sys/fs/cgroup/unified", group, see, context);
    }
    while (controllers.size) {
      Text controller = take_until(controllers, ',');
      if (controller == "memory") see_groups("/sys/fs/cgroup/memory", group, see, context);
      if (controller == "cpu") see_groups("/sys/fs/cgroup/cpu", group, see, context);
    }
  }
}

}  // namespace edgellm
