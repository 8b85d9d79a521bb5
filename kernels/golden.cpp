#include "golden.h"

#include "golden_run.h"

namespace edgellm {

namespace {

struct Golden {
  const char* name;
  u64 expected;
  void (*run)(GoldenRun&);
};

constexpr Golden LIST[] = {
#define GOLDEN(name, digest) {#name, digest, golden_##name},
#include "golden.def"
#undef GOLDEN
};
constexpr i32 COUNT_OF_LIST = static_cast<i32>(sizeof LIST / sizeof LIST[0]);

#define KERNEL(result, name, arguments) +1
static_assert(COUNT_OF_LIST == 0
#include "kernels.def"
              ,
              "golden.def has a line for every kernel");
#undef KERNEL

}  // namespace

const char* golden_name(i32 index) {
  return index >= 0 && index < COUNT_OF_LIST ? LIST[index].name : nullptr;
}

u64 golden_expected(i32 index) {
  return LIST[index].expected;
}

u64 golden_digest(const Kernels& k, i32 index, Arena memory) {
  Text name(LIST[index].name);
  GoldenRun run = {k, memory, checksum(name.data, name.size)};
  LIST[index].run(run);
  return run.hash.value();
}

}  // namespace edgellm
