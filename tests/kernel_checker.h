// The kernel checker: every slot of every kernel set the CPU has, against the reference, bit for bit. Inputs end at an
// unreadable page, so that reading past them faults; outputs begin after a red zone and end at such a page, and each of their
// elements is either compared, or must keep its value, or may be anything. The idea is dav1d's checkasm.
#pragma once
#include <cstdlib>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/math.h"
#include "kernels.h"
#include "platform/memory.h"

namespace checker {

using namespace edgellm;

struct Set {
  std::string name;
  Kernels k;
};

using Matmul = void (*)(const Matrix&, const Activations&, f32*, i64, i32, i32);

struct MatmulSlot {
  const char* name;
  Matmul Kernels::* slot;
  Format format;
  Scale scale;
  Quantization activations;
};

struct Options {
  std::string isa;     // only this set; empty: all
  std::string filter;  // only slots whose name contains it
  bool quick = false;  // for emulators
  bool bench = false;
  i64 megabytes = 256;  // of weights, in the benchmark
  i32 threads = 1;      // of the benchmark of sparse formats
  i32 passes = 0;       // with a number: only multiply so many times, untimed, for a counter of instructions
  i32 vectors = 1;      // of these passes
  i32 zeros = 90;       // of 100 weights of sparse matrices in them
};

// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
class Random {
 public:
  explicit Random(u64 seed) : state_(seed) {}

  u32 bits() {
    state_ += 0x9e3779b97f4a7c15u;
    u64 z = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<u32>((z ^ (z >> 31)) >> 32);
  }
  // In [low, high].
  i32 between(i32 low, i32 high) { return low + static_cast<i32>(bits() % static_cast<u32>(high - low + 1)); }
  bool one_in(u32 n) { return bits() % n == 0; }

  f32 ordinary();  // sign, 24 random bits, exponents of 1/8 to 16
  f32 hostile();   // one in eight infinite, NaN, denormal, huge, or a bound of exp; else ordinary
  f32 any();       // any bit pattern

 private:
  u64 state_;
};

enum class Fill { ordinary, hostile, any };

// Buffers that end at an unreadable page. Kept and reused from case to case.
class Memory {
 public:
  static constexpr i64 RED_ZONE = 64;
  ~Memory();
  u8* take(i64 bytes);  // RED_ZONE writable bytes lie before it
  void rewind() { next_ = 0; }

 private:
  struct Block {
    u8* base;
    i64 capacity;  // up to the unreadable page
    i64 mapped;
  };
  std::vector<Block> blocks_;
  size_t next_ = 0;
};

// Weights to be timed, in memory as the runtime takes it: huge pages where the system has them.
struct Timed {
  Span<u8> bytes;

  explicit Timed(i64 count) {
    if (!take_memory(count, {}, &bytes).ok()) std::abort();
  }
  Timed(const Timed&) = delete;
  ~Timed() { release_memory(bytes); }
};

enum class Rule : u8 { compare, keep, free };
enum class Type : u8 { i8_, f16_, i32_, f32_ };

// One case at a time: make inputs and outputs, then `run` the slot on every set.
class Checker {
 public:
  Checker(std::vector<Set> sets, const Options& options) : sets_(std::move(sets)), options_(options) {}

  bool wanted(const char* slot) const { return std::string(slot).find(options_.filter) != std::string::npos; }
  bool quick() const { return options_.quick; }
  const std::vector<Set>& sets() const { return sets_; }

  // Starts a case; the description is printed when it fails.
  void begin(const char* slot, std::string description);
  Random random{0};

  template <class T>
  T* input(i64 count) {
    return reinterpret_cast<T*>(memory_.take(count * static_cast<i64>(sizeof(T))));
  }
  f32* floats(i64 count, Fill fill);
  const f32* zero_padded(i64 vectors, i64 stride, i64 count, Fill fill);  // (vectors, stride), zeros from `count` on

  // What the buffer holds when this is called is put back before each set runs.
  template <class T>
  void output(T* data, i64 count, Rule rule = Rule::compare) {
    Type type = sizeof(T) == 1 ? Type::i8_ : sizeof(T) == 2 ? Type::f16_ : T(0.5) == T(0) ? Type::i32_ : Type::f32_;
    add_output(reinterpret_cast<u8*>(data), count, static_cast<i32>(sizeof(T)), type, rule);
  }
  template <class T>
  T* new_output(i64 count, Rule rule = Rule::compare) {
    T* data = input<T>(count);
    memset(data, 0xa5, static_cast<size_t>(count) * sizeof(T));
    output(data, count, rule);
    return data;
  }
  // Of the output made last.
  void rule(i64 first, i64 count, Rule rule);

  // Runs the reference, then every set whose slot differs from those before it.
  template <class Slot>
  void run(Slot Kernels::* slot, const std::function<void(Slot)>& call) {
    for (size_t s = 0; s < sets_.size(); s++) {
      bool fresh = true;
      for (size_t before = 0; before < s; before++)
        fresh &= sets_[before].k.*slot != sets_[s].k.*slot;
      if (fresh) run_set(s, [&] { call(sets_[s].k.*slot); });
    }
  }

  // A comparison from elsewhere (golden digests).
  void verdict(bool good, const std::string& text);

  int finish();  // prints the totals; the exit code. A kernel without a case is a failure

 private:
  struct Output {
    u8* data;
    i64 count;
    i32 size;
    Type type;
    std::vector<u8> initial, expected;
    std::vector<Rule> rules;
  };
  void add_output(u8* data, i64 count, i32 size, Type type, Rule rule);
  void run_set(size_t set, const std::function<void()>& call);
  void compare(const Output& output, size_t index, size_t set);
  void fail(const std::string& text);

  std::vector<Set> sets_;
  Options options_;
  Memory memory_;
  std::string slot_, description_;
  std::set<std::string> seen_;  // slots that had a case
  std::vector<Output> outputs_;
  i64 cases_ = 0, runs_ = 0, failures_ = 0;
};

void check_matmuls(Checker& c);
void check_vectors(Checker& c);
void check_attention(Checker& c);
void check_recurrent(Checker& c);

void bench(const std::vector<Set>& sets, const Options& options);
void bench_sparse(const std::vector<Set>& sets, const Options& options);
void multiply_sparse(const Set& set, const Options& options);
void multiply(const std::vector<Set>& sets, const Options& options);

}  // namespace checker
