// A transformer as the comment of src/arch/attention.cpp says it, in f64 and without a cache: at each position the keys that must be
// visible, one after the other. For small models with f32 weights.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "make_model.h"
#include "model_reader.h"

class PlainTransformer {
 public:
  using Vector = std::vector<double>;

  // `window` of the cache, 0: none.
  PlainTransformer(const ModelRecipe& recipe, const std::string& path, int window)
      : r_(recipe), file_(model_reader::read_model(path)), window_(window) {
    past_.resize(static_cast<size_t>(r_.layers));
  }

  // The logits after one more id.
  Vector next(int id) {
    const size_t dim = static_cast<size_t>(r_.dim);
    Vector x(dim);
    for (size_t i = 0; i < dim; i++)
      x[i] = static_cast<double>(values("embed")[static_cast<size_t>(id) * dim + i]);
    for (layer_ = 0; layer_ < r_.layers; layer_++) {
      const Vector before = x;
      add(&x, attention(norm(x, name("attn_norm"))));
      add(&x, ffn(r_.phi ? norm(before, name("attn_norm")) : norm(x, name("ffn_norm"))));
    }
    position_++;
    return product(r_.tied ? "embed" : "head", norm(x, "norm"));
  }

 private:
  struct Kept {
    Vector k, v;  // of all kv heads; keys turned by their position
  };

  std::string name(const std::string& tensor) const { return "layers." + std::to_string(layer_) + "." + tensor; }
  bool has(const std::string& tensor) const { return file_.tensors.count(tensor); }
  const std::vector<float>& values(const std::string& tensor) const { return file_.tensors.at(tensor).values; }
  Vector whole(const std::string& tensor) const { return {values(tensor).begin(), values(tensor).end()}; }
  static void add(Vector* to, const Vector& from) {
    for (size_t i = 0; i < to->size(); i++)
      (*to)[i] += from[i];
  }
  Vector product(const std::string& matrix, const Vector& x) const {
    const std::vector<float>& w = values(matrix);
    Vector y(w.size() / x.size());
    for (size_t row = 0; row < y.size(); row++) {
      for (size_t i = 0; i < x.size(); i++)
        y[row] += static_cast<double>(w[row * x.size() + i]) * x[i];
    }
    if (has(matrix + "_bias")) add(&y, whole(matrix + "_bias"));
    return y;
  }
  // Absent weights: nothing is normalised.
  Vector norm(Vector x, const std::string& weight, bool always_rms = false) const {
    if (!has(weight)) return x;
    const bool layer = r_.layer_norm_kind && !always_rms;
    double mean = 0, square = 0;
    if (layer) {
      for (double value : x)
        mean += value / static_cast<double>(x.size());
    }
    for (double& value : x) {
      value -= mean;
      square += value * value / static_cast<double>(x.size());
    }
    for (size_t i = 0; i < x.size(); i++)
      x[i] = x[i] / std::sqrt(square + 1e-5) * static_cast<double>(values(weight)[i]);
    if (layer && has(weight + "_bias")) add(&x, whole(weight + "_bias"));
    return x;
  }
  // One head, turned by the angles of a position.
  Vector turned(Vector head, const char* own_norm, int position) const {
    head = norm(head, name(own_norm), true);
    const std::vector<float>& frequency = values("rope.inv_freq");
    for (size_t i = 0; i < frequency.size(); i++) {
      const size_t a = r_.interleaved ? 2 * i : i, b = r_.interleaved ? 2 * i + 1 : i + frequency.size();
      const double angle = position * static_cast<double>(frequency[i]), x = head[a], y = head[b];
      head[a] = x * std::cos(angle) - y * std::sin(angle);
      head[b] = x * std::sin(angle) + y * std::cos(angle);
    }
    return head;
  }
  static Vector part(const Vector& all, int index, int size) {
    return {all.begin() + index * size, all.begin() + (index + 1) * size};
  }

  bool sink(int t) const { return window_ && t < 4; }
  bool visible(int t) const {
    const int distance = position_ - t, own = r_.window[layer_];
    return sink(t) || ((!window_ || distance < window_) && (!own || distance < own));
  }

  Vector attention(const Vector& a) {
    const int head_dim = r_.head_dim[layer_], heads = r_.heads[layer_], kv_heads = r_.kv_heads[layer_];
    const Vector q = product(name("q"), a), k = product(name("k"), a);
    Kept kept = {{}, product(name("v"), a)};
    for (int h = 0; h < kv_heads; h++) {
      for (double value : turned(part(k, h, head_dim), "k_norm", position_))
        kept.k.push_back(value);
    }
    std::vector<Kept>& past = past_[static_cast<size_t>(layer_)];
    past.push_back(kept);
    Vector out;
    for (int h = 0; h < heads; h++) {
      const Vector head = part(q, h, head_dim);
      const Vector near = turned(head, "q_norm", position_);
      const Vector far = turned(head, "q_norm", window_ ? std::min(position_, 4 + window_ - 1) : position_);
      Vector sum(static_cast<size_t>(head_dim));
      double all = 0;
      for (int t = 0; t <= position_; t++) {
        if (!visible(t)) continue;
        const Kept& then = past[static_cast<size_t>(t)];
        const int kv = h / (heads / kv_heads);
        const Vector key = part(then.k, kv, head_dim), value = part(then.v, kv, head_dim);
        double score = 0;
        for (size_t i = 0; i < key.size(); i++)
          score += key[i] * (sink(t) ? far : near)[i];
        const double share = std::exp(score / std::sqrt(head_dim));
        all += share;
        for (size_t i = 0; i < value.size(); i++)
          sum[i] += share * value[i];
      }
      for (double value : sum)
        out.push_back(value / all);
    }
    return product(name("o"), norm(out, name("attn_sub_norm")));
  }

  Vector ffn(const Vector& f) const {
    Vector up = product(name("up"), f);
    const Vector gate = r_.phi ? Vector() : product(name("gate"), f);
    for (size_t i = 0; i < up.size(); i++) {
      double& g = up[i];
      if (r_.phi) {
        g = 0.5 * g * (1 + std::tanh(0.7978845608028654 * (g + 0.044715 * g * g * g)));
      } else if (r_.relu2) {
        const double positive = std::max(gate[i], 0.0);
        g *= positive * positive;
      } else {
        g *= gate[i] / (1 + std::exp(-gate[i]));
      }
    }
    return product(name("down"), norm(up, name("ffn_sub_norm")));
  }

  ModelRecipe r_;
  model_reader::ModelFile file_;
  int window_, layer_ = 0, position_ = 0;
  std::vector<std::vector<Kept>> past_;  // of each layer
};
