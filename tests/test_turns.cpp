// Turns of a conversation: what is written for the model, which ids are run and which never, what a full context and a small buffer
// say. (Templates of real models against transformers: test_chat.cpp.)
#include <functional>

#include "engine/conversation.h"
#include "files.h"
#include "open_engine.h"
#include "scripted_model.h"
#include "tokenizer_test.h"

using namespace edgellm;

namespace {

std::string string_of(Text text) {
  return {text.data, static_cast<size_t>(text.size)};
}

constexpr ChatTemplate FORM = {
    .name = "form", .start = "S", .system = "[{system}]", .user = "<{user}>", .answer = "A:", .assistant = "({assistant})"};

struct Writing {
  char buffer[200];
  Text said[8];
  ChatWriter writer;

  explicit Writing(const ChatTemplate& form, i64 room = 200, i64 places = 8)
      : writer(form, {buffer, room}, {said, places}) {}
  std::string text() const { return string_of(writer.text()); }
  std::string parts() const {
    std::string all;
    for (Text part : writer.said())
      all += string_of(part) + "|";
    return all;
  }
};

}  // namespace

TEST(what_is_written) {
  Writing plain(FORM);
  plain.writer.begin({});
  plain.writer.user("a{user}");
  plain.writer.answer();
  plain.writer.close();
  plain.writer.user("b");
  plain.writer.assistant("c");
  CHECK_EQ(plain.text(), "S<a{user}>A:)<b>(c)");
  CHECK_EQ(plain.parts(), "a{user}|b|c|");
  CHECK(plain.writer.said()[1].data == plain.buffer + 14);

  Writing system(FORM);
  system.writer.begin("x");
  system.writer.user("a");
  system.writer.user("b");
  CHECK_EQ(system.text(), "[x]<a><b>");
  CHECK_EQ(system.parts(), "x|a|b|");

  ChatTemplate inside = FORM;
  inside.system = "[{system}/{user}]";
  Writing first(inside);
  first.writer.begin("x");
  CHECK_EQ(first.text(), "");
  first.writer.user("a");
  first.writer.user("b");
  first.writer.begin({});
  first.writer.user("c");
  CHECK_EQ(first.text(), "[x/a]<b>S<c>");
  CHECK_EQ(first.parts(), "x|a|b|c|");

  ChatTemplate odd = FORM;
  odd.user = "{use{usr}{user}{user}{assistant}{";
  Writing odd_writing(odd);
  odd_writing.writer.user("a");
  CHECK_EQ(odd_writing.text(), "{use{usr}aaa{");
  CHECK_EQ(odd_writing.parts(), "a|a|a|");
  CHECK_EQ(string_of(odd.before_user()), "{use{usr}");
  CHECK_EQ(string_of(FORM.close()), ")");
  CHECK_EQ(string_of(FORM.before_user()), "<");
}

TEST(what_is_said_is_trimmed_where_the_template_says_so) {
  const std::string said = " \t\r\n\xe3\x80\x80 a  b \xc2\xa0\n";
  for (bool trim : {false, true}) {
    ChatTemplate form = FORM;
    form.trim = trim;
    Writing writing(form);
    writing.writer.begin(view(said));
    writing.writer.user(view(said));
    writing.writer.assistant(" \n ");
    const std::string kept = trim ? "a  b" : said;
    CHECK_EQ(writing.text(), "[" + kept + "]<" + kept + ">(" + (trim ? "" : " \n ") + ")");
  }
}

TEST(rooms_for_what_is_written) {
  for (i64 room = 0; room < 12; room++) {
    Writing writing(FORM, room, 2);
    writing.writer.begin("x");
    writing.writer.user("abc");
    writing.writer.answer();
    CHECK_EQ(writing.writer.full(), room < 10);
    CHECK(std::string("[x]<abc>A:").starts_with(writing.text()));
    if (room >= 10) CHECK_EQ(writing.text(), "[x]<abc>A:");
  }
  Writing few(FORM, 200, 2);
  few.writer.user("a");
  few.writer.user("b");
  CHECK(!few.writer.full());
  few.writer.user("c");
  CHECK(few.writer.full());
}

TEST(templates_that_lack_something) {
  CHECK(FORM.check().ok());
  const std::string long_text(4090, 'x');
  Text ChatTemplate::* const texts[] = {&ChatTemplate::start, &ChatTemplate::system, &ChatTemplate::user,
                                        &ChatTemplate::answer, &ChatTemplate::assistant};
  for (Text ChatTemplate::* text : texts) {
    ChatTemplate form = FORM;
    const std::string own = string_of(form.*text), most = own + std::string(4096 - own.size(), 'x'), more = most + "x";
    form.*text = view(most);
    CHECK(form.check().ok());
    form.*text = view(more);
    CHECK_EQ(std::string(form.check().text()), "chat template: a text of 4097 bytes, at most 4096");
  }
  const std::tuple<Text ChatTemplate::*, const char*, const char*> lacking[] = {
      {&ChatTemplate::system, "{user}", "chat template: \"chat.system\" lacks {system}"},
      {&ChatTemplate::user, "", "chat template: \"chat.user\" lacks {user}"},
      {&ChatTemplate::user, "{user", "chat template: \"chat.user\" lacks {user}"},
      {&ChatTemplate::assistant, "{user}", "chat template: \"chat.assistant\" lacks {assistant}"},
      {&ChatTemplate::system, "", ""},
      {&ChatTemplate::user, "{user}", ""}};
  for (const auto& [text, value, words] : lacking) {
    ChatTemplate form = FORM;
    form.*text = value;
    const Status status = form.check();
    CHECK_EQ(std::string(status.text()), words);
    CHECK(status.code() == (*words ? Code::bad_model : Code::ok));
  }
}

// Each key of a file goes to its member; of another type it is refused by its name.
TEST(templates_of_files) {
  auto read = [](const convert::Metadata& more, ChatTemplate* form, bool* found, const std::function<void()>& look) {
    static i32 number = 0;
    const std::string path = temporary_path("template" + std::to_string(number++) + ".tm2");
    write_model(ModelRecipe{.more = more}, path);
    Span<const u8> map;
    CHECK(map_file(path.c_str(), {}, &map).ok());
    ModelFile file;
    CHECK(file.open(map).ok());
    const std::string words = read_chat_template(file, form, found).text();
    look();
    release_memory(map);
    return words;
  };
  const std::pair<const char*, Text ChatTemplate::*> texts[] = {
      {"chat", &ChatTemplate::name},          {"chat.start", &ChatTemplate::start},
      {"chat.system", &ChatTemplate::system}, {"chat.user", &ChatTemplate::user},
      {"chat.answer", &ChatTemplate::answer}, {"chat.assistant", &ChatTemplate::assistant}};
  convert::Metadata good;
  for (const auto& [key, text] : texts)
    good.emplace_back(key, std::string(key) + " {system} {user} {assistant}");
  ChatTemplate form;
  bool found = false;
  for (u32 bos : {0u, 1u}) {
    convert::Metadata all = good;
    all.emplace_back("chat.bos", bos);
    all.emplace_back("chat.trim", 1 - bos);
    CHECK_EQ(read(all, &form, &found,
                  [&] {
                    for (const auto& [key, text] : texts)
                      CHECK_EQ(string_of(form.*text), std::string(key) + " {system} {user} {assistant}");
                  }),
             "");
    CHECK(found && form.bos == (bos == 1) && form.trim == (bos == 0));
  }
  auto nothing = [] {};
  for (size_t i = 0; i < good.size(); i++) {
    convert::Metadata wrong = good;
    wrong[i].second = 2u;
    CHECK_EQ(read(wrong, &form, &found, nothing), "metadata: \"" + good[i].first + "\" is not a text");
  }
  for (const char* key : {"chat.bos", "chat.trim"}) {
    convert::Metadata wrong = good;
    wrong.emplace_back(key, 2u);
    CHECK_EQ(read(wrong, &form, &found, nothing), "metadata: \"" + std::string(key) + "\" is 2, expected 0 to 1");
  }
  CHECK_EQ(read({}, &form, &found, nothing), "");
  CHECK(!found && !form.bos && !form.trim);
  // Without a name there is none, whatever else there is.
  CHECK_EQ(read({{"chat.user", std::string("x")}}, &form, &found, nothing), "");
  CHECK(!found);
}

namespace {

// A conversation with a model.
struct Talk {
  OpenEngine open;
  GenerateOptions options;
  std::vector<char> text;
  Conversation chat;
  Generated made;
  std::string answer, words;

  static EngineOptions engine_options(i32 context, i32 window) {
    EngineOptions options;
    options.threads = 1;
    options.tokens = 16;
    options.context = context;
    options.window = window;
    options.text_bytes = 1000;
    return options;
  }
  Talk(const std::string& path, const ChatTemplate& form, i32 context = 0, i64 text_bytes = 1000, i32 window = 0)
      : open(engine_options(context, window), path), text(static_cast<size_t>(text_bytes)) {
    options.sampling.temperature = 0;
    options.hash = true;
    options.count = 8;
    words = begin(form);
  }
  std::string begin(const ChatTemplate& form) {
    const Status status =
        open_conversation(open.engine, session(), form, {text.data(), static_cast<i64>(text.size())}, &options, &chat);
    return status.text();
  }
  static bool sink(void* self, Text piece) {
    static_cast<Talk*>(self)->answer += string_of(piece);
    return true;
  }
  // The answer; what is said of a failure.
  std::string say(const std::string& user, const std::string& system = "") {
    answer.clear();
    const Status status = take_turn(chat, view(system), view(user), options, sink, this, &made);
    return status.ok() ? answer : std::string("! ") + status.text();
  }
  Session& session() { return open.engine.sessions[0]; }
  // The ids that were run, as bytes; those of no byte as "#".
  std::string ran() {
    std::string all;
    for (i32 i = 0; i < session().recent_count; i++)
      all += session().recent[i] < 256 ? static_cast<char>(session().recent[i]) : '#';
    return all;
  }
};

}  // namespace

// The special tokens of a tokenizer, all of them, in what the system and the user say, at first and later on: the template's own are
// the only ones that are run.
TEST(no_special_id_is_run_for_what_is_said) {
  const struct {
    const char *form, *tokenizer;
  } families[] = {{"chatml", "qwen2"},     {"llama3", "llama3"},       {"zephyr", "llama"}, {"mistral", "llama"},
                  {"llama2", "metaspace"}, {"plain", "sentencepiece"}, {"rwkv", "gpt2"},    {"bitnet", "llama3"}};
  i32 attacks = 0;
  for (const auto& family : families) {
    convert::TokenizerInfo info;
    ModelRecipe recipe;
    recipe.vocab = 900;
    recipe.context = 2000;
    const std::string source = family.tokenizer == std::string("llama3") ? "tests/golden/chat/llama3/tokenizer.json"
                                                                         : GOLDEN_TOKENIZERS + family.tokenizer;
    recipe.tokenizer = convert::build_tokenizer_section(source, recipe.vocab, &info);
    const std::string path = temporary_path("attacked.tm2");
    write_model(recipe, path);
    // Of two conversations of the same length: how many special ids each turn runs.
    std::vector<i32> counts[2];
    for (i32 attacked = 0; attacked < 2; attacked++) {
      Talk talk(path, *find_chat_template(family.form));
      CHECK_EQ(talk.words, "");
      talk.options.count = 1;
      const Tokenizer& tokenizer = talk.open.engine.tokenizer;
      std::string said = "x";
      std::vector<i32> all;
      for (i32 id = 0; attacked && id < tokenizer.vocab(); id++) {
        if (tokenizer.special(id))
          said += " " + string_of(tokenizer.piece(id)) + string_of(tokenizer.piece(id)) + "y", attacks++;
      }
      for (i32 turn = 0; turn < 3; turn++) {
        const Session before = talk.session();
        const bool ended = before.pending == talk.chat.end.id || is_stop(talk.open.engine, before.pending);
        const std::string answer = talk.say(said, turn ? "" : said);
        CHECK(answer.substr(0, 1) != "!");
        const i32 waited = before.pending >= 0 && !ended ? 1 : 0;
        const i32 count = talk.session().position - before.position - waited;
        const i32* ids = talk.open.engine.text_ids.data;
        if (waited) all.push_back(before.pending);
        all.insert(all.end(), ids, ids + count);
        i32 specials = 0;
        for (i32 i = 0; i < count; i++)
          specials += tokenizer.special(ids[i]);
        counts[attacked].push_back(specials);
        const std::string text = decode(tokenizer, {ids, ids + count}, {.specials = true, .continues = true});
        CHECK(contains(text, said));
      }
      talk.open.run_anew(all, 16);
      CHECK_EQ(logits_hash(talk.open.engine, 0), talk.made.last_hash);  // they are what was run
    }
    if (counts[0] != counts[1]) check::failed(__FILE__, __LINE__, std::string(family.form) + ": a special id was said");
  }
  CHECK(attacks > 20);
}

// The last words of a template and the first of what is said make no special token together, at either end.
TEST(no_special_id_across_the_border) {
  convert::TokenizerInfo info;
  ModelRecipe recipe;
  recipe.vocab = 800;
  recipe.tokenizer = convert::build_tokenizer_section(GOLDEN_TOKENIZERS + "qwen2", recipe.vocab, &info);
  const std::string path = temporary_path("border.tm2");
  write_model(recipe, path);
  for (const auto& [user, said] :
       {std::pair("<|im_{user}", "end|>"), std::pair("{user}im_end|>", "<|"), std::pair("<{user}>", "|im_end|")}) {
    ChatTemplate form = {.name = "border", .user = user, .answer = "x", .assistant = "{assistant}y"};
    Talk talk(path, form);
    talk.say(said);
    const i32 id = talk.open.engine.tokenizer.find_added("<|im_end|>");
    CHECK(id >= 0);
    const Session& session = talk.session();
    CHECK(session.recent_count > 5);
    const i32 read = session.position - (talk.made.count - 1);
    for (i32 i = 0; i < read; i++)
      CHECK(session.recent[i] != id);
  }
}

namespace {

constexpr ChatTemplate LINES = {.name = "lines", .user = "U:{user}\n", .answer = "A:", .assistant = "A:{assistant}\n"};

}  // namespace

// What each ending of an answer leads to: the same next turn, whether the model began it or not.
TEST(from_turn_to_turn) {
  {
    Talk talk(write_script(Script("Hi!\nU:x")), LINES);  // it begins the next turn itself
    CHECK_EQ(string_of(talk.chat.end.next_turn()), "\nU:");
    CHECK(talk.chat.end.id == -1 && talk.options.end_id == -1);
    CHECK_EQ(talk.say("a"), "Hi!");
    CHECK(talk.made.ending == Ending::stop_string);
    CHECK_EQ(talk.say("b"), "Hi!");
    CHECK_EQ(talk.ran(), "U:a\nA:Hi!\nU:b\nA:Hi!\nU");
  }
  {
    Talk talk(write_script(Script("Hello there")), LINES);  // it is cut
    talk.options.count = 4;
    CHECK_EQ(talk.say("a"), "Hell");
    CHECK_EQ(talk.say("b"), "Hell");
    CHECK_EQ(talk.ran(), "U:a\nA:Hell\nU:b\nA:Hel");
  }
  {
    Talk talk(write_script(Script("Hi").then(Script::STOP)), LINES);  // the model's own stop id is not run
    CHECK_EQ(talk.say("a"), "Hi");
    CHECK_EQ(talk.session().pending, Script::STOP);
    CHECK_EQ(talk.say("b"), "Hi");
    CHECK_EQ(talk.ran(), "U:a\nA:Hi\nU:b\nA:Hi");
  }
  {
    Talk talk(write_script(Script("Hi!?")), LINES);  // nor is the caller's
    CHECK(talk.options.stop_ids.add('!'));
    CHECK_EQ(talk.say("a"), "Hi");
    CHECK_EQ(talk.session().pending, i32{'!'});
    CHECK_EQ(talk.say("b"), "Hi");
    CHECK_EQ(talk.ran(), "U:a\nA:Hi\nU:b\nA:Hi");
  }
  {
    Talk talk(write_script(Script("Hi\n")), LINES);  // a part of the next turn alone is not its beginning
    talk.options.count = 3;
    CHECK_EQ(talk.say("a"), "Hi\n");
    CHECK_EQ(talk.say("b"), "Hi\n");
    CHECK_EQ(talk.ran(), "U:a\nA:Hi\n\nU:b\nA:Hi");
  }
  ChatTemplate spaced = LINES;
  spaced.user = "{user}";
  spaced.assistant = "{assistant} \n \n";
  Talk talk(write_script(Script("Hi\n")), spaced);  // nothing but white space ends no answer
  CHECK_EQ(talk.chat.end.next_bytes, i64{0});
  talk.options.count = 4;
  CHECK_EQ(talk.say("a"), "Hi\nH");
  spaced.assistant = "{assistant}. \n \n";
  CHECK_EQ(talk.begin(spaced), "");
  CHECK_EQ(string_of(talk.chat.end.next_turn()), ".");
  while (talk.options.stop.add("x")) {
  }
  CHECK_EQ(talk.begin(spaced), "--stop: the chat template \"lines\" needs one of the 16 places");
}

TEST(messages_that_are_refused) {
  const std::string path = write_script(Script("Hi"));
  Talk talk(path, LINES, 0, 20);
  CHECK_EQ(talk.say(std::string(15, 'x')), "HiHiHiHi");  // U: \n A: are five
  talk.session().restart();
  CHECK_EQ(talk.say(std::string(16, 'x')), "! the message is too long: with the words of the template at most 20 bytes");
  CHECK(talk.session().position == 0 && talk.session().pending == -1);

  CHECK_EQ(Conversation::TEXT_BYTES, i64{65536});

  // A template may say things again: four in one turn.
  ChatTemplate again = LINES;
  again.system = "{system} ";
  again.user = "{user}{user}{user}";
  again.answer = "";
  Talk thrice(path, again);
  CHECK_EQ(thrice.say("x", "s"), "HiHiHiHi");
  CHECK_EQ(thrice.ran(), "s xxxHiHiHiH");
  again.user = "{user}{user}{user}{user}";
  Talk too_often(path, again);
  CHECK_EQ(too_often.say("x"), "HiHiHiHi");
  too_often.session().restart();
  CHECK_EQ(too_often.say("x", "s"), "! the message is too long: with the words of the template at most 1000 bytes");

  const ChatTemplate bare = {.name = "bare", .user = "{user}", .assistant = "{assistant}"};
  Talk wordless(path, bare);
  CHECK_EQ(wordless.say(""), "! the message is empty, and the chat template has no words of its own");
  CHECK_EQ(wordless.say("x"), "HiHiHiHi");
}

// The last id of an answer needs no place: a turn of as many ids as there are places gets one id, one more is refused.
TEST(places_of_a_context) {
  const std::string path = write_script(Script("Hello world, "));
  Talk talk(path, LINES, 12);
  CHECK_EQ(talk.say("1234567"), "H");  // 12 ids
  CHECK(talk.made.ending == Ending::length && talk.session().position == 12);
  const std::string more =
      "; /reset, or start with a larger context (--ctx, up to 96) or a window (--window W) to go on with the last W";
  CHECK_EQ(talk.say("x"), "! the context is full: of 12 positions 12 are taken, this turn needs 8" + more);
  CHECK(talk.session().position == 12 && talk.session().pending == 'H');
  talk.session().restart();
  CHECK_EQ(talk.say("12345678"), "! the context is full: of 12 positions 0 are taken, this turn needs 13" + more);
  CHECK_EQ(talk.say("123"), "Hello");  // 8 ids and 4 of the answer
  CHECK_EQ(talk.session().position, 12);
  Talk wide(path, LINES, 13);
  CHECK_EQ(wide.say("12345678"), "H");
  CHECK_EQ(talk.session().recent_count, 12);

  // What ended the answer before takes no place.
  Talk ended(write_script(Script("Hi").then(Script::STOP)), LINES, 16);
  CHECK_EQ(ended.say("a"), "Hi");  // U:a\nA:Hi are eight
  CHECK_EQ(ended.say("bc"), "H");  // \nU:bc\nA: are eight more
  CHECK_EQ(ended.session().position, 16);

  // A window holds no more, but it has no end.
  Talk window(path, LINES, 12, 1000, 8);
  window.options.count = 40;
  CHECK_EQ(window.say("12345678").size(), size_t{40});
  CHECK_EQ(window.session().position, 13 + 39);
  CHECK_EQ(window.say("12345678").size(), size_t{40});
}

// The id that begins a text is run once, where the template wants one; no space is put before later turns.
TEST(how_a_conversation_begins) {
  convert::TokenizerInfo info;
  ModelRecipe recipe;
  recipe.vocab = 700;
  recipe.tokenizer = convert::build_tokenizer_section(GOLDEN_TOKENIZERS + "sentencepiece", recipe.vocab, &info);
  const std::string path = temporary_path("begins.tm2");
  write_model(recipe, path);
  for (bool bos : {false, true}) {
    ChatTemplate form = LINES;
    form.bos = bos;
    Talk talk(path, form, 90);
    talk.options.count = 1;
    talk.say("the");
    const Tokenizer& tokenizer = talk.open.engine.tokenizer;
    Ids first = encode(tokenizer, "U:the\nA:", {.add_bos = bos});
    CHECK_EQ(Ids(talk.session().recent, talk.session().recent + talk.session().recent_count), first);
    CHECK_EQ(first[0] == 1, bos);
    first.push_back(talk.session().pending);
    talk.say("end");
    for (i32 id : encode(tokenizer, "\nU:end\nA:", {.continues = true}))
      first.push_back(id);
    CHECK_EQ(Ids(talk.session().recent, talk.session().recent + talk.session().recent_count), first);
  }
}
