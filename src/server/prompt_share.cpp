#include "server/prompt_share.h"

namespace edgellm {

// A quarter of the way to what was measured; a pass that the system held up counts as twice as long as expected at most.
static f64 follow(f64 estimate, f64 measured) {
  if (estimate == 0) return measured;
  return estimate + (max(estimate / 2, min(measured, 2 * estimate)) - estimate) / 4;
}

// Fewer texts take less time, but no less than their share; more take no less than these.
f64 PromptShare::texts_ns(i64 texts) const {
  return texts < texts_ ? alone_ns_ * static_cast<f64>(texts) / static_cast<f64>(texts_) : alone_ns_;
}

i64 PromptShare::ids(i64 texts) {
  if (texts == 0) {
    return id_ns_ == 0 ? INT64_MAX : max(ALONE_LEAST, static_cast<i64>(ALONE_NS / id_ns_));
  }
  if (mixed_ >= MEASURE_AFTER) return 0;
  mixed_++;
  if (id_ns_ == 0) return texts;              // adds what the texts take at most
  const f64 most = texts_ns(texts) / id_ns_;  // which take as long as the texts
  return max<i64>(1, static_cast<i64>(min(most, SHARE * most + 0.5)));
}

void PromptShare::ran(i64 texts, i64 prompt_ids, i64 ns) {
  const f64 taken = static_cast<f64>(max<i64>(ns, 1)), expected = texts_ns(texts);
  if (prompt_ids > 0) {
    id_ns_ = follow(id_ns_, max(taken - expected, taken / 100) / static_cast<f64>(prompt_ids));
    return;
  }
  if (texts_ == 0 || texts == texts_) {
    alone_ns_ = follow(expected, taken);
  } else {
    const f64 most = texts > texts_ ? expected * static_cast<f64>(texts) / static_cast<f64>(texts_) : alone_ns_;
    alone_ns_ = max(expected, min(taken, most));
  }
  texts_ = texts;
  mixed_ = 0;
}

}  // namespace edgellm
