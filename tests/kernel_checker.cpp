// kernel_checker [--isa NAME] [--filter TEXT] [--quick] [--bench [--mb N] [--threads N]]
// Without --bench: checks, and exits with 1 if anything differs. KERNEL_CHECKER_QUICK=1 in the environment means --quick.
#include "kernel_checker.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "golden.h"
#include "platform/cpu.h"

namespace checker {

f32 Random::ordinary() {
  u32 random = bits();
  return (static_cast<f32>(random >> 8) * 0x1p-23f - 1.0f) * bits_to<f32>((124u + random % 8u) << 23);
}

f32 Random::any() {
  return bits_to<f32>(bits());
}

f32 Random::hostile() {
  static const u32 VALUES[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 0x00000000, 0x80000000, 0x00000001,
                               0x807fffff, 0x00800000, 0x7f7fffff, 0xff7fffff, 0x42b17217, 0x42b17218, 0xc2aeac4f,
                               0xc2aeac50, 0xc2aeac51, 0xc2b17218, 0x5f000000, 0xdf000000, 0x4b400000};
  u32 random = bits();
  return random % 8 ? ordinary() : bits_to<f32>(VALUES[random / 8 % (sizeof VALUES / sizeof VALUES[0])]);
}

Memory::~Memory() {
  for (const Block& block : blocks_)
    munmap(block.base, static_cast<size_t>(block.mapped));
}

u8* Memory::take(i64 bytes) {
  i64 page = sysconf(_SC_PAGESIZE), wanted = align_up(bytes + RED_ZONE, page);
  if (next_ == blocks_.size()) blocks_.push_back({nullptr, 0, 0});
  Block& block = blocks_[next_++];
  if (block.capacity < wanted) {
    if (block.base) munmap(block.base, static_cast<size_t>(block.mapped));
    block.capacity = wanted + wanted / 2 / page * page;
    block.mapped = block.capacity + page;
    void* base =
        mmap(nullptr, static_cast<size_t>(block.mapped), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || mprotect(static_cast<u8*>(base) + block.capacity, static_cast<size_t>(page), PROT_NONE) != 0) {
      perror("kernel_checker: mmap");
      exit(1);
    }
    block.base = static_cast<u8*>(base);
  }
  return block.base + block.capacity - bytes;
}

// What runs, for the signal handler.
static char running[512];

static void on_fault(int) {
  static const char TEXT[] = "access outside the promised memory: ";
  (void)!write(2, TEXT, sizeof TEXT - 1);
  (void)!write(2, running, strlen(running));
  (void)!write(2, "\n", 1);
  _exit(1);
}

void Checker::begin(const char* slot, std::string description) {
  slot_ = slot;
  description_ = std::move(description);
  memory_.rewind();
  outputs_.clear();
  cases_++;
  random = Random(static_cast<u64>(cases_));
}

f32* Checker::floats(i64 count, Fill fill) {
  f32* x = input<f32>(count);
  for (i64 i = 0; i < count; i++) {
    x[i] = fill == Fill::ordinary ? random.ordinary() : fill == Fill::hostile ? random.hostile() : random.any();
  }
  return x;
}

const f32* Checker::zero_padded(i64 vectors, i64 stride, i64 count, Fill fill) {
  f32* x = floats(vectors * stride, fill);
  for (i64 v = 0; v < vectors; v++) {
    for (i64 i = count; i < stride; i++)
      x[v * stride + i] = 0;
  }
  return x;
}

void Checker::add_output(u8* data, i64 count, i32 size, Type type, Rule rule) {
  Output output = {data, count, size, type, {}, {}, {}};
  output.initial.assign(data, data + count * size);
  output.rules.assign(static_cast<size_t>(count), rule);
  outputs_.push_back(std::move(output));
}

void Checker::rule(i64 first, i64 count, Rule rule) {
  Rule* at = outputs_.back().rules.data() + first;
  std::fill(at, at + count, rule);
}

void Checker::run_set(size_t set, const std::function<void()>& call) {
  snprintf(running, sizeof running, "%s of %s, %s", slot_.c_str(), sets_[set].name.c_str(), description_.c_str());
  for (const Output& output : outputs_) {
    memcpy(output.data, output.initial.data(), output.initial.size());
    memset(output.data - Memory::RED_ZONE, 0x5a, Memory::RED_ZONE);
  }
  call();
  runs_++;
  seen_.insert(slot_);
  for (size_t i = 0; i < outputs_.size(); i++) {
    Output& output = outputs_[i];
    if (set == 0) output.expected.assign(output.data, output.data + output.initial.size());
    compare(output, i, set);
  }
}

static bool is_nan(const u8* value, Type type) {
  if (type == Type::f32_) {
    f32 x;
    memcpy(&x, value, sizeof x);
    return x != x;
  }
  u16 half;
  memcpy(&half, value, sizeof half);
  return (half & 0x7fff) > 0x7c00;
}

static std::string hex(const u8* value, i32 size) {
  std::string text;
  char digits[3];
  for (i32 i = size - 1; i >= 0; i--) {
    snprintf(digits, sizeof digits, "%02x", value[i]);
    text += digits;
  }
  return text;
}

// Prints the first difference of an output.
void Checker::compare(const Output& output, size_t index, size_t set) {
  std::string where = sets_[set].name + ", output " + std::to_string(index);
  for (i64 i = 1; i <= Memory::RED_ZONE; i++) {
    if (output.data[-i] != 0x5a) return fail(where + ": wrote before its output");
  }
  for (i64 i = 0; i < output.count; i++) {
    const u8* got = output.data + i * output.size;
    bool keep = output.rules[static_cast<size_t>(i)] == Rule::keep;
    if (output.rules[static_cast<size_t>(i)] == Rule::free) continue;
    const u8* expected = (keep ? output.initial : output.expected).data() + i * output.size;
    if (memcmp(got, expected, static_cast<size_t>(output.size)) == 0) continue;
    bool floating = output.type == Type::f32_ || output.type == Type::f16_;
    if (!keep && floating && is_nan(got, output.type) && is_nan(expected, output.type)) continue;
    return fail(where + "[" + std::to_string(i) + "]: " + hex(got, output.size) +
                (keep ? " was written over " : ", the reference says ") + hex(expected, output.size));
  }
}

void Checker::fail(const std::string& text) {
  failures_++;
  if (failures_ <= 40) fprintf(stderr, "%s of %s (%s)\n", slot_.c_str(), text.c_str(), description_.c_str());
}

void Checker::verdict(bool good, const std::string& text) {
  runs_++;
  if (good) return;
  failures_++;
  fprintf(stderr, "%s\n", text.c_str());
}

int Checker::finish() {
#define KERNEL(result, name, arguments) \
  verdict(seen_.count(#name) || !wanted(#name), #name " is in kernels.def and has no case here");
#include "kernels.def"
#undef KERNEL
  printf("%lld cases, %lld runs, %lld failures\n", static_cast<long long>(cases_), static_cast<long long>(runs_),
         static_cast<long long>(failures_));
  return failures_ || cases_ == 0 ? 1 : 0;
}

// What the compilers made of each set, against the digests in golden.def.
static void check_golden(Checker& c) {
  Memory memory;
  u8* scratch = memory.take(GOLDEN_BYTES);
  for (i32 i = 0; golden_name(i); i++) {
    if (!c.wanted(golden_name(i))) continue;
    for (const Set& set : c.sets()) {
      u64 digest = golden_digest(set.k, i, Arena(scratch, GOLDEN_BYTES));
      char text[200];
      snprintf(text, sizeof text, "%s of %s: golden digest 0x%016llx, expected 0x%016llx", golden_name(i), set.name.c_str(),
               static_cast<unsigned long long>(digest), static_cast<unsigned long long>(golden_expected(i)));
      c.verdict(digest == golden_expected(i), text);
    }
  }
}

static std::vector<Set> available_sets(const std::string& isa) {
  std::vector<Set> sets;
  for (i32 i = 0; isa_name(i); i++) {
    Set set = {isa_name(i), {}};
    bool wanted = i == 0 || isa.empty() || isa == set.name;
    if (wanted && select_kernels(isa_name(i), cpu_features(), &set.k)) sets.push_back(set);
  }
  return sets;
}

static int usage() {
  fprintf(stderr,
          "usage: kernel_checker [--isa NAME] [--filter TEXT] [--quick] [--bench [--mb N] [--threads N]]\n"
          "                      [--passes N [--vectors 1..32] [--zeros PERCENT]]\n");
  return 2;
}

static int run(int count, char** arguments) {
  Options options;
  const char* environment = getenv("KERNEL_CHECKER_QUICK");
  options.quick = environment && strcmp(environment, "1") == 0;
  for (int i = 1; i < count; i++) {
    std::string name = arguments[i];
    bool more = i + 1 < count;
    if (name == "--quick") {
      options.quick = true;
    } else if (name == "--bench") {
      options.bench = true;
    } else if (name == "--isa" && more) {
      options.isa = arguments[++i];
    } else if (name == "--filter" && more) {
      options.filter = arguments[++i];
    } else if (name == "--mb" && more) {
      options.megabytes = atoi(arguments[++i]);
    } else if (name == "--passes" && more) {
      options.passes = atoi(arguments[++i]);
    } else if (name == "--zeros" && more) {
      options.zeros = atoi(arguments[++i]);
    } else if (name == "--vectors" && more) {
      options.vectors = atoi(arguments[++i]);
    } else if (name == "--threads" && more) {
      options.threads = atoi(arguments[++i]);
    } else {
      return usage();
    }
  }
  std::vector<Set> sets = available_sets(options.isa);
  if (!options.isa.empty() && sets.back().name != options.isa) {
    fprintf(stderr, "kernel_checker: no set \"%s\" on this machine\n", options.isa.c_str());
    return 1;
  }
  if (options.megabytes < 1 || options.threads < 1 || options.vectors < 1 || options.vectors > 32 || options.zeros < 0 ||
      options.zeros > 100) {
    return usage();
  }
  if (options.bench) {
    bench(sets, options);
    return 0;
  }
  if (options.passes > 0) {
    multiply(sets, options);
    return 0;
  }
  signal(SIGSEGV, on_fault);
  signal(SIGBUS, on_fault);
  printf("sets:");
  for (const Set& set : sets)
    printf(" %s", set.name.c_str());
  printf("\n");
  Checker c(sets, options);
  check_golden(c);
  check_matmuls(c);
  check_vectors(c);
  check_attention(c);
  check_recurrent(c);
  return c.finish();
}

}  // namespace checker

int main(int count, char** arguments) {
  return checker::run(count, arguments);
}
