// Cases of the kernels of the recurrent families: elementwise operations and steps of recurrences.
#include "kernel_checker.h"

namespace checker {

namespace {

std::vector<i32> sizes(const Checker& c) {
  std::vector<i32> list;
  for (i32 n = 1; n <= 100; n += c.quick() ? 9 : 1)
    list.push_back(n);
  for (i32 n : {576, 1023, 2560})
    list.push_back(n);
  return list;
}

constexpr Fill FILLS[] = {Fill::ordinary, Fill::hostile, Fill::any};

std::string describe(i32 n, i32 place) {
  return std::to_string(n) + " values, place " + std::to_string(place);
}

// y apart or over the first input.
f32* place_output(Checker& c, i32 place, f32* x, i32 n) {
  if (place == 0) return c.new_output<f32>(n);
  c.output(x, n);
  return x;
}

void check_mix(Checker& c) {
  using Mix = void (*)(const f32*, const f32*, const f32*, i32, f32*);
  if (!c.wanted("mix")) return;
  for (i32 n : sizes(c)) {
    for (i32 place = 0; place < 2; place++) {
      Fill fill = FILLS[c.random.bits() % 3];
      c.begin("mix", describe(n, place));
      f32 *x = c.floats(n, fill), *other = c.floats(n, fill), *share = c.floats(n, fill);
      f32* y = place_output(c, place, x, n);
      c.run<Mix>(&Kernels::mix, [&](Mix mix) { mix(x, other, share, n, y); });
    }
  }
}

void check_multiply(Checker& c) {
  using Multiply = void (*)(const f32*, const f32*, i32, f32*);
  if (!c.wanted("multiply")) return;
  for (i32 n : sizes(c)) {
    for (i32 place = 0; place < 2; place++) {
      Fill fill = FILLS[c.random.bits() % 3];
      c.begin("multiply", describe(n, place));
      f32 *a = c.floats(n, fill), *b = c.floats(n, fill);
      f32* y = place_output(c, place, a, n);
      c.run<Multiply>(&Kernels::multiply, [&](Multiply multiply) { multiply(a, b, n, y); });
    }
  }
}

void check_add_scaled(Checker& c) {
  using Add = void (*)(f32*, const f32*, f32, i32);
  if (!c.wanted("add_scaled")) return;
  for (i32 n : sizes(c)) {
    Fill fill = FILLS[n % 3];
    c.begin("add_scaled", describe(n, 0));
    f32 *x = c.floats(n, fill), *y = c.floats(n, fill), scale = c.random.ordinary();
    c.output(x, n);
    c.run<Add>(&Kernels::add_scaled, [&](Add add) { add(x, y, scale, n); });
  }
}

void check_biased(Checker& c, const char* name, void (*Kernels::*slot)(const f32*, const f32*, i32, f32*)) {
  using Biased = void (*)(const f32*, const f32*, i32, f32*);
  if (!c.wanted(name)) return;
  for (i32 n : sizes(c)) {
    for (i32 variant = 0; variant < 4; variant++) {
      Fill fill = FILLS[c.random.bits() % 3];
      c.begin(name, describe(n, variant));
      f32* x = c.floats(n, fill);
      const f32* bias = variant < 2 ? c.floats(n, fill) : nullptr;
      f32* y = place_output(c, variant % 2, x, n);
      c.run<Biased>(slot, [&](Biased run) { run(x, bias, n, y); });
    }
  }
}

void check_plain(Checker& c, const char* name, void (*Kernels::*slot)(const f32*, i32, f32*)) {
  using Plain = void (*)(const f32*, i32, f32*);
  if (!c.wanted(name)) return;
  for (i32 n : sizes(c)) {
    for (i32 place = 0; place < 2; place++) {
      Fill fill = FILLS[c.random.bits() % 3];
      c.begin(name, describe(n, place));
      f32* x = c.floats(n, fill);
      f32* y = place_output(c, place, x, n);
      c.run<Plain>(slot, [&](Plain run) { run(x, n, y); });
    }
  }
  constexpr i32 N = 65536;  // a walk through all floats
  u32 bits = 0;
  for (i32 round = 0; round < (c.quick() ? 2 : 16); round++) {
    c.begin(name, "walk through all floats, part " + std::to_string(round));
    f32* x = c.input<f32>(N);
    for (i32 i = 0; i < N; i++)
      x[i] = bits_to<f32>(bits += 4099u * (c.quick() ? 8u : 1u));
    f32* y = c.new_output<f32>(N);
    c.run<Plain>(slot, [&](Plain run) { run(x, N, y); });
  }
}

void check_wkv4(Checker& c) {
  using Step = void (*)(const f32*, const f32*, const f32*, const f32*, i32, f32*, f32*);
  if (!c.wanted("wkv4")) return;
  for (i32 n : sizes(c)) {
    for (Fill fill : FILLS) {
      c.begin("wkv4", describe(n, 0));
      f32 *k = c.floats(n, fill), *v = c.floats(n, fill), *bonus = c.floats(n, fill), *rate = c.floats(n, fill);
      f32* state = c.floats(3 * n, fill);
      c.output(state, 3 * n);
      f32* y = c.new_output<f32>(n);
      c.run<Step>(&Kernels::wkv4, [&](Step step) { step(k, v, bonus, rate, n, state, y); });
    }
  }
}

void check_wkv7(Checker& c) {
  using Step = f32 (*)(const Wkv7&, f32*, f32*);
  if (!c.wanted("wkv7")) return;
  for (i32 n = 1; n <= MAX_WKV7; n += n < 70 && !c.quick() ? 1 : 31) {
    for (Fill fill : FILLS) {
      c.begin("wkv7", describe(n, 0));
      Wkv7 h = {.n = n,
                .r = c.floats(n, fill),
                .w = c.floats(n, fill),
                .k = c.floats(n, fill),
                .v = c.floats(n, fill),
                .a = c.floats(n, fill),
                .k_k = c.floats(n, fill),
                .k_a = c.floats(n, fill),
                .r_k = c.floats(n, fill)};
      f32* state = c.floats(i64{n} * n, fill);
      c.output(state, i64{n} * n);
      f32 *y = c.new_output<f32>(n), *bonus = c.new_output<f32>(1);
      c.run<Step>(&Kernels::wkv7, [&](Step step) { *bonus = step(h, state, y); });
    }
  }
}

void check_conv_silu(Checker& c) {
  using Step = void (*)(const Convolution&, const f32*, f32*, f32*);
  if (!c.wanted("conv_silu")) return;
  for (i32 n : sizes(c)) {
    for (i32 taps = 1; taps <= 5; taps++) {
      Fill fill = FILLS[c.random.bits() % 3];
      c.begin("conv_silu", describe(n, taps));
      i32 stride = n + c.random.between(0, 3);
      const f32 *weight = c.floats(i64{taps - 1} * stride + n, fill), *bias = c.floats(n, fill);
      Convolution w = {n, taps, stride, weight, c.random.one_in(2) ? bias : nullptr};
      f32* x = c.floats(n, fill);
      f32* state = c.floats(max(1, (taps - 1) * n), fill);
      c.output(state, max(1, (taps - 1) * n));
      f32* y = place_output(c, taps % 2, x, n);
      c.run<Step>(&Kernels::conv_silu, [&](Step step) { step(w, x, state, y); });
    }
  }
}

void check_scan(Checker& c) {
  using Step = void (*)(const Scan&, f32*, f32*);
  if (!c.wanted("scan")) return;
  for (i32 n : sizes(c)) {
    Fill fill = FILLS[c.random.bits() % 3];
    i32 states = c.random.between(1, 20), stride = n + c.random.between(0, 3);
    c.begin("scan", describe(n, states));
    Scan s = {.n = n,
              .states = states,
              .stride = stride,
              .rate = c.floats(i64{states - 1} * stride + n, fill),
              .skip = c.floats(n, fill),
              .x = c.floats(n, fill),
              .dt = c.floats(n, fill),
              .b = c.floats(states, fill),
              .c = c.floats(states, fill)};
    f32* state = c.floats(i64{states} * n, fill);
    c.output(state, i64{states} * n);
    f32* y = c.new_output<f32>(n);
    c.run<Step>(&Kernels::scan, [&](Step step) { step(s, state, y); });
  }
}

void check_retain(Checker& c) {
  using Step = void (*)(const Retention&, f32*, f32*);
  if (!c.wanted("retain")) return;
  for (i32 n : sizes(c)) {
    Fill fill = FILLS[c.random.bits() % 3];
    i32 keys = c.random.between(1, 40);
    c.begin("retain", describe(n, keys));
    const f32 *k = c.floats(keys, fill), *q = c.floats(keys, fill), *v = c.floats(n, fill);
    Retention r = {keys, n, k, q, v, c.random.ordinary(), c.random.ordinary()};
    f32* state = c.floats(i64{keys} * n, fill);
    c.output(state, i64{keys} * n);
    f32* y = c.new_output<f32>(n);
    c.run<Step>(&Kernels::retain, [&](Step step) { step(r, state, y); });
  }
}

}  // namespace

void check_recurrent(Checker& c) {
  check_mix(c);
  check_multiply(c);
  check_add_scaled(c);
  check_biased(c, "sigmoid", &Kernels::sigmoid);
  check_biased(c, "softplus", &Kernels::softplus);
  check_plain(c, "tanh", &Kernels::tanh);
  check_plain(c, "relu2", &Kernels::relu2);
  check_plain(c, "gelu", &Kernels::gelu);
  check_wkv4(c);
  check_wkv7(c);
  check_conv_silu(c);
  check_scan(c);
  check_retain(c);
}

}  // namespace checker
