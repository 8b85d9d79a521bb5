// The bundled models `home`: what they answer to held-out sentences (the sparse one to 200, the ternary one to 50 of them), to
// the letter and with every kernel set, and what their trainer finds for the same ids.
//
// tests/data/home_heldout.tsv: sentence, the right answer, and in a column for each model its own where that is another.
// tests/data/home_*_expected.json, of tools/train/home.py: sentences, their ids with those of the answer, nats of the answer.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

#include "check.h"
#include "convert/base/json.h"
#include "engine/generate.h"
#include "open_engine.h"
#include "platform/cpu.h"

using namespace edgellm;
using convert::Json;

namespace {

constexpr size_t SENTENCES = 200;

struct Bundled {
  const char *file, *expected;
  size_t step;  // it answers one of so many sentences, few enough for emulators
  int exact;    // of these
};
constexpr Bundled BUNDLED[] = {{"models/home.srnn", "tests/data/home_srnn_expected.json", 1, 190},
                               {"models/home.tm2", "tests/data/home_tm2_expected.json", 4, 41}};

struct Row {
  std::string sentence, right, answers[std::size(BUNDLED)];
};

std::vector<Row> held_out() {
  std::vector<Row> rows;
  std::ifstream file("tests/data/home_heldout.tsv");
  for (std::string line; std::getline(file, line);) {
    std::istringstream columns(line);
    Row row;
    CHECK(std::getline(columns, row.sentence, '\t') && std::getline(columns, row.right, '\t'));
    for (std::string& answer : row.answers) {
      if (!std::getline(columns, answer, '\t') || answer.empty()) answer = row.right;
    }
    rows.push_back(row);
  }
  CHECK_EQ(rows.size(), SENTENCES);
  return rows;
}

EngineOptions options_for(const char* isa) {
  EngineOptions options;
  options.isa = isa;
  options.threads = 1;
  options.text_bytes = 500;
  return options;
}

std::vector<i32> encode(Engine& engine, const std::string& text) {
  i32 count = 0;
  CHECK(engine.tokenizer
            .encode({text.data(), static_cast<i64>(text.size())}, {.add_bos = true, .parse_special = false},
                    engine.text_workspace, engine.text_ids, &count)
            .ok());
  return {engine.text_ids.data, engine.text_ids.data + count};
}

bool append(void* context, Text text) {
  static_cast<std::string*>(context)->append(text.data, static_cast<size_t>(text.size));
  return true;
}

GenerateOptions greedy() {
  GenerateOptions options;
  options.sampling.temperature = 0;
  return options;
}

// The default count of ids is enough, if they are the likely ones.
std::string answer_of(Engine& engine, const std::string& sentence, GenerateOptions options = greedy()) {
  std::vector<i32> ids = encode(engine, sentence);
  engine.sessions[0].restart();
  std::string answer;
  Generated made;
  CHECK(generate(engine, engine.sessions[0], {ids.data(), static_cast<i64>(ids.size())}, options, append, &answer, &made)
            .ok());
  CHECK(made.ending == Ending::stop_id);
  return answer;
}

bool is_command(const Json& json) {
  const Json *device = json.find("device"), *action = json.find("action");
  return device && device->string() && action && action->string();
}

bool is_answer(const std::string& text) {
  const Json json = convert::parse_json(text, "an answer");
  if (const Json::Array* two = json.array()) return two->size() == 2 && is_command((*two)[0]) && is_command((*two)[1]);
  return is_command(json) || text == R"({"error":"unknown"})";
}

f64 nats(const f32* logits, i32 vocab, i32 id) {
  f64 most = logits[0], sum = 0;
  for (i32 i = 0; i < vocab; i++)
    most = std::fmax(most, logits[i]);
  for (i32 i = 0; i < vocab; i++)
    sum += std::exp(logits[i] - most);
  return std::log(sum) + most - logits[id];
}

// Nats of the right answer to a row of `expected`, whose ids must be the engine's.
f64 nats_of_answer(OpenEngine& open, const Json& row) {
  std::vector<i32> ids, sentence = encode(open.engine, *row.find("sentence")->string());
  for (const Json& id : *row.find("ids")->array())
    ids.push_back(static_cast<i32>(*id.number()));
  CHECK(sentence.size() < ids.size());
  CHECK(std::equal(sentence.begin(), sentence.end(), ids.begin()));
  open.engine.sessions[0].restart();
  f64 sum = 0;
  for (size_t at = 0; at + 1 < ids.size(); at++) {
    open.run(0, {ids[at]});
    if (at + 1 >= sentence.size()) sum += nats(logits_row(open.engine, 0), open.engine.model.vocab, ids[at + 1]);
  }
  return sum;
}

}  // namespace

TEST(answers_to_the_letter) {
  const std::vector<Row> rows = held_out();
  for (size_t m = 0; m < std::size(BUNDLED); m++) {
    OpenEngine open(options_for(nullptr), BUNDLED[m].file);
    int exact = 0;
    for (size_t i = 0; i < rows.size(); i += BUNDLED[m].step) {
      std::string answer = answer_of(open.engine, rows[i].sentence);
      CHECK_EQ(answer, rows[i].answers[m]);
      exact += answer == rows[i].right;
    }
    CHECK_EQ(exact, BUNDLED[m].exact);
  }
}

TEST(every_kernel_set_answers_so) {
  const std::vector<Row> rows = held_out();
  for (i32 isa = 0; isa_name(isa); isa++) {
    if (isa_features(isa) & ~cpu_features()) continue;
    for (size_t m = 0; m < std::size(BUNDLED); m++) {
      OpenEngine open(options_for(isa_name(isa)), BUNDLED[m].file);
      for (size_t i = 0; i < rows.size(); i += 20)
        CHECK_EQ(answer_of(open.engine, rows[i].sentence), rows[i].answers[m]);
    }
  }
}

// Drawn so hot that all ids are about as likely: what is left of them is the grammar.
TEST(whatever_is_drawn_is_an_answer) {
  GenerateOptions hot;
  hot.sampling.temperature = 100;
  hot.sampling.top_p = 1;
  hot.count = 200;
  const std::vector<Row> rows = held_out();
  for (const Bundled& bundled : BUNDLED) {
    OpenEngine open(options_for(nullptr), bundled.file);
    for (size_t i = 0; i < rows.size(); i += 10) {
      hot.sampling.seed++;
      CHECK(is_answer(answer_of(open.engine, rows[i].sentence, hot)));
    }
  }
}

TEST(says_what_the_readme_shows) {
  for (const Bundled& bundled : BUNDLED) {
    OpenEngine open(options_for(nullptr), bundled.file);
    f32 temperature = 0;
    CHECK(open.engine.file.real_or("temperature", 0.7f, 0, 100, &temperature).ok());
    CHECK_EQ(temperature, 0.0f);
    CHECK_EQ(answer_of(open.engine, "dim the bedroom lamp to forty percent"),
             R"({"device":"light","room":"bedroom","action":"set","value":40})");
  }
}

// Both multiply int8 by int8; the trainer adds up in another order, has one scale a row in the matrices of low rank, and keeps
// keys and values as they are. A value that is rounded the other way moves an answer by hundredths of a nat.
TEST(as_the_trainer_has_it) {
  for (const Bundled& bundled : BUNDLED) {
    std::ifstream file(bundled.expected);
    Json expected = convert::parse_json(std::string(std::istreambuf_iterator<char>(file), {}), bundled.expected);
    CHECK_EQ(expected.array()->size(), size_t{50});
    EngineOptions options = options_for(nullptr);
    options.kv = KvFormat::F32;
    OpenEngine open(options, bundled.file);
    f64 differences = 0;
    for (const Json& row : *expected.array()) {
      f64 actual = nats_of_answer(open, row), wanted = *row.find("nats")->number();
      CHECK(std::abs(actual - wanted) <= 0.02 + 0.04 * wanted);
      differences += std::abs(actual - wanted);
    }
    CHECK(differences <= 0.005 * 50);
  }
}
