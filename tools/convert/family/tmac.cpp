// TMAC files: transformers, under the names of Hugging Face.
#include "convert/source/tmac.h"

#include "convert/family/open.h"
#include "convert/family/transformer.h"

namespace edgellm::convert {
namespace {

i64 rows_of(const Tmac& tmac, const char* name) {
  auto found = tmac.tensors.find(name);
  if (found == tmac.tensors.end()) unusable(tmac.file->path, ": there is no tensor ", name);
  return found->second.rows();
}

// The number of KV heads and the FFN size are not stored.
Transformer read_shape(const Tmac& tmac) {
  Transformer t;
  t.dim = tmac.dim, t.layers = tmac.layers, t.heads = tmac.heads, t.vocab = tmac.vocab;
  t.head_dim = t.heads > 0 ? t.dim / t.heads : 0;
  t.kv_heads = t.head_dim > 0 ? rows_of(tmac, "model.layers.0.self_attn.k_proj.weight") / t.head_dim : 0;
  t.ffn_dim = rows_of(tmac, "model.layers.0.mlp.gate_proj.weight");
  return t;
}

// What the file does not say is taken to be as in BitNet b1.58 2B4T or, for another vocabulary, as in Llama 2.
std::string assume(const Tmac& tmac, Transformer* t) {
  const bool llama3 = t->vocab >= 128256;
  t->gate = tmac.tensors.contains("model.layers.0.mlp.ffn_sub_norm.weight") ? Gate::relu2 : Gate::silu;
  t->context = 4096;
  t->rope.theta = llama3 ? 500000 : 10000;
  t->bos = llama3 ? 128000 : 1;
  t->stop = llama3 ? std::vector<u32>{128001, 128009} : std::vector<u32>{2};
  return text("the format does not say, so these are assumed: context 4096, rotary theta ", t->rope.theta,
              ", half-split pairs, epsilon 1e-5, BOS ", *t->bos, ", gate ", t->gate == Gate::relu2 ? "relu2" : "silu");
}

}  // namespace

bool is_tmac(const Source& source) {
  return is_tmac(source.head());
}

Model open_tmac(const Source& source) {
  Tmac tmac = read_tmac(source.file);
  Transformer t = read_shape(tmac);
  const std::string assumed = assume(tmac, &t);
  check_sizes(t, source.path);
  auto open = [&](const Part& part, const std::string& name, const TmacTensor& stored) {
    return tmac_tensor(part.ours, part.role, part.rows, part.cols, name, stored, tmac.file);
  };
  Model model = take_parts(transformer_family(t, source.path), {Naming::published, source.path}, &tmac.tensors, open);
  model.bitnet = true;
  model.notes.push_back(assumed);
  return model;
}

}  // namespace edgellm::convert
