// The table of kernels: plain C++ fills every slot, each instruction set the CPU has overrides what it does better, and
// every override gives the reference's bits. Kernels know no threads, no files and no operating system.
//
// Numeric rules (docs/NUMERICS.md has the whole of it):
// - int8 by weight sums are exact in int32: |sum| <= 128 * 127 * 131072 < 2^31. Partial sums may wrap where the final is exact.
// - `fma` fuses on every machine (base/math.h has a correct one for CPUs without); nothing else is ever fused.
// - int32 to f32 rounds to nearest even. Division and square root are IEEE's.
// - lane sums: element i goes to lane i mod 16, each lane in order of i, from +0; then lane l += lane l+8, l+4, l+2, l+1.
#pragma once
#include "base/types.h"

namespace edgellm {

constexpr i32 PANEL = 16;            // rows of a panel: one vector lane each; outputs are written in whole panels
constexpr i32 MAX_COLUMNS = 131072;  // of any matrix, so that int32 sums cannot overflow
constexpr i32 GROUP = 32;            // channels that share an activation scale
constexpr i32 WEIGHT_GROUP = 128;    // channels that share a weight scale in t2_group
constexpr i32 COLUMN_PADDING = 256;  // activation vectors are padded with zeros to a multiple of this

// How many columns to unpack at a time where many vectors share them: at most `most`, whole units and whole groups.
constexpr i32 chunk_columns(i32 most, i32 unit) {
  while (most % unit != 0 || most % GROUP != 0)
    most--;
  return most;
}

enum class Format : u8 {
#define FORMAT(enumerator, name, number, unit_columns, unit_bytes) enumerator = number,
#include "formats.def"
#undef FORMAT
};

// How many f32 scales lie beside the panels of an i8, t2 or t5 matrix.
enum class Scale : u8 { none = 0, tensor = 1, row = 2 };

// How a matrix wants its input vectors: as f32, as int8 with one scale a vector, or one scale per 32 channels.
enum class Quantization : u8 { none = 0, token = 1, group32 = 2 };

// A weight matrix in the mapped file: ceil(rows / 16) panels, each ceil(cols / unit) units, one after the other. Of a sparse
// format a table of the panels' places comes first (kernels/sparse.h).
struct Matrix {
  Format format;
  Scale scale;
  Quantization activations;
  i32 rows;           // outputs
  i32 cols;           // inputs
  const u8* data;     // 64-byte aligned; any byte pattern is a valid weight
  const f32* scales;  // 1, or rows padded to 16; null where `scale` is none
  i64 bytes = 0;      // of the data; sparse formats only
};

// Input vectors of a matmul. `x` serves f32 and f16 weights, q/scales/sums the integer formats.
struct Activations {
  i32 count;          // vectors
  i32 stride;         // values from one vector to the next in x and q, a multiple of COLUMN_PADDING
  const f32* x;       // (count, stride), zeros past the true columns
  const i8* q;        // (count, stride), zeros past the true columns, in [-127, 127]
  const f32* scales;  // token: (count); group32: (count, stride / 32); value = q * scale
  const i32* sums;    // the sums of q over the same spans as the scales
};

// KV cache of one layer, one kv head, one session. A slot holds one position. head_dim is padded to a multiple of 16.
// i8:  k: blocks of 16 slots, each (padded / 4, 16 slots, 4 dims) int8; v: (slots, padded) int8; one f32 scale a slot each,
//      absmax / 127, quantised as quantize_token does but with the floor 1e-30 in place of 1e-5.
// f16: k: blocks of 16 slots, each (padded, 16 slots) f16; v: (slots, padded) f16; no scales. f32: likewise.
struct KvHead {
  i32 head_dim;
  i32 padded;
  u8* k;         // 64-byte aligned; slots are a multiple of 16
  u8* v;         // 64-byte aligned
  f32* k_scale;  // (slots)
  f32* v_scale;  // (slots)
};

// The query heads that share one kv head, for one token, already rotated.
struct Queries {
  i32 heads;
  i32 stride;         // values from one head to the next in x and q: `padded` of the KvHead
  const f32* x;       // (heads, padded) multiplied by the attention scale, zeros past head_dim: for float caches
  const i8* q;        // (heads, padded) quantised, zeros past head_dim: for i8 caches
  const f32* scales;  // (heads) scale of q times the attention scale
  const i32* sums;    // (heads) sum of q
};

// One head of RWKV-7 and one token; all vectors are (n), n <= MAX_WKV7.
constexpr i32 MAX_WKV7 = 256;
constexpr f32 WKV7_DECAY = -0x1.368b30p-1f;  // -e^(-1/2)
struct Wkv7 {
  i32 n;
  const f32 *r, *w, *k, *v, *a;  // receptance, decay's exponent in (0, 1), key, value, learning rate in (0, 1)
  const f32 *k_k, *k_a, *r_k;    // weights: of the removal key, of the rate in the key, of the bonus
};

// Causal convolution of each channel with its own weights, oldest tap first.
struct Convolution {
  i32 n, taps;        // channels; at least 1
  i64 stride;         // from one tap's weights to the next's
  const f32* weight;  // (taps, stride)
  const f32* bias;    // (n) or null
};

// Mamba's selective scan: n channels with `states` numbers each, one token.
struct Scan {
  i32 n, states;
  i64 stride;         // from one state's rates to the next's
  const f32* rate;    // (states, stride) negative
  const f32* skip;    // (n)
  const f32 *x, *dt;  // (n) input, step size
  const f32 *b, *c;   // (states)
};

// One head of RetNet or Mamba-2 and one token.
struct Retention {
  i32 keys, values;
  const f32 *k, *q;  // (keys)
  const f32* v;      // (values)
  f32 decay, scale;  // of what was; of the key
};

// quantize_token:    m = max over i of |x_i| by `|x_i| > m ? |x_i| : m`, starting at floor = 1e-5 (a NaN never wins);
//                    inverse = 127 / m; t = x_i * inverse; q_i = t is NaN ? 0 : clamp(round half even(t), -127, 127),
//                    clamped before the conversion to integer; *scale = m / 127; *sum = sum of q. (m may be infinity: then
//                    inverse is 0, infinities give NaN and so 0, and the scale is infinity.)
// quantize_group32:  the same for each 32 channels, floor 1e-30; groups that lie in the padding get scale 0 and sum 0
//                    (a group that is partly in it counts the true channels only). `padded` is a multiple of 32 here.
//
// Matmul, lane = output row, s = int32 sum of w * q over the named columns:
// f32, f16:          acc = fma(w, x, acc) over the true columns in order, from +0; y = acc.
// *_token:           y = f32(s) * (a.scale * w.scale[row]).
// i8/t2 *_group32:   acc = fma(f32(s_g), a.scale[g], acc) over groups g in order, from +0; y = acc * w.scale[row].
// i4_group32:        acc = fma(f32(s_g), w.scale[row][g] * a.scale[g], acc); y = acc.
// t2_group_group32:  inner = fma(f32(s_g), a.scale[g], inner) over the four groups of a weight group, from +0;
//                    acc = fma(inner, w.scale[row][weight group], acc) over weight groups in order, from +0; y = acc.
// dequantized:       the f32 value of a weight is f32(integer) * scale, rounded once; then as f32.
// row:               the same values of the true columns of one row: `cols` floats are written.
// Sparse formats: the bits of i8 with the same zeros.
// Groups run to the end of the matrix's own padded columns (units): weights in the padding meet zeros, scales in it (an
// infinity times 0) still count. Float and dequantised sums stop at the true columns.
// w.scale[row] is w.scales[0] where the scale is per tensor. a.sums[...] is what the sums of q are: no kernel need read them.
// Rows from row0 to the end of the panel of row1 - 1 are written: y has room for whole panels, of all `a.count` vectors.
//
// rms_norm:          r = 1 / sqrt(lane_sum(fma(x, x, acc)) / n + eps); y = (x * r) * weight, or x * r without weight.
// layer_norm:        mean = lane_sum(acc + x) / n; d = x - mean; r = 1 / sqrt(lane_sum(fma(d, d, acc)) / n + eps);
//                    y = fma(d * r, weight, bias), a null bias counting as +0; d * r where weight is null (bias then is).
// rope:              a, b = the pair; a' = fma(a, c, -(b * s)); b' = fma(a, s, b * c). Pairs are (i, i + pairs) for half,
//                    (2i, 2i + 1) for interleaved.
// silu_gate:         (gate / (1 + exp(-gate))) * up. relu2_gate: g = gate > 0 ? gate : 0; (g * g) * up. NaN gates give NaN
//                    for silu and 0 * up for relu2. gelu: x / (1 + exp(-(x * fma(x * x, C1, C0)))), gelu_constants.
// store:             quantised over the true dims of k, and of v; dims from head_dim to `padded` are written as 0.
// scores:            scores[h * stride + i] for slots first + i, 0 <= i < n, first any slot: i8: f32(s) * (q.scales[h] *
//                    k_scale[slot]), s over the padded dims; f16, f32: acc = fma(q, k, acc) over the true dims in order, from +0.
//                    Up to 15 floats past n may be written, of every head: stride >= n + 15.
// softmax:           m = max by `x > m ? x : m` from -infinity (a NaN never wins); e = exp(x - m);
//                    x = e * (1 / lane_sum(acc + e)).
// values:            for slots in order: i8: out = fma(p * v_scale[slot], f32(v), out); f16, f32: out = fma(p, v, out); in place,
//                    so that segments of a ring add up; dims up to `padded` are written.
// mix:               fma(other - x, share, x). add_scaled: x = fma(y, scale, x). sigmoid, softplus: of x + bias. relu2: g as in
//                    relu2_gate, g * g.
// wkv4:              a, b, m = the rows of state (3, n); u = k + bonus; t = max(u, m) by `u > m ? u : m`; p = exp(m - t);
//                    e = exp(u - t); y = fma(e, v, p * a) / fma(p, b, e); then l = m + rate; t = `k > l ? k : l`;
//                    p = exp(l - t); e = exp(k - t); a = fma(e, v, p * a); b = fma(p, b, e); m = t.
// wkv7:              removal = k * k_k, times 1 / max(sqrt(lane_sum(fma(removal, removal, acc))), 1e-12); decay =
//                    exp(WKV7_DECAY * w); key = k * fma(a - 1, k_a, 1). State S is (n keys j, n values i): c_i = fma(S_ji,
//                    removal_j, c_i) over j in order, from +0; S_ji = fma(v_i, key_j, fma(c_i, -(removal_j * a_j), S_ji *
//                    decay_j)); y_i = fma(S_ji, r_j, y_i) over j in order, from +0. Returns the bonus, lane_sum(fma(r * key,
//                    r_k, acc)).
// conv_silu:         s = bias or +0; s = fma(w_t, past_t, s) over the rows of state (taps - 1, n), oldest first, then fma(w, x, s);
//                    y = s / (1 + exp(-s)); the rows move up, x becomes the last.
// scan:              state h is (states j, n channels i): h_ji = fma(dt_i * x_i, b_j, h_ji * exp(dt_i * rate_ji)); y_i =
//                    fma(skip_i, x_i, sum), sum = fma(h_ji, c_j, sum) over j in order, from +0.
// retain:            state S is (keys j, values i): S_ji = fma(k_j * scale, v_i, S_ji * decay); y_i = fma(S_ji, q_j, y_i) over j
//                    in order, from +0.
// exp, and 1 / (1 + exp(-x)): base/math.h, the same polynomial in every lane.
struct Kernels {
#define KERNEL(result, name, arguments) result(*name) arguments;
#include "kernels.def"
#undef KERNEL
  const char* isa;  // name of the most special set in the table
};

// The table for one set by name, or for the best the CPU has when `isa` is null. False when the name is unknown or the CPU
// lacks what it needs. A set stands on those above it in isa.def: `avx512` overrides `avx2`, which overrides `ref`.
bool select_kernels(const char* isa, u32 cpu_features, Kernels* table);

// Names of all sets compiled in, plain to special; null past the last.
const char* isa_name(i32 index);
u32 isa_features(i32 index);

const char* format_name(Format format);
bool known_format(u32 number);
i32 unit_columns(Format format);
i32 unit_bytes(Format format);
bool sparse(Format format);                           // the bytes depend on the weights
i64 matrix_bytes(Format format, i64 rows, i64 cols);  // of the panels, without scales; not of sparse formats
i64 scale_count(Scale scale, i64 rows);               // f32 scales beside the panels

// The combination of format, scale and activations that `matmul` serves.
bool served(Format format, Scale scale, Quantization activations);

// Calls the slot that serves the matrix's format and activations; with f32 vectors for an integer format, call
// k.matmul_dequantized instead.
void matmul(const Kernels& k, const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1);

// Packs rows into the file's layout; used by the converter and by tests. `codes` is (rows, cols) of the format's integers
// (t2, t5: -1, 0, 1; i4: -8..7; i8: -127..127), `values` the floats of f32 and f16, `group_scales` f16 bits (rows, groups) of i4
// (per 32) and t2_group (per 128). `out` has matrix_bytes; padding is written as weight 0. Rows [row0, rows) may be packed
// panel by panel: give one panel's rows at a time and advance `out` by the panel's bytes.
void pack_f32(const f32* values, i64 rows, i64 cols, u8* out);
void pack_f16(const u16* values, i64 rows, i64 cols, u8* out);
void pack_i8(const i8* codes, i64 rows, i64 cols, u8* out);
void pack_i4(const i8* codes, const u16* group_scales, i64 rows, i64 cols, u8* out);
void pack_t2(const i8* codes, i64 rows, i64 cols, u8* out);
void pack_t2_group(const i8* codes, const u16* group_scales, i64 rows, i64 cols, u8* out);
void pack_t5(const i8* codes, i64 rows, i64 cols, u8* out);

// A sparse matrix is a table, its panels and SPARSE_TAIL zeros (sparse.h). One panel of it, 1 to 16 rows of i8 codes: how many
// bytes it will have, a multiple of 64, and the panel.
i64 sparse_panel_bytes(Format format, const i8* codes, i64 rows, i64 cols);
void pack_sparse_panel(Format format, const i8* codes, i64 rows, i64 cols, u8* out);

}  // namespace edgellm
