// The family `retnet` of docs/FILE.md.
#pragma once
#include "convert/family/parts.h"

namespace edgellm::convert {

struct RetNet {
  i64 layers = 0, dim = 0, value_dim = 0, ffn_dim = 0, heads = 0, vocab = 0, context = 2048;
  bool embed_norm = true;
  bool scale_embedding = true;  // by sqrt(dim)
  bool lm_decay = false;        // decays 1 - e^x, x from ln(1/32) to ln(1/512) in even steps; else 1 - 2^(-5 - head)
  bool tied = false;            // the embedding serves as the head
  f64 norm_eps = 1e-6;
};

// One layer's blocks; the feed-forward is that of a transformer under other names.
void add_retention(const RetNet& shape, Parts* parts);
void add_retnet_ffn(const RetNet& shape, Parts* parts);

ModelTable retnet_family(const RetNet& shape);

}  // namespace edgellm::convert
