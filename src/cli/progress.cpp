#include "cli/progress.h"

#include "platform/clock.h"
#include "platform/console.h"
#include "platform/stage.h"

namespace edgellm {

namespace {

constexpr i64 DELAY = 500'000'000, INTERVAL = 100'000'000;  // ns
constexpr i64 SPACES = 128;

i64 columns;  // of the terminal
i64 shown;    // columns that the line takes now
i64 due;      // when it may be drawn next

// `text` in the place of what is shown, with spaces over what that was longer. Without an escape sequence, as any terminal has it.
void draw(Text text) {
  char bytes[SPACES + 4];
  Writer line(bytes);
  line.add('\r').add(text.slice(0, min(text.size, min(columns - 1, SPACES))));
  const i64 size = line.text().size - 1;
  for (i64 i = size; i < shown; i++)
    line.add(' ');
  if (size == 0) line.add('\r');
  shown = size;
  (void)write_all(STDERR, line.text());
}

void watch(const Stage& stage) {
  if (shown && (!stage.doing || stage.done == 0)) draw({});
  if (!stage.doing) return;
  const i64 now = now_ns();
  if (stage.done == 0) due = now + DELAY;
  if (now < due) return;
  due = now + INTERVAL;
  char bytes[SPACES];
  Writer line(bytes);
  if (stage.unit == Unit::bytes) {
    write(line, stage.doing, "  ", megabytes(stage.done, 0), " of ", megabytes(stage.all, 0), " MB");
  } else {
    write(line, stage.doing, "  ", stage.done, " of ", stage.all, " tokens");
  }
  draw(line.text());
}

}  // namespace

void show_progress() {
  columns = terminal_columns(STDERR);
  if (columns > 0) watch_stages(watch);
}

}  // namespace edgellm
