// Frequencies of the rotary embedding, as transformers (modeling_rope_utils.py, version 5.24) computes them, and what is refused.
#include "convert/family/rope.h"

#include <cmath>

#include "check.h"
#include "convert/base/error.h"

using namespace edgellm;
using convert::Rope;

namespace {

TEST(each_scaling_is_that_of_transformers) {
  const struct {
    Rope rope;
    f64 scale;
    f64 frequencies[8];
  } rows[] = {
      {{.theta = 10000},
       1,
       {1, 0.31622776601683794, 0.1, 0.03162277660168379, 0.01, 0.0031622776601683794, 0.001, 0.00031622776601683794}},
      {{.scaling = Rope::Scaling::linear, .factor = 4},
       1,
       {0.25, 0.07905694097280502, 0.02500000037252903, 0.007905694656074047, 0.0024999999441206455, 0.0007905694656074047,
        0.0002500000118743628, 7.905694656074047e-05}},
      {{.theta = 500000, .scaling = Rope::Scaling::llama3, .factor = 8, .original_context = 64},
       1,
       {1.0, 0.07940301299095154, 0.004700753837823868, 0.0009115831344388425, 0.00017677668074611574, 3.428102354519069e-05,
        6.647869668086059e-06, 1.289173155782919e-06}},
      {{.scaling = Rope::Scaling::yarn, .factor = 4, .original_context = 64},
       1.138629436111989,
       {1.0, 0.23717081546783447, 0.04999999701976776, 0.007905694656074047, 0.0024999999441206455, 0.0007905694656074047,
        0.0002500000118743628, 7.905694656074047e-05}},
      {{.scaling = Rope::Scaling::yarn, .factor = 4, .original_context = 64, .truncate = false},
       1.138629436111989,
       {1.0, 0.19858352839946747, 0.025595249608159065, 0.007905694656074047, 0.0024999999441206455, 0.0007905694656074047,
        0.0002500000118743628, 7.905694656074047e-05}},
      {{.theta = 1000,
        .scaling = Rope::Scaling::yarn,
        .factor = 2,
        .original_context = 4096,
        .beta_fast = 8,
        .beta_slow = 2,
        .attention_factor = 0.75},
       0.75,
       {1.0, 0.4216965138912201, 0.17782793939113617, 0.07498941570520401, 0.03162277862429619, 0.01333521492779255,
        0.004217559937387705, 0.0011856869095936418}},
      {{.scaling = Rope::Scaling::yarn,
        .factor = 4,
        .original_context = 111.7,
        .beta_fast = 1,
        .beta_slow = 1,
        .truncate = false},  // a ramp of no length
       1.138629436111989,
       {1, 0.31622776601683794, 0.1, 0.03162277660168379 / 4, 0.01 / 4, 0.0031622776601683794 / 4, 0.001 / 4,
        0.00031622776601683794 / 4}},
      {{.scaling = Rope::Scaling::yarn, .factor = 0.5, .original_context = 1e9, .beta_fast = 1e-3, .beta_slow = 1e-3},
       1,
       {2, 0.6324555320336759, 0.2, 0.06324555320336758, 0.02, 0.006324555320336759, 0.002, 0.0006324555320336759}},
  };
  for (const auto& row : rows) {
    convert::check_rope(row.rope, 16, "x");
    const std::vector<f32> found = convert::rope_frequencies(row.rope, 16, "x");
    CHECK_EQ(found.size(), size_t{8});
    for (size_t i = 0; i < found.size(); i++)
      CHECK(std::fabs(static_cast<f64>(found[i]) / row.frequencies[i] - 1) < 3e-7);
    CHECK(std::fabs(convert::rope_attention_scale(row.rope) - row.scale) < 1e-12);
  }
  // Of some of a head's dimensions, with a divisor each.
  const Rope part = {.dims = 4, .theta = 100, .divisors = {2, 8}};
  CHECK(convert::rope_frequencies(part, 16, "x") == (std::vector<f32>{0.5f, 0.0125f}));
  CHECK_EQ(convert::rope_attention_scale({.scaling = Rope::Scaling::linear, .factor = 9, .attention_factor = 3}), 1.0);
}

TEST(what_makes_no_sense) {
  auto said = [](const Rope& rope, i64 head_dim = 16) -> std::string {
    try {
      convert::check_rope(rope, head_dim, "x");
      for (f32 frequency : convert::rope_frequencies(rope, head_dim, "x"))
        CHECK(frequency > 0);
      return "taken";
    } catch (const convert::Error& error) {
      return error.what();
    }
  };
  using S = Rope::Scaling;
  CHECK_EQ(said({}), "taken");
  CHECK_EQ(said({.dims = 16}) + said({.dims = 2}), "takentaken");
  CHECK_EQ(said({.dims = 18}), "x: 18 rotated dimensions, expected an even number up to the head size 16");
  CHECK_EQ(said({.dims = 3}), "x: 3 rotated dimensions, expected an even number up to the head size 16");
  CHECK_EQ(said({}, 1), "x: 1 rotated dimensions, expected an even number up to the head size 1");
  CHECK_EQ(said({}, 7), "x: 7 rotated dimensions, expected an even number up to the head size 7");
  auto nonsense = [](const char* theta, const char* factor, const char* context, const char* low, const char* high) {
    return convert::text("x: rotary embedding of theta ", theta, ", factor ", factor, ", original context ", context,
                         ", frequency factors ", low, " and ", high, " makes no sense");
  };
  CHECK_EQ(said({.theta = 1}), nonsense("1", "1", "0", "1", "4"));
  CHECK_EQ(said({.theta = INFINITY}), nonsense("inf", "1", "0", "1", "4"));
  CHECK_EQ(said({.theta = NAN}), nonsense("nan", "1", "0", "1", "4"));
  CHECK_EQ(said({.scaling = S::none, .factor = 0}), "taken");
  CHECK_EQ(said({.scaling = S::linear, .factor = 0}), nonsense("10000", "0", "0", "1", "4"));
  CHECK_EQ(said({.scaling = S::linear, .factor = -2}), nonsense("10000", "-2", "0", "1", "4"));
  CHECK_EQ(said({.scaling = S::linear, .factor = 2}), "taken");
  CHECK_EQ(said({.scaling = S::llama3, .factor = 2}), nonsense("10000", "2", "0", "1", "4"));
  CHECK_EQ(said({.scaling = S::yarn, .factor = 2}), nonsense("10000", "2", "0", "1", "4"));
  CHECK_EQ(said({.scaling = S::llama3, .factor = 2, .original_context = 8}), "taken");
  CHECK_EQ(said({.scaling = S::llama3, .factor = 2, .original_context = 8, .low_freq_factor = 4}),
           nonsense("10000", "2", "8", "4", "4"));
  auto yarn = [&](f64 attention, f64 factor = 2) {
    return said({.scaling = S::yarn, .factor = factor, .original_context = 8, .attention_factor = attention});
  };
  CHECK_EQ(yarn(1000), "taken");
  CHECK_EQ(yarn(1001), "x: the rotary embedding's attention factor is 1001, expected 0.001 to 1000");
  CHECK_EQ(yarn(0.0009), "x: the rotary embedding's attention factor is 0.0009, expected 0.001 to 1000");
  CHECK_EQ(yarn(0), "taken");
  CHECK_EQ(said({.theta = 1e300}),
           "x: rotary embedding of theta 1e+300 and factor 1: the frequency of pair 2 is 0 as an f32");
  CHECK_EQ(said({.scaling = S::linear, .factor = 1e-300}),
           "x: rotary embedding of theta 10000 and factor 1e-300: the frequency of pair 0 is inf as an f32");
}

}  // namespace
