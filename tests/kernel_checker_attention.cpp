// Cases of the kernels on a KV cache.
#include "kernel_checker.h"

namespace checker {

namespace {

using Store = void (*)(const f32*, const f32*, i32, const KvHead&);
using Scores = void (*)(const Queries&, const KvHead&, i32, i32, f32*, i64);
using Values = void (*)(const f32*, i64, i32, const KvHead&, i32, i32, f32*, i64);

std::vector<i32> head_dims(const Checker& c) {
  std::vector<i32> list = {64, 80, 96, 100, 112, 128, 192, 256};
  for (i32 dim = 1; dim <= 256; dim += c.quick() ? 37 : dim < 70 ? 1 : 9)
    list.push_back(dim);
  return list;
}

struct Shape {
  i32 head_dim, slots, first, n, heads;
  Fill fill;
};

Shape draw(Random& random, i32 head_dim) {
  i32 slots = PANEL * (random.one_in(20) ? random.between(60, 70) : random.between(1, 8)),
      first = random.between(0, slots - 1);
  i32 n = random.one_in(4) ? slots - first : random.between(1, slots - first);
  return {head_dim, slots, first, n, random.between(1, 17), random.one_in(3) ? Fill::hostile : Fill::ordinary};
}

std::string describe(const Shape& s) {
  return "head_dim " + std::to_string(s.head_dim) + ", slots [" + std::to_string(s.first) + ", " +
         std::to_string(s.first + s.n) + ") of " + std::to_string(s.slots) + ", " + std::to_string(s.heads) +
         " heads, floats " + std::to_string(static_cast<int>(s.fill));
}

// A cache of random bytes: what any file or any history could have left there. floats are kept ordinary with Fill::ordinary.
KvHead make_cache(Checker& c, const Shape& s, i32 size) {
  i32 padded = align_up(s.head_dim, 16);
  i64 bytes = i64{s.slots} * padded * size;
  u8* data[2];
  for (u8*& part : data) {
    part = c.input<u8>(bytes);
    for (i64 i = 0; i < bytes; i++)
      part[i] = static_cast<u8>(c.random.bits());
    for (i64 i = 0; i < bytes && size == 2 && s.fill == Fill::ordinary; i += 2) {
      u16 half = f32_to_f16(c.random.ordinary());
      memcpy(part + i, &half, sizeof half);
    }
    for (i64 i = 0; i < bytes && size == 4 && s.fill == Fill::ordinary; i += 4) {
      f32 value = c.random.ordinary();
      memcpy(part + i, &value, sizeof value);
    }
  }
  return {s.head_dim, padded, data[0], data[1], c.floats(s.slots, s.fill), c.floats(s.slots, s.fill)};
}

void check_store(Checker& c, const char* name, Store Kernels::* slot, i32 size) {
  if (!c.wanted(name)) return;
  Random random(3);
  for (i32 head_dim : head_dims(c)) {
    for (Fill fill : {Fill::ordinary, Fill::hostile, Fill::any}) {
      Shape s = draw(random, head_dim);
      s.fill = fill;
      c.begin(name, describe(s));
      KvHead kv = make_cache(c, s, size);
      const f32 *k = c.floats(head_dim, fill), *v = c.floats(head_dim, fill);
      i64 values = i64{s.slots} * kv.padded;
      if (size == 2) {
        c.output(reinterpret_cast<u16*>(kv.k), values);
        c.output(reinterpret_cast<u16*>(kv.v), values);
      } else if (size == 4) {
        c.output(reinterpret_cast<f32*>(kv.k), values);
        c.output(reinterpret_cast<f32*>(kv.v), values);
      } else {
        c.output(kv.k, values);
        c.output(kv.v, values);
      }
      c.output(kv.k_scale, s.slots);
      c.output(kv.v_scale, s.slots);
      c.run<Store>(slot, [&](Store store) { store(k, v, s.first, kv); });
    }
  }
}

Queries make_queries(Checker& c, const Shape& s, i32 padded, i32 size) {
  if (size > 1) {
    const f32* x = c.zero_padded(s.heads, padded, s.head_dim, s.fill);
    return {s.heads, padded, x, nullptr, nullptr, nullptr};
  }
  i8* q = c.input<i8>(i64{s.heads} * padded);
  i32* sums = c.input<i32>(s.heads);
  i32 kind = c.random.between(0, 3);  // all 127, all -127, else random
  for (i32 h = 0; h < s.heads; h++) {
    sums[h] = 0;
    for (i32 d = 0; d < padded; d++) {
      i32 value = d >= s.head_dim ? 0 : kind == 0 ? 127 : kind == 1 ? -127 : c.random.between(-127, 127);
      q[h * padded + d] = static_cast<i8>(value);
      sums[h] += value;
    }
  }
  return {s.heads, padded, nullptr, q, c.floats(s.heads, s.fill), sums};
}

void check_scores(Checker& c, const char* name, Scores Kernels::* slot, i32 size) {
  if (!c.wanted(name)) return;
  Random random(4);
  for (i32 head_dim : head_dims(c)) {
    for (i32 repeat = 0; repeat < 3; repeat++) {
      Shape s = draw(random, head_dim);
      c.begin(name, describe(s));
      KvHead kv = make_cache(c, s, size);
      Queries q = make_queries(c, s, kv.padded, size);
      i64 stride = s.n + 15 + c.random.between(0, 3);
      f32* scores = c.new_output<f32>((s.heads - 1) * stride + s.n + 15, Rule::keep);
      for (i32 h = 0; h < s.heads; h++) {
        c.rule(h * stride, s.n, Rule::compare);
        c.rule(h * stride + s.n, 15, Rule::free);
      }
      c.run<Scores>(slot, [&](Scores run) { run(q, kv, s.first, s.n, scores, stride); });
    }
  }
}

void check_values(Checker& c, const char* name, Values Kernels::* slot, i32 size) {
  if (!c.wanted(name)) return;
  Random random(5);
  for (i32 head_dim : head_dims(c)) {
    for (i32 repeat = 0; repeat < 3; repeat++) {
      Shape s = draw(random, head_dim);
      c.begin(name, describe(s));
      KvHead kv = make_cache(c, s, size);
      i64 stride = s.n + c.random.between(0, 20), out_stride = kv.padded + c.random.between(0, 3);
      const f32* p = c.floats((s.heads - 1) * stride + s.n, s.fill);
      i64 out_count = (s.heads - 1) * out_stride + kv.padded;
      f32* out = c.floats(out_count, s.fill);
      c.output(out, out_count, Rule::keep);
      for (i32 h = 0; h < s.heads; h++)
        c.rule(h * out_stride, kv.padded, Rule::compare);
      c.run<Values>(slot, [&](Values run) { run(p, stride, s.heads, kv, s.first, s.n, out, out_stride); });
    }
  }
}

}  // namespace

void check_attention(Checker& c) {
  check_store(c, "store_i8", &Kernels::store_i8, 1);
  check_store(c, "store_f16", &Kernels::store_f16, 2);
  check_store(c, "store_f32", &Kernels::store_f32, 4);
  check_scores(c, "scores_i8", &Kernels::scores_i8, 1);
  check_scores(c, "scores_f16", &Kernels::scores_f16, 2);
  check_scores(c, "scores_f32", &Kernels::scores_f32, 4);
  check_values(c, "values_i8", &Kernels::values_i8, 1);
  check_values(c, "values_f16", &Kernels::values_f16, 2);
  check_values(c, "values_f32", &Kernels::values_f32, 4);
}

}  // namespace checker
