// Small models of every kind of state: places for positions, states that do not grow, both, and windows.
#pragma once
#include <string>
#include <vector>

#include "engine/engine.h"
#include "make_recurrent.h"
#include "scripted_model.h"

struct SmallModel {
  std::string name, path;
  edgellm::i32 window = 0;
  bool rewinds = true;  // can stand behind any id again, as long as its text is shorter than a window

  edgellm::EngineOptions options() const {
    edgellm::EngineOptions options;
    options.threads = 1;
    options.tokens = 16;
    options.context = 96;
    options.window = window;
    return options;
  }
};

inline const std::vector<SmallModel>& small_models() {
  static const std::vector<SmallModel> models = [] {
    const auto file = [](const std::string& name, const auto& recipe) {
      const std::string path = temporary_path(name + ".tm2");
      write_model(recipe, path);
      return path;
    };
    const ModelRecipe attention, hybrid = {.blocks = "mamba2 ffn | attention ffn"}, retention = {.blocks = "retention ffn"};
    const std::string transformer = file("transformer", attention), mixed = file("hybrid", hybrid);
    return std::vector<SmallModel>{
        {"transformer", transformer},
        {"transformer, window", transformer, 21},
        {"hybrid", mixed, 0, false},
        {"hybrid, window", mixed, 21, false},
        {"retention", file("retention", retention), 0, false},
        {"rwkv7", file("rwkv7", RecurrentRecipe{rwkv7(SMALL7)}), 0, false},
        {"rwkv4", file("rwkv4", RecurrentRecipe{rwkv4(SMALL4)}), 0, false},
        {"mamba", file("mamba", RecurrentRecipe{mamba(SMALL1)}), 0, false},
        {"mamba2", file("mamba2", RecurrentRecipe{mamba2(SMALL2)}), 0, false},
        {"script", write_script(Script("one two three four. "))},
    };
  }();
  return models;
}
