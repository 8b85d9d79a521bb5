// The sizes of a transformer as its source says them: what a model file can just hold, and one more.
#include "convert/family/transformer.h"

#include "check.h"
#include "refused.h"

using namespace edgellm;
using convert::Transformer;

namespace {

Transformer with_heads(i64 heads, i64 kv_heads, i64 head_dim) {
  Transformer t;
  t.layers = 2, t.dim = 64, t.ffn_dim = 96, t.vocab = 100, t.context = 32;
  t.heads = heads, t.kv_heads = kv_heads, t.head_dim = head_dim;
  return t;
}

std::string verdict(const Transformer& t) {
  return check::said([&] {
    convert::check_sizes(t, "m");
    return std::string("fits");
  });
}

TEST(each_size_at_its_limit) {
  const struct {
    const char* name;
    i64 Transformer::* size;
    i64 most;
  } rows[] = {
      {"layers", &Transformer::layers, 1024},       {"hidden size", &Transformer::dim, 131072},
      {"ffn size", &Transformer::ffn_dim, 131072},  {"heads", &Transformer::heads, 4096},
      {"head size", &Transformer::head_dim, 1024},  {"vocabulary", &Transformer::vocab, 16777216},
      {"context", &Transformer::context, 16777216},
  };
  for (const auto& row : rows) {
    Transformer t = with_heads(4, 1, 16);
    for (i64 right : {i64{2}, row.most}) {
      t.*row.size = right;
      CHECK_EQ(row.name + (" " + verdict(t)), row.name + std::string(" fits"));
    }
    for (i64 wrong : {row.most + 1, i64{0}, i64{-1}}) {
      t.*row.size = wrong;
      CHECK_EQ(verdict(t), convert::text("refused: m: ", row.name, " is ", wrong, ", expected 1 to ", row.most));
    }
  }
}

TEST(heads_and_their_width) {
  CHECK_EQ(verdict(with_heads(256, 256, 512)), "fits");
  CHECK_EQ(verdict(with_heads(256, 128, 512)), "fits");
  CHECK_EQ(verdict(with_heads(256, 96, 512)), "refused: m: 256 heads are not a multiple of 96 kv heads");
  CHECK_EQ(verdict(with_heads(256, 4097, 512)), "refused: m: kv heads is 4097, expected 1 to 4096");
  CHECK_EQ(verdict(with_heads(257, 1, 512)), "refused: m: 257 heads of 512 are more than 131072 columns");
}

TEST(epsilons_of_norms) {
  Transformer t = with_heads(4, 1, 16);
  t.norm_eps = 1;
  CHECK_EQ(verdict(t), "fits");
  t.final_norm_eps = 1.5;
  CHECK_EQ(verdict(t), "refused: m: epsilon of the last norm is 1.5, expected 0 to 1");
  t.final_norm_eps = 0;
  CHECK_EQ(verdict(t), "fits");
  t.norm_eps = 2;
  CHECK_EQ(verdict(t), "refused: m: norm epsilon is 2, expected 0 to 1");
}

}  // namespace
