// edgellm tokenize, edgellm detokenize: the text side of a model file alone.
#include "cli/command.h"

namespace edgellm {

namespace {

Status open_tokenizer(const Options& options, Tokenizer* tokenizer) {
  const char* path = options.tokenizer_file ? options.tokenizer_file : options.model;
  Span<const u8> map;
  EDGELLM_TRY(map_model(path, {}, &map));
  ModelFile file;
  EDGELLM_TRY(file.open(map));
  if (file.tokenizer().count == 0) return bad_model(path, ": ", NO_TOKENIZER);
  i32 vocab;
  EDGELLM_TRY(file.number("vocab", 1, MAX_VOCAB, &vocab));
  return tokenizer->open(file.tokenizer(), vocab);
}

}  // namespace

Status tokenize_command(Options& options) {
  Tokenizer tokenizer;
  EDGELLM_TRY(open_tokenizer(options, &tokenizer));
  Text text;
  EDGELLM_TRY(read_text(options, &text));
  i64 workspace_bytes = tokenizer.workspace_bytes(text.size), most = tokenizer.max_ids(text.size);
  Span<u8> block;
  i64 ids_at = align_up<i64>(workspace_bytes, Arena::ALIGNMENT);
  EDGELLM_TRY(take_memory(ids_at + most * static_cast<i64>(sizeof(i32)), {}, &block));
  Span<i32> ids = {reinterpret_cast<i32*>(block.data + ids_at), most};
  i32 count;
  EDGELLM_TRY(
      tokenizer.encode(text, {.add_bos = true, .parse_special = false}, block.slice(0, workspace_bytes), ids, &count));
  Output out(STDOUT);
  for (i32 i = 0; i < count; i++) {
    if (i) out.add(",");
    out.add(ids[i]);
  }
  out.add("\n");
  out.flush();
  return {};
}

Status detokenize_command(Options& options) {
  Tokenizer tokenizer;
  EDGELLM_TRY(open_tokenizer(options, &tokenizer));
  Decoder decoder(tokenizer);
  EDGELLM_TRY(parse_list(
      "--ids", options.ids,
      [](void* context, i32 id) {
        Decoder& to = *static_cast<Decoder*>(context);
        to.push(id);
        for (Text text; (text = to.take()).size != 0;)
          print(text);
      },
      &decoder));
  decoder.finish();
  for (Text text; (text = decoder.take()).size != 0;)
    print(text);
  print("\n");
  return {};
}

}  // namespace edgellm
