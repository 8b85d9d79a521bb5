// edgellm info of a made machine and of small files, word for word; what the matrices hold is compared by tests/second_reader.
#include <cstdlib>

#include "check.h"
#include "cli/command.h"
#include "command.h"
#include "files.h"
#include "make_model.h"
#include "open_engine.h"
#include "platform/bandwidth.h"
#include "platform/cpu.h"
#include "raw_model_file.h"

namespace edgellm {

static Machine made;
static i32 measured_threads;

static Machine made_machine() {
  return made;
}

static f64 made_bandwidth(Threads& threads, Span<const u8> buffer, i32 passes) {
  measured_threads = threads.count();
  CHECK(buffer.count == 1 << 20 && passes == BANDWIDTH_PASSES);
  return 12.345e9;
}

static Status small_buffer(const Machine&, Span<u8>* buffer) {
  return take_memory(1 << 20, {.huge_pages = false}, buffer);
}

}  // namespace edgellm

#define this_machine made_machine
#define read_bandwidth made_bandwidth
#define take_bandwidth_buffer small_buffer
#include "../src/cli/info.cpp"
#undef this_machine
#undef read_bandwidth
#undef take_bandwidth_buffer

using namespace edgellm;

namespace {

check::Child info(const std::vector<std::string>& more) {
  std::vector<std::string> words = {"edgellm", "info"};
  words.insert(words.end(), more.begin(), more.end());
  return check::run_command(info_command, words);
}

// The kernel sets of this CPU, and the best of them.
std::string sets(std::string* best) {
  std::string all;
  for (i32 i = 0; isa_name(i); i++) {
    Kernels kernels;
    if (!select_kernels(isa_name(i), cpu_features(), &kernels)) continue;
    *best = isa_name(i);
    all += *best + " ";
  }
  return all;
}

// In JSON: every set of this program, and whether it runs here.
std::string all_sets() {
  std::string all, best;
  const std::string here = " " + sets(&best);
  for (i32 i = 0; isa_name(i); i++) {
    const std::string name = isa_name(i);
    all += (i ? ",\"" : "\"") + name + "\":" + (contains(here, " " + name + " ") ? "true" : "false");
  }
  return "\"kernel_sets\":{" + all + "}";
}

std::string a_model(const ModelRecipe& recipe) {
  std::string path = temporary_path("info.tm2");
  write_model(recipe, path);
  return path;
}

std::string megabytes_of(i64 bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f MB", static_cast<f64>(bytes) / 1e6);
  return text;
}

// File and memory of an engine that is opened as a run opens it.
i64 needed(const std::string& path, i32 context, i32 threads) {
  EngineOptions options;
  options.context = context, options.threads = threads, options.text_bytes = 16;
  OpenEngine open(options, path);
  return open.map.count + open.engine.arena_bytes;
}

// The line that begins so.
std::string line(const check::Child& child, const std::string& label) {
  const size_t at = child.output.find(label + " ");
  CHECK(at != std::string::npos && (at == 0 || child.output[at - 1] == '\n'));
  if (at == std::string::npos) return "";
  const size_t value = child.output.find_first_not_of(' ', at + label.size());
  return child.output.substr(value, child.output.find('\n', value) - value);
}

}  // namespace

TEST(a_machine) {
  made = {};
  std::strcpy(made.name, "A \"CPU\" \\ of\ttest");
  made.logical_cpus = 16, made.physical_cores = 10, made.performance_cores = 6, made.cpu_quota = 3;
  made.memory_bytes = 8123456789, made.available_bytes = 7000000000, made.memory_limit = 1073741824;
  made.cache_bytes = 33554432, made.page_bytes = 16384;
  std::string best, all = sets(&best);
  const std::string head = "edgellm " EDGELLM_VERSION
                           "\ncpu            A \"CPU\" \\ of\ttest\ncores          6 performance, 10 physical, 16 logical\n";
  check::Child child = info({});
  CHECK_EQ(child.exit_code, 0);
  CHECK_EQ(child.output,
           head + "cpu quota      3\nkernel sets    " + all + "(chosen: " + best +
               ")\nmemory         8123 MB, 7000 MB available, limit 1074 MB\ncache          33.6 MB\npage size      16384\n"
               "read bandwidth 12.3 GB/s with 3 threads\n");
  child = info({"--json"});
  CHECK_EQ(child.exit_code, 0);
  CHECK_EQ(child.output,
           "{\"cpu\":\"A \\\"CPU\\\" \\\\ of\\ttest\",\"performance_cores\":6,\"physical_cores\":10,\"logical_cpus\":16,"
           "\"cpu_quota\":3,\"isa\":\"" +
               best + "\"," + all_sets() +
               ",\"formats\":[\"f32\",\"f16\",\"i8\",\"i4\",\"t2\",\"t2_group\",\"i8_mask\",\"i8_group\",\"t5\"],"
               "\"threads\":3,\"memory_bytes\":8123456789,\"available_bytes\":7000000000,\"memory_limit\":1073741824,"
               "\"cache_bytes\":33554432,\"page_bytes\":16384,\"read_gb_s\":12.35}\n");
  made.cpu_quota = 0, made.memory_limit = 0;
  child = info({"--isa=ref", "--threads", "1"});
  CHECK_EQ(child.output,
           head + "kernel sets    " + all +
               "(chosen: ref)\nmemory         8123 MB, 7000 MB available\ncache          33.6 MB\npage size      16384\n"
               "read bandwidth 12.3 GB/s with 1 thread\n");
  child = info({"--isa=sse9"});
  CHECK_EQ(child.exit_code, 2);
  CHECK(contains(child.output, "no kernel set \"sse9\""));
  child = info({"--threads", "5", "--json"});
  CHECK(contains(child.output, "\"threads\":5,"));
}

// What an engine would take is what one takes.
TEST(memory_needed) {
  struct Row {
    ModelRecipe recipe;
    i32 context;             // by default; 0: it has no end
    bool small;              // with --ctx 512 it would be another
    std::string held_words;  // of the line "context"
  };
  const std::string held = ", of which a run holds 2048 unless --ctx says otherwise";
  for (const Row& row :
       {Row{{.context = 96}, 96, true, "96 positions"}, Row{{.context = 512}, 512, false, "512 positions"},
        Row{{.context = 2048}, 2048, true, "2048 positions"}, Row{{.context = 4096}, 2048, true, "4096 positions" + held},
        Row{{.blocks = "mamba2 | attention ffn", .context = 2049}, 2048, true, "2049 positions" + held},
        Row{{.blocks = "mamba2", .context = 96}, 0, false, "without an end; trained on 96 positions"}}) {
    const std::string path = a_model(row.recipe);
    for (i32 threads : {1, 3}) {
      const std::string count = std::to_string(threads);
      check::Child child = info({path, "--threads", count});
      CHECK_EQ(child.exit_code, 0);
      const i64 usual = needed(path, 0, threads);
      std::string expected = megabytes_of(usual) + (row.context ? " for " + std::to_string(row.context) + " positions" : "");
      if (row.small) expected += ", " + megabytes_of(needed(path, 512, threads)) + " with --ctx 512";
      CHECK_EQ(line(child, "memory needed"),
               expected + (row.context ? "; the file is in it" : ", however long the text is"));
      CHECK_EQ(line(child, "context"), row.held_words);
      child = info({path, "--json", "--threads", count});
      CHECK(contains(child.output, ",\"memory_bytes\":" + std::to_string(usual) +
                                       ",\"memory_bytes_512\":" + std::to_string(needed(path, 512, threads)) + ","));
      CHECK(contains(child.output, row.context ? "\"recurrent\":false" : "\"recurrent\":true"));
    }
  }
  // A model whose numbers hold for less has no such context.
  const std::string path = a_model({.context = 96, .more = {{"context_limit", 300u}}});
  check::Child child = info({path, "--threads", "1"});
  CHECK_EQ(line(child, "memory needed"), megabytes_of(needed(path, 0, 1)) + " for 96 positions; the file is in it");
  CHECK(!contains(info({path, "--json"}).output, "memory_bytes_512"));
}

TEST(words_of_a_summary) {
  struct Row {
    ModelRecipe recipe;
    std::string label, value;
  };
  auto with = [](const convert::Metadata& more) {
    ModelRecipe recipe;
    recipe.more = more;
    return recipe;
  };
  const convert::Metadata chat = {
      {"chat", std::string("mine")}, {"chat.user", std::string("{user}")}, {"chat.assistant", std::string("{assistant}")}};
  convert::Metadata with_system = chat;
  with_system.emplace_back("chat.system", std::string("{system}"));
  for (const Row& row : {
           Row{{}, "family", "Llama-like transformer; 2 layers, 48 wide"},
           Row{{.blocks = "mamba2", .layers = 3}, "family", "Mamba-2, recurrent; 3 layers, 48 wide"},
           Row{{.blocks = "mamba"}, "family", "Mamba, recurrent; 2 layers, 48 wide"},
           Row{{.blocks = "retention ffn"}, "family", "RetNet, recurrent; 2 layers, 48 wide"},
           Row{{.blocks = "mamba2 | attention ffn"},
               "family",
               "a stack of blocks (mamba2 | attention ffn); 2 layers, 48 wide"},
           Row{{.blocks = "mamba2 ffn"}, "family", "a stack of blocks (mamba2 ffn), recurrent; 2 layers, 48 wide"},
           Row{with({{"name", std::string("A name")}}), "name", "A name"},
           Row{with({{"name", std::string("\x1b[31mred\a and\nblue \xe6\xbc\xa2")}}), "name",
               "\xef\xbf\xbd[31mred\xef\xbf\xbd and blue \xe6\xbc\xa2"},
           Row{{}, "vocabulary", "67 ids"},
           Row{{}, "tokenizer", "none: it takes and gives ids"},
           Row{{}, "chat", "no template: a conversation is written as plain text"},
           Row{{.grammar = {1, 1, 5, 0}}, "chat", "no template: each line is a request of its own"},
           Row{with(chat), "chat", "template mine, without a place for a system text"},
           Row{with(with_system), "chat", "template mine"},
           Row{{}, "grammar", "none: any text"},
           Row{{.grammar = {2, 1, 2, 5, 1, 6, 0}}, "grammar", "answers can only be what it allows (2 states)"},
           Row{with({{"temperature", 0.25f}}), "temperature", "0.25 unless -t says otherwise"},
           Row{with({{"temperature", 0.0f}}), "temperature", "0.00 (greedy) unless -t says otherwise"},
           Row{{.matrices = Format::F16, .scale = Scale::none, .activations = Quantization::none, .embedding = Format::F32},
               "zeros",
               "not counted in weights that are no integers"},
       }) {
    check::Child child = info({a_model(row.recipe)});
    CHECK_EQ(child.exit_code, 0);
    CHECK_EQ(line(child, row.label), row.value);
  }
}

// A large file is not read through for its zeros unless that is asked for; what cannot be run says why and is shown all the same.
TEST(files_that_cannot_be_run) {
  raw::File file;
  file.metadata.text("arch", "eliza");
  file.metadata.number("context", 64);
  file.metadata.number("vocab", 64);
  constexpr u64 WEIGHTS = 100'000'001;
  file.entries.push_back(raw::entry("x", 0, 0, 0, {u32{WEIGHTS}}, 0, 4 * WEIGHTS));
  file.lay_out(0);
  const u64 begin = file.header.tensor_offset + 128;
  file.entries[0].offset = begin, file.header.file_bytes = begin + raw::round_up(4 * WEIGHTS, 64);
  const std::string path = temporary_path("large.tm2");
  const std::vector<u8> bytes = file.bytes();
  write_file(path, {bytes.begin(), bytes.end()});
  std::filesystem::resize_file(path, file.header.file_bytes);
  check::Child child = info({path});
  CHECK_EQ(child.exit_code, 0);
  CHECK_EQ(line(child, "family"), "unknown to this version: \"eliza\"");
  CHECK_EQ(line(child, "parameters"), "100.00 million");
  CHECK_EQ(line(child, "zeros"), "not counted, as it takes a while: --tensors counts them");
  CHECK(contains(line(child, "cannot run"), "unknown model family \"eliza\", known: transformer, "));
  CHECK_EQ(line(info({path, "--tensors"}), "zeros"), "not counted in weights that are no integers");
  CHECK(contains(info({path, "--json"}).output, "\"cannot_run\":\"metadata: "));
  CHECK_EQ(info({path, "--isa", "sse9"}).exit_code, 2);
}

// --check says that it did what it was asked for.
TEST(a_checksum_that_is_right) {
  const std::string path = a_model({}), size = line(info({path}), "file");
  CHECK(contains(size, " MB") && !contains(size, "checksum"));
  CHECK_EQ(line(info({path, "--check"}), "file"), size + ", its checksum is right");
  CHECK(contains(info({path, "--check", "--json"}).output, "\"checksum_right\":true,"));
  CHECK(!contains(info({path, "--json"}).output, "checksum_right"));
}

// The lists of metadata, and tensors of every rank.
TEST(a_file) {
  ModelRecipe recipe = {.layers = 1, .dim = 16, .ffn_dim = 32, .heads = {4u}, .kv_heads = {2u}, .head_dim = 16, .vocab = 20};
  std::vector<u32> at_most(64, 7), more(65, 7);
  recipe.more = {{"sixty_four", at_most}, {"sixty_five", more}, {"a_text", std::string("some \"text\"")}};
  const std::string path = a_model(recipe);
  check::Child child = info({path, "--tensors"});
  CHECK_EQ(child.exit_code, 0);
  std::string sevens = "7", list = "[7";
  for (int i = 1; i < 65; i++) {
    if (i < 64) sevens += ", 7";
    list += ",7";
  }
  CHECK(contains(child.output, "sixty_four              " + sevens + "\n"));
  CHECK(contains(child.output, "sixty_five              65 numbers\n"));
  CHECK(contains(child.output, "a_text                  some \"text\"\n"));
  CHECK(contains(child.output, "heads                   4\n"));
  CHECK(contains(child.output, "norm                        16  f32  32.00 bits\n"));
  CHECK(contains(child.output, "tokenizer               0 bytes\n\n"));
  CHECK_EQ(info({path}).output, child.output.substr(0, child.output.find("\n\n") + 1));
  child = info({path, "--json"});
  CHECK(contains(child.output, "\"a_text\":\"some \\\"text\\\"\""));
  CHECK(contains(child.output, "\"sixty_five\":" + list + "]") && contains(child.output, "\"heads\":[4]"));
  CHECK(contains(child.output, "{\"name\":\"norm\",\"shape\":[16],\"format\":\"f32\",\"bytes\":64,\"bits\":32.00}"));
  CHECK(contains(child.output, all_sets()));

  // A damaged tensor is seen by --check alone.
  std::string bytes = read_file(path);
  bytes[bytes.size() - 70] = static_cast<char>(bytes[bytes.size() - 70] + 1);
  write_file(path, bytes);
  CHECK_EQ(info({path}).exit_code, 0);
  child = info({path, "--check"});
  CHECK_EQ(child.exit_code, 3);
  CHECK(contains(child.output, "damaged"));
}

// A file of the first engine says what it is, and what it becomes in memory.
TEST(a_version_1_file) {
  std::string bytes("TM2\0", 4);
  auto number = [&](u32 value) { bytes.append(reinterpret_cast<const char*>(&value), 4); };
  auto vector = [&](u32 n) { bytes += std::string(1 + 4 * n, '\0'); };
  auto matrix = [&](u32 rows, u32 cols) {
    bytes += '\1';
    number(rows), number(cols);
    bytes += std::string(rows * (2 + (cols + 3) / 4), '\0');
  };
  for (u32 value : {16u, 32u, 1u, 2u, 1u, 20u, 64u})  // dim, ffn_dim, layers, heads, kv_heads, vocab, context
    number(value);
  matrix(20, 16), vector(16), matrix(16, 16), matrix(8, 16), matrix(8, 16), matrix(16, 16), vector(16), vector(16);
  matrix(32, 16), matrix(32, 16), matrix(16, 32), vector(32), vector(16), matrix(20, 16);
  const std::string path = temporary_path("old.tm2.bin");
  write_file(path, bytes);
  check::Child child = info({path, "--threads", "1"});
  CHECK_EQ(child.exit_code, 0);
  CHECK(contains(line(child, "file"),
                 megabytes_of(static_cast<i64>(bytes.size())) + ", of version 1: repacked at each start"));
  CHECK_EQ(line(child, "zeros"), "100.0 % of the integer weights");
  EngineOptions options;
  options.threads = 1, options.text_bytes = 16;
  OpenEngine open(options, path);
  CHECK(contains(info({path, "--threads=1", "--json"}).output,
                 "\"memory_bytes\":" + std::to_string(open.map.count + open.engine.arena_bytes) + ","));
}
