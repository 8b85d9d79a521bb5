// The feed-forward.
//
//   f      = norm(x)                                 ffn_norm; Phi: that of attention, of the same x
//   g      = act(Wgate f + bgate) * (Wup f + bup)    act: silu, or relu^2 (BitNet); Phi: g = gelu(Wup f + bup)
//   branch = Wdown norm(g) + bdown                   ffn_sub_norm; BitNet
//
// Sources: GLU variants (arXiv:2002.05202), squared ReLU (arXiv:2109.08668), BitNet b1.58 (arXiv:2402.17764), transformers'
// modeling_llama.py, modeling_bitnet.py and modeling_phi.py.
#include "arch/block.h"

namespace edgellm {

namespace {

enum class Gate { silu, relu2, gelu };  // gelu gates nothing

struct Ffn {
  Matrix gate, up;                                     // (width, dim)
  Matrix down;                                         // (dim, width)
  const f32 *gate_bias = nullptr, *up_bias = nullptr;  // (width) or null
  Norm sub_norm;                                       // (width)
  i32 width;
  Gate kind;
};

struct Work {
  Rows up, gate;  // (width)

  Work(Arena& arena, const Ffn& f, i32 tokens, i32) : up(arena, tokens, f.width), gate(arena, tokens, f.width) {}
};

Status load(Layer& layer, Block* block) {
  Ffn f = {};
  const i32 dim = layer.shape.dim;
  EDGELLM_TRY(layer.number("ffn_dim", 1, MAX_COLUMNS, &f.width));
  EDGELLM_TRY(layer.file.choice_or("gate", Gate::silu, {"silu", "relu2", "gelu"}, &f.kind));
  if (block->parallel && !layer.find("ffn_norm")) {
    block->norm = layer.before->norm;
  } else {
    EDGELLM_TRY(layer.model_norm("ffn_norm", dim, &block->norm));
  }
  EDGELLM_TRY(layer.model_norm("ffn_sub_norm", f.width, &f.sub_norm));
  EDGELLM_TRY(layer.bind({{"up", f.width, dim, &f.up}, {"down", dim, f.width, &f.down}}));
  EDGELLM_TRY(layer.bind_optional({{"up_bias", f.width, &f.up_bias}, {"down_bias", dim, &block->bias}}));
  if (f.kind != Gate::gelu) {
    EDGELLM_TRY(layer.bind({{"gate", f.width, dim, &f.gate}}));
    EDGELLM_TRY(layer.bind_optional({{"gate_bias", f.width, &f.gate_bias}}));
    EDGELLM_TRY(layer.same_input("gate, up", f.gate, f.up));
  }
  layer.zero_codes |= f.kind == Gate::relu2;
  return place<Work>(layer, f, 0, block);
}

// g of a token.
void gate_token(const Batch& b, const Ffn& f, f32* up, f32* gate, f32* g) {
  add_bias(b, up, f.up_bias, f.width);
  add_bias(b, gate, f.gate_bias, f.width);
  if (f.kind == Gate::gelu) {
    b.kernels.gelu(up, f.width, g);
  } else {
    (f.kind == Gate::relu2 ? b.kernels.relu2_gate : b.kernels.silu_gate)(gate, up, f.width, g);
  }
}

void run(const Block& block, Batch& b) {
  const Ffn& f = own<Ffn>(block);
  const Work& work = work_of<Work>(block);
  open(b, block, f.up);
  const Projection up_gate[] = {{&f.up, work.up}, {&f.gate, work.gate}};
  project_all(b, {up_gate, f.kind == Gate::gelu ? 1 : 2});
  quantise(b, f.down, [&](i32 token, f32* to) {
    gate_token(b, f, work.up[token], work.gate[token], to);
    normalise(b.kernels, f.sub_norm, to, f.width, to);
  });
  if (f.kind == Gate::relu2) count_zeros(b);
  project(b, f.down, b.branch);
}

}  // namespace

const BlockKind ffn_block = {.name = "ffn", .load = load, .run = run};

}  // namespace edgellm
