// How many tokens a second were made lately: the mean of the last whole seconds.
#pragma once
#include "base/types.h"

namespace edgellm {

class TokenRate {
 public:
  static constexpr i64 SECONDS = 10;

  // `now` is of a clock that never goes back, in ns.
  void count(i64 now, i64 tokens) {
    move_to(now / SECOND);
    counts_[second_ % BUCKETS] += tokens;
  }

  f64 per_second(i64 now) {
    move_to(now / SECOND);
    i64 sum = 0;
    for (i64 i = 1; i <= SECONDS; i++)
      sum += counts_[(second_ + i) % BUCKETS];
    return static_cast<f64>(sum) / SECONDS;
  }

 private:
  static constexpr i64 SECOND = 1000000000, BUCKETS = SECONDS + 1;  // the second that it is, too

  void move_to(i64 second) {
    for (i64 i = max(second_ + 1, second - SECONDS); i <= second; i++)
      counts_[i % BUCKETS] = 0;
    second_ = max(second_, second);
  }

  i64 second_ = 0;
  i64 counts_[BUCKETS] = {};
};

}  // namespace edgellm
