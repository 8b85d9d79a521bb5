// A model whose answer is known: its grammar has one id at each place. It has random weights, and a byte for each of its first 256
// ids where it has a tokenizer at all.
#pragma once
#include <string>
#include <vector>

#include "convert/tokenizer/vocabulary.h"
#include "make_model.h"

struct Script {
  static constexpr edgellm::i32 VOCAB = 300, STOP = 299;

  std::vector<edgellm::i32> ids;           // said again and again, from the first whenever other ids are run
  bool words = true;                       // there is a tokenizer
  std::vector<std::string> specials = {};  // texts of the ids from 256 on, which print nothing
  edgellm::i32 first = -1;                 // the id that begins a text
  edgellm::convert::Metadata more = {};    // further keys
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

// A byte for each of the first 256 ids, and the special tokens.
inline std::vector<edgellm::u8> script_tokenizer(const Script& script) {
  edgellm::convert::Vocabulary v;
  v.resize(256);
  for (edgellm::u32 byte = 0; byte < 256; byte++) {
    v.pieces[byte] = std::string(1, static_cast<char>(byte));
    v.byte_ids[byte] = static_cast<edgellm::i32>(byte);
  }
  edgellm::i64 id = 256;
  for (const std::string& text : script.specials)
    add_token(&v, text, id++, edgellm::ADDED_SPECIAL, false, "script");
  v.bos = script.first;
  v.adds_bos = script.first >= 0;
  return write_section(v, "script");
}

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
  if (script.words) recipe.tokenizer = script_tokenizer(script);
  recipe.more = script.more;
  recipe.more.emplace_back("stop", std::vector<edgellm::u32>{Script::STOP});
  static int number = 0;
  const std::string path = temporary_path("script" + std::to_string(number++) + ".tm2");
  write_model(recipe, path);
  return path;
}
