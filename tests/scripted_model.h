// A model whose answer is known: its grammar has one id at each place. It has random weights, and a byte for each of its first 256
// ids where it has a tokenizer at all.
#pragma once
#include <string>
#include <vector>

#include "convert/tokenizer/tokenizer.h"
#include "make_model.h"

struct Script {
  static constexpr edgellm::i32 VOCAB = 300, STOP = 299;

  std::vector<edgellm::i32> ids;  // said again and again, from the first whenever other ids are run
  bool words = true;              // there is a tokenizer
  edgellm::i32 context = 96;

  explicit Script(std::vector<edgellm::i32> what) : ids(std::move(what)) {}
  explicit Script(const std::string& text) {
    for (char c : text)
      ids.push_back(static_cast<edgellm::u8>(c));
  }
  Script& then(edgellm::i32 id) {
    ids.push_back(id);
    return *this;
  }
};

inline std::string write_script(const Script& script) {
  ModelRecipe recipe;
  const edgellm::u32 states = static_cast<edgellm::u32>(script.ids.size());
  recipe.vocab = Script::VOCAB;
  recipe.context = script.context;
  recipe.grammar = {states};
  for (edgellm::u32 s = 0; s < states; s++)
    recipe.grammar.push_back(s + 1);
  for (edgellm::u32 s = 0; s < states; s++) {
    recipe.grammar.push_back(static_cast<edgellm::u32>(script.ids[s]));
    recipe.grammar.push_back((s + 1) % states);
  }
  if (script.words) recipe.tokenizer = edgellm::convert::build_byte_tokenizer_section(Script::VOCAB);
  recipe.more = {{"stop", std::vector<edgellm::u32>{Script::STOP}}};
  static int number = 0;
  const std::string path = temporary_path("script" + std::to_string(number++) + ".tm2");
  write_model(recipe, path);
  return path;
}
