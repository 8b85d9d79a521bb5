// GGUF files written byte by byte.
#pragma once
#include "convert_sources.h"

namespace sources {

struct Gguf {
  struct Stored {
    std::string name;
    std::vector<uint64_t> shape;  // innermost first
    uint32_t type;
    std::string data;
  };
  uint32_t version = 3;
  uint64_t alignment = 32;
  uint64_t entries = 0;
  Bytes metadata;
  std::vector<Stored> tensors;

  static std::string string(const std::string& text) { return Bytes().put(uint64_t{text.size()}).text(text).data; }

  Gguf& entry(const std::string& key, uint32_t type, const std::string& value) {
    entries++;
    metadata.text(string(key)).put(type).text(value);
    return *this;
  }
  Gguf& number(const std::string& key, uint32_t value) { return entry(key, 4, Bytes().put(value).data); }
  Gguf& real(const std::string& key, float value) { return entry(key, 6, Bytes().put(value).data); }
  Gguf& flag(const std::string& key, bool value) { return entry(key, 7, Bytes().put(static_cast<uint8_t>(value)).data); }
  Gguf& text(const std::string& key, const std::string& value) { return entry(key, 8, string(value)); }
  Gguf& texts(const std::string& key, const std::vector<std::string>& values) {
    Bytes out;
    out.put(uint32_t{8}).put(uint64_t{values.size()});
    for (const std::string& value : values)
      out.text(string(value));
    return entry(key, 9, out.data);
  }
  template <class T>
  Gguf& numbers(const std::string& key, uint32_t type, const std::vector<T>& values) {
    Bytes out;
    out.put(type).put(uint64_t{values.size()});
    for (T value : values)
      out.put(value);
    return entry(key, 9, out.data);
  }

  std::string bytes() const {
    Bytes out, data;
    out.text("GGUF").put(version).put(uint64_t{tensors.size()}).put(entries).text(metadata.data);
    auto pad = [this](Bytes* to) { to->data.resize((to->data.size() + alignment - 1) / alignment * alignment); };
    for (const Stored& tensor : tensors) {
      out.text(string(tensor.name)).put(static_cast<uint32_t>(tensor.shape.size()));
      for (uint64_t size : tensor.shape)
        out.put(size);
      out.put(tensor.type).put(uint64_t{data.data.size()});
      data.text(tensor.data);
      pad(&data);
    }
    pad(&out);
    return out.text(data.data).data;
  }
};

inline std::string gguf_name(const std::string& ours) {
  static const std::map<std::string, std::string> layers = {
      {"attn_norm", "attn_norm"}, {"q", "attn_q"},           {"k", "attn_k"},           {"v", "attn_v"},
      {"o", "attn_output"},       {"q_norm", "attn_q_norm"}, {"k_norm", "attn_k_norm"}, {"attn_sub_norm", "attn_sub_norm"},
      {"ffn_norm", "ffn_norm"},   {"gate", "ffn_gate"},      {"up", "ffn_up"},          {"ffn_sub_norm", "ffn_sub_norm"},
      {"down", "ffn_down"}};
  if (ours == "embed") return "token_embd.weight";
  if (ours == "norm") return "output_norm.weight";
  if (ours == "head") return "output.weight";
  size_t dot = ours.find('.', 7);
  return "blk." + ours.substr(7, dot - 6) + layers.at(ours.substr(dot + 1)) + ".weight";
}

// Rows i and i + half of a head become rows 2i and 2i + 1.
inline Values interleaved(const Matrix& m, size_t head_dim) {
  Values out;
  for (size_t row = 0; row < m.rows; row++) {
    size_t within = row % head_dim, from = row - within + within / 2 + within % 2 * (head_dim / 2);
    out.insert(out.end(), m.values.begin() + static_cast<long>(from * m.cols),
               m.values.begin() + static_cast<long>((from + 1) * m.cols));
  }
  return out;
}

// The model in f32.
inline Gguf gguf_of(const Model& m, const std::string& architecture) {
  const Shape& s = m.shape;
  Gguf out;
  out.text("general.architecture", architecture);
  const std::pair<const char*, int> sizes[] = {{"block_count", s.layers},
                                               {"embedding_length", s.dim},
                                               {"feed_forward_length", s.ffn},
                                               {"attention.head_count", s.heads},
                                               {"attention.head_count_kv", s.kv_heads},
                                               {"attention.key_length", s.head_dim},
                                               {"context_length", s.context}};
  for (const auto& [key, value] : sizes)
    out.number(architecture + "." + key, static_cast<uint32_t>(value));
  out.real(architecture + ".attention.layer_norm_rms_epsilon", 1e-5f);
  for (const auto& [name, tensor] : m.tensors) {
    std::vector<uint64_t> shape{tensor.cols};
    if (tensor.rows) shape.push_back(tensor.rows);
    bool permuted = architecture == "llama" && (name.ends_with(".q") || name.ends_with(".k"));
    Values values = permuted ? interleaved(tensor, static_cast<size_t>(s.head_dim)) : tensor.values;
    out.tensors.push_back({gguf_name(name), shape, 0, Bytes().floats(values).data});
  }
  return out;
}

// The values, which are scale * {-1, 0, 1}, in I2_S blocks of four strands.
inline std::string i2_s(const Values& values, size_t strand) {
  std::string packed(values.size() / 4, '\0');
  for (size_t i = 0; i < values.size(); i++) {
    int code = (values[i] > 0) - (values[i] < 0) + 1;
    char& byte = packed[i / (4 * strand) * strand + i % strand];
    byte = static_cast<char>(byte | code << (6 - 2 * (i / strand % 4)));
  }
  Bytes out;
  out.text(packed).put(magnitude(values));
  out.data.resize(packed.size() + 32);
  return out.data;
}

}  // namespace sources
