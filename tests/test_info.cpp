// edgellm info of a made machine and of a small file, word for word; what the matrices hold is compared by tests/second_reader.
#include <cstdlib>

#include "check.h"
#include "cli/command.h"
#include "command.h"
#include "files.h"
#include "make_model.h"
#include "platform/bandwidth.h"
#include "platform/cpu.h"

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
           "{\"cpu\":\"A \\\"CPU\\\" \\\\ of\\u0009test\",\"performance_cores\":6,\"physical_cores\":10,\"logical_cpus\":16,"
           "\"cpu_quota\":3,\"isa\":\"" +
               best +
               "\",\"threads\":3,\"memory_bytes\":8123456789,\"available_bytes\":7000000000,\"memory_limit\":1073741824,"
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

// The lists of metadata, which the second reader does not see in JSON, and tensors of every rank.
TEST(a_file) {
  std::string path = temporary_path("info.tm2");
  ModelRecipe recipe = {.layers = 1, .dim = 16, .ffn_dim = 32, .heads = {4u}, .kv_heads = {2u}, .head_dim = 16, .vocab = 20};
  std::vector<u32> at_most(64, 7), more(65, 7);
  recipe.more = {{"sixty_four", at_most}, {"sixty_five", more}, {"a_text", std::string("some \"text\"")}};
  write_model(recipe, path);
  check::Child child = info({path});
  CHECK_EQ(child.exit_code, 0);
  std::string sevens = "7";
  for (int i = 1; i < 64; i++)
    sevens += ", 7";
  CHECK(contains(child.output, "sixty_four              " + sevens + "\n"));
  CHECK(contains(child.output, "sixty_five              65 numbers\n"));
  CHECK(contains(child.output, "a_text                  some \"text\"\n"));
  CHECK(contains(child.output, "heads                   4\n"));
  CHECK(contains(child.output, "norm                        16  f32  32.00 bits\n"));
  CHECK(contains(child.output, "tokenizer               0 bytes\n\n"));
  child = info({path, "--json"});
  CHECK(contains(child.output, "\"a_text\":\"some \\\"text\\\"\""));
  CHECK(!contains(child.output, "sixty_four") && !contains(child.output, "heads\":"));

  // A damaged tensor is seen by --check alone.
  std::string bytes = read_file(path);
  bytes[bytes.size() - 70] = static_cast<char>(bytes[bytes.size() - 70] + 1);
  write_file(path, bytes);
  CHECK_EQ(info({path}).exit_code, 0);
  child = info({path, "--check"});
  CHECK_EQ(child.exit_code, 3);
  CHECK(contains(child.output, "damaged"));
}
