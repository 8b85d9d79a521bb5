// edgellm eval: its score against one that is computed here from the logits, in f64 and with libm, and every field of what it says.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "check.h"
#include "cli/command.h"
#include "command.h"
#include "files.h"
#include "make_model.h"
#include "open_engine.h"
#include "platform/clock.h"

namespace edgellm {

// Eval looks at the clock before and after: 2.5 s.
static i64 held_clock() {
  static i64 now = 0;
  return now += 2500000000;
}

}  // namespace edgellm

#define now_ns held_clock
#include "../src/cli/eval.cpp"
#undef now_ns

using namespace edgellm;

namespace {

check::Child eval(const std::vector<std::string>& more) {
  std::vector<std::string> words = {"edgellm", "eval", "--threads=1", "--seal=no"};
  words.insert(words.end(), more.begin(), more.end());
  return check::run_command(eval_command, words);
}

// A model, and what it says of ids.
struct Oracle {
  OpenEngine open;
  f64 nll = 0;
  i64 tokens = 0, bytes = 0;
  std::vector<i32> best;  // after each id
  std::vector<f32> last;  // logits

  static EngineOptions options(i64 text_bytes) {
    EngineOptions options;
    options.threads = 1, options.text_bytes = text_bytes;
    return options;
  }
  explicit Oracle(const std::string& path, i64 text_bytes = 0) : open(options(text_bytes), path) {}

  void score(const std::vector<i32>& ids) {
    open.engine.sessions[0].restart();
    const i32 vocab = open.engine.model.vocab;
    for (size_t i = 0; i < ids.size(); i++) {
      open.run(0, {ids[i]});
      const f32* logits = logits_row(open.engine, 0);
      last.assign(logits, logits + vocab);
      best.push_back(static_cast<i32>(std::max_element(last.begin(), last.end()) - last.begin()));
      if (i + 1 == ids.size()) break;
      f64 sum = 0;
      for (f32 logit : last)
        sum += std::exp(static_cast<f64>(logit));
      nll += std::log(sum) - static_cast<f64>(last[static_cast<size_t>(ids[i + 1])]);
      tokens++;
      if (open.engine.has_tokenizer) bytes += open.engine.tokenizer.piece(ids[i + 1]).size;
    }
  }
};

// The number behind a key or a word.
f64 number_after(const std::string& text, const std::string& words) {
  const size_t at = text.find(words);
  return at == std::string::npos ? -1e9 : std::strtod(text.c_str() + at + words.size(), nullptr);
}

bool near(f64 a, f64 b, f64 most) {
  return std::fabs(a - b) <= most;
}

// The shape of an output: each number that has a point is N.
std::string shape(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && (std::isdigit(static_cast<unsigned char>(text[end])) || text[end] == '.'))
      end++;
    if (text.substr(at, end - at).find('.') != std::string::npos && end - at > 1) {
      out += "N", at = end;
    } else {
      out += text[at++];
    }
  }
  return out;
}

void check_text_score(const check::Child& json, const check::Child& words, const Oracle& oracle) {
  const f64 mean = oracle.nll / static_cast<f64>(oracle.tokens), a_byte = oracle.nll / static_cast<f64>(oracle.bytes);
  const std::string tokens = std::to_string(oracle.tokens);
  CHECK_EQ(json.exit_code, 0);
  CHECK_EQ(words.exit_code, 0);
  CHECK_EQ(shape(json.output),
           "{\"mean_nll\":N,\"perplexity\":N,\"tokens\":" + tokens + ",\"nats_per_byte\":N,\"tok_s\":N}\n");
  CHECK_EQ(shape(words.output), "mean nll N nats, perplexity N, " + tokens + " tokens, N nats a byte, N tok/s\n");
  CHECK(near(number_after(json.output, "mean_nll\":"), mean, 2e-6));
  CHECK(near(number_after(json.output, "perplexity\":"), std::exp(mean), 1e-5 * std::exp(mean)));
  CHECK(near(number_after(json.output, "nats_per_byte\":"), a_byte, 2e-6));
  CHECK(near(number_after(json.output, "tok_s\":"), static_cast<f64>(oracle.tokens) / 2.5, 0.051));
  CHECK(near(number_after(words.output, "mean nll "), mean, 2e-6));
  CHECK(near(number_after(words.output, "perplexity "), std::exp(mean), 1e-4 * std::exp(mean)));
  CHECK(near(number_after(words.output, "tokens, "), a_byte, 2e-6));
  CHECK(near(number_after(words.output, "a byte, "), static_cast<f64>(oracle.tokens) / 2.5, 0.051));
}

std::string tiny(const std::string& more = "") {
  std::string path = temporary_path("eval.tm2");
  std::string command = std::string(std::getenv("EDGELLM_CONVERT")) + " synthetic:tiny " + path + more + " >/dev/null 2>&1";
  CHECK_EQ(std::system(command.c_str()), 0);
  return path;
}

}  // namespace

TEST(given_ids) {
  std::string path = temporary_path("ids.tm2");
  write_model({}, path);
  Folder folder;
  for (int count : {2, 3, 31, 32, 33, 63, 64, 65, 90}) {
    Oracle oracle(path);
    const std::vector<i32> ids = timeline(count, 67);
    oracle.score(ids);
    std::string list, best;
    for (size_t i = 0; i < ids.size(); i++) {
      list += (i ? "," : "") + std::to_string(ids[i]);
      best += (i ? "," : "") + std::to_string(oracle.best[i]);
    }
    const f64 mean = oracle.nll / static_cast<f64>(count - 1);
    check::Child child = eval({path, "--ids", list, "--json", "--logits", folder / "logits"});
    CHECK_EQ(child.exit_code, 0);
    CHECK_EQ(shape(child.output), "{\"mean_nll\":N,\"argmax\":[" + best + "]}\n");
    CHECK(near(number_after(child.output, "mean_nll\":"), mean, 2e-6));
    CHECK(read_array<f32>(folder / "logits") == oracle.last);
    child = eval({path, "--ids", list, "--hash"});
    char hash[64];
    std::snprintf(hash, sizeof hash, "logits hash: %016llx\n",
                  static_cast<unsigned long long>(logits_hash(oracle.open.engine, 0)));
    CHECK_EQ(shape(child.output),
             "mean nll N nats, perplexity N, " + std::to_string(count - 1) + " tokens, N tok/s\n" + hash);
    CHECK(near(number_after(child.output, "mean nll "), mean, 2e-6));
    CHECK(near(number_after(child.output, "perplexity "), std::exp(mean), 1e-4 * std::exp(mean)));
    CHECK(near(number_after(child.output, "tokens, "), (count - 1) / 2.5, 0.051));
  }
}

// A text is cut into windows, each begun with the first id; without one, with its own first id, which is not scored.
TEST(texts) {
  struct Model {
    std::string path;
    bool begins;
  };
  const std::string path = tiny();
  const std::string text = "Once upon a time there was a dog, and it was brown. Then it rained for \303\244 week.";
  Folder folder;
  write_file(folder / "text", text);
  for (const Model& model : {Model{"models/stories.tm2", true}, {"models/home.tm2", false}, {path, false}}) {
    i32 bos;
    std::vector<i32> ids;
    {
      Oracle oracle(model.path, static_cast<i64>(text.size()));
      bos = oracle.open.engine.bos;
      Span<const i32> encoded;
      CHECK(encode(oracle.open.engine, {text.data(), static_cast<i64>(text.size())}, {}, &encoded).ok());
      ids.assign(encoded.begin(), encoded.end());
    }
    CHECK_EQ(bos >= 0, model.begins);
    CHECK(ids.size() > 8);
    const int count = static_cast<int>(ids.size()), begin = bos >= 0;
    struct Cut {
      int context, most;
    };
    for (Cut cut : {Cut{0, 0},
                    {2, 0},
                    {5, 0},
                    {count, 0},
                    {count + 1, 0},
                    {4, 1},
                    {4, 2},
                    {4, 3},
                    {4, 4},
                    {4, 7},
                    {64, 6},
                    {64, 1000}}) {
      Oracle oracle(model.path);
      const int window = cut.context ? cut.context : 1 << 20;
      for (int at = 0; at < count && (cut.most == 0 || oracle.tokens < cut.most);) {
        int n = std::min(count - at, window - begin);
        if (cut.most) n = std::min(n, cut.most - static_cast<int>(oracle.tokens) + 1 - begin);
        std::vector<i32> part(ids.begin() + at, ids.begin() + at + n);
        if (begin) part.insert(part.begin(), bos);
        oracle.score(part);
        at += n;
      }
      if (cut.most) CHECK(cut.most == 1000 ? oracle.tokens <= count : oracle.tokens == cut.most);
      if (cut.context == 0) CHECK_EQ(oracle.tokens, count - 1 + begin);
      std::vector<std::string> words = {model.path, "--text", folder / "text"};
      if (cut.context) words.push_back("--ctx=" + std::to_string(cut.context));
      if (cut.most) words.push_back("--max-tokens=" + std::to_string(cut.most));
      check::Child plain = eval(words);
      words.push_back("--json");
      check_text_score(eval(words), plain, oracle);
    }
  }
}

TEST(nothing_to_score) {
  const std::string path = tiny(), bare = temporary_path("bare.tm2");
  write_model({}, bare);
  Folder folder;
  write_file(folder / "empty", "");
  write_file(folder / "byte", "a");
  write_file(folder / "text", "some text");
  struct Row {
    std::vector<std::string> words;
    int code;
    std::string expected;
  };
  const std::string none = ": nothing is predicted in it, as it has not more than one id\n";
  for (const Row& row :
       {Row{{path, "--text", folder / "empty"}, 1, "--text " + (folder / "empty") + none},
        Row{{path, "--text", folder / "byte", "--json"}, 1, "--text " + (folder / "byte") + none},
        Row{{"models/stories.tm2", "--text", folder / "empty"}, 1, "--text " + (folder / "empty") + none},
        Row{{path, "--ids", "5"}, 2, "--ids: 1 ids predict nothing; give 2 or more\n"},
        Row{{path, "--ids="}, 2, "--ids: 0 ids predict nothing; give 2 or more\n"},
        Row{{path, "--ids", "5,6", "--ctx=1"}, 2, "--ctx: in one position nothing is predicted; eval needs 2 or more\n"},
        Row{{path, "--text", folder / "text", "--ctx=1"},
            2,
            "--ctx: in one position nothing is predicted; eval needs 2 or more\n"},
        Row{{bare, "--text", folder / "text"}, 1, std::string(NO_TOKENIZER.data) + "; give --ids\n"},
        Row{{path, "--ids", "5,300"}, 1, "token id 300 is not in the vocabulary"},
        Row{{path, "--ids", "5,6,7", "--ctx=2"}, 1, "3 positions are needed, there are 2"},
        Row{{path, "--text", folder / "absent"}, 1, "cannot open " + (folder / "absent") + ": No such file"}}) {
    check::Child child = eval(row.words);
    CHECK_EQ(child.exit_code, row.code);
    CHECK(contains(child.output, row.expected));
    if (!contains(child.output, row.expected)) std::fprintf(stderr, "%s", child.output.c_str());
  }
  check::Child one = eval({"models/stories.tm2", "--text", folder / "byte", "--json"});  // after its first id
  CHECK_EQ(one.exit_code, 0);
}
