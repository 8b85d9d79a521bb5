#include "file/family.h"

namespace edgellm {

namespace {

constexpr Family FAMILIES[] = {
#define FAMILY(name, words, blocks, layer_norm, required_norm) {#name, words, blocks, layer_norm, required_norm},
#include "file/family.def"
#undef FAMILY
};

// The text of a layer.
Text layer_text(Text blocks, i32 layer) {
  i32 layers = 1;
  for (i64 i = 0; i < blocks.size; i++)
    layers += blocks[i] == '|';
  i64 begin = 0;
  for (i32 bars = layer % layers; bars > 0; begin++)
    bars -= blocks[begin] == '|';
  i64 end = begin;
  while (end < blocks.size && blocks[end] != '|')
    end++;
  return blocks.slice(begin, end - begin);
}

// Takes the first word off the text; empty at its end.
Text take_word(Text* text) {
  i64 begin = 0;
  while (begin < text->size && (*text)[begin] == ' ')
    begin++;
  i64 end = begin;
  while (end < text->size && (*text)[end] != ' ')
    end++;
  Text word = text->slice(begin, end - begin);
  *text = text->from(end);
  return word;
}

Status add(Text name, bool parallel, LayerBlocks* read) {
  for (i32 i = 0; i < read->count; i++) {
    if (read->names[i] == name) return bad_model("metadata: \"blocks\" has ", name, " twice in one layer");
  }
  if (read->count == MAX_LAYER_BLOCKS) {
    return bad_model("metadata: \"blocks\" has a layer of more than ", MAX_LAYER_BLOCKS, " blocks");
  }
  if (parallel && (read->count == 0 || read->parallel[read->count - 1])) {
    return bad_model("metadata: \"blocks\" has a + before ", name, ", but it can join two blocks only");
  }
  read->names[read->count] = name;
  read->parallel[read->count++] = parallel;
  return {};
}

// What files of a family with blocks of its own may say about them.
Status check_family(const ModelFile& file, Family* family) {
  constexpr const char* OF_STACKS[] = {"blocks", "rope_table"};
  for (const char* key : OF_STACKS) {
    if (file.has(key)) return bad_model("metadata: \"", key, "\" is for \"arch\" stack, and this is ", family->name);
  }
  bool parallel;
  EDGELLM_TRY(file.flag("parallel", &parallel));
  if (parallel && Text(family->name) == "transformer") family->blocks = "attention + ffn";
  return {};
}

Status read_blocks(const ModelFile& file, Family* family) {
  if (!file.has("blocks")) return bad_model("metadata: \"blocks\" is missing, which \"arch\" stack needs");
  EDGELLM_TRY(file.text_or("blocks", "", &family->blocks));
  if (family->blocks.size <= MAX_BLOCKS_TEXT) return {};
  return bad_model("metadata: \"blocks\" has ", family->blocks.size, " bytes, expected at most ", MAX_BLOCKS_TEXT);
}

}  // namespace

Status read_family(const ModelFile& file, Family* family) {
  Text name;
  EDGELLM_TRY(file.text_or("arch", "", &name));
  char buffer[128];
  Writer known(buffer);
  for (const Family& one : FAMILIES) {
    if (name == one.name) *family = one;
    write(known, known.text().size ? ", " : "", one.name);
  }
  if (!family->name) return bad_model("metadata: unknown model family \"", name, "\", known: ", known.text());
  return family->blocks.size ? check_family(file, family) : read_blocks(file, family);
}

Status read_layer_blocks(Text blocks, i32 layer, LayerBlocks* read) {
  Text rest = layer_text(blocks, layer);
  read->count = 0;
  for (Text word = take_word(&rest); word.size; word = take_word(&rest)) {
    const bool parallel = word == "+";
    if (parallel) word = take_word(&rest);
    if (word.size == 0 || word == "+") return bad_model("metadata: \"blocks\" has a + without a block after it");
    EDGELLM_TRY(add(word, parallel, read));
  }
  return read->count ? Status() : bad_model("metadata: \"blocks\" has a layer without blocks");
}

}  // namespace edgellm
