// Cases of the kernels on vectors: quantisation, norms, rotations, gates, softmax, reductions.
#include "kernel_checker.h"

namespace checker {

namespace {

// 1 past the largest real dimensions, odd and even.
std::vector<i32> sizes(const Checker& c) {
  std::vector<i32> list;
  for (i32 n = 1; n <= 300; n += c.quick() ? 11 : 1)
    list.push_back(n);
  for (i32 n : {576, 1536, 2560, 6911, 6912, 6913})
    list.push_back(n);
  if (!c.quick()) list.push_back(MAX_COLUMNS);
  return list;
}

constexpr Fill FILLS[] = {Fill::ordinary, Fill::hostile, Fill::any};
const char* const FILL_NAMES[] = {"ordinary", "hostile", "any bits"};

std::string describe(i32 n, Fill fill) {
  return std::to_string(n) + " values, " + FILL_NAMES[static_cast<int>(fill)];
}

void check_quantize(Checker& c, const char* name, void (*Kernels::*slot)(const f32*, i32, i32, i8*, f32*, i32*),
                    bool groups) {
  if (!c.wanted(name)) return;
  for (i32 n : sizes(c)) {
    for (Fill fill : FILLS) {
      c.begin(name, describe(n, fill));
      i32 padded = align_up(n, COLUMN_PADDING) + COLUMN_PADDING * c.random.between(0, 1),
          spans = groups ? padded / GROUP : 1;
      const f32* x = c.floats(n, fill);
      i8* q = c.new_output<i8>(padded);
      f32* scales = c.new_output<f32>(spans);
      i32* sums = c.new_output<i32>(spans);
      c.run<void (*)(const f32*, i32, i32, i8*, f32*, i32*)>(
          slot, [&](auto quantize) { quantize(x, n, padded, q, scales, sums); });
    }
  }
}

// Values that lie half way between two codes, to the last bit.
void check_quantize_ties(Checker& c) {
  if (!c.wanted("quantize_token")) return;
  for (i32 n : {127, 256}) {
    c.begin("quantize_token", "ties");
    f32* x = c.input<f32>(n);
    for (i32 i = 0; i < n; i++) {
      u32 bits = bits_to<u32>(static_cast<f32>(i % 127) + 0.5f) + static_cast<u32>(c.random.between(-1, 1));
      x[i] = bits_to<f32>(bits) * (c.random.one_in(2) ? -1.0f : 1.0f);
    }
    x[0] = 127.0f;
    i8* q = c.new_output<i8>(256);
    f32* scale = c.new_output<f32>(1);
    i32* sum = c.new_output<i32>(1);
    c.run<void (*)(const f32*, i32, i32, i8*, f32*, i32*)>(&Kernels::quantize_token,
                                                           [&](auto quantize) { quantize(x, n, 256, q, scale, sum); });
  }
}

void check_norms(Checker& c) {
  using Rms = void (*)(const f32*, const f32*, f32, i32, f32*);
  using Layer = void (*)(const f32*, const f32*, const f32*, f32, i32, f32*);
  for (i32 n : sizes(c)) {
    for (i32 variant = 0; variant < 6; variant++) {  // weight, bias or neither; in place or not
      Fill fill = variant == 5 ? Fill::hostile : Fill::ordinary;
      bool in_place = variant % 2 == 1;
      for (const char* name : {"rms_norm", "layer_norm"}) {
        if (!c.wanted(name)) continue;
        c.begin(name, describe(n, fill) + ", variant " + std::to_string(variant));
        f32* x = c.floats(n, fill);
        const f32* weight = variant < 4 ? c.floats(n, fill) : nullptr;
        const f32* bias = variant < 2 ? c.floats(n, fill) : nullptr;
        f32* y = x;
        if (in_place) {
          c.output(x, n);
        } else {
          y = c.new_output<f32>(n);
        }
        if (name[0] == 'r') {
          c.run<Rms>(&Kernels::rms_norm, [&](Rms norm) { norm(x, weight, 1e-5f, n, y); });
        } else {
          c.run<Layer>(&Kernels::layer_norm, [&](Layer norm) { norm(x, weight, bias, 1e-5f, n, y); });
        }
      }
    }
  }
}

void check_rope(Checker& c, const char* name, void (*Kernels::*slot)(f32*, const f32*, const f32*, i32)) {
  if (!c.wanted(name)) return;
  for (i32 pairs = 1; pairs <= 128; pairs += c.quick() ? 9 : 1) {
    for (Fill fill : FILLS) {
      c.begin(name, describe(pairs, fill));
      f32* head = c.floats(pairs * 2, fill);
      const f32 *cosine = c.floats(pairs, fill), *sine = c.floats(pairs, fill);
      c.output(head, pairs * 2);
      c.run<void (*)(f32*, const f32*, const f32*, i32)>(slot, [&](auto rope) { rope(head, cosine, sine, pairs); });
    }
  }
}

using Gate = void (*)(const f32*, const f32*, i32, f32*);

void check_gate(Checker& c, const char* name, Gate Kernels::* slot) {
  if (!c.wanted(name)) return;
  for (i32 n : sizes(c)) {
    for (i32 place = 0; place < 3; place++) {  // y apart, over gate, over up
      Fill fill = FILLS[c.random.bits() % 3];
      c.begin(name, describe(n, fill) + ", place " + std::to_string(place));
      f32 *gate = c.floats(n, fill), *up = c.floats(n, fill);
      f32* y = place == 1 ? gate : place == 2 ? up : c.new_output<f32>(n);
      if (place) c.output(y, n);
      c.run<Gate>(slot, [&](Gate run) { run(gate, up, n, y); });
    }
  }
}

// exp in every lane: a walk through all f32 by steps of a prime.
void check_exp(Checker& c) {
  if (!c.wanted("silu_gate")) return;
  constexpr i32 N = 65536;
  u32 bits = 0;
  for (i32 round = 0; round < (c.quick() ? 2 : 16); round++) {
    c.begin("silu_gate", "walk through all floats, part " + std::to_string(round));
    f32 *gate = c.input<f32>(N), *up = c.input<f32>(N);
    for (i32 i = 0; i < N; i++) {
      gate[i] = bits_to<f32>(bits += 4099u * (c.quick() ? 8u : 1u));
      up[i] = 1.0f;
    }
    f32* y = c.new_output<f32>(N);
    c.run<Gate>(&Kernels::silu_gate, [&](Gate run) { run(gate, up, N, y); });
  }
}

void check_add(Checker& c) {
  using Add = void (*)(f32*, const f32*, i32);
  if (!c.wanted("add")) return;
  for (i32 n : sizes(c)) {
    Fill fill = FILLS[n % 3];
    c.begin("add", describe(n, fill));
    f32 *x = c.floats(n, fill), *y = c.floats(n, fill);
    c.output(x, n);
    c.run<Add>(&Kernels::add, [&](Add add) { add(x, y, n); });
  }
}

void check_softmax(Checker& c) {
  using Softmax = void (*)(f32*, i32);
  if (!c.wanted("softmax")) return;
  for (i32 n : sizes(c)) {
    for (Fill fill : FILLS) {
      c.begin("softmax", describe(n, fill));
      f32* x = c.floats(n, fill);
      for (i32 i = 0; i < n && fill != Fill::any; i++) {
        if (!(x[i] < INFINITY_F32)) x[i] = -INFINITY_F32;  // a NaN or an infinity would make all NaN
      }
      c.output(x, n);
      c.run<Softmax>(&Kernels::softmax, [&](Softmax softmax) { softmax(x, n); });
    }
  }
  c.begin("softmax", "nothing visible");
  f32* x = c.floats(33, Fill::ordinary);
  for (i32 i = 0; i < 33; i++)
    x[i] = -INFINITY_F32;
  c.output(x, 33);
  c.run<Softmax>(&Kernels::softmax, [&](Softmax softmax) { softmax(x, 33); });
}

// What one value at one place does to a vector of others; ties; nothing but NaN or -infinity.
f32* make_reduction(Checker& c, i32 n, i32 variant) {
  static const u32 SINGLES[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xff800001, 0x7f7fffff};
  f32* x = c.floats(n, variant == 6 ? Fill::hostile : Fill::ordinary);
  for (i32 i = 0; i < n && variant >= 7; i++)
    x[i] = bits_to<f32>(variant == 7 ? 0x7fc00000u : 0xff800000u);
  for (i32 i = 0; i < n && variant == 5; i++)
    x[i] = static_cast<f32>(i % 2);
  if (variant < 5) x[c.random.between(0, n - 1)] = bits_to<f32>(SINGLES[variant]);
  return x;
}

template <class Slot>
void check_reduction(Checker& c, const char* name, Slot Kernels::* slot) {
  if (!c.wanted(name)) return;
  for (i32 n : sizes(c)) {
    for (i32 variant = 0; variant < 9; variant++) {
      c.begin(name, std::to_string(n) + " values, variant " + std::to_string(variant));
      const f32* x = make_reduction(c, n, variant);
      i32* answer = c.new_output<i32>(1);
      c.run<Slot>(slot, [&](Slot reduce) { *answer = reduce(x, n); });
    }
  }
}

}  // namespace

void check_vectors(Checker& c) {
  check_quantize(c, "quantize_token", &Kernels::quantize_token, false);
  check_quantize(c, "quantize_group32", &Kernels::quantize_group32, true);
  check_quantize_ties(c);
  check_norms(c);
  check_rope(c, "rope_half", &Kernels::rope_half);
  check_rope(c, "rope_interleaved", &Kernels::rope_interleaved);
  check_gate(c, "silu_gate", &Kernels::silu_gate);
  check_gate(c, "relu2_gate", &Kernels::relu2_gate);
  check_exp(c);
  check_add(c);
  check_softmax(c);
  check_reduction(c, "argmax", &Kernels::argmax);
  check_reduction(c, "all_finite", &Kernels::all_finite);
}

}  // namespace checker
