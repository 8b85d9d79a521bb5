// Text through the public calls: ids and their count, decoders, rooms to the byte, and what is refused.
#include <algorithm>
#include <cerrno>

#include "host.h"
#include "make_model.h"
#include "tokenizer_test.h"

using namespace edgellm;

namespace {

constexpr i32 VOCAB = 700;

std::string model_with(const std::string& tokenizer) {
  convert::TokenizerInfo info;
  ModelRecipe recipe;
  recipe.vocab = VOCAB;
  if (!tokenizer.empty()) recipe.tokenizer = convert::build_tokenizer_section(GOLDEN_TOKENIZERS + tokenizer, VOCAB, &info);
  const std::string path = temporary_path("text.tm2");
  write_model(recipe, path);
  return path;
}

edgellm_config for_texts(size_t bytes) {
  edgellm_config config = {};
  config.text_bytes = bytes;
  return config;
}

struct Tokens {
  std::string words;  // of the error
  int32_t count = -7;
  Ids ids;
};

Tokens tokens_of(Host& host, const std::string& text, int32_t options, int32_t room) {
  Tokens made;
  made.ids.assign(static_cast<size_t>(std::max(room, 0)) + 1, -5);
  made.words = said(
      edgellm_tokenize(host.engine, text.data(), text.size(), options, made.ids.data(), room, &made.count, &last_error));
  CHECK_EQ(made.ids.back(), -5);  // nothing past the room
  made.ids.resize(made.words.empty() ? static_cast<size_t>(made.count) : 0);
  return made;
}

}  // namespace

TEST(ids_of_a_text) {
  for (const char* name : {"sentencepiece", "llama3", "gpt2"}) {
    Host host(model_with(name), for_texts(100));
    Tokenizer tokenizer;
    convert::TokenizerInfo info;
    Section section(convert::build_tokenizer_section(GOLDEN_TOKENIZERS + name, VOCAB, &info));
    CHECK(tokenizer.open(section.span(), VOCAB).ok());
    CHECK_EQ(host.facts.first_id, tokenizer.bos());
    for (const std::string text : {"the end", " a <s>b<|eos|>c<|a|>", "\xe4\xb8\x96\xff", ""}) {
      for (int32_t options = 0; options < 4; options++) {
        const Ids expected = encode(
            tokenizer, text, {.add_bos = (options & EDGELLM_FIRST) != 0, .parse_special = (options & EDGELLM_SPECIAL) != 0});
        const int32_t count = static_cast<int32_t>(expected.size());
        Tokens made = tokens_of(host, text, options, count);  // room to the id
        CHECK_EQ(made.words, "");
        CHECK_EQ(made.ids, expected);
        if (count == 0) continue;
        made = tokens_of(host, text, options, count - 1);
        CHECK_EQ(made.words,
                 "usage: ids has room for " + std::to_string(count - 1) + " ids, " + std::to_string(count) + " are needed");
        CHECK_EQ(made.count, count);
      }
    }
  }
}

TEST(texts_that_are_refused) {
  Host host(model_with("sentencepiece"), for_texts(100));
  int32_t ids[200], count = 7;
  const std::string text(100, 'x');
  CHECK_EQ(tokens_of(host, text, 0, 200).words, "");
  CHECK_EQ(tokens_of(host, text + "x", 0, 200).words, "usage: text_bytes is 101, expected 0 to 100");
  CHECK_EQ(tokens_of(host, "x", -1, 200).words, "usage: options is -1, expected 0 to 3");
  CHECK_EQ(tokens_of(host, "x", 4, 200).words, "usage: options is 4, expected 0 to 3");
  CHECK_EQ(tokens_of(host, "x", 3, 200).words, "");
  CHECK_EQ(tokens_of(host, "x", 0, -1).words, "usage: room is -1, expected 0 to 2147483647");
  auto says = [&](edgellm_engine* engine, const char* some, size_t bytes, int32_t* to, int32_t room, int32_t* n) {
    return said(edgellm_tokenize(engine, some, bytes, 0, to, room, n, &last_error));
  };
  CHECK_EQ(says(nullptr, "x", 1, ids, 1, &count), "usage: engine is NULL");
  CHECK_EQ(says(host.engine, nullptr, 1, ids, 1, &count), "usage: text is NULL");
  CHECK_EQ(says(host.engine, "x", 1, nullptr, 1, &count), "usage: ids is NULL");
  CHECK_EQ(says(host.engine, "x", 1, ids, 1, nullptr), "usage: count is NULL");
  CHECK_EQ(count, 7);
  CHECK_EQ(says(host.engine, nullptr, 0, nullptr, 0, &count), "");
  CHECK_EQ(count, 0);

  edgellm_decoder decoder = {};
  size_t bytes = 9;
  Host wordless(model_with(""), for_texts(100)), roomless(model_with("sentencepiece"), for_texts(0));
  CHECK_EQ(says(wordless.engine, "x", 1, ids, 1, &count), "failed: the model has no tokenizer: it takes and gives ids");
  CHECK_SAYS(edgellm_decode(wordless.engine, &decoder, 1, nullptr, 0, &bytes, &last_error),
             "failed: the model has no tokenizer: it takes and gives ids");
  CHECK_EQ(says(roomless.engine, "x", 1, ids, 1, &count),
           "usage: config.text_bytes is 0: the engine has no room to tokenize");
}

namespace {

// The text of the ids, each call with room to the byte; with one byte less it is refused and nothing is lost.
std::string text_of(Host& host, edgellm_decoder decoder, Ids ids) {
  std::string text;
  ids.push_back(EDGELLM_END);
  for (int32_t id : ids) {
    size_t bytes = 77;
    char room[64];
    std::memset(room, '#', sizeof room);
    CHECK_SAYS(edgellm_decode(host.engine, &decoder, id, nullptr, 0, &bytes, &last_error),
               "usage: text has room for 0 bytes, " + std::to_string(bytes + 1) + " are needed");
    if (bytes) {
      CHECK_SAYS(
          edgellm_decode(host.engine, &decoder, id, room, bytes, nullptr, &last_error),
          "usage: text has room for " + std::to_string(bytes) + " bytes, " + std::to_string(bytes + 1) + " are needed");
      CHECK_EQ(room[bytes], '#');
    }
    size_t again = 77;
    CHECK_OK(edgellm_decode(host.engine, &decoder, id, room, bytes + 1, &again, &last_error));
    CHECK(again == bytes && room[bytes] == 0 && room[bytes + 1] == '#');
    text += room;
  }
  return text;
}

}  // namespace

TEST(texts_of_ids) {
  Host host(model_with("sentencepiece"), for_texts(100));
  const Ids ids = tokens_of(host, "the end \xe4\xb8\x96", EDGELLM_FIRST, 100).ids;
  CHECK(ids.size() > 5 && ids[0] == 1);
  edgellm_decoder decoder = {};
  CHECK_EQ(text_of(host, decoder, ids), "the end \xe4\xb8\x96");
  decoder.continues = 1;
  CHECK_EQ(text_of(host, decoder, ids), " the end \xe4\xb8\x96");
  decoder.specials = 1;
  CHECK_EQ(text_of(host, decoder, ids), "<s> the end \xe4\xb8\x96");
  decoder.continues = 0;
  CHECK_EQ(text_of(host, decoder, ids), "<s> the end \xe4\xb8\x96");
  decoder.specials = 0;
  CHECK_EQ(text_of(host, decoder, {ids.begin(), ids.end() - 1}), "the end \xef\xbf\xbd\xef\xbf\xbd");  // cut in a character
  CHECK_EQ(text_of(host, decoder, {}), "");

  // What the decoder is told counts when it begins, and only then.
  char text[64];
  size_t bytes;
  CHECK_OK(edgellm_decode(host.engine, &decoder, 1, text, sizeof text, &bytes, &last_error));
  decoder.specials = decoder.continues = 1;
  CHECK_OK(edgellm_decode(host.engine, &decoder, ids[1], text, sizeof text, &bytes, &last_error));
  CHECK(bytes > 0 && text[0] != ' ');
  CHECK_OK(edgellm_decode(host.engine, &decoder, 1, text, sizeof text, nullptr, &last_error));
  CHECK_EQ(std::string(text), "");

  auto says = [&](edgellm_engine* engine, edgellm_decoder* stream, int32_t id, char* to) {
    return said(edgellm_decode(engine, stream, id, to, sizeof text, &bytes, &last_error));
  };
  CHECK_EQ(says(nullptr, &decoder, 1, text), "usage: engine is NULL");
  CHECK_EQ(says(host.engine, nullptr, 1, text), "usage: decoder is NULL");
  CHECK_EQ(says(host.engine, &decoder, 1, nullptr), "usage: text is NULL");
  CHECK_EQ(says(host.engine, &decoder, -2, text), "usage: id is -2, expected -1 to 699");
  CHECK_EQ(says(host.engine, &decoder, 700, text), "usage: id is 700, expected -1 to 699");
  CHECK_EQ(says(host.engine, &decoder, 699, text), "");
}

TEST(ids_that_end_a_text) {
  Host host(model_with("sentencepiece"));
  for (int32_t id = -1; id <= VOCAB; id++)
    CHECK_EQ(edgellm_is_stop(host.engine, id), int32_t{id == 2});
  CHECK_EQ(edgellm_is_stop(nullptr, 2), 0);
}

TEST(errno_is_the_callers) {
  Host host(model_with("sentencepiece"), for_texts(100));
  const void* model;
  size_t bytes;
  errno = 77;
  CHECK(edgellm_map("/nowhere/at/all", &model, &bytes, nullptr) == EDGELLM_BAD_MODEL);
  CHECK_EQ(errno, 77);
}
