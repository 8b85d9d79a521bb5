// --sparsity: the smallest weights of the layers' matrices become zero.
#pragma once
#include "convert/base/model.h"

namespace edgellm::convert {

enum class SparsityLayout {
  tensor,  // the same share of every matrix
  erk,     // Erdos-Renyi-Kernel: small matrices keep more
};

// Gives the share `sparsity` of the weights of all matrices up, by magnitude in each (of equal ones the first). Embedding, head,
// matrices of low rank and vectors stay as they are. Reads every matrix twice.
void prune(f64 sparsity, SparsityLayout layout, Model* model);

// How many of each matrix's weights become zero; `sizes` are rows and columns.
std::vector<i64> zeros_of(f64 sparsity, SparsityLayout layout, const std::vector<std::pair<i64, i64>>& sizes);

}  // namespace edgellm::convert
