// Tiny sources of every kind that the converter reads, written byte by byte, with the values they mean.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/math.h"
#include "convert/base/json.h"
#include "files.h"

namespace sources {

using edgellm::bits_to;
using edgellm::f32_to_f16;
using Values = std::vector<float>;

struct Bytes {
  std::string data;
  template <class T>
  Bytes& put(T value) {
    data.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& text(const std::string& bytes) {
    data += bytes;
    return *this;
  }
  Bytes& floats(const Values& values) {
    for (float value : values)
      put(value);
    return *this;
  }
};

inline std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    char escaped[8];
    std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(static_cast<uint8_t>(c)));
    out += c == '"' || c == '\\' || static_cast<uint8_t>(c) < 0x20 ? std::string(escaped) : std::string(1, c);
  }
  return out + "\"";
}

// The text of a document.
inline std::string written(const edgellm::convert::Json& json) {
  std::ostringstream out;
  const char* separator = "";
  if (json.object()) {
    out << "{";
    for (const auto& [key, value] : *json.object())
      out << std::exchange(separator, ",") << quoted(key) << ":" << written(value);
    out << "}";
  } else if (json.array()) {
    out << "[";
    for (const edgellm::convert::Json& value : *json.array())
      out << std::exchange(separator, ",") << written(value);
    out << "]";
  } else if (json.string()) {
    out << quoted(*json.string());
  } else if (json.boolean()) {
    out << (*json.boolean() ? "true" : "false");
  } else if (json.number()) {
    out.precision(17);  // all of an f64
    out << *json.number();
  } else {
    out << "null";
  }
  return out.str();
}

struct Shape {
  int layers = 2, dim = 24, ffn = 42, heads = 3, kv_heads = 1, head_dim = 8, vocab = 37, context = 16;
};

enum class Fill { random, ternary_tensor, ternary_row, ternary_group };

struct Matrix {
  size_t rows, cols;  // a vector has rows 0
  Values values;
};

// A model by our names.
struct Model {
  Shape shape;
  std::map<std::string, Matrix> tensors;
  std::mt19937 random{7};

  float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(random); }

  void vector(const std::string& name, size_t n) {
    Matrix m{0, n, {}};
    for (size_t i = 0; i < n; i++)
      m.values.push_back(uniform(0.5f, 1.5f));
    tensors[name] = m;
  }

  // Scales are halves that bf16 holds exactly, so that every source format can say them.
  void matrix(const std::string& name, size_t rows, size_t cols, Fill fill) {
    Matrix m{rows, cols, {}};
    float scale = 0;
    for (size_t i = 0; i < rows * cols; i++) {
      size_t col = i % cols;
      bool fresh = fill == Fill::ternary_tensor ? i == 0 : fill == Fill::ternary_row ? col == 0 : col % 128 == 0;
      if (fresh) scale = std::ldexp(static_cast<float>(random() % 127 + 129), -9);
      m.values.push_back(fill == Fill::random ? uniform(-1, 1)
                                              : scale * static_cast<float>(static_cast<int>(random() % 3) - 1));
    }
    tensors[name] = m;
  }

  static std::string layer(int index, const std::string& name) { return "layers." + std::to_string(index) + "." + name; }

  explicit Model(Fill fill = Fill::random, bool sub_norms = false, bool head = false, Shape s = {}) : shape(s) {
    auto n = [](int value) { return static_cast<size_t>(value); };
    size_t q = n(s.heads * s.head_dim), kv = n(s.kv_heads * s.head_dim), dim = n(s.dim), ffn = n(s.ffn), vocab = n(s.vocab);
    matrix("embed", vocab, dim, Fill::random);
    for (int i = 0; i < s.layers; i++) {
      vector(layer(i, "attn_norm"), dim);
      matrix(layer(i, "q"), q, dim, fill);
      matrix(layer(i, "k"), kv, dim, fill);
      matrix(layer(i, "v"), kv, dim, fill);
      matrix(layer(i, "o"), dim, q, fill);
      vector(layer(i, "ffn_norm"), dim);
      matrix(layer(i, "gate"), ffn, dim, fill);
      matrix(layer(i, "up"), ffn, dim, fill);
      matrix(layer(i, "down"), dim, ffn, fill);
      if (sub_norms) vector(layer(i, "attn_sub_norm"), q), vector(layer(i, "ffn_sub_norm"), ffn);
    }
    vector("norm", dim);
    if (head) matrix("head", vocab, dim, Fill::random);
  }

  const Values& of(const std::string& name) const { return tensors.at(name).values; }
};

// --- llama2.c ---

inline std::string llama2c_numbers(const Shape& s, bool negative_vocab) {
  Bytes out;
  for (int number : {s.dim, s.ffn, s.layers, s.heads, s.kv_heads, negative_vocab ? -s.vocab : s.vocab, s.context})
    out.put(number);
  return out.data;
}

inline std::string llama2c_legacy(const Model& m) {
  const Shape& s = m.shape;
  bool head = m.tensors.contains("head");
  Bytes out;
  out.text(llama2c_numbers(s, head)).floats(m.of("embed"));
  for (const char* name : {"attn_norm", "q", "k", "v", "o", "ffn_norm", "gate", "down", "up"}) {
    for (int i = 0; i < s.layers; i++)
      out.floats(m.of(Model::layer(i, name)));
  }
  out.floats(m.of("norm")).floats(Values(static_cast<size_t>(s.context * s.head_dim), 0.25f));
  if (head) out.floats(m.of("head"));
  return out.data;
}

// int8 codes and a scale for every `group`; `values` becomes what they mean.
inline void put_grouped(Bytes* out, Values* values, size_t group) {
  Bytes scales;
  for (size_t g = 0; g < values->size(); g += group) {
    float most = 0;
    for (size_t i = g; i < g + group; i++)
      most = std::max(most, std::fabs((*values)[i]));
    float scale = most / 127;
    scales.put(scale);
    for (size_t i = g; i < g + group; i++) {
      int8_t code = static_cast<int8_t>(std::lround((*values)[i] / scale));
      out->put(code);
      (*values)[i] = static_cast<float>(code) * scale;
    }
  }
  out->text(scales.data);
}

// Version 1 (f32) or 2 (groups of 8 int8 values; the model's matrices become what they mean).
inline std::string llama2c_versioned(Model* m, int version) {
  const Shape& s = m->shape;
  bool head = m->tensors.contains("head");
  Bytes out;
  out.put(uint32_t{0x616b3432}).put(version).text(llama2c_numbers(s, false)).put(static_cast<uint8_t>(!head));
  if (version == 2) out.put(8);
  out.data.resize(256);
  auto vectors = [&](const char* name) {
    for (int i = 0; i < s.layers; i++)
      out.floats(m->of(Model::layer(i, name)));
  };
  auto matrix = [&](const std::string& name) {
    Values& values = m->tensors.at(name).values;
    if (version == 1) {
      out.floats(values);
    } else {
      put_grouped(&out, &values, 8);
    }
  };
  vectors("attn_norm");
  vectors("ffn_norm");
  out.floats(m->of("norm"));
  matrix("embed");
  for (const char* name : {"q", "k", "v", "o", "gate", "down", "up"}) {
    for (int i = 0; i < s.layers; i++)
      matrix(Model::layer(i, name));
  }
  if (head) matrix("head");
  return out.data;
}

// --- Hugging Face ---

inline std::string hf_name(const std::string& ours) {
  static const std::map<std::string, std::string> layers = {{"attn_norm", "input_layernorm.weight"},
                                                            {"q", "self_attn.q_proj.weight"},
                                                            {"k", "self_attn.k_proj.weight"},
                                                            {"v", "self_attn.v_proj.weight"},
                                                            {"q_bias", "self_attn.q_proj.bias"},
                                                            {"k_bias", "self_attn.k_proj.bias"},
                                                            {"v_bias", "self_attn.v_proj.bias"},
                                                            {"o_bias", "self_attn.o_proj.bias"},
                                                            {"q_norm", "self_attn.q_norm.weight"},
                                                            {"k_norm", "self_attn.k_norm.weight"},
                                                            {"o", "self_attn.o_proj.weight"},
                                                            {"attn_sub_norm", "self_attn.attn_sub_norm.weight"},
                                                            {"ffn_norm", "post_attention_layernorm.weight"},
                                                            {"gate", "mlp.gate_proj.weight"},
                                                            {"up", "mlp.up_proj.weight"},
                                                            {"ffn_sub_norm", "mlp.ffn_sub_norm.weight"},
                                                            {"down", "mlp.down_proj.weight"}};
  if (ours == "embed") return "model.embed_tokens.weight";
  if (ours == "norm") return "model.norm.weight";
  if (ours == "head") return "lm_head.weight";
  size_t dot = ours.find('.', 7);
  return "model." + ours.substr(0, dot + 1) + layers.at(ours.substr(dot + 1));
}

struct HfTensor {
  std::string dtype;
  std::vector<size_t> shape;
  std::string data;
};

using HfTensors = std::map<std::string, HfTensor>;

inline std::string bytes_as(const std::string& dtype, const Values& values) {
  Bytes out;
  for (float value : values) {
    if (dtype == "F32") out.put(value);
    if (dtype == "F16") out.put(f32_to_f16(value));
    if (dtype == "BF16") out.put(static_cast<uint16_t>(bits_to<uint32_t>(value) >> 16));
  }
  return out.data;
}

inline std::vector<size_t> shape_of(const Matrix& m) {
  return m.rows ? std::vector<size_t>{m.rows, m.cols} : std::vector<size_t>{m.cols};
}

inline HfTensors hf_tensors(const Model& m, const std::string& dtype) {
  HfTensors out;
  for (const auto& [name, tensor] : m.tensors)
    out[hf_name(name)] = {dtype, shape_of(tensor), bytes_as(dtype, tensor.values)};
  return out;
}

inline std::string safetensors(const HfTensors& tensors) {
  std::ostringstream header;
  std::string data;
  header << "{\"__metadata__\":{\"format\":\"pt\"}";
  for (const auto& [name, tensor] : tensors) {
    header << ",\"" << name << "\":{\"dtype\":\"" << tensor.dtype << "\",\"shape\":[";
    for (size_t i = 0; i < tensor.shape.size(); i++)
      header << (i ? "," : "") << tensor.shape[i];
    header << "],\"data_offsets\":[" << data.size() << "," << data.size() + tensor.data.size() << "]}";
    data += tensor.data;
  }
  header << "}";
  return Bytes().put(static_cast<uint64_t>(header.str().size())).text(header.str()).text(data).data;
}

// --- torch.save ---

struct ZipMember {
  std::string name, data;
  uint16_t method = 0;      // 0: stored
  uint32_t unpacked = ~0u;  // claimed size; all ones: that of the data
};

// A zip archive of stored members, without checksums.
inline std::string zip(const std::vector<ZipMember>& members) {
  Bytes out, directory;
  auto sizes = [](Bytes* to, const ZipMember& member) {
    uint32_t size = static_cast<uint32_t>(member.data.size());
    to->put(uint32_t{0}).put(size).put(member.unpacked == ~0u ? size : member.unpacked);
    to->put(static_cast<uint16_t>(member.name.size()));
  };
  for (const ZipMember& member : members) {
    directory.put(uint32_t{0x02014b50}).put(uint32_t{0}).put(uint16_t{0}).put(member.method).put(uint32_t{0});
    sizes(&directory, member);
    directory.data.append(12, '\0');
    directory.put(static_cast<uint32_t>(out.data.size())).text(member.name);
    out.put(uint32_t{0x04034b50}).put(uint32_t{0}).put(member.method).put(uint32_t{0});
    sizes(&out, member);
    out.put(uint16_t{0}).text(member.name).text(member.data);
  }
  uint16_t count = static_cast<uint16_t>(members.size());
  uint32_t start = static_cast<uint32_t>(out.data.size()), size = static_cast<uint32_t>(directory.data.size());
  out.text(directory.data).put(uint32_t{0x06054b50}).put(uint32_t{0}).put(count).put(count).put(size).put(start);
  return out.put(uint16_t{0}).data;
}

inline std::string pickled_text(const std::string& characters) {
  return Bytes().text("X").put(static_cast<uint32_t>(characters.size())).text(characters).data;
}

inline std::string pickled_number(size_t number) {
  return Bytes().text("J").put(static_cast<int32_t>(number)).data;
}

// The call that makes a tensor of the storage `member`.
inline std::string pickled_tensor(const std::string& member, const HfTensor& tensor) {
  const std::string storage = tensor.dtype == "F32"    ? "FloatStorage"
                              : tensor.dtype == "F16"  ? "HalfStorage"
                              : tensor.dtype == "BF16" ? "BFloat16Storage"
                                                       : "ByteStorage";
  size_t count = 1;
  std::string sizes, strides;
  for (size_t i = tensor.shape.size(); i-- > 0;) {
    sizes = pickled_number(tensor.shape[i]) + sizes;
    strides = pickled_number(count) + strides;
    count *= tensor.shape[i];
  }
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + pickled_text("storage") + "ctorch\n" + storage + "\n" +
         pickled_text(member) + pickled_text("cpu") + pickled_number(count) + "tQ" + pickled_number(0) + "(" + sizes + "t(" +
         strides + "t\x89" + "ccollections\nOrderedDict\n)RtR";
}

inline std::string torch_save(const HfTensors& tensors) {
  std::vector<ZipMember> members{{"model/data.pkl", ""}};
  std::string pickle = "\x80\x02}(";
  for (const auto& [name, tensor] : tensors) {
    const std::string member = std::to_string(members.size());
    pickle += pickled_text(name) + pickled_tensor(member, tensor);
    members.push_back({"model/data/" + member, tensor.data});
  }
  members[0].data = pickle + "u.";
  return zip(members);
}

// `more` are further members, each with a comma before it; of two with one name the later counts.
inline std::string config_json(const Model& m, const std::string& architecture, const std::string& more = "") {
  const Shape& s = m.shape;
  std::ostringstream out;
  out << "{\"architectures\":[\"" << architecture << "\"],\"hidden_size\":" << s.dim << ",\"intermediate_size\":" << s.ffn
      << ",\"num_hidden_layers\":" << s.layers << ",\"num_attention_heads\":" << s.heads
      << ",\"num_key_value_heads\":" << s.kv_heads << ",\"head_dim\":" << s.head_dim << ",\"vocab_size\":" << s.vocab
      << ",\"max_position_embeddings\":" << s.context
      << ",\"rms_norm_eps\":1e-5,\"rope_theta\":10000.0,\"bos_token_id\":1,\"eos_token_id\":[2,3],\"tie_word_embeddings\":"
      << (m.tensors.contains("head") ? "false" : "true") << more << "}";
  return out.str();
}

inline void write_hf(const std::string& folder, const std::string& config, const HfTensors& tensors) {
  write_file(folder + "/config.json", config);
  write_file(folder + "/model.safetensors", safetensors(tensors));
}

// Two shards and their index, as safetensors or as torch.save makes them.
inline void write_sharded(const std::string& folder, const std::string& config, const HfTensors& tensors,
                          bool torch = false) {
  const std::string stem = torch ? "pytorch_model" : "model", end = torch ? ".bin" : ".safetensors";
  HfTensors shards[2];
  std::string map;
  size_t i = 0;
  for (const auto& [name, tensor] : tensors) {
    size_t which = i++ % 2;
    shards[which][name] = tensor;
    map += (map.empty() ? "\"" : ",\"") + name + "\":\"shard" + std::to_string(which) + end + "\"";
  }
  write_file(folder + "/config.json", config);
  write_file(folder + "/" + stem + end + ".index.json", "{\"weight_map\":{" + map + "}}");
  for (size_t k = 0; k < 2; k++)
    write_file(folder + "/shard" + std::to_string(k) + end, torch ? torch_save(shards[k]) : safetensors(shards[k]));
}

inline float magnitude(const Values& values) {
  float most = 0;
  for (float value : values)
    most = std::max(most, std::fabs(value));
  return most;
}

inline bool is_layer_matrix(const std::string& name, const Matrix& m) {
  return m.rows > 0 && name.starts_with("layers.");
}

// Layer matrices packed; `divides` says which way the scale is stored.
inline HfTensors packed_tensors(const Model& m, bool divides) {
  HfTensors out = hf_tensors(m, "BF16");
  for (const auto& [name, tensor] : m.tensors) {
    if (!is_layer_matrix(name, tensor)) continue;
    size_t quarter = (tensor.rows + 3) / 4;
    std::string bytes(quarter * tensor.cols, '\0');
    for (size_t i = 0; i < tensor.values.size(); i++) {
      size_t row = i / tensor.cols, col = i % tensor.cols;
      int code = (tensor.values[i] > 0) - (tensor.values[i] < 0) + 1;
      char& byte = bytes[row % quarter * tensor.cols + col];
      byte = static_cast<char>(byte | code << (2 * (row / quarter)));
    }
    float scale = magnitude(tensor.values);
    out[hf_name(name)] = {"U8", {quarter, tensor.cols}, bytes};
    out[hf_name(name) + "_scale"] = {"F32", {1}, bytes_as("F32", {divides ? 1 / scale : scale})};
  }
  return out;
}

// --- TM2 version 1 ---

inline std::string tm2_version1(const Model& m) {
  const Shape& s = m.shape;
  Bytes out;
  out.text(std::string("TM2\0", 4));
  for (int number : {s.dim, s.ffn, s.layers, s.heads, s.kv_heads, s.vocab, s.context})
    out.put(number);
  auto vector = [&](const std::string& name) { out.put(uint8_t{0}).floats(m.of(name)); };
  auto matrix = [&](const std::string& name) {
    const Matrix& t = m.tensors.at(name);
    out.put(uint8_t{1}).put(static_cast<uint32_t>(t.rows)).put(static_cast<uint32_t>(t.cols));
    for (size_t row = 0; row < t.rows; row++) {
      Values values(t.values.begin() + static_cast<long>(row * t.cols),
                    t.values.begin() + static_cast<long>((row + 1) * t.cols));
      std::string packed((t.cols + 3) / 4, '\0');
      for (size_t c = 0; c < t.cols; c++) {
        int code = values[c] > 0 ? 1 : values[c] < 0 ? (c % 2 ? 3 : 2) : 0;
        packed[c / 4] = static_cast<char>(packed[c / 4] | code << (2 * (c % 4)));
      }
      out.put(f32_to_f16(magnitude(values))).text(packed);
    }
  };
  matrix("embed");
  for (int i = 0; i < s.layers; i++) {
    auto name = [i](const char* tensor) { return Model::layer(i, tensor); };
    vector(name("attn_norm"));
    for (const char* tensor : {"q", "k", "v", "o"})
      matrix(name(tensor));
    vector(name("attn_sub_norm"));
    vector(name("ffn_norm"));
    for (const char* tensor : {"gate", "up", "down"})
      matrix(name(tensor));
    vector(name("ffn_sub_norm"));
  }
  vector("norm");
  matrix("head");
  return out.data;
}

// --- TMAC version 2: ternary layers, int8 head, f16 embedding and norms ---

inline std::string tmac_version2(const Model& m) {
  const Shape& s = m.shape;
  Bytes out;
  out.text("TMAC").put(uint32_t{2});
  for (int number : {s.dim, s.layers, s.heads, s.vocab, 2, 128})
    out.put(number);
  for (const auto& [name, tensor] : m.tensors) {
    std::string dtype = is_layer_matrix(name, tensor) ? "bitnet" : name == "head" ? "int8" : "fp16";
    Bytes data, scales;
    std::string packed((tensor.values.size() + 3) / 4, '\0');
    for (size_t row = 0; row < tensor.rows && dtype != "fp16"; row++) {
      Values values(tensor.values.begin() + static_cast<long>(row * tensor.cols),
                    tensor.values.begin() + static_cast<long>((row + 1) * tensor.cols));
      float scale = magnitude(values);
      scales.put(scale);
      for (size_t c = 0; c < tensor.cols; c++) {
        size_t at = row * tensor.cols + c;
        int code = (values[c] > 0) - (values[c] < 0) + 1;
        packed[at / 4] = static_cast<char>(packed[at / 4] | code << (2 * (at % 4)));
        if (dtype == "int8") data.put(static_cast<int8_t>(std::lround(values[c] / scale * 127)));
      }
    }
    if (dtype == "fp16") data.text(bytes_as("F16", tensor.values));
    if (dtype == "bitnet") data.text(packed);
    std::vector<size_t> shape = shape_of(tensor);
    if (dtype == "bitnet") shape = {tensor.rows, (tensor.cols + 3) / 4};
    std::string theirs = hf_name(name);
    out.put(static_cast<uint32_t>(theirs.size())).text(theirs).put(static_cast<uint32_t>(dtype.size())).text(dtype);
    out.put(static_cast<uint32_t>(shape.size()));
    for (size_t dimension : shape)
      out.put(static_cast<uint32_t>(dimension));
    out.put(static_cast<uint64_t>(data.data.size())).text(data.data);
    out.put(static_cast<uint64_t>(scales.data.size())).text(scales.data);
  }
  return out.data;
}

}  // namespace sources
