// What kernels.h says of tables and lists, made from the lists.
#include "kernels.h"

#include "base/cpu_features.h"

namespace edgellm {

#define ISA(name, features) void install_##name(Kernels& k);
#include "isa.def"
#undef ISA

struct Set {
  const char* name;
  u32 features;
  void (*install)(Kernels&);
};

static const Set SETS[] = {
#define ISA(name, features) {#name, features, install_##name},
#include "isa.def"
#undef ISA
};
static constexpr i32 SET_COUNT = static_cast<i32>(sizeof SETS / sizeof SETS[0]);

struct FormatEntry {
  const char* name;
  i32 unit_columns;
  i32 unit_bytes;
};

static const FormatEntry FORMATS[] = {
#define FORMAT(id, name, number, unit_columns, unit_bytes) {#name, unit_columns, unit_bytes},
#include "formats.def"
#undef FORMAT
};
static constexpr u32 FORMAT_COUNT = sizeof FORMATS / sizeof FORMATS[0];

// FORMATS is indexed by the number in the file.
enum : u32 {
#define FORMAT(id, name, number, unit_columns, unit_bytes) index_##name,
#include "formats.def"
#undef FORMAT
};
// Kernels may read the activations of a whole unit; those of t5 do not.
#define FORMAT(id, name, number, unit_columns, unit_bytes) \
  static_assert(index_##name == number && (COLUMN_PADDING % unit_columns == 0 || index_##name == index_t5));
#include "formats.def"
#undef FORMAT

bool select_kernels(const char* isa, u32 cpu_features, Kernels* table) {
  Kernels kernels = {};
  bool found = false;
  for (const Set& set : SETS) {
    if ((set.features & cpu_features) != set.features) continue;
    set.install(kernels);
    kernels.isa = set.name;
    found = !isa || Text(isa) == Text(set.name);
    if (isa && found) break;
  }
  if (found) *table = kernels;
  return found;
}

const char* isa_name(i32 index) {
  return index >= 0 && index < SET_COUNT ? SETS[index].name : nullptr;
}

u32 isa_features(i32 index) {
  return index >= 0 && index < SET_COUNT ? SETS[index].features : 0;
}

const char* format_name(Format format) {
  return FORMATS[static_cast<u32>(format)].name;
}

bool known_format(u32 number) {
  return number < FORMAT_COUNT;
}

i32 unit_columns(Format format) {
  return FORMATS[static_cast<u32>(format)].unit_columns;
}

i32 unit_bytes(Format format) {
  return FORMATS[static_cast<u32>(format)].unit_bytes;
}

bool sparse(Format format) {
  return unit_bytes(format) == 0;
}

i64 matrix_bytes(Format format, i64 rows, i64 cols) {
  return div_up(rows, i64{PANEL}) * div_up(cols, i64{unit_columns(format)}) * unit_bytes(format);
}

i64 scale_count(Scale scale, i64 rows) {
  switch (scale) {
    case Scale::none:
      return 0;
    case Scale::tensor:
      return 1;
    case Scale::row:
      return align_up(rows, i64{PANEL});
  }
  return 0;
}

bool served(Format format, Scale scale, Quantization activations) {
  bool quantized = activations == Quantization::token || activations == Quantization::group32;
  switch (format) {
    case Format::F32:
    case Format::F16:
      return scale == Scale::none && activations == Quantization::none;
    case Format::I8:
      return scale == Scale::row && quantized;
    case Format::I8_MASK:
    case Format::I8_GROUP:
      return scale == Scale::row && activations == Quantization::token;
    case Format::T2:
      return (scale == Scale::tensor || scale == Scale::row) && quantized;
    case Format::T5:
      return (scale == Scale::tensor || scale == Scale::row) && activations == Quantization::token;
    case Format::I4:
    case Format::T2_GROUP:
      return scale == Scale::none && activations == Quantization::group32;
  }
  return false;
}

void matmul(const Kernels& k, const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  bool token = w.activations == Quantization::token;
  switch (w.format) {
    case Format::F32:
      return k.matmul_f32(w, a, y, y_stride, row0, row1);
    case Format::F16:
      return k.matmul_f16(w, a, y, y_stride, row0, row1);
    case Format::I8:
      return (token ? k.matmul_i8_token : k.matmul_i8_group32)(w, a, y, y_stride, row0, row1);
    case Format::I8_MASK:
      return k.matmul_i8_mask_token(w, a, y, y_stride, row0, row1);
    case Format::I8_GROUP:
      return k.matmul_i8_group_token(w, a, y, y_stride, row0, row1);
    case Format::I4:
      return k.matmul_i4_group32(w, a, y, y_stride, row0, row1);
    case Format::T2:
      return (token ? k.matmul_t2_token : k.matmul_t2_group32)(w, a, y, y_stride, row0, row1);
    case Format::T2_GROUP:
      return k.matmul_t2_group_group32(w, a, y, y_stride, row0, row1);
    case Format::T5:
      return k.matmul_t5_token(w, a, y, y_stride, row0, row1);
  }
}

}  // namespace edgellm
