#include "platform/stage.h"

namespace edgellm {

static void (*watching)(const Stage& stage);
static Stage stage;

void watch_stages(void (*watcher)(const Stage& stage)) {
  watching = watcher;
}

void begin_stage(const char* doing, i64 all, Unit unit) {
  if (!watching) return;
  stage = {doing, unit, 0, all};
  watching(stage);
}

void advance_stage(i64 more, Unit unit) {
  if (!watching || !stage.doing || stage.unit != unit || more == 0) return;
  stage.done += more;
  watching(stage);
}

void end_stage() {
  if (!watching || !stage.doing) return;
  stage = {};
  watching(stage);
}

}  // namespace edgellm
