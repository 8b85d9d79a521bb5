// A text that goes in a circle: its last ids are one cycle of at most MOST_PERIOD ids, again and again, for at least LEAST_IDS ids
// and LEAST_PERIODS times the cycle. Only the ids count, so that the same text is always found at the same id.
#pragma once
#include "base/types.h"

namespace edgellm {

class RepeatWatch {
 public:
  static constexpr i32 MOST_PERIOD = 32, LEAST_IDS = 64, LEAST_PERIODS = 4;

  // Takes the next id of the text; true when it goes in a circle now.
  bool push(i32 id) {
    bool circle = false;
    for (i32 period = 1; period <= min(count_, MOST_PERIOD); period++) {
      i32& same = same_[period - 1];
      same = last_[(count_ - period) % MOST_PERIOD] == id ? same + 1 : 0;
      circle |= same + period >= max(LEAST_IDS, LEAST_PERIODS * period);
    }
    last_[count_ % MOST_PERIOD] = id;
    count_++;
    return circle;
  }

 private:
  i32 count_ = 0;
  i32 last_[MOST_PERIOD] = {};  // id i in i % MOST_PERIOD
  i32 same_[MOST_PERIOD] = {};  // for each period from 1: how many of the last ids are those that came a period before
};

}  // namespace edgellm
