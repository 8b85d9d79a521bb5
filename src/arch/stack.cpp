// A model: a list of blocks between an embedding and a head.
//
//   x      = norm(embed[id])                 embed_norm; most have none
//   x      = x + block(norm(x))              for each block of each layer
//   logits = head norm(x) + head_bias        norm; head = embed when tied
#include <string.h>

#include "arch/block.h"
#include "file/family.h"
#include "platform/stage.h"

namespace edgellm {

struct Stack {
  Shape shape;
  Span<Block> blocks;
  Matrix embed, head;     // (vocab, dim)
  const f32* head_bias;   // (vocab) or null
  Norm embed_norm, norm;  // (dim)

  Rope ropes[MAX_ROPES];
  Token* tokens;      // (Limits::tokens)
  Run* runs;          // (Limits::tokens) at most one for each token
  i32* logit_tokens;  // (Limits::logits) whose logits are wanted
  Buffers buffers;
  ZeroCodes zero_codes;
};

namespace {

const BlockKind* const KINDS[] = {
#define BLOCK(name) &name##_block,
#include "arch/blocks.def"
#undef BLOCK
};
constexpr i32 KIND_COUNT = sizeof(KINDS) / sizeof(KINDS[0]);

Status find_kind(Text name, i32* index) {
  char buffer[160];
  Writer known(buffer);
  for (i32 i = 0; i < KIND_COUNT; i++) {
    *index = i;
    if (name == KINDS[i]->name) return {};
    write(known, i ? ", " : "", KINDS[i]->name);
  }
  return bad_model("metadata: \"blocks\" has the unknown word \"", name, "\", known: ", known.text());
}

Status read_shape(const ModelFile& file, const Family& family, Shape* shape) {
  EDGELLM_TRY(file.number("layers", 1, MAX_LAYERS, &shape->layers));
  EDGELLM_TRY(file.number("dim", 1, MAX_COLUMNS, &shape->dim));
  EDGELLM_TRY(file.number("vocab", 1, MAX_VOCAB, &shape->vocab));
  EDGELLM_TRY(file.real("norm_eps", 0, MAX_NORM_EPS, &shape->norm_eps));
  EDGELLM_TRY(
      file.choice_or("norm", family.layer_norm ? Norm::Kind::layer : Norm::Kind::rms, {"rms", "layer"}, &shape->norm));
  shape->required_norm = family.required_norm;
  return file.flag("unit_norms", &shape->unit_norms);
}

// A norm outside the layers; one that other families may leave out has its bias too.
Status bind_norm(const ModelFile& file, const Shape& s, Text name, Text bias, bool required, Norm* norm) {
  const bool biased = s.requires_norm(name) && s.norm == Norm::Kind::layer;
  EDGELLM_TRY(required ? file.vector(name, s.dim, &norm->weight) : file.vector_or_none(name, s.dim, &norm->weight));
  EDGELLM_TRY(biased ? file.vector(bias, s.dim, &norm->bias) : file.vector_or_none(bias, s.dim, &norm->bias));
  norm->eps = s.norm_eps;
  if (norm->weight) norm->kind = s.norm;
  return {};
}

Status bind_outer(const ModelFile& file, Stack* stack) {
  const Shape& s = stack->shape;
  EDGELLM_TRY(file.matrix("embed", s.vocab, s.dim, &stack->embed));
  EDGELLM_TRY(file.matrix_or_none("head", s.vocab, s.dim, &stack->head));
  EDGELLM_TRY(file.vector_or_none("head_bias", s.vocab, &stack->head_bias));
  if (!stack->head.data) stack->head = stack->embed;
  EDGELLM_TRY(bind_norm(file, s, "embed_norm", "embed_norm_bias", s.requires_norm("embed_norm"), &stack->embed_norm));
  EDGELLM_TRY(bind_norm(file, s, "norm", "norm_bias", true, &stack->norm));
  return file.real_or("final_norm_eps", s.norm_eps, 0, MAX_NORM_EPS, &stack->norm.eps);
}

// A table of frequencies, "rope.inv_freq", and further ones with their number after it. An absent one rotates nothing.
Status bind_rope(const ModelFile& file, i32 index, Rope* rope) {
  char endings[2][48];
  Writer name(endings[0]), scale(endings[1]);
  write(name, "rope.inv_freq");
  write(scale, "rope_attention_scale");
  if (index) write(name, ".", index), write(scale, ".", index);
  const TensorEntry* entry = file.find(name.text());
  if (!entry) return {};
  rope->pairs = static_cast<i32>(min<u32>(entry->shape[0], MAX_HEAD_DIM / 2));
  EDGELLM_TRY(file.vector(name.text(), rope->pairs, &rope->frequency));
  return file.real_or(scale.text(), 1, MIN_ROPE_SCALE, MAX_ROPE_SCALE, &rope->scale);
}

// All tables, with room for the angles of a pass.
Status load_ropes(const ModelFile& file, const Limits& limits, Arena& arena, Stack* stack) {
  for (i32 i = 0; i < MAX_ROPES; i++) {
    Rope& rope = stack->ropes[i];
    EDGELLM_TRY(bind_rope(file, i, &rope));
    const i64 angles = i64{limits.tokens} * rope.pairs;
    rope.tokens = {arena.take<f32>(angles), arena.take<f32>(angles)};
    rope.at_sinks = {arena.take<f32>(rope.pairs), arena.take<f32>(rope.pairs)};
    if (limits.window && !arena.counting()) rope.fill(SINKS + limits.window - 1, rope.at_sinks);
  }
  return {};
}

Status load_block(Layer& layer, const BlockKind& kind, Block* block, Model* model) {
  layer.block = kind.name;
  block->kind = &kind;
  block->layer = layer.index;
  block->state_at = model->state_bytes;
  EDGELLM_TRY(kind.load(layer, block));
  model->state_bytes += block->state_bytes;
  if (!kind.keeps_positions) model->recurrent_bytes += block->state_bytes;
  return {};
}

Status load_blocks(Layer& layer, Text blocks, Stack* stack, Model* model) {
  Block firsts[KIND_COUNT], before;
  layer.before = &before;
  i64 count = 0;
  LayerBlocks named;
  for (i32 i = 0; i < layer.layers; i++, count += named.count)
    EDGELLM_TRY(read_layer_blocks(blocks, i, &named));
  stack->blocks.data = layer.arena.take<Block>(count);
  for (layer.index = 0; layer.index < layer.layers; layer.index++) {
    EDGELLM_TRY(read_layer_blocks(blocks, layer.index, &named));
    for (i32 i = 0; i < named.count; i++) {
      i32 kind;
      Block block;
      EDGELLM_TRY(find_kind(named.names[i], &kind));
      layer.first = firsts[kind].kind ? &firsts[kind] : nullptr;
      block.parallel = named.parallel[i];
      EDGELLM_TRY(load_block(layer, *KINDS[kind], &block, model));
      if (!layer.first) firsts[kind] = block;
      if (stack->blocks.data) stack->blocks[stack->blocks.count] = block;
      stack->blocks.count++;
      before = block;
    }
  }
  return {};
}

void take_buffers(const Layer& layer, Stack* stack) {
  Arena& arena = layer.arena;
  const i32 tokens = layer.limits.tokens, dim = stack->shape.dim;
  stack->tokens = arena.take<Token>(tokens);
  stack->runs = arena.take<Run>(tokens);
  stack->logit_tokens = arena.take<i32>(layer.limits.logits);
  stack->buffers = {.dim = dim,
                    .f32_activations = layer.limits.f32_activations,
                    .ropes = layer.ropes,
                    .x = {arena, tokens, dim},
                    .branch = {arena, tokens, dim},
                    .input = {arena, tokens, max(dim, layer.widest)},
                    .scratch = {arena.take<u8>(layer.scratch_bytes), layer.scratch_bytes}};
}

// Recurrent states are zero at position 0; a cache of positions stays as it is, because nothing past a session's position is read.
void start_fresh(const Stack& stack, u8* session) {
  for (const Block& block : stack.blocks) {
    if (block.kind->keeps_positions || block.state_bytes == 0) continue;
    memset(session + block.state_at, 0, static_cast<size_t>(block.state_bytes));
    if (block.kind->start) block.kind->start(block, session);
  }
}

// Whose tokens they are, and which of them want logits: returns how many. Sessions at position 0 begin anew.
i32 begin_pass(Stack& stack, Span<const Item> items, Batch* b) {
  i32 logits = 0;
  for (const Item& item : items) {
    stack.runs[b->runs.count] = {.state = item.state, .first = b->count(), .count = item.count};
    if (item.position == 0) start_fresh(stack, item.state);
    for (i32 i = 0; i < item.count; i++) {
      bool wanted = item.wanted == Wanted::all || (item.wanted == Wanted::last && i == item.count - 1);
      if (wanted) stack.logit_tokens[logits++] = b->count();
      const i32 run = static_cast<i32>(b->runs.count);
      b->tokens[b->tokens.count++] = {.run = run, .position = item.position + i, .id = item.ids[i], .bad_layer = -1};
    }
    b->runs.count++;
  }
  return logits;
}

// Embeddings, and the angles of the positions.
void embed(const Stack& stack, const Batch& b) {
  each_token(b, [&](i32 token) {
    f32* x = b.x[token];
    b.kernels.row(stack.embed, b.tokens[token].id, x);
    normalise(b.kernels, stack.embed_norm, x, b.dim, x);
    for (const Rope& rope : b.ropes)
      if (rope.pairs) rope.fill(b.tokens[token].position, rope[token]);
  });
}

// For who watches how far a prompt has come: half of a batch is read when it has passed half of the blocks.
void count_tokens(const Stack& stack, const Batch& b, i64 block) {
  const i64 tokens = b.count(), blocks = stack.blocks.count;
  advance_stage(tokens * (block + 1) / blocks - tokens * block / blocks, Unit::model_tokens);
}

Status check_finite(const Batch& b) {
  for (const Token& token : b.tokens) {
    if (token.bad_layer < 0) continue;
    return failed("layer ", token.bad_layer, " gave values that are not finite at position ", token.position);
  }
  return {};
}

// One row of logits for each token that wants them.
Status run_head(const Model& model, const Stack& stack, Batch b, i32 count) {
  const Span<Token> tokens = b.tokens;
  b.tokens.count = count;  // rows from here on
  quantise(b, stack.head,
           [&](i32 row, f32* to) { normalise(b.kernels, stack.norm, b.x[stack.logit_tokens[row]], b.dim, to); });
  const Rows logits = {model.logits, model.logits_stride};
  project(b, stack.head, logits);
  for (i32 row = 0; row < count; row++) {
    add_bias(b, logits[row], stack.head_bias, model.vocab);
    if (b.kernels.all_finite(logits[row], model.vocab)) continue;
    return failed("the output head gave logits that are not finite at position ", tokens[stack.logit_tokens[row]].position);
  }
  return {};
}

}  // namespace

Status load_model(const ModelFile& file, const Limits& limits, Arena& arena, Model* model) {
  Family family;
  EDGELLM_TRY(read_family(file, &family));
  *model = {.family = family.name};
  Stack stack = {};
  EDGELLM_TRY(read_shape(file, family, &stack.shape));
  EDGELLM_TRY(file.number("context", 1, MAX_CONTEXT, &model->context));
  EDGELLM_TRY(bind_outer(file, &stack));
  EDGELLM_TRY(load_ropes(file, limits, arena, &stack));
  Layer layer = {{file, stack.shape.layers}, stack.shape, {stack.ropes, MAX_ROPES}, limits, arena};
  EDGELLM_TRY(load_blocks(layer, family.blocks, &stack, model));
  take_buffers(layer, &stack);
  model->vocab = stack.shape.vocab;
  model->layers = stack.shape.layers;
  model->point_bytes = limits.window ? model->state_bytes : model->recurrent_bytes;
  model->weight_bytes = file.bytes_per_token();
  model->logits_stride = align_up<i64>(model->vocab, PANEL);
  model->logits = arena.take<f32>(limits.logits * model->logits_stride);
  model->stack = arena.take<Stack>(1);
  if (arena.counting()) return {};
  Stack& placed = *model->stack = stack;
  placed.buffers.ropes.data = placed.ropes;
  placed.buffers.zeros = &placed.zero_codes;
  for (const Block& block : placed.blocks)
    block.lay_out(block, limits, {placed.buffers.scratch.data, placed.buffers.scratch.count});
  if (layer.zero_codes) model->zero_codes = &placed.zero_codes;
  return {};
}

Status run_model(const Model& model, const Kernels& kernels, Threads& threads, Span<const Item> items) {
  Stack& stack = *model.stack;
  Batch batch = {stack.buffers, kernels, threads, {stack.tokens, 0}, {stack.runs, 0}};
  const i32 logits = begin_pass(stack, items, &batch);
  embed(stack, batch);
  for (const Block& block : stack.blocks) {  // each leaves its branch, which the next one adds to x as it opens
#if defined(EDGELLM_DIRTY_SCRATCH)
    memset(batch.scratch.data, 0xff, static_cast<size_t>(batch.scratch.count));
#endif
    block.kind->run(block, batch);
    count_tokens(stack, batch, &block - stack.blocks.data);
  }
  add_last_branch(batch);
  EDGELLM_TRY(check_finite(batch));
  return logits ? run_head(model, stack, batch, logits) : Status();
}

// Whether a point holds the block's state.
static bool in_point(const Model& model, const Block& block) {
  return !block.kind->keeps_positions || model.point_bytes == model.state_bytes;
}

void keep_point(const Model& model, const u8* session, u8* point) {
  for (const Block& block : model.stack->blocks) {
    if (!in_point(model, block)) continue;
    memcpy(point, session + block.state_at, static_cast<size_t>(block.state_bytes));
    point += block.state_bytes;
  }
}

void return_to_point(const Model& model, const u8* point, u8* session) {
  for (const Block& block : model.stack->blocks) {
    if (!in_point(model, block)) continue;
    memcpy(session + block.state_at, point, static_cast<size_t>(block.state_bytes));
    point += block.state_bytes;
  }
}

void copy_positions(const Model& model, u8* from, i32 positions, u8* to) {
  for (const Block& block : model.stack->blocks) {
    if (block.kind->copy) block.kind->copy(block, from, positions, to);
  }
}

}  // namespace edgellm
