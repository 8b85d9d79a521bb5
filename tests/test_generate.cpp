// The loop that people see: what is printed, what ends it, what it counts, and where the session stands afterwards.
#include "engine/generate.h"

#include "files.h"
#include "open_engine.h"
#include "platform/clock.h"
#include "platform/signals.h"
#include "scripted_model.h"
#include "tokenizer_test.h"

using namespace edgellm;

namespace {

EngineOptions small(i32 context = 0) {
  EngineOptions options;
  options.threads = 1;
  options.tokens = 16;
  options.context = context;
  options.text_bytes = 200;
  return options;
}

const char* const ENDINGS[] = {"length", "stop id", "stop string", "repetition", "interrupted", "sink closed"};

// A run of `generate`, with its pieces, "|" between them.
struct Run {
  OpenEngine& open;
  GenerateOptions options;
  std::string pieces, words;
  i32 closes_after = -1;  // pieces; then the sink listens no more
  bool interrupts = false;
  Generated made;

  explicit Run(OpenEngine& engine, i32 count = 8) : open(engine) {
    options.sampling.temperature = 0;
    options.count = count;
  }
  static bool sink(void* self, Text piece) {
    Run& run = *static_cast<Run*>(self);
    CHECK(piece.size > 0 && whole_characters(piece) && run.closes_after != 0);
    run.pieces += std::string(piece.data, static_cast<size_t>(piece.size)) + "|";
    if (run.interrupts) set_interrupted(true);
    return --run.closes_after != 0;
  }
  Run& stop(const char* text) {
    CHECK(options.stop.add(text));
    return *this;
  }
  std::string text() const {
    std::string all;
    for (char c : pieces)
      if (c != '|') all += c;
    return all;
  }
  // How it ended, and how many ids it made.
  std::string operator()(const std::vector<i32>& prompt) {
    pieces.clear();
    const i64 start = now_ns();
    Status status = generate(open.engine, open.engine.sessions[0], {prompt.data(), static_cast<i64>(prompt.size())}, options,
                             sink, this, &made);
    const i64 all = now_ns() - start;
    CHECK(made.prompt_ns >= 0 && made.decode_ns >= 0 && made.busy_ns >= 0 && made.busy_ns <= all);
    CHECK(made.prompt_ns + made.decode_ns <= all && (made.count == 0) == (made.prompt_ns == 0));
    words = status.text();
    if (!status.ok()) return words;
    return std::string(ENDINGS[static_cast<i32>(made.ending)]) + " " + std::to_string(made.count);
  }
};

std::string standing(OpenEngine& open) {
  const Session& session = open.engine.sessions[0];
  return std::to_string(session.position) + ", then " + std::to_string(session.pending);
}

}  // namespace

TEST(what_ends_a_text) {
  const std::vector<i32> prompt = {5, 6, 7};
  const struct {
    const char* name;
    std::string script;
    bool stop_id;  // at its end
    i32 count, end_id;
    bool ignores;
    std::vector<const char*> stops;
    const char *ending, *pieces, *stands;
  } cases[] = {
      {"count", "hello world", false, 5, -1, false, {}, "length 5", "h|e|l|l|o|", "7, then 111"},
      {"one", "hello", false, 1, -1, false, {}, "length 1", "h|", "3, then 104"},
      {"none", "hello", false, 0, -1, false, {}, "length 0", "", "0, then -1"},
      {"the model's stop id", "hi", true, 9, -1, false, {}, "stop id 3", "h|i|", "5, then 299"},
      {"stop id at the last", "hi", true, 3, -1, false, {}, "stop id 3", "h|i|", "5, then 299"},
      {"stop ids ignored", "hi", true, 4, -1, true, {}, "length 4", "h|i|h|", "6, then 104"},
      {"an end id of the caller's", "hello", false, 9, 'l', false, {}, "stop id 3", "h|e|", "5, then 108"},
      {"an end id, though stop ids are ignored", "hello", false, 9, 'l', true, {}, "stop id 3", "h|e|", "5, then 108"},
      {"a stop string", "the END of it", false, 20, -1, false, {"END"}, "stop string 7", "t|h|e| |", "9, then 68"},
      {"a stop string at the last id", "the END", false, 7, -1, false, {"END"}, "stop string 7", "t|h|e| |", "9, then 68"},
      {"a stop string that is not whole", "the END", false, 6, -1, false, {"END"}, "length 6", "t|h|e| |EN|", "8, then 78"},
      {"which begins again", "EENEND", false, 9, -1, false, {"END"}, "stop string 6", "E|EN|", "8, then 68"},
      {"one in another", "zabce", false, 9, -1, false, {"abcd", "bc"}, "stop string 4", "z|a|", "6, then 99"},
      {"one that begins another", "xabab", false, 9, -1, false, {"abab", "ab"}, "stop string 3", "x|", "5, then 98"},
      {"a stop string before a stop id", "aZ", true, 9, -1, false, {"Z"}, "stop string 2", "a|", "4, then 90"},
      {"half a stop string before a stop id", "aEN", true, 9, -1, false, {"END"}, "stop id 4", "a|EN|", "6, then 299"},
      {"a whole character", "a\xc3\xa9z", false, 4, -1, false, {}, "length 4", "a|\xc3\xa9|z|", "6, then 122"},
      {"half a character", "a\xc3\xa9z", false, 2, -1, false, {}, "length 2", "a|\xef\xbf\xbd|", "4, then 195"},
      {"half a character behind half a stop string",
       "aE\xc3\xa9",
       false,
       3,
       -1,
       false,
       {"END"},
       "length 3",
       "a|E\xef\xbf\xbd|",
       "5, then 195"},
      {"a stop string of bytes", "a\xc3\xa9z", false, 9, -1, false, {"\xc3\xa9"}, "stop string 3", "a|", "5, then 169"},
      {"ids without a text", "ab", true, 5, -1, true, {}, "length 5", "a|b|a|b|", "7, then 98"},
  };
  for (const auto& one : cases) {
    Script script(one.script);
    if (one.stop_id) script.then(Script::STOP);
    OpenEngine open(small(), write_script(script));
    Run run(open, one.count);
    run.options.end_id = one.end_id;
    run.options.ignore_stop_ids = one.ignores;
    for (const char* text : one.stops)
      run.stop(text);
    const std::string name = std::string(one.name) + ": ";
    CHECK_EQ(name + run(prompt), name + one.ending);
    CHECK_EQ(name + run.pieces, name + one.pieces);
    CHECK_EQ(name + standing(open), name + one.stands);
  }
}

// A new text begins with nothing of the one before: no half of a stop string, no half of a character.
TEST(a_new_text_begins_anew) {
  OpenEngine open(small(), write_script(Script("abEND\xc3")));
  Run run(open, 4);
  run.stop("END");
  CHECK_EQ(run({1}), "length 4");
  CHECK_EQ(run.text(), "abEN");
  run.options.count = 2;
  CHECK_EQ(run({}), "length 2");  // goes on with D: half of it was in another text
  CHECK_EQ(run.text(), "D\xef\xbf\xbd");
  run.options.count = 20;
  CHECK_EQ(run({}), "stop string 5");
  CHECK_EQ(run.text(), "ab");
}

// In two calls or in one: the same ids, the same text, the same bits.
TEST(stopping_and_going_on) {
  OpenEngine open(small(), write_script(Script("The story goes on. ")));
  Run run(open, 19);
  run.options.hash = true;
  CHECK_EQ(run({3, 4, 5}), "length 19");
  const u64 hash = run.made.last_hash;
  const std::string whole = run.text(), stands = standing(open);
  CHECK_EQ(whole, "The story goes on. ");
  CHECK_EQ(logits_hash(open.engine, 0) == hash, false);  // sampling has used the row up
  open.engine.sessions[0].restart();
  CHECK(open.run(0, {3, 4, 5, 'T', 'h', 'e', ' ', 's', 't', 'o', 'r', 'y', ' ', 'g', 'o', 'e', 's', ' ', 'o', 'n', '.'}));
  CHECK_EQ(logits_hash(open.engine, 0), hash);
  for (i32 first = 1; first < 19; first += 5) {
    open.engine.sessions[0].restart();
    run.options.count = first;
    run({3, 4, 5});
    std::string text = run.text();
    run.options.count = 19 - first;
    run({});
    CHECK_EQ(text + run.text(), whole);
    CHECK_EQ(standing(open), stands);
    CHECK_EQ(run.made.last_hash, hash);
  }
  // What was said meanwhile comes after the id that waited.
  run.options.count = 1;
  open.engine.sessions[0].restart();
  run({3, 4, 5});
  CHECK_EQ(standing(open), "3, then 84");
  CHECK_EQ(run({8, 9}), "length 1");
  CHECK_EQ(standing(open), "6, then 84");
  const u64 after = run.made.last_hash;
  open.engine.sessions[0].restart();
  CHECK(open.run(0, {3, 4, 5, 'T', 8, 9}));
  CHECK_EQ(logits_hash(open.engine, 0), after);
  run.options.hash = false;
  run({3});
  CHECK_EQ(run.made.last_hash, u64{0});
}

TEST(a_context_that_is_full) {
  OpenEngine open(small(20), write_script(Script("abcdefghijklmnopqrstuvwxyz")));
  Run run(open, 18);
  CHECK_EQ(run({1, 2, 3}), "length 18");  // the last id is not run
  CHECK_EQ(standing(open), "20, then 114");
  open.engine.sessions[0].restart();
  run.options.count = 19;
  CHECK_EQ(run({1, 2, 3}),
           "the context is full: 21 positions are needed, there are 20; take a larger context (--ctx, up to 96) "
           "or a window (--window W) to go on with the last W");
  CHECK_EQ(run.text(), "abcdefghijklmnopqr");
  CHECK_EQ(standing(open), "20, then 114");
}

TEST(a_sink_that_closes) {
  OpenEngine open(small(), write_script(Script("abcdefEND")));
  Run run(open, 20);
  run.stop("END");
  run.closes_after = 3;
  CHECK_EQ(run({1}), "sink closed 3");
  CHECK_EQ(run.pieces, "a|b|c|");
  CHECK_EQ(standing(open), "3, then 99");
  // Closed by the piece that is given at the end.
  open.engine.sessions[0].restart();
  run.options.count = 8;
  run.closes_after = 7;
  CHECK_EQ(run({1}), "length 8");
  CHECK_EQ(run.pieces, "a|b|c|d|e|f|EN|");
}

TEST(signals_end_it) {
  OpenEngine open(small(), write_script(Script("abcdef")));
  Run run(open, 20);
  set_interrupted(true);
  CHECK_EQ(run({1, 2}), "interrupted 0");
  CHECK_EQ(standing(open), "0, then -1");
  set_interrupted(false);
  run.interrupts = true;
  CHECK_EQ(run({1, 2}), "interrupted 1");
  CHECK_EQ(run.pieces + standing(open), "a|2, then 97");
  CHECK_EQ(run({1, 2}), "interrupted 0");  // the one that waits is not run
  CHECK_EQ(standing(open), "2, then 97");
  set_interrupted(false);
  run.interrupts = false;
  run.options.count = 2;
  CHECK_EQ(run({}), "length 2");
  CHECK_EQ(run.text() + standing(open), "bc4, then 99");
}

TEST(ids_where_there_are_no_words) {
  Script script(std::vector<i32>{7, 250, 12});
  script.words = false;
  OpenEngine open(small(), write_script(script));
  Run run(open, 4);
  CHECK_EQ(run({1}), "length 4");
  CHECK_EQ(run.pieces, " 7| 250| 12| 7|");
  run.stop("0 1");
  run.options.count = 9;
  open.engine.sessions[0].restart();
  CHECK_EQ(run({1}), "stop string 3");
  CHECK_EQ(run.text(), " 7 25");
}

// The space that SentencePiece puts before a text is kept where the text goes on from a prompt, and dropped where it begins one.
TEST(the_space_at_the_start) {
  convert::TokenizerInfo info;
  const std::vector<u8> section = convert::build_tokenizer_section(GOLDEN_TOKENIZERS + "sentencepiece", 700, &info);
  Tokenizer tokenizer;
  Section copy(section);
  CHECK(tokenizer.open(copy.span(), 700).ok());
  const Ids ids = encode(tokenizer, "the");
  CHECK(tokenizer.piece(ids[0]).size > 0 && tokenizer.piece(ids[0])[0] == ' ');
  ModelRecipe recipe;
  recipe.vocab = 700;
  recipe.tokenizer = section;
  recipe.grammar = {1, 1, static_cast<u32>(ids[0]), 0};
  const std::string path = temporary_path("space.tm2");
  write_model(recipe, path);
  OpenEngine open(small(), path);
  Text piece = tokenizer.piece(ids[0]);
  const std::string kept(piece.data, static_cast<size_t>(piece.size)), dropped = kept.substr(1);
  const std::pair<std::vector<i32>, std::string> cases[] = {
      {{1}, dropped}, {{1, 9}, kept}, {{9}, kept}, {{9, 1}, kept}, {{1, 1}, kept}};
  for (const auto& [prompt, text] : cases) {
    open.engine.sessions[0].restart();
    Run run(open, 1);
    CHECK_EQ(run(prompt), "length 1");
    CHECK_EQ(run.text(), text);
    CHECK_EQ(run({1}), "length 1");  // in the middle of a timeline
    CHECK_EQ(run.text(), kept);
  }
}

TEST(a_pace) {
  OpenEngine open(small(), write_script(Script("abcdefghijklmnopqrstuvwxyz")));
  Run run(open, 20);
  run.options.pace = 1e9;  // more than any machine keeps
  CHECK_EQ(run({1}), "length 20");
  CHECK_EQ(run.made.missed_deadlines, 19);
  CHECK(run.made.busy_ns > 0 && run.made.busy_ns <= run.made.decode_ns);
  CHECK(run.made.prompt_ns > 0 && run.made.decode_ns > 0);
  open.engine.sessions[0].restart();
  run.options.most_duty = 0.8;
  run.options.count = 16;
  CHECK_EQ(run({1}), "length 16");  // judged when 16 were made
  open.engine.sessions[0].restart();
  run.options.count = 17;
  const std::string words = run({1});
  const double busy = static_cast<double>(run.made.busy_ns) / 16;  // of a nanosecond a token
  char expected[200];
  Writer writer(expected);
  write(writer, "the pace needs ", Fixed{busy * 100, 0},
        " % of the time for computing, at most 80 % may be used; take a lower", " --pace");
  CHECK_EQ(words, std::string(expected));
  CHECK_EQ(run.made.count, 16);
  open.engine.sessions[0].restart();
  run.options.most_duty = 1e12;
  CHECK_EQ(run({1}), "length 17");

  // Waiting: not before its time.
  open.engine.sessions[0].restart();
  run.options.most_duty = 0;
  run.options.pace = 200;
  run.options.count = 5;
  CHECK_EQ(run({1}), "length 5");
  CHECK(run.made.decode_ns >= 4 * 5000000);
  CHECK(run.made.busy_ns < run.made.decode_ns);
  open.engine.sessions[0].restart();
  run.options.pace = 0;
  CHECK_EQ(run({1}), "length 5");
  CHECK_EQ(run.made.busy_ns + run.made.missed_deadlines, i64{0});
}

TEST(errors_of_a_pass_are_handed_on) {
  OpenEngine open(small(), write_script(Script("abc")));
  Run run(open, 3);
  CHECK_EQ(run({1, 300}), "token id 300 is not in the vocabulary of 300 ids");
  CHECK_EQ(standing(open), "0, then -1");
}
