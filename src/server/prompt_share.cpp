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
  if (mixed_ >= MEASURE_AFTER) return 0;
  mixed_++;
  if (id_ns_ == 0) return texts;  // adds what the texts take at most
  return max<i64>(1, static_cast<i64>(SHARE * texts_ns(texts) / id_ns_));
}

void PromptShare::ran(i64 texts, i64 prompt_ids, i64 ns) {
  const f64 taken = static_cast<f64>(max<i64>(ns, 1));
  if (prompt_ids == 0) {
    const f64 least = texts_ns(texts),
              most = texts > texts_ ? least * static_cast<f64>(texts) : alone_ns_ * static_cast<f64>(texts_);
    alone_ns_ =
        texts == texts_ || texts_ == 0 ? follow(least, taken) : max(least, min(taken, most / static_cast<f64>(texts_)));
    texts_ = texts;
    mixed_ = 0;
  } else {
    id_ns_ = follow(id_ns_, max(taken - texts_ns(texts), taken / 100) / static_cast<f64>(prompt_ids));
  }
}

}  // namespace edgellm
