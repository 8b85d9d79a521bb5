// A whole sparse matrix in memory, packed panel by panel.
#pragma once
#include <cstring>
#include <vector>

#include "sparse.h"

struct SparseMatrix {
  std::vector<edgellm::u32> places;  // of the panels, and the end of the last
  std::vector<edgellm::u8> data;
};

inline SparseMatrix pack_sparse(edgellm::Format format, const edgellm::i8* codes, edgellm::i64 rows, edgellm::i64 cols) {
  using namespace edgellm;
  SparseMatrix m;
  m.data.resize(static_cast<size_t>(sparse_table_bytes(rows)));
  auto end_panel = [&] { m.places.push_back(static_cast<u32>(m.data.size() / SPARSE_ALIGNMENT)); };
  end_panel();
  for (i64 row = 0; row < rows; row += PANEL) {
    const i8* panel = codes + row * cols;
    i64 count = min<i64>(PANEL, rows - row);
    size_t at = m.data.size();
    m.data.resize(at + static_cast<size_t>(sparse_panel_bytes(format, panel, count, cols)));
    pack_sparse_panel(format, panel, count, cols, m.data.data() + at);
    end_panel();
  }
  std::memcpy(m.data.data(), m.places.data(), m.places.size() * sizeof m.places[0]);
  m.data.resize(m.data.size() + SPARSE_TAIL);
  return m;
}
