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
  i64 score_stride() const { return align_up(cache.most_visible(), 16) + 16; }
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
        sums(arena, threads, a.group()), scores(arena, threads, a.group() * a.score_stride()),
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
  if (i32 pairs = layer.ropes[a->rope].pairs; pairs * 2 > a->head_dim) {
    return bad_model("tensor rope.inv_freq: ", pairs, " rotated pairs do not fit a head of ", a->head_dim);
  }
  return {};
}

Status load(Layer& layer, Block* block) {
  Attention a = {};
  const i32 dim = layer.shape.dim;
  EDGELLM_TRY(read_shape(layer, &a));
  EDGELLM_TRY(layer.model_norm("attn_norm", dim, &block->norm));
  EDGELLM_TRY(layer.model_norm("attn_sub_norm", a.q_dim(), &a.sub_norm));
  EDGELLM_TRY(layer.bind({{"q", a.q_dim(), dim, &a.q},
                          {"k", a.kv_dim(), dim, &a.k},
                          {"v", a.kv_dim(), dim, &a.v},
                          {"o", dim, a.q_dim(), &a.o}}));
  EDGELLM_TRY(layer.bind_optional({{"q_bias", a.q_dim(), &a.q_bias},
                                   {"k_bias", a.kv_dim(), &a.k_bias},
                                   {"v_bias", a.kv_dim(), &a.v_bias},
                                   {"o_bias", dim, &block->bias}}));
  EDGELLM_TRY(layer.optional_norm("q_norm", a.head_dim, Norm::Kind::rms, &a.q_norm));
  EDGELLM_TRY(layer.optional_norm("k_norm", a.head_dim, Norm::Kind::rms, &a.k_norm));
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
void turn_head(const Batch& b, const Attention& a, const Norm& norm, Rotation rotation, f32* head) {
  normalise(b.kernels, norm, head, a.head_dim, head);
  const auto rotate = a.interleaved ? b.kernels.rope_interleaved : b.kernels.rope_half;
  rotate(head, rotation.cosine, rotation.sine, b.ropes[a.rope].pairs);
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
      turn_head(b, a, a.k_norm, b.ropes[a.rope][token], k);
      const Segment segment = a.cache.segment(b.runs[t.run].state, h, t.position, t.position + 1);
      store_head(k, v, segment.slot, segment.head);
    }
  });
}

// One kv head of one token, and the thread whose rows of scratch it may use.
struct Task {
  i32 token, head, thread;
};

// The query heads that share the kv head, in the form that the cache wants.
Queries make_queries(const Batch& b, const Attention& a, const Work& work, Task task, Rotation rotation) {
  const i32 n = a.head_dim, padded = a.cache.padded;
  const f32 scale = static_cast<f32>(1 / __builtin_sqrt(static_cast<f64>(n)));
  const f32* q = work.q[task.token] + task.head * a.group_dim();
  f32 *x = work.queries[task.thread], *scales = work.scales[task.thread];
  i8* codes = work.codes[task.thread];
  i32* sums = work.sums[task.thread];
  for (i32 h = 0; h < a.group(); h++, q += n, x += padded, codes += padded) {
    for (i32 i = 0; i < padded; i++)
      x[i] = i < n ? q[i] : 0;
    turn_head(b, a, a.q_norm, rotation, x);
    if (a.cache.format == KvFormat::I8) {
      b.kernels.quantize_token(x, n, padded, codes, scales + h, sums + h);
      scales[h] *= scale;
    } else {
      for (i32 i = 0; i < n; i++)
        x[i] *= scale;
    }
  }
  return {a.group(), padded, work.queries[task.thread], work.codes[task.thread], scales, sums};
}

struct Range {
  i32 first, end;  // positions, without `end`
};

struct Visible {
  Range sinks, recent;
  bool far_sinks;  // further away than any distance that the model may see
};

Visible visible_at(const Attention& a, i32 position) {
  const i32 end = position + 1, most = a.cache.window;
  if (most == 0) return {{0, 0}, {a.window ? max(0, end - a.window) : 0, end}, false};
  const i32 sinks = min(SINKS, end), window = a.window ? min(a.window, most) : most;
  return {{0, sinks}, {max(sinks, end - window), end}, end > SINKS + most};
}

// Calls body(segment, seen) for the segments of a range, in order; `seen` positions come before. Returns those after the last.
template <class Body>
i32 each_segment(const Batch& b, const Attention& a, Task task, Range range, i32 seen, const Body& body) {
  u8* session = b.runs[b.tokens[task.token].run].state;
  for (i32 position = range.first; position < range.end;) {
    const Segment segment = a.cache.segment(session, task.head, position, range.end);
    body(segment, seen);
    position += segment.count;
    seen += segment.count;
  }
  return seen;
}

// The scores of all that is visible, the sinks' first; returns how many. The queries are turned anew between the two if need be.
i32 score(const Batch& b, const Attention& a, const Work& work, Task task, const Visible& visible) {
  const auto scores = by_format(a.cache.format, b.kernels.scores_i8, b.kernels.scores_f16, b.kernels.scores_f32);
  const Rope& rope = b.ropes[a.rope];
  Queries queries = make_queries(b, a, work, task, visible.far_sinks ? rope.at_sinks : rope[task.token]);
  const auto score_segment = [&](const Segment& s, i32 seen) {
    scores(queries, s.head, s.slot, s.count, work.scores[task.thread] + seen, a.score_stride());
  };
  const i32 seen = each_segment(b, a, task, visible.sinks, 0, score_segment);
  if (visible.far_sinks) queries = make_queries(b, a, work, task, rope[task.token]);
  return each_segment(b, a, task, visible.recent, seen, score_segment);
}

// The sum of the values, each times its share.
void weigh(const Batch& b, const Attention& a, const Work& work, Task task, const Visible& visible) {
  const auto values = by_format(a.cache.format, b.kernels.values_i8, b.kernels.values_f16, b.kernels.values_f32);
  const i32 group = a.group(), padded = a.cache.padded;
  f32 *shares = work.scores[task.thread], *sum = work.head_out[task.thread];
  memset(sum, 0, static_cast<size_t>(group * padded) * sizeof(f32));
  const auto weigh_segment = [&](const Segment& s, i32 seen) {
    values(shares + seen, a.score_stride(), group, s.head, s.slot, s.count, sum, padded);
  };
  const i32 seen = each_segment(b, a, task, visible.sinks, 0, weigh_segment);
  each_segment(b, a, task, visible.recent, seen, weigh_segment);
}

// Writes the kv head's (group, head_dim) of work.out.
void attend(const Batch& b, const Attention& a, const Work& work, Task task) {
  const Visible visible = visible_at(a, b.tokens[task.token].position);
  const i32 seen = score(b, a, work, task, visible);
  for (i32 h = 0; h < a.group(); h++)
    b.kernels.softmax(work.scores[task.thread] + h * a.score_stride(), seen);
  weigh(b, a, work, task, visible);
  const f32* sum = work.head_out[task.thread];
  f32* out = work.out[task.token] + task.head * a.group_dim();
  for (i32 h = 0; h < a.group(); h++)
    memcpy(out + h * a.head_dim, sum + h * a.cache.padded, static_cast<size_t>(a.head_dim) * sizeof(f32));
}

void run(const Block& block, Batch& b) {
  const Attention& a = own<Attention>(block);
  const Work& work = work_of<Work>(block);
  open(b, block, a.q);
  project(b, {{&a.q, work.q}, {&a.k, work.k}, {&a.v, work.v}});
  store(b, a, work);
  b.threads.run(b.count() * a.kv_heads,
                [&](i32 chunk, i32 thread) { attend(b, a, work, {chunk / a.kv_heads, chunk % a.kv_heads, thread}); });
  quantise(b, a.o, a.sub_norm, work.out);
  project(b, a.o, b.branch);
}

void copy(const Block& block, u8* from, i32 positions, u8* to) {
  own<Attention>(block).cache.copy(from, positions, to);
}

}  // namespace

const BlockKind attention_block = {.name = "attention", .keeps_positions = true, .load = load, .copy = copy, .run = run};

}  // namespace edgellm
