// How a text ends, from outside: how many tokens are made where -n does not say, what is said of a text that was cut, and what
// --stop, --stop-id and --special make of special tokens. EDGELLM is the command that starts the program.
#include <algorithm>

#include "check.h"
#include "files.h"
#include "program.h"
#include "scripted_model.h"

using namespace edgellm;

namespace {

constexpr const char* END = "<|end|>";  // id 256 of the scripts below; 257 is "<s>"

Script with_specials(const std::string& before, const std::string& after) {
  Script script(before);
  if (!after.empty()) script.then(256);
  for (char c : after)
    script.then(static_cast<u8>(c));
  script.specials = {END, "<s>"};
  return script.then(Script::STOP);
}

// A model without a grammar that never ends by itself.
std::string plain_model(convert::Metadata more) {
  ModelRecipe recipe;
  recipe.vocab = 300;
  recipe.tokenizer = script_tokenizer(Script(""));
  recipe.more = std::move(more);
  recipe.more.emplace_back("stop", std::vector<u32>{});
  const std::string path = temporary_path("plain" + std::to_string(recipe.more.size()) + ".tm2");
  write_model(recipe, path);
  return path;
}

i32 tokens_made(const Said& said) {
  size_t at = said.err.find(" out");  // "first out after 1.2 ms; 3 out"
  if (contains(said.err, "first out after")) at = said.err.find(" out", at + 1);
  return at == std::string::npos ? -1 : std::stoi(said.err.substr(said.err.rfind(' ', at - 1)));
}

std::string hash_in(const Said& said) {
  const size_t at = said.err.find("logits hash: ");
  return at == std::string::npos ? "none" : said.err.substr(at + 13, 16);
}

// The first note or error.
std::string words_in(const Said& said) {
  const size_t at = std::min(said.err.find("note: "), said.err.find("edgellm: "));
  return at == std::string::npos ? "" : said.err.substr(at, said.err.find('\n', at) + 1 - at);
}

}  // namespace

TEST(how_many_tokens) {
  const std::string plain = plain_model({}), chats = plain_model({{"chat", std::string("form")}});
  const std::string ends = write_script(Script("{\"a\":[1,2]}").then(Script::STOP)), endless = write_script(Script("abc"));
  std::string many(60, 'x');
  const std::string longer = write_script(Script(many).then(Script::STOP));
  const std::string more_room =
      "take a larger context (--ctx, up to 96) or a window (--window W) to go on with the last W\n";
  const std::string cut = "edgellm: the answer was cut after ", before = ", before its grammar ends: ";
  const struct {
    std::string model, words;
    int code;
    i32 made;
    std::string says;
  } cases[] = {
      {plain, "", 0, 32, "note: cut after 32 tokens; -n allows more\n"},
      {plain, "-n 32", 0, 32, ""},
      {plain, "-n 33", 0, 33, ""},
      {plain, "-n 0", 0, 0, ""},
      {plain, "--ctx 20", 0, 18, "note: cut after 18 tokens: the context is full; " + more_room},
      {plain, "--ctx 3", 0, 1, "note: cut after 1 token: the context is full; " + more_room},
      {plain, "--ctx 2", 1, -1, "edgellm: the context is full: 3 positions are needed, there are 2; " + more_room},
      {plain, "--ctx 20 -n 19", 1, 18, "edgellm: the context is full: 21 positions are needed, there are 20; " + more_room},
      {plain, "--ctx 20 -n 18", 0, 18, ""},
      {plain, "--ctx 20 --window 16", 0, 32, "note: cut after 32 tokens; -n allows more\n"},
      {chats, "", 0, 94,
       "note: cut after 94 tokens: the context is full; take a window (--window W) to go on with the last W\n"},
      {chats, "--ctx 40", 0, 38, "note: cut after 38 tokens: the context is full; " + more_room},
      {chats, "--ctx 40 --window 16", 0, 40, "note: cut after 40 tokens; -n allows more\n"},
      {chats, "-n 32", 0, 32, ""},
      {ends, "", 0, 12, ""},
      {ends, "-n 12", 0, 12, ""},
      {ends, "-n 11", 0, 11, ""},  // all of it but the id that says so
      {ends, "--ctx 13", 0, 11, ""},
      {ends, "-n 10", 1, 10, cut + "10 tokens" + before + "-n allows more\n"},
      {ends, "-n 0", 0, 0, ""},
      {ends, "--stop 1", 0, 7, ""},  // somebody wanted it to end there
      {ends, "--stop-id 44", 0, 8, ""},
      {longer, "", 0, 61, ""},
      {longer, "--ctx 30", 1, 28, cut + "28 tokens" + before + "the context is full; " + more_room},
      {longer, "--ctx 30 -n 40", 1, 28, cut + "28 tokens" + before + "the context is full; " + more_room},
      {longer, "--ctx 30 --window 16", 1, 30, cut + "30 tokens" + before + "-n allows more\n"},
      {longer, "--window 16", 0, 61, ""},
      {endless, "", 0, 32, "note: cut after 32 tokens; -n allows more\n"},  // a grammar without an end has none to run to
      {endless, "-n 4", 0, 4, ""},
  };
  for (const auto& one : cases) {
    const Said said = edgellm_says(one.model + " -i abc -t 0 " + one.words);
    const std::string name = one.model.substr(one.model.rfind('/') + 1) + " " + one.words + ": ";
    CHECK_EQ(name + std::to_string(said.code), name + std::to_string(one.code));
    CHECK_EQ(name + std::to_string(tokens_made(said)), name + std::to_string(one.made));
    CHECK_EQ(name + words_in(said), name + one.says);
  }
  // A recurrent model has no such end; the bundled one says when it is done.
  Said said = edgellm_says("models/home.srnn -i 'dim the bedroom lamp to forty percent'");
  CHECK_EQ(said.code, 0);
  CHECK_EQ(said.out, std::string("{\"device\":\"light\",\"room\":\"bedroom\",\"action\":\"set\",\"value\":40}\n"));
  said = edgellm_says("models/home.srnn -i 'dim the bedroom lamp to forty percent' --ctx 5");
  CHECK_EQ(said.code, 1);
  CHECK_EQ(words_in(said), cut + "5 tokens" + before + "-n allows more\n");
  CHECK(said.out.starts_with("{\"device\":\"light\",") && !contains(said.out, "}"));
}

// What was printed of a cut answer stays, and its state is kept: the rest of it follows.
TEST(a_cut_answer_goes_on_from_its_state) {
  Folder folder;
  const std::string path = write_script(Script("{\"a\":1}").then(Script::STOP));
  const std::string state = folder / "state", whole = edgellm_says(path + " -i abc -t 0 --hash").err;
  Said said = edgellm_says(path + " -i abc -t 0 -n 4 --state-save " + state);
  CHECK_EQ(said.code, 1);
  CHECK_EQ(said.out, std::string("{\"a\"\n"));
  said = edgellm_says(path + " -t 0 --hash --state-load " + state);
  CHECK_EQ(said.code, 0);
  CHECK_EQ(said.out, std::string(":1}\n"));
  CHECK_EQ(hash_in(said), hash_in({0, "", whole}));
  said = edgellm_says(path + " -t 0 -n 2 --state-load " + state);
  CHECK_EQ(said.code, 1);
  CHECK_EQ(words_in(said),
           std::string("edgellm: the answer was cut after 2 tokens, before its grammar ends: -n allows more\n"));
  // In a context without room for the rest.
  said = edgellm_says(path + " -i abc -t 0 -n 4 --ctx 8 --state-save " + (folder / "small"));
  said = edgellm_says(path + " -t 0 --ctx 8 --state-load " + (folder / "small") + " -i de");
  CHECK_EQ(said.code, 1);
  CHECK_EQ(said.out, std::string());
  CHECK(contains(said.err, "edgellm: the context is full: 9 positions are needed, there are 8; take "));
}

// In a conversation each answer counts, with a template in the file or without one.
TEST(answers_of_a_conversation) {
  Folder folder;
  write_file(folder / "said", "x\ny\n");
  Script script = Script("{\"a\":1}").then(Script::STOP);
  const std::string alone = write_script(script);
  script.more = {{"chat", std::string("form")},
                 {"chat.user", std::string("<{user}>")},
                 {"chat.answer", std::string("=")},
                 {"chat.assistant", std::string("{assistant}")}};
  const std::string talks = write_script(script);
  const std::string cut = "edgellm: the answer was cut after ", before = " tokens, before its grammar ends: ";
  const std::string more_room =
      "take a larger context (--ctx, up to 96) or a window (--window W) to go on with the last W\n";
  const std::string full = cut + "5" + before + "the context is full; " + more_room;
  const struct {
    const std::string& model;
    std::string words;
    int code;
    std::string out, says;
  } cases[] = {
      {alone, "", 0, "{\"a\":1}\n\n{\"a\":1}\n", ""},
      {talks, "", 0, "{\"a\":1}\n\n{\"a\":1}\n", ""},
      {alone, "-n 7", 0, "{\"a\":1}\n\n{\"a\":1}\n", ""},
      {talks, "-n 7", 0, "{\"a\":1}\n\n{\"a\":1}\n", ""},
      {alone, "-n 4", 1, "{\"a\"\n", cut + "4" + before + "-n allows more\n"},
      {talks, "-n 4", 1, "{\"a\"\n", cut + "4" + before + "-n allows more\n"},
      {alone, "--ctx 5", 1, "{\"a\":\n", full},
      {talks, "--ctx 8", 1, "{\"a\":\n", full},
      {talks, "--ctx 20 --stop-id 49", 0, "{\"a\":\n\n{\"a\":\n", ""},
      {talks, "--stop :", 0, "{\"a\"\n\n{\"a\"\n", ""},
  };
  for (const auto& one : cases) {
    const Said said = edgellm_says("chat " + one.model + " -t 0 " + one.words, folder / "said");
    const std::string name = (&one.model == &alone ? "alone " : "talks ") + one.words + ": ";
    CHECK_EQ(name + std::to_string(said.code), name + std::to_string(one.code));
    CHECK_EQ(name + said.out, name + one.out);
    CHECK_EQ(name + words_in(said), name + one.says);
  }
  CHECK_EQ(words_in(edgellm_says("chat " + talks + " -t 0 --stop-id 300", folder / "said")),
           std::string("edgellm: --stop-id: 300 is not in the vocabulary of 300 ids\n"));
}

TEST(special_tokens_and_ids_end_a_text) {
  const std::string path = write_script(with_specials("ab", "cd"));
  std::string ids = "1";
  for (int i = 2; i <= 16; i++)
    ids += "," + std::to_string(i);
  const struct {
    std::string words;
    int code;
    std::string out, says;
  } cases[] = {
      {"", 0, "abcd\n", ""},
      {"--stop '<|end|>'", 0, "ab\n", ""},
      {"--stop-id 256", 0, "ab\n", ""},
      {"--stop-id 1,256", 0, "ab\n", ""},
      {"--stop-id 1 --stop-id=256", 0, "ab\n", ""},
      {"--stop-id 98", 0, "a\n", ""},
      {"--stop-id 98 --stop '<|end|>'", 0, "a\n", ""},
      {"--stop-id " + ids, 0, "abcd\n", ""},
      {"--stop bc", 0, "a\n", ""},  // of what is printed
      {"--stop '<s>'", 0, "abcd\n", ""},
      {"--stop '<|end|>c'", 0, "abcd\n",
       "note: --stop: the special token <|end|> prints nothing, so that no text has it; --stop \"<|end|>\" alone ends at "
       "it\n"},
      {"--stop '<|end'", 0, "abcd\n", ""},
      {"--stop-id 299", 0, "abcd\n", ""},
      {"--stop-id 300", 2, "", "edgellm: --stop-id: 300 is not in the vocabulary of 300 ids\n"},
      {"--stop-id " + ids + ",17", 2, "", "edgellm: --stop-id: 1 to 16 ids, such as 2 or 1,2\n"},
      {"--stop-id " + ids + " --stop-id 17", 2, "", "edgellm: --stop-id: 1 to 16 ids, such as 2 or 1,2\n"},
      {"--stop-id ''", 2, "", "edgellm: --stop-id: 1 to 16 ids, such as 2 or 1,2\n"},
      {"--stop-id '<|end|>'", 2, "", "edgellm: --stop-id: \"<|end|>\" is not a whole number in a list such as 1,2,3\n"},
  };
  for (const auto& one : cases) {
    const Said said = edgellm_says(path + " -i abc -t 0 " + one.words);
    CHECK_EQ(one.words + ": " + std::to_string(said.code), one.words + ": " + std::to_string(one.code));
    CHECK_EQ(one.words + ": " + said.out, one.words + ": " + one.out);
    CHECK_EQ(one.words + ": " + words_in(said), one.words + ": " + one.says);
  }
  // Sixteen of each are kept apart.
  std::string all = " --stop-id " + ids + " --stop '<|end|>'";
  for (int i = 0; i < 15; i++)
    all += " --stop x" + std::to_string(i);
  CHECK_EQ(edgellm_says(path + " -i abc -t 0" + all).out, std::string("ab\n"));

  // What ended the text waits in the state, like a stop id of the model: the text goes on behind it.
  Folder folder;
  const std::string state = folder / "state";
  for (const std::string& how : {std::string("--stop-id 256"), std::string("--stop '<|end|>'")}) {
    CHECK_EQ(edgellm_says(path + " -i abc -t 0 --state-save " + state + " " + how).out, std::string("ab\n"));
    const Said said = edgellm_says(path + " -t 0 --hash --state-load " + state);
    CHECK_EQ(said.out, std::string("cd\n"));
    CHECK_EQ(hash_in(said), hash_in(edgellm_says(path + " -i abc -t 0 --hash")));
    remove(state.c_str());
  }
}

// Typed text is only text; with --special the names of special tokens in it are their ids.
TEST(special_tokens_in_a_prompt) {
  Script script = with_specials("ab", "");
  const std::string path = write_script(script);
  script.first = 257;
  const std::string begins = write_script(script);
  const struct {
    const std::string& model;
    const char *text, *plain, *special;
  } cases[] = {
      {path, "a<|end|>b", "97,60,124,101,110,100,124,62,98", "97,256,98"},
      {path, "<s>", "60,115,62", "257"},
      {path, "<|en", "60,124,101,110", "60,124,101,110"},
      {begins, "a<|end|>", "257,97,60,124,101,110,100,124,62", "257,97,256"},
      {begins, "<s>a", "257,60,115,62,97", "257,97"},  // which brings the first id along
      {begins, "<s><s>a", "257,60,115,62,60,115,62,97", "257,257,97"},
      {begins, "<s>", "257,60,115,62", "257"},
      {begins, "", "257", "257"},
      {begins, "a<s>", "257,97,60,115,62", "257,97,257"},
  };
  Folder folder;
  for (const auto& one : cases) {
    const std::string quoted = " '" + std::string(one.text) + "'";
    write_file(folder / "text", one.text);
    for (const bool special : {false, true}) {
      const std::string how = special ? " --special" : "", expected = special ? one.special : one.plain;
      const i64 count = std::count(expected.begin(), expected.end(), ',') + 1;
      CHECK_EQ(edgellm_says("tokenize " + one.model + how + " -i" + quoted).out, expected + "\n");
      CHECK_EQ(edgellm_says("tokenize " + one.model + how + " -", folder / "text").out, expected + "\n");
      Said said = edgellm_says(one.model + how + " --hash -t 0 -n 1 -f " + (folder / "text"));
      CHECK(contains(said.err, "\n" + std::to_string(count) + " tokens in, "));
      if (count < 2) continue;
      CHECK_EQ(hash_in(said), hash_in(edgellm_says("eval " + one.model + " --hash --ids " + expected)));
      said = edgellm_says("eval " + one.model + how + " --json --text " + (folder / "text"));
      CHECK(contains(said.out, "\"tokens\":" + std::to_string(count - 1) + ","));
      const Said ids = edgellm_says("eval " + one.model + " --json --ids " + expected);
      CHECK_EQ(said.out.substr(0, said.out.find(',')), ids.out.substr(0, ids.out.find(',')));
    }
  }
  // What follows a state: the id that waits in it, then the special token.
  const std::string state = folder / "state";
  edgellm_says(path + " -i ab -t 0 -n 1 --stop-id 97 --state-save " + state);
  const Said said = edgellm_says(path + " -i '<|end|>c' --special -t 0 -n 1 --stop-id 97 --hash --state-load " + state);
  CHECK(contains(said.err, "\n2 tokens in, "));
  CHECK_EQ(hash_in(said), hash_in(edgellm_says("eval " + path + " --hash --ids 97,98,97,256,99")));
}
