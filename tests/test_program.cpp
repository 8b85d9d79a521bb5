// The program beside the C interface: the same options give the same hashes, texts and counts. EDGELLM and EDGELLM_CONVERT are the
// commands that start the two programs.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>

#include "check.h"
#include "edgellm.h"
#include "files.h"
#include "make_model.h"
#include "open_engine.h"
#include "program.h"

using namespace edgellm;

namespace {

std::string hash_in(const Said& said) {
  const size_t at = said.err.find("logits hash: ");
  return at == std::string::npos ? "none" : said.err.substr(at + 13, 16);
}

// A host's engine and what it does.
struct Host {
  const void* model = nullptr;
  size_t bytes = 0;
  edgellm_engine* engine = nullptr;
  std::vector<char> block;
  edgellm_error error = {};

  Host(const std::string& path, edgellm_config config) {
    check(edgellm_map(path.c_str(), &model, &bytes, &error));
    config.model = model, config.model_bytes = bytes, config.text_bytes = 1000;
    edgellm_facts facts;
    check(edgellm_plan(&config, &facts, &error));
    block.resize(facts.block_bytes);
    check(edgellm_init(&config, block.data(), block.size(), &engine, &error));
  }
  ~Host() {
    edgellm_close(engine);
    edgellm_unmap(model, bytes);
  }
  void check(edgellm_code code) { CHECK_EQ(code == EDGELLM_OK ? "" : error.text, std::string()); }

  std::vector<i32> ids_of(const std::string& text, i32 how = EDGELLM_FIRST) {
    std::vector<i32> ids(text.size() * 2 + 8);
    i32 count = 0;
    check(edgellm_tokenize(engine, text.data(), text.size(), how, ids.data(), static_cast<i32>(ids.size()), &count, &error));
    ids.resize(static_cast<size_t>(count));
    return ids;
  }
  void step(const std::vector<i32>& ids) {
    edgellm_input input = {0, static_cast<i32>(ids.size()), ids.data(), 1};
    check(edgellm_step(engine, &input, 1, &error));
  }
  std::string hash() const {
    char text[20];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(edgellm_logits_hash(engine, 0)));
    return text;
  }
  // Draws so many ids after `ids`; the last is not run. *last is the hash of the logits that it was drawn from.
  std::vector<i32> go_on(std::vector<i32> ids, int count, const edgellm_sampling& how, std::string* last) {
    std::vector<i32> made;
    for (int i = 0; i < count; i++) {
      step(ids);
      *last = hash();
      i32 id = -1;
      check(edgellm_sample(engine, 0, &how, &id, &error));
      made.push_back(id);
      ids = {id};
    }
    return made;
  }
  std::string text_of(const std::vector<i32>& ids) {
    edgellm_decoder decoder = {};
    decoder.continues = 1;
    std::string out;
    for (size_t i = 0; i <= ids.size(); i++) {
      char piece[512];
      check(edgellm_decode(engine, &decoder, i < ids.size() ? ids[i] : i32{EDGELLM_END}, piece, sizeof piece, nullptr,
                           &error));
      out += piece;
    }
    return out;
  }
};

std::string listed(const std::vector<i32>& ids) {
  std::string list;
  for (i32 id : ids)
    list += (list.empty() ? "" : ",") + std::to_string(id);
  return list;
}

std::string tiny() {
  std::string path = temporary_path("program.tm2");
  std::string command = std::string(std::getenv("EDGELLM_CONVERT")) + " synthetic:tiny " + path + " >/dev/null 2>&1";
  CHECK_EQ(std::system(command.c_str()), 0);
  return path;
}

std::string line_end(const std::string& text) {
  return text.empty() || text.back() == '\n' ? text : text + "\n";
}

}  // namespace

// What changes the logits changes their hash, to that of the interface; what does not leaves it alone.
TEST(options_and_hashes) {
  std::string path = temporary_path("hashes.tm2");
  write_model({}, path);
  const std::vector<i32> ids = timeline(90, 67);
  struct Row {
    const char* words;
    edgellm_config config;
  };
  edgellm_config plain = {}, f16 = {}, exact = {}, window = {}, wider = {}, both = {};
  f16.kv = EDGELLM_KV_F16, exact.f32_activations = 1, window.window = 16, wider.window = 17, both.window = 16,
  both.kv = EDGELLM_KV_F16;
  auto program_hash = [&](const std::string& words) {
    Said said = edgellm_says("eval " + path + " --ids " + listed(ids) + " --hash " + words);
    CHECK_EQ(said.code, 0);
    return hash_in(said);
  };
  std::set<std::string> seen;
  for (const Row& row : {Row{"", plain},
                         {"--kv f16", f16},
                         {"--activations f32", exact},
                         {"--window 16", window},
                         {"--window 17", wider},
                         {"--window=16 --kv=f16", both}}) {
    Host host(path, row.config);
    host.step(ids);
    const std::string ours = program_hash(row.words);
    CHECK_EQ(ours, host.hash());
    CHECK(seen.insert(ours).second);
  }
  EngineOptions options;
  options.threads = 1, options.kv = KvFormat::F32;
  OpenEngine open(options, path);
  open.run(0, ids);
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(logits_hash(open.engine, 0)));
  CHECK_EQ(program_hash("--kv f32"), text);
  CHECK(seen.insert(text).second);
  const std::string same = program_hash("");
  for (const char* words : {"--ctx 90", "--ctx 500", "--kv i8", "--activations int8", "--window 86", "--threads 3",
                            "--isa ref", "--prefault", "--check", "--rope half", "--seal no", "--verbose"})
    CHECK_EQ(program_hash(words), same);
  CHECK(program_hash("--window 85") != same);  // the fifth of 90 ids is not seen any more
}

// Texts and hashes of a run are those of a host that samples with the same numbers.
TEST(options_and_texts) {
  const std::string path = tiny();
  struct Row {
    const char* words;
    edgellm_sampling how;
  };
  auto sampling = [](f32 temperature, f32 top_p, f32 min_p, f32 penalty, i32 top_k, u64 seed) {
    edgellm_sampling how = {};
    how.temperature = temperature, how.top_p = top_p, how.min_p = min_p, how.repeat_penalty = penalty, how.top_k = top_k,
    how.seed = seed;
    return how;
  };
  std::set<std::string> seen;
  for (const Row& row : {Row{"-t 0", sampling(0, 0, 0, 0, 0, 0)},
                         {"-s 7", sampling(0.7f, 0.9f, 0, 0, 0, 7)},
                         {"-s 8", sampling(0.7f, 0.9f, 0, 0, 0, 8)},
                         {"-s 7 -t 1.5", sampling(1.5f, 0.9f, 0, 0, 0, 7)},
                         {"-s 7 -t 1.5 -p 1", sampling(1.5f, 0, 0, 0, 0, 7)},
                         {"-s 7 -t 1.5 -p 0.3", sampling(1.5f, 0.3f, 0, 0, 0, 7)},
                         {"-s 7 -t 1.5 -p 1 -k 3", sampling(1.5f, 0, 0, 0, 3, 7)},
                         {"-s 7 -t 1.5 -p 1 --min-p 0.2", sampling(1.5f, 0, 0.2f, 0, 0, 7)},
                         {"-t 0 --repeat-penalty 3", sampling(0, 0, 0, 3, 0, 0)},
                         {"-s 4294967303 -t 1 -p 1", sampling(1, 0, 0, 0, 0, 4294967303)}}) {
    Host host(path, {});
    std::string last;
    const std::vector<i32> prompt = host.ids_of("Hello you"), made = host.go_on(prompt, 24, row.how, &last);
    Said said = edgellm_says(path + " -i 'Hello you' -n 24 --hash " + row.words);
    CHECK_EQ(said.code, 0);
    CHECK_EQ(said.out, line_end(host.text_of(made)));
    CHECK_EQ(hash_in(said), last);
    CHECK(seen.insert(said.out).second);
    CHECK(contains(said.err, "\n" + std::to_string(prompt.size()) + " tokens in, first out after "));
    CHECK(contains(said.err, "; 24 out, "));
    CHECK_EQ(contains(said.err, "seed " + std::to_string(row.how.seed) + "\n"), row.how.temperature > 0);
  }
}

// A state that was saved, and what follows it from -i, -f or -: as if it had been one run.
static void check_states(const std::string& path, bool talks) {
  Folder folder;
  const std::string state = folder / "state", more = " and then they";
  write_file(folder / "text", more);
  const edgellm_sampling how = {.temperature = 1, .top_p = 0, .min_p = 0, .repeat_penalty = 0, .top_k = 0, .seed = 9};
  Host host(path, {});
  std::string last;
  const std::vector<i32> prompt = host.ids_of("Hello"), first = host.go_on(prompt, 6, how, &last);
  std::vector<i32> next = host.ids_of(more, 0);
  const size_t added = next.size();
  next.insert(next.begin(), first.back());  // which was drawn and not run
  const std::vector<i32> second = host.go_on(next, 10, how, &last);

  const std::string options = " -t 1 -p 1 -s 9 --hash ";
  Said said = edgellm_says(path + " -i Hello -n 6" + options + "--state-save " + state);
  CHECK_EQ(said.code, 0);
  CHECK_EQ(said.out, line_end(host.text_of(first)));
  const std::string kept = read_file(state);
  const std::string load = path + " -n 10" + options + "--state-load " + state;
  for (const std::string& words : {load + " -i '" + more + "'", load + " -f " + (folder / "text"), load + " -"}) {
    said = edgellm_says(words, folder / "text");
    CHECK_EQ(said.code, 0);
    CHECK_EQ(said.out, line_end(host.text_of(second)));
    CHECK_EQ(hash_in(said), last);
    CHECK(contains(said.err, "\n" + std::to_string(added) + " tokens in, first out after "));
    CHECK(read_file(state) == kept);
  }

  // Without a text the id that waits is run, and no prompt is counted.
  Host other(path, {});
  other.go_on(prompt, 6, how, &last);
  const std::vector<i32> third = other.go_on({first.back()}, 4, how, &last);
  said = edgellm_says(path + " -n 4" + options + "--state-load " + state + " --state-save " + state);
  CHECK_EQ(said.out, line_end(other.text_of(third)));
  CHECK_EQ(hash_in(said), last);
  CHECK(contains(said.err, "\n0 tokens in, first out after "));
  CHECK(read_file(state) != kept);
  if (!talks) return;
  // A conversation goes on from the state of a text.
  write_file(folder / "said", "Who?\n");
  write_file(state, kept);
  const std::string chat = "chat " + path + options + "--template plain -n 9 --state-load " + state + " --state-save ";
  Host talk(path, {});
  talk.go_on(prompt, 6, how, &last);
  std::vector<i32> turn = talk.ids_of("\nUser: Who?\nAssistant:", 0);
  turn.insert(turn.begin(), first.back());
  talk.go_on(turn, 9, how, &last);
  said = edgellm_says(chat + (folder / "talk"), folder / "said");
  CHECK_EQ(said.code, 0);
  CHECK_EQ(hash_in(said), last);
  CHECK(read_file(state) == kept);
  said = edgellm_says(path + options + "-n 2 --state-load " + (folder / "talk"));
  talk.go_on({edgellm_pending(talk.engine, 0)}, 2, how, &last);
  CHECK_EQ(hash_in(said), last);
  CHECK_EQ(edgellm_says("chat " + path + " --state-load " + (folder / "none")).code, 1);
}

TEST(states_and_what_follows) {
  check_states(tiny(), true);
  check_states("models/stories.tm2", false);  // whose texts begin with an id of its own
}

// --verbose and -n: what the engine was opened with, and how many tokens there were.
TEST(figures_of_a_run) {
  const std::string path = tiny();
  EngineOptions options;
  options.threads = 2, options.context = 100, options.text_bytes = 5 + 16;
  OpenEngine open(options, path);
  const f64 memory = static_cast<f64>(open.engine.arena_bytes) / 1e6, file = static_cast<f64>(read_file(path).size()) / 1e6;
  char line[200];
  std::snprintf(line, sizeof line, "kernels %s, threads 2, context 100, memory %.1f MB, file %.1f MB\n",
                open.engine.kernels.isa, memory, file);
  Said said = edgellm_says(path + " -i Hello -n 3 -t 0 --threads 2 --ctx 100 --verbose");
  CHECK_EQ(said.code, 0);
  CHECK(contains(said.err, line));
  CHECK(contains(said.err, "% of the squared ReLUs' codes\n") && !contains(said.err, "zeros: 0.0 %"));
  said = edgellm_says(path + " -i Hello -n 3 -t 0");
  CHECK(!contains(said.err, "kernels") && !contains(said.err, "zeros") && !contains(said.err, "hash") &&
        !contains(said.err, "seed"));
  said = edgellm_says(path + " -i Hello -n 0 -t 0 --hash");
  CHECK_EQ(said.code, 0);
  CHECK_EQ(said.out + said.err, std::string("\n0 tokens in, 0 out\n"));
  said = edgellm_says(path + " -i Hello -t 0");
  CHECK(contains(said.err, "; 32 out, "));
  said = edgellm_says(path + " -i Hello");  // a seed is drawn and said
  CHECK(contains(said.err, "; seed "));
  CHECK(edgellm_says(path + " -i Hello").out != said.out || edgellm_says(path + " -i Hello").out != said.out);
  said = edgellm_says(path + " -i Hello -n 5 -s 3 --pace 100000");
  CHECK_EQ(said.code, 2);
  said = edgellm_says(path + " -i Hello -n 5 -s 3 --pace 0.02 --ctx 5");
  CHECK_EQ(said.code, 1);
  CHECK_EQ(edgellm_says("--version").out, std::string("edgellm ") + edgellm_version() + "\n");
  CHECK_EQ(edgellm_says("--help").out, read_file("tests/golden/cli/help.txt"));
  CHECK_EQ(edgellm_says("chat --help --version").out, edgellm_says("--version").out);
}

// Fixed priorities and a pace that takes more than the kernel grants: 40 tokens of a model that needs far more than 0.1 ms for each.
TEST(a_pace_that_is_too_quick) {
  const std::string words = "models/stories.tm2 -i a -n 40 -s 1 --isa ref --activations f32 --threads 1 --pace 10000";
  Said said = edgellm_says(words + " --realtime");
  if (contains(said.err, "SCHED_FIFO was refused") || contains(said.err, "cannot lock"))
    SKIP("fixed priorities are not allowed here");
  CHECK_EQ(said.code, 1);
  CHECK(contains(said.err, "the pace needs ") && contains(said.err, ", at most 90 % may be used; take a lower --pace\n"));
  said = edgellm_says(words);
  CHECK_EQ(said.code, 0);
  CHECK(contains(said.err, "missed deadlines: ") && contains(said.err, " of 39\n"));
}

// A file may name its own temperature; -t is stronger.
TEST(the_temperature_of_a_file) {
  std::string path = temporary_path("temperature.tm2");
  ModelRecipe recipe;
  recipe.more = {{"temperature", 0.0f}};
  write_model(recipe, path);
  Said said = edgellm_says(path + " -i 1,2,3 -n 4");
  CHECK_EQ(said.code, 0);
  CHECK(!contains(said.err, "seed"));
  CHECK_EQ(edgellm_says(path + " -i 1,2,3 -n 4 -t 0").out, said.out);
  CHECK(contains(edgellm_says(path + " -i 1,2,3 -n 4 -t 0.5").err, "seed"));
}
