// edgellm tokenize, edgellm detokenize: the text side of a model file alone.
#include "cli/command.h"

namespace edgellm {

namespace {

Status open_tokenizer(const Options& options, Tokenizer* tokenizer, i32* vocab) {
  const char* path = options.tokenizer_file ? options.tokenizer_file : options.model;
  Span<const u8> map;
  EDGELLM_TRY(map_model(path, {}, &map));
  ModelFile file;
  EDGELLM_TRY(file.open(map));
  if (file.tokenizer().count == 0)
    return bad_model(path, ": ", NO_TOKENIZER, "; --tokenizer FILE takes that of another model file");
  EDGELLM_TRY(file.number("vocab", 1, MAX_VOCAB, vocab));
  return tokenizer->open(file.tokenizer(), *vocab);
}

// Ids to text on standard output, up to the first that the model does not have.
struct TextPrinter {
  Decoder decoder;
  i32 vocab;
  i32 wrong = -1;

  static void add(void* context, i32 id) {
    TextPrinter& self = *static_cast<TextPrinter*>(context);
    if (self.wrong < 0 && id >= self.vocab) self.wrong = id;
    if (self.wrong >= 0) return;
    self.decoder.push(id);
    self.drain();
  }
  void drain() {
    for (Text text; (text = decoder.take()).size != 0;)
      print(text);
  }
};

}  // namespace

Status tokenize_command(Options& options) {
  Tokenizer tokenizer;
  i32 vocab;
  EDGELLM_TRY(open_tokenizer(options, &tokenizer, &vocab));
  Text text;
  EDGELLM_TRY(read_text(options, &text));
  i64 workspace_bytes = tokenizer.workspace_bytes(text.size), most = tokenizer.max_ids(text.size);
  Span<u8> block;
  i64 ids_at = align_up<i64>(workspace_bytes, Arena::ALIGNMENT);
  EDGELLM_TRY(take_memory(ids_at + most * static_cast<i64>(sizeof(i32)), {}, &block));
  Span<i32> ids = {reinterpret_cast<i32*>(block.data + ids_at), most};
  i32 count;
  EDGELLM_TRY(tokenizer.encode(text, {.add_bos = true, .parse_special = options.special}, block.slice(0, workspace_bytes),
                               ids, &count));
  Span<const i32> said = ids.slice(0, count);
  if (options.special) said = begun_once(said, tokenizer.bos());
  Output out(STDOUT);
  for (i64 i = 0; i < said.count; i++) {
    if (i) out.add(",");
    out.add(said[i]);
  }
  out.add("\n");
  out.flush();
  return {};
}

Status detokenize_command(Options& options) {
  Tokenizer tokenizer;
  i32 vocab;
  EDGELLM_TRY(open_tokenizer(options, &tokenizer, &vocab));
  TextPrinter printer = {Decoder(tokenizer), vocab};
  EDGELLM_TRY(parse_list("--ids", options.ids, TextPrinter::add, &printer));
  printer.decoder.finish();
  printer.drain();
  print("\n");
  return printer.wrong < 0 ? Status() : failed("--ids: ", printer.wrong, " is not in the vocabulary of ", vocab, " ids");
}

}  // namespace edgellm
