// Llama, BitNet b1.58 and Phi transformers: pre-norm, rotary, grouped-query attention, gated feed-forward.
//
//   x      = embed[id]
//   for each layer:
//     a    = norm(x)                                     attn_norm
//     q, k, v = Wq a + bq, Wk a + bk, Wv a + bv
//     q, k = rms(q), rms(k) a head                       q_norm, k_norm; Qwen3
//     s    = attention(rope(q), rope(k), v)              arch/attention.h
//     x    = x + Wo norm(s) + bo                         attn_sub_norm; BitNet
//     f    = norm(x)                                     ffn_norm; Phi: of the x that attention saw, attn_norm(x)
//     g    = act(Wgate f + bgate) * (Wup f + bup)        act: silu, or relu^2 (BitNet); Phi: gelu(Wup f + bup)
//     x    = x + Wdown norm(g) + bdown                   ffn_sub_norm; BitNet
//   logits = head norm(x) + bhead                        final norm; head = embed when tied
//
// Every W quantises its own input as its tensor says. A missing bias is 0. A missing norm is skipped, or has weight 1 where
// the file says `unit_norms`. Sources: LLaMA (arXiv:2302.13971), BitNet b1.58 (arXiv:2402.17764), transformers'
// modeling_llama.py, modeling_mistral.py, modeling_bitnet.py, modeling_qwen3.py and modeling_phi.py.
#include <string.h>

#include "arch/arch.h"
#include "arch/attention.h"
#include "arch/project.h"

namespace edgellm {

namespace {

enum class Unit { silu, relu2, gelu };  // of the feed-forward; gelu has no gate

struct Shape {
  i32 layers, dim, ffn_dim, heads, kv_heads, head_dim, vocab, context;
  i32 pairs;     // rotated pairs of a head
  f32 norm_eps;  // of the layers' norms
  f32 final_norm_eps;
  f32 rope_scale;    // on cosine and sine
  bool layer_norm;   // else RMS
  bool unit_norms;   // an absent layer norm still normalises
  bool parallel;     // the feed-forward reads the x that attention read
  bool interleaved;  // rotary pairs (2i, 2i + 1), else (i, i + pairs)
  i32 window;        // positions a token sees, itself among them; 0: all
  Unit unit;

  i32 q_dim() const { return heads * head_dim; }
  i32 kv_dim() const { return kv_heads * head_dim; }
};

struct Norm {
  const f32 *weight, *bias;
};

struct Layer {
  Norm attn_norm;  // (dim)
  Matrix q, k, v;  // (q_dim, dim), (kv_dim, dim) twice
  const f32 *q_bias, *k_bias, *v_bias, *o_bias;
  HeadNorms head_norms;      // (head_dim)
  const f32* attn_sub_norm;  // (q_dim)
  Matrix o;                  // (dim, q_dim)
  Norm ffn_norm;             // (dim)
  Matrix gate, up;           // (ffn_dim, dim)
  const f32 *gate_bias, *up_bias, *down_bias;
  const f32* ffn_sub_norm;  // (ffn_dim)
  Matrix down;              // (dim, ffn_dim)
};

// One token of the batch.
struct Column {
  u8* state;
  i32 position;
  i32 id;
  i32 bad_layer;  // the first after which x is not finite, or -1
};

struct Transformer {
  Shape shape;
  AttentionShape attention;
  KvCache cache;
  Matrix embed, head;
  const f32* head_bias;  // (vocab)
  Norm norm;             // (dim)
  const f32* inv_freq;   // (pairs)
  Layer* layers;

  // Work buffers, one row a column. Row strides are the widths padded to a panel.
  i32 max_columns, max_logits;
  Column* columns;
  i32* logit_columns;  // (max_logits) column of each logits row
  f32 *x, *branch;     // residual stream; output of o and of down (dim)
  f32 *q, *k, *v;      // (q_dim), (kv_dim), (kv_dim)
  f32* attended;       // (q_dim)
  f32 *gate, *up;      // (ffn_dim)
  f32 *cosine, *sine;  // (pairs)
  Rotation at_sinks;   // the one rotation for the sinks of a window
  Input input;
  ZeroCodes zero_codes;       // of the input of down, with relu2
  AttentionScratch* scratch;  // one a thread

  i64 dim_stride() const { return align_up(shape.dim, PANEL); }
  i64 q_stride() const { return align_up(shape.q_dim(), PANEL); }
  i64 kv_stride() const { return align_up(shape.kv_dim(), PANEL); }
  i64 ffn_stride() const { return align_up(shape.ffn_dim, PANEL); }
  Rotation rotation(i32 c) const {
    return {cosine + static_cast<i64>(c) * shape.pairs, sine + static_cast<i64>(c) * shape.pairs};
  }
};

// Which of the words the file's text is; the first when it has none.
template <class Choice, size_t N>
Status read_choice(const ModelFile& file, Text key, const Text (&words)[N], Choice* choice) {
  Text value;
  EDGELLM_TRY(file.text_or(key, words[0], &value));
  for (size_t i = 0; i < N; i++) {
    *choice = static_cast<Choice>(i);
    if (value == words[i]) return {};
  }
  return bad_model("metadata: \"", key, "\" is \"", value, "\", expected \"", words[0], "\" or \"", words[1],
                   N > 2 ? "\" or \"" : "", N > 2 ? words[N - 1] : "", "\"");
}

Status read_flag(const ModelFile& file, Text key, bool* flag) {
  i32 number;
  EDGELLM_TRY(file.number_or(key, 0, 0, 1, &number));
  *flag = number == 1;
  return {};
}

Status read_shape(const ModelFile& file, Shape* shape) {
  constexpr u32 WIDEST = MAX_COLUMNS;
  EDGELLM_TRY(file.number("layers", 1, MAX_LAYERS, &shape->layers));
  EDGELLM_TRY(file.number("dim", 1, WIDEST, &shape->dim));
  EDGELLM_TRY(file.number("ffn_dim", 1, WIDEST, &shape->ffn_dim));
  EDGELLM_TRY(file.number("heads", 1, MAX_HEADS, &shape->heads));
  EDGELLM_TRY(file.number("kv_heads", 1, MAX_HEADS, &shape->kv_heads));
  EDGELLM_TRY(file.number("head_dim", 1, MAX_HEAD_DIM, &shape->head_dim));
  EDGELLM_TRY(file.number("vocab", 1, MAX_VOCAB, &shape->vocab));
  EDGELLM_TRY(file.number("context", 1, MAX_CONTEXT, &shape->context));
  EDGELLM_TRY(file.real("norm_eps", 0, MAX_NORM_EPS, &shape->norm_eps));
  EDGELLM_TRY(file.real_or("final_norm_eps", shape->norm_eps, 0, MAX_NORM_EPS, &shape->final_norm_eps));
  EDGELLM_TRY(file.real_or("rope_attention_scale", 1, MIN_ROPE_SCALE, MAX_ROPE_SCALE, &shape->rope_scale));
  EDGELLM_TRY(read_choice(file, "norm", {"rms", "layer"}, &shape->layer_norm));
  EDGELLM_TRY(read_choice(file, "gate", {"silu", "relu2", "gelu"}, &shape->unit));
  EDGELLM_TRY(read_choice(file, "rope", {"half", "interleaved"}, &shape->interleaved));
  EDGELLM_TRY(read_flag(file, "unit_norms", &shape->unit_norms));
  EDGELLM_TRY(read_flag(file, "parallel", &shape->parallel));
  EDGELLM_TRY(file.number_or("window", 0, 0, MAX_CONTEXT, &shape->window));
  if (shape->heads % shape->kv_heads) {
    return bad_model("metadata: ", shape->heads, " heads are not a multiple of ", shape->kv_heads, " kv_heads");
  }
  if (shape->q_dim() > MAX_COLUMNS) {
    return bad_model("metadata: ", shape->heads, " heads of ", shape->head_dim, " are wider than ", MAX_COLUMNS);
  }
  const TensorEntry* frequencies = file.find("rope.inv_freq");
  u32 pairs = frequencies ? frequencies->shape[0] : 0;
  if (pairs * 2 > static_cast<u32>(shape->head_dim)) {
    return bad_model("tensor rope.inv_freq: ", pairs, " rotated pairs do not fit a head of ", shape->head_dim);
  }
  shape->pairs = static_cast<i32>(pairs);
  return {};
}

Status same_input(Text layer, const char* names, const Matrix& a, const Matrix& b) {
  if (a.activations == b.activations) return {};
  return bad_model("tensors ", layer, names, ": they share their input but ask for different quantisation of it");
}

// The tensors of one layer; names are "layers.N." and a suffix.
Status bind_layer(const ModelFile& file, const Shape& s, i32 index, Layer* layer) {
  char buffer[MAX_TENSOR_NAME + 1];
  Writer name(buffer);
  auto at = [&](const char* suffix) {
    name.clear();
    return write(name, "layers.", index, ".", suffix).text();
  };
  EDGELLM_TRY(file.matrix(at("q"), s.q_dim(), s.dim, &layer->q));
  EDGELLM_TRY(file.matrix(at("k"), s.kv_dim(), s.dim, &layer->k));
  EDGELLM_TRY(file.matrix(at("v"), s.kv_dim(), s.dim, &layer->v));
  EDGELLM_TRY(file.matrix(at("o"), s.dim, s.q_dim(), &layer->o));
  EDGELLM_TRY(file.matrix(at("up"), s.ffn_dim, s.dim, &layer->up));
  EDGELLM_TRY(file.matrix(at("down"), s.dim, s.ffn_dim, &layer->down));
  EDGELLM_TRY(file.vector_or_none(at("q_bias"), s.q_dim(), &layer->q_bias));
  EDGELLM_TRY(file.vector_or_none(at("k_bias"), s.kv_dim(), &layer->k_bias));
  EDGELLM_TRY(file.vector_or_none(at("v_bias"), s.kv_dim(), &layer->v_bias));
  EDGELLM_TRY(file.vector_or_none(at("o_bias"), s.dim, &layer->o_bias));
  EDGELLM_TRY(file.vector_or_none(at("q_norm"), s.head_dim, &layer->head_norms.q));
  EDGELLM_TRY(file.vector_or_none(at("k_norm"), s.head_dim, &layer->head_norms.k));
  EDGELLM_TRY(file.vector_or_none(at("attn_sub_norm"), s.q_dim(), &layer->attn_sub_norm));
  EDGELLM_TRY(file.vector_or_none(at("ffn_sub_norm"), s.ffn_dim, &layer->ffn_sub_norm));
  EDGELLM_TRY(file.vector_or_none(at("gate_bias"), s.ffn_dim, &layer->gate_bias));
  EDGELLM_TRY(file.vector_or_none(at("up_bias"), s.ffn_dim, &layer->up_bias));
  EDGELLM_TRY(file.vector_or_none(at("down_bias"), s.dim, &layer->down_bias));
  EDGELLM_TRY(file.vector_or_none(at("attn_norm"), s.dim, &layer->attn_norm.weight));
  EDGELLM_TRY(file.vector_or_none(at("attn_norm_bias"), s.dim, &layer->attn_norm.bias));
  EDGELLM_TRY(file.vector_or_none(at("ffn_norm"), s.dim, &layer->ffn_norm.weight));
  EDGELLM_TRY(file.vector_or_none(at("ffn_norm_bias"), s.dim, &layer->ffn_norm.bias));
  if (s.parallel && !layer->ffn_norm.weight) layer->ffn_norm = layer->attn_norm;
  if (s.unit != Unit::gelu) EDGELLM_TRY(file.matrix(at("gate"), s.ffn_dim, s.dim, &layer->gate));
  name.clear();
  Text prefix = write(name, "layers.", index, ".").text();
  EDGELLM_TRY(same_input(prefix, "q, k", layer->q, layer->k));
  EDGELLM_TRY(same_input(prefix, "q, v", layer->q, layer->v));
  return s.unit == Unit::gelu ? Status() : same_input(prefix, "gate, up", layer->gate, layer->up);
}

Status bind_outer(const ModelFile& file, const Shape& s, Transformer* t) {
  EDGELLM_TRY(file.matrix("embed", s.vocab, s.dim, &t->embed));
  EDGELLM_TRY(file.matrix_or_none("head", s.vocab, s.dim, &t->head));
  EDGELLM_TRY(file.vector_or_none("head_bias", s.vocab, &t->head_bias));
  EDGELLM_TRY(file.vector("norm", s.dim, &t->norm.weight));
  EDGELLM_TRY(file.vector_or_none("norm_bias", s.dim, &t->norm.bias));
  EDGELLM_TRY(file.vector_or_none("rope.inv_freq", s.pairs, &t->inv_freq));
  if (!t->head.data) t->head = t->embed;
  return {};
}

void take_buffers(Arena& arena, const Limits& limits, Transformer* t) {
  const Shape& s = t->shape;
  i64 n = limits.columns;
  t->max_columns = limits.columns;
  t->max_logits = limits.logits;
  t->columns = arena.take<Column>(n);
  t->logit_columns = arena.take<i32>(limits.logits);
  t->x = arena.take<f32>(n * t->dim_stride());
  t->branch = arena.take<f32>(n * t->dim_stride());
  t->q = arena.take<f32>(n * t->q_stride());
  t->k = arena.take<f32>(n * t->kv_stride());
  t->v = arena.take<f32>(n * t->kv_stride());
  t->attended = arena.take<f32>(n * t->q_stride());
  t->gate = arena.take<f32>(n * t->ffn_stride());
  t->up = arena.take<f32>(n * t->ffn_stride());
  t->cosine = arena.take<f32>(n * s.pairs);
  t->sine = arena.take<f32>(n * s.pairs);
  t->at_sinks = {arena.take<f32>(s.pairs), arena.take<f32>(s.pairs)};
  t->input.take(arena, limits.columns, max(s.dim, max(s.q_dim(), s.ffn_dim)), limits.f32_activations);
  t->scratch = arena.take<AttentionScratch>(limits.threads);
  for (i32 i = 0; i < limits.threads; i++) {
    AttentionScratch scratch;
    scratch.take(arena, t->cache, t->attention.group);
    if (t->scratch) t->scratch[i] = scratch;
  }
}

Status load(const ModelFile& file, const Limits& limits, Arena& arena, Model* model) {
  Transformer t = {};
  EDGELLM_TRY(read_shape(file, &t.shape));
  const Shape& s = t.shape;
  EDGELLM_TRY(bind_outer(file, s, &t));
  t.cache = KvCache::plan(limits, s.layers, s.kv_heads, s.head_dim);
  t.attention = {.group = s.heads / s.kv_heads,
                 .pairs = s.pairs,
                 .interleaved = s.interleaved,
                 .head_norm_eps = s.norm_eps,
                 .window = s.window};
  t.layers = arena.take<Layer>(s.layers);
  for (i32 i = 0; i < s.layers; i++) {
    Layer layer = {};
    EDGELLM_TRY(bind_layer(file, s, i, &layer));
    if (t.layers) t.layers[i] = layer;
  }
  take_buffers(arena, limits, &t);
  Transformer* placed = arena.take<Transformer>(1);
  model->family = placed;
  model->vocab = s.vocab;
  model->layers = s.layers;
  model->context = s.context;
  model->state_bytes = t.cache.bytes();
  model->weight_bytes = bytes_per_token(file);
  model->logits_stride = align_up<i64>(s.vocab, PANEL);
  model->logits = arena.take<f32>(limits.logits * model->logits_stride);
  if (arena.counting()) return {};
  if (limits.window) fill_rotation(SINKS + limits.window - 1, t.inv_freq, s.pairs, s.rope_scale, t.at_sinks);
  *placed = t;
  if (s.unit == Unit::relu2) model->zero_codes = &placed->zero_codes;
  return {};
}

// Columns of the batch, and which of them want logits; embeddings and rotations.
void begin(Transformer& t, const Kernels& kernels, Threads& threads, Span<const Item> items, i32* columns, i32* logits) {
  *columns = *logits = 0;
  for (const Item& item : items) {
    for (i32 i = 0; i < item.count; i++) {
      bool wanted = item.wanted == Wanted::all || (item.wanted == Wanted::last && i == item.count - 1);
      if (wanted) t.logit_columns[(*logits)++] = *columns;
      t.columns[(*columns)++] = {.state = item.state, .position = item.position + i, .id = item.ids[i], .bad_layer = -1};
    }
  }
  assert(*columns <= t.max_columns && *logits <= t.max_logits);
  each_column(threads, *columns, [&](i32 c) {
    kernels.row(t.embed, t.columns[c].id, t.x + c * t.dim_stride());
    fill_rotation(t.columns[c].position, t.inv_freq, t.shape.pairs, t.shape.rope_scale, t.rotation(c));
  });
}

// y = norm(x); plain copy where the model has no norm here.
void normalise(const Kernels& kernels, const Shape& s, const f32* x, Norm norm, f32 eps, i32 n, f32* y) {
  if (!norm.weight && !s.unit_norms) {
    memcpy(y, x, static_cast<size_t>(n) * sizeof(f32));
  } else if (s.layer_norm) {
    kernels.layer_norm(x, norm.weight, norm.bias, eps, n, y);
  } else {
    kernels.rms_norm(x, norm.weight, eps, n, y);
  }
}

void add_bias(const Kernels& kernels, f32* y, const f32* bias, i32 n) {
  if (bias) kernels.add(y, bias, n);
}

void attention_block(Transformer& t, const Layer& layer, i32 index, const Kernels& kernels, Threads& threads, i32 n) {
  const Shape& s = t.shape;
  t.input.shape_for(layer.q);
  each_column(threads, n, [&](i32 c) {
    normalise(kernels, s, t.x + c * t.dim_stride(), layer.attn_norm, s.norm_eps, s.dim, t.input.column(c));
    t.input.finish(kernels, c);
  });
  const Projection qkv[] = {{&layer.q, t.q, t.q_stride()}, {&layer.k, t.k, t.kv_stride()}, {&layer.v, t.v, t.kv_stride()}};
  project(kernels, threads, t.input, n, {qkv, 3});

  each_column(threads, n, [&](i32 c) {
    f32 *q = t.q + c * t.q_stride(), *k = t.k + c * t.kv_stride(), *v = t.v + c * t.kv_stride();
    add_bias(kernels, q, layer.q_bias, s.q_dim());
    add_bias(kernels, k, layer.k_bias, s.kv_dim());
    add_bias(kernels, v, layer.v_bias, s.kv_dim());
    for (i32 h = 0; h < s.kv_heads; h++) {
      store_position(kernels, t.cache, t.attention, layer.head_norms, t.cache.head(t.columns[c].state, index, h),
                     t.columns[c].position, t.rotation(c), k + h * s.head_dim, v + h * s.head_dim);
    }
  });
  i32 group_dim = t.attention.group * s.head_dim;
  threads.run(n * s.kv_heads, [&](i32 chunk, i32 thread) {
    i32 c = chunk / s.kv_heads, h = chunk % s.kv_heads;
    attend(kernels, t.cache, t.attention, layer.head_norms, t.cache.head(t.columns[c].state, index, h),
           t.columns[c].position, t.rotation(c), t.at_sinks, t.scratch[thread], t.q + c * t.q_stride() + h * group_dim,
           t.attended + c * t.q_stride() + h * group_dim);
  });

  t.input.shape_for(layer.o);
  each_column(threads, n, [&](i32 c) {
    normalise(kernels, s, t.attended + c * t.q_stride(), {layer.attn_sub_norm, nullptr}, s.norm_eps, s.q_dim(),
              t.input.column(c));
    t.input.finish(kernels, c);
  });
  const Projection o[] = {{&layer.o, t.branch, t.dim_stride()}};
  project(kernels, threads, t.input, n, {o, 1});
}

void ffn_block(Transformer& t, const Layer& layer, const Kernels& kernels, Threads& threads, i32 n) {
  const Shape& s = t.shape;
  t.input.shape_for(layer.up);
  each_column(threads, n, [&](i32 c) {
    f32 *x = t.x + c * t.dim_stride(), *branch = t.branch + c * t.dim_stride();
    add_bias(kernels, branch, layer.o_bias, s.dim);
    if (!s.parallel) kernels.add(x, branch, s.dim);
    normalise(kernels, s, x, layer.ffn_norm, s.norm_eps, s.dim, t.input.column(c));
    if (s.parallel) kernels.add(x, branch, s.dim);
    t.input.finish(kernels, c);
  });
  const Projection up_gate[] = {{&layer.up, t.up, t.ffn_stride()}, {&layer.gate, t.gate, t.ffn_stride()}};
  project(kernels, threads, t.input, n, {up_gate, s.unit == Unit::gelu ? 1 : 2});

  t.input.shape_for(layer.down);
  each_column(threads, n, [&](i32 c) {
    f32 *gate = t.gate + c * t.ffn_stride(), *up = t.up + c * t.ffn_stride();
    add_bias(kernels, up, layer.up_bias, s.ffn_dim);
    if (s.unit == Unit::gelu) {
      kernels.gelu(up, s.ffn_dim, gate);
    } else {
      add_bias(kernels, gate, layer.gate_bias, s.ffn_dim);
      (s.unit == Unit::relu2 ? kernels.relu2_gate : kernels.silu_gate)(gate, up, s.ffn_dim, gate);
    }
    normalise(kernels, s, gate, {layer.ffn_sub_norm, nullptr}, s.norm_eps, s.ffn_dim, t.input.column(c));
    t.input.finish(kernels, c);
  });
  if (s.unit == Unit::relu2) t.input.count_zeros(n, &t.zero_codes);
  const Projection down[] = {{&layer.down, t.branch, t.dim_stride()}};
  project(kernels, threads, t.input, n, {down, 1});
}

// Ends a layer: the residual sum, watched for values that are not finite.
void add_branch(Transformer& t, i32 index, const Kernels& kernels, Threads& threads, i32 n) {
  each_column(threads, n, [&](i32 c) {
    f32 *x = t.x + c * t.dim_stride(), *branch = t.branch + c * t.dim_stride();
    add_bias(kernels, branch, t.layers[index].down_bias, t.shape.dim);
    kernels.add(x, branch, t.shape.dim);
    if (t.columns[c].bad_layer < 0 && !kernels.all_finite(x, t.shape.dim)) t.columns[c].bad_layer = index;
  });
}

Status head(const Model& model, Transformer& t, const Kernels& kernels, Threads& threads, i32 logits) {
  const Shape& s = t.shape;
  t.input.shape_for(t.head);
  each_column(threads, logits, [&](i32 row) {
    const f32* x = t.x + t.logit_columns[row] * t.dim_stride();
    normalise(kernels, s, x, t.norm, s.final_norm_eps, s.dim, t.input.column(row));
    t.input.finish(kernels, row);
  });
  const Projection projection[] = {{&t.head, model.logits, model.logits_stride}};
  project(kernels, threads, t.input, logits, {projection, 1});
  for (i32 row = 0; row < logits; row++) {
    f32* y = model.logits + row * model.logits_stride;
    add_bias(kernels, y, t.head_bias, s.vocab);
    if (!kernels.all_finite(y, s.vocab)) {
      return failed("the output head gave logits that are not finite at position ",
                    t.columns[t.logit_columns[row]].position);
    }
  }
  return {};
}

Status forward(const Model& model, const Kernels& kernels, Threads& threads, Span<const Item> items) {
  Transformer& t = *static_cast<Transformer*>(model.family);
  i32 n, logits;
  begin(t, kernels, threads, items, &n, &logits);
  for (i32 i = 0; i < t.shape.layers; i++) {
    const Layer& layer = t.layers[i];
    attention_block(t, layer, i, kernels, threads, n);
    ffn_block(t, layer, kernels, threads, n);
    add_branch(t, i, kernels, threads, n);
  }
  for (i32 c = 0; c < n; c++) {
    if (t.columns[c].bad_layer >= 0) {
      return failed("layer ", t.columns[c].bad_layer, " gave values that are not finite at position ",
                    t.columns[c].position);
    }
  }
  return logits ? head(model, t, kernels, threads, logits) : Status();
}

}  // namespace

extern const Arch transformer_arch;
const Arch transformer_arch = {.name = "transformer", .load = load, .forward = forward};

}  // namespace edgellm
