// The families `rwkv4` and `rwkv7` of docs/FILE.md.
#pragma once
#include "convert/family/parts.h"

namespace edgellm::convert {

struct Rwkv {
  i64 version = 7;  // 4 or 7
  i64 layers = 0, dim = 0, ffn_dim = 0, vocab = 0, context = 4096;
  i64 att_dim = 0;                                     // 4
  i64 head_dim = 64;                                   // 7
  i64 rank_w = 0, rank_a = 0, rank_v = 0, rank_g = 0;  // 7
  bool tied = false;                                   // the embedding serves as the head
  f64 norm_eps = 1e-5, head_norm_eps = 64e-5;
};

// One layer's blocks.
void add_rwkv4_time(const Rwkv& shape, Parts* parts);
void add_rwkv4_channel(const Rwkv& shape, Parts* parts);
void add_rwkv7_time(const Rwkv& shape, i64 layer, Parts* parts);
void add_rwkv7_channel(const Rwkv& shape, Parts* parts);

ModelTable rwkv_family(const Rwkv& shape);

}  // namespace edgellm::convert
