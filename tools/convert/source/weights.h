// The weights of a folder, whichever kind of file they lie in.
#pragma once
#include "convert/source/stored.h"

namespace edgellm::convert {

// Whether the embedding is the head too, of a model whose configuration says so in `tied`, as transformers 5 decides it
// (modeling_utils.py, tie_weights): a head that differs from the embedding is the head all the same, one that equals it is taken
// out of `stored`, and one that comes without an embedding is put in its place. Throws where an untied model has no head.
bool tie_head(StoredTensors* stored, const std::string& embedding, const std::string& head, bool tied,
              const std::string& source, std::vector<std::string>* notes);

// The files that a folder keeps its weights in, the first that is there counts.
inline const std::vector<std::string> WEIGHTS = {"model.safetensors", "pytorch_model.bin"};

// The name of the one that `read_weights` would read, or of its index; empty: there is none.
std::string weights_in(const std::string& folder, const std::vector<std::string>& names = WEIGHTS);

// All tensors of `folder`, which has one of the files `names`, safetensors or torch.save by its end, or its parts, which
// NAME.index.json lists. Throws when there is none of them, naming them all.
StoredTensors read_weights(const std::string& folder, const std::vector<std::string>& names = WEIGHTS);

}  // namespace edgellm::convert
