// How many ids of prompts go into a pass beside texts that are being made. Whoever waits for the next id of a text waits for the
// prompts in the pass as well, and the more ids go into each pass, the sooner a prompt is read. With
//
//   T   the time of a pass of the texts alone,   b   what an id of a prompt adds to it,   n = SHARE T / b   ids in a pass
//
// a pass takes (1 + SHARE) T, and a prompt (1 + 1 / SHARE) times as long as ids of it take by themselves: 1.88 and 2.14 times, on any
// machine with any model. T and b are measured as passes are run. Times differ from run to run and so do the passes, but the bits
// that come out do not depend on who shares a pass.
#pragma once
#include "base/types.h"

namespace edgellm {

class PromptShare {
 public:
  // Ids of prompts in the next pass beside so many texts, at least one. 0: a pass without prompts is due, which measures T. Beside
  // none: as many as ALONE_NS are enough for, as far as that is known, since nothing else is served meanwhile.
  i64 ids(i64 texts);

  // A pass took so long, with all that is done between it and the next.
  void ran(i64 texts, i64 prompt_ids, i64 ns);

 private:
  static constexpr f64 SHARE = 0.88;
  static constexpr f64 ALONE_NS = 0.25e9;
  static constexpr i64 ALONE_LEAST = 16;    // so that weights are read for many ids at once
  static constexpr i32 MEASURE_AFTER = 16;  // passes with prompts

  f64 texts_ns(i64 texts) const;

  f64 alone_ns_ = 0;  // T, of `texts_` texts; 0: not known
  f64 id_ns_ = 0;     // b; 0: not known
  i64 texts_ = 0;
  i32 mixed_ = MEASURE_AFTER;  // passes with prompts since T was measured
};

}  // namespace edgellm
