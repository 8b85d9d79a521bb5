// Grouped-query attention with rotary positions over a cache of keys and values.
//
//   a       = norm(x)                                   attn_norm
//   q, k, v = Wq a + bq, Wk a + bk, Wv a + bv
//   q, k    = rms(q), rms(k) of each head               q_norm, k_norm; Qwen3
//   s       = sum over visible t of softmax(rope(q, p) . rope(k_t, t) / sqrt(head_dim)) v_t      p: position of the token
//   branch  = Wo norm(s) + bo                           attn_sub_norm; BitNet
//
// A layer with a sliding window sees the last positions only (Mistral, arXiv:2310.06825).
//
// With a window W of the cache the visible positions are the sinks (the first SINKS) and the last W. Keys are stored rotated
// by their true position; the query is rotated by p for the window, and by min(p, SINKS + W - 1) for the sinks, so that no
// distance the model sees exceeds SINKS + W (arXiv:2309.17453 re-numbers the cache to the same effect).
//
// Sources: LLaMA (arXiv:2302.13971), grouped queries (arXiv:2305.13245), BitNet b1.58 (arXiv:2402.17764), transformers'
// modeling_llama.py, modeling_mistral.py, modeling_bitnet.py, modeling_qwen3.py and modeling_phi.py.
#include <string.h>

#include "arch/block.h"
#include "arch/kv_cache.h"

namespace edgellm {

namespace {

struct Attention {
  Matrix q, k, v, o;                                                  // (q_dim, dim), (kv_dim, dim) twice, (dim, q_dim)
  const f32 *q_bias = nullptr, *k_bias = nullptr, *v_bias = nullptr;  // their rows, or null
  Norm q_norm, k_norm;                                                // (head_dim)
  Norm sub_norm;                                                      // (q_dim)
  KvCache cache;
  i32 heads, kv_heads, head_dim;
  i32 window;        // positions that a token sees, its own the last of them; 0: all
  i32 rope;          // index
  bool interleaved;  // rotated pairs are (2i, 2i + 1), otherwise (i, i + pairs)

  i32 group() const { return heads / kv_heads; }  // query heads that share a kv head
  i32 group_dim() const { return group() * head_dim; }
  i32 q_dim() const { return heads * head_dim; }
  i32 kv_dim() const { return kv_heads * head_dim; }
  i32 score_stride() const { return align_up(cache.most_visible(), 16) + 16; }
};

struct Work {
  Rows q, k, v, out;  // (q_dim), (kv_dim) twice, (q_dim)
  // Of one token and one kv head at a time, a row for each thread.
  Rows queries;      // (group, padded)
  RowsOf<i8> codes;  // (group, padded) quantised
  Rows scales;       // (group)
  RowsOf<i32> sums;  // (group)
  Rows scores;       // (group, score_stride)
  Rows head_out;     // (group, padded)

  Work(Arena& arena, const Attention& a, i32 tokens, i32 threads)
      : q(arena, tokens, a.q_dim()), k(arena, tokens, a.kv_dim()), v(arena, tokens, a.kv_dim()),
        out(arena, tokens, a.q_dim()), queries(arena, threads, i64{a.group()} * a.cache.padded),
        codes(arena, threads, i64{a.group()} * a.cache.padded), scales(arena, threads, a.group()),
        sums(arena, threads, a.group()), scores(arena, threads, i64{a.group()} * a.score_stride()),
        head_out(arena, threads, i64{a.group()} * a.cache.padded) {}
};

Status read_shape(Layer& layer, Attention* a) {
  EDGELLM_TRY(layer.number("heads", 1, MAX_HEADS, &a->heads));
  EDGELLM_TRY(layer.number("kv_heads", 1, MAX_HEADS, &a->kv_heads));
  EDGELLM_TRY(layer.number("head_dim", 1, MAX_HEAD_DIM, &a->head_dim));
  EDGELLM_TRY(layer.number_or("window", 0, 0, MAX_CONTEXT, &a->window));
  EDGELLM_TRY(layer.number_or("rope_table", 0, 0, MAX_ROPES - 1, &a->rope));
  EDGELLM_TRY(layer.file.choice_or("rope", false, {"half", "interleaved"}, &a->interleaved));
  if (a->heads % a->kv_heads) {
    return bad_model("metadata: ", a->heads, " heads are not a multiple of ", a->kv_heads, " kv_heads");
  }
  if (a->q_dim() > MAX_COLUMNS) {
    return bad_model("metadata: ", a->heads, " heads of ", a->head_dim, " are wider than ", MAX_COLUMNS);
  }
  if (i32 pairs = layer.shape.ropes[a->rope].pairs; pairs * 2 > a->head_dim) {
    return bad_model("tensor rope.inv_freq: ", pairs, " rotated pairs do not fit a head of ", a->head_dim);
  }
  return {};
}

Status load(Layer& layer, Block* block) {
  Attention a = {};
  const i32 dim = layer.shape.dim;
  EDGELLM_TRY(read_shape(layer, &a));
  EDGELLM_TRY(layer.norm("attn_norm", dim, &block->norm));
  EDGELLM_TRY(layer.norm("attn_sub_norm", a.q_dim(), &a.sub_norm));
  EDGELLM_TRY(layer.bind({{"q", a.q_dim(), dim, &a.q},
                          {"k", a.kv_dim(), dim, &a.k},
                          {"v", a.kv_dim(), dim, &a.v},
                          {"o", dim, a.q_dim(), &a.o}}));
  EDGELLM_TRY(layer.bind_optional({{"q_bias", a.q_dim(), &a.q_bias},
                                   {"k_bias", a.kv_dim(), &a.k_bias},
                                   {"v_bias", a.kv_dim(), &a.v_bias},
                                   {"o_bias", dim, &block->bias}}));
  EDGELLM_TRY(layer.norm("q_norm", a.head_dim, Norm::Kind::rms, true, &a.q_norm));
  EDGELLM_TRY(layer.norm("k_norm", a.head_dim, Norm::Kind::rms, true, &a.k_norm));
  EDGELLM_TRY(layer.same_input("q, k", a.q, a.k));
  EDGELLM_TRY(layer.same_input("q, v", a.q, a.v));
  a.cache = KvCache::plan(layer.limits, a.kv_heads, a.head_dim, block->state_at);
  return place<Work>(layer, a, a.cache.bytes(), block);
}

template <class Kernel>
Kernel by_format(KvFormat format, Kernel bytes, Kernel halves, Kernel floats) {
  return format == KvFormat::I8 ? bytes : format == KvFormat::F16 ? halves : floats;
}

// A head, normalised and rotated in place.
void place_head(const Batch& b, const Attention& a, const Norm& norm, Rotation rotation, f32* head) {
  if (norm.weight) b.kernels.rms_norm(head, norm.weight, norm.eps, a.head_dim, head);
  const auto rotate = a.interleaved ? b.kernels.rope_interleaved : b.kernels.rope_half;
  rotate(head, rotation.cosine, rotation.sine, b.ropes[a.rope].pairs);
}

void add_bias(const Batch& b, f32* y, const f32* bias, i32 n) {
  if (bias) b.kernels.add(y, bias, n);
}

// Biases, and keys and values to their places in the cache.
void store(const Batch& b, const Attention& a, const Work& work) {
  const auto store_head = by_format(a.cache.format, b.kernels.store_i8, b.kernels.store_f16, b.kernels.store_f32);
  each_token(b, [&](i32 token) {
    f32 *k = work.k[token], *v = work.v[token];
    add_bias(b, work.q[token], a.q_bias, a.q_dim());
    add_bias(b, k, a.k_bias, a.kv_dim());
    add_bias(b, v, a.v_bias, a.kv_dim());
    const Token& t = b.tokens[token];
    for (i32 h = 0; h < a.kv_heads; h++, k += a.head_dim, v += a.head_dim) {
      place_head(b, a, a.k_norm, b.ropes[a.rope][token], k);
      const Segment segment = a.cache.segment(b.runs[t.run].state, h, t.position, t.position + 1);
      store_head(k, v, segment.slot, segment.head);
    }
  });
}

// The query heads of one kv head in the form that the cache wants; q: (group, head_dim) as projected.
Queries make_queries(const Batch& b, const Attention& a, const Work& work, Rotation rotation, const f32* q, i32 thread) {
  const i32 n = a.head_dim, padded = a.cache.padded;
  const f32 scale = static_cast<f32>(1 / __builtin_sqrt(static_cast<f64>(n)));
  f32 *x = work.queries[thread], *scales = work.scales[thread];
  i8* codes = work.codes[thread];
  for (i32 h = 0; h < a.group(); h++, x += padded, codes += padded) {
    for (i32 i = 0; i < padded; i++)
      x[i] = i < n ? q[h * n + i] : 0;
    place_head(b, a, a.q_norm, rotation, x);
    if (a.cache.format == KvFormat::I8) {
      b.kernels.quantize_token(x, n, padded, codes, scales + h, work.sums[thread] + h);
      scales[h] *= scale;
    } else {
      for (i32 i = 0; i < n; i++)
        x[i] *= scale;
    }
  }
  return {a.group(), padded, work.queries[thread], work.codes[thread], scales, work.sums[thread]};
}

// Positions from `first` up to, but without, `end`.
struct Range {
  i32 first, end;
};

struct Visible {
  Range sinks, recent;
};

Visible visible_at(const Attention& a, i32 position) {
  const i32 end = position + 1;
  if (a.cache.window == 0) return {{0, 0}, {a.window ? max(0, end - a.window) : 0, end}};
  const i32 sinks = min(SINKS, end), window = a.window ? min(a.window, a.cache.window) : a.cache.window;
  return {{0, sinks}, {max(sinks, end - window), end}};
}

// Calls body(segment) for the segments of a range, in order.
template <class Body>
void each_segment(const KvCache& cache, u8* session, i32 head, Range range, const Body& body) {
  for (i32 position = range.first; position < range.end;) {
    const Segment segment = cache.segment(session, head, position, range.end);
    body(segment);
    position += segment.count;
  }
}

// One kv head of a token; writes its (group, head_dim) of work.out.
void attend(const Batch& b, const Attention& a, const Work& work, i32 token, i32 head, i32 thread) {
  const auto score = by_format(a.cache.format, b.kernels.scores_i8, b.kernels.scores_f16, b.kernels.scores_f32);
  const auto weigh = by_format(a.cache.format, b.kernels.values_i8, b.kernels.values_f16, b.kernels.values_f32);
  const i32 group = a.group(), padded = a.cache.padded, position = b.tokens[token].position;
  u8* session = b.runs[b.tokens[token].run].state;
  const Visible visible = visible_at(a, position);
  const bool far_sinks = a.cache.window && position > SINKS + a.cache.window - 1;
  const Rotation rotation = b.ropes[a.rope][token];
  const f32* q = work.q[token] + head * a.group_dim();
  f32 *scores = work.scores[thread], *sum = work.head_out[thread], *out = work.out[token] + head * a.group_dim();

  i32 seen = 0;
  Queries queries = make_queries(b, a, work, far_sinks ? b.ropes[a.rope].at_sinks : rotation, q, thread);
  const auto score_segment = [&](const Segment& s) {
    score(queries, s.head, s.slot, s.count, scores + seen, a.score_stride());
    seen += s.count;
  };
  each_segment(a.cache, session, head, visible.sinks, score_segment);
  if (far_sinks) queries = make_queries(b, a, work, rotation, q, thread);
  each_segment(a.cache, session, head, visible.recent, score_segment);
  for (i32 h = 0; h < group; h++)
    b.kernels.softmax(scores + h * a.score_stride(), seen);

  memset(sum, 0, static_cast<size_t>(group * padded) * sizeof(f32));
  seen = 0;
  const auto weigh_segment = [&](const Segment& s) {
    weigh(scores + seen, a.score_stride(), group, s.head, s.slot, s.count, sum, padded);
    seen += s.count;
  };
  each_segment(a.cache, session, head, visible.sinks, weigh_segment);
  each_segment(a.cache, session, head, visible.recent, weigh_segment);
  for (i32 h = 0; h < group; h++)
    memcpy(out + h * a.head_dim, sum + h * padded, static_cast<size_t>(a.head_dim) * sizeof(f32));
}

void attend_all(const Batch& b, const Attention& a, const Work& work) {
  b.threads.run(b.count() * a.kv_heads,
                [&](i32 chunk, i32 thread) { attend(b, a, work, chunk / a.kv_heads, chunk % a.kv_heads, thread); });
}

void run(const Block& block, Batch& b) {
  const Attention& a = own<Attention>(block);
  const Work& work = work_of<Work>(block);
  open(b, block, a.q);
  project(b, {{&a.q, work.q}, {&a.k, work.k}, {&a.v, work.v}});
  store(b, a, work);
  attend_all(b, a, work);
  quantise(b, a.o, a.sub_norm, work.out);
  project(b, a.o, b.branch);
}

}  // namespace

const BlockKind attention_block = {.name = "attention", .keeps_positions = true, .load = load, .run = run};

}  // namespace edgellm
