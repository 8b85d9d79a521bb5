// The floating-point environment that the numeric rules assume: round to nearest even, denormals kept, nothing trapped.
// The program starts in it; a host that embeds the engine may not, so the public calls enter it and leave it again.
#pragma once
#include "base/types.h"

namespace edgellm {

struct FloatState {
  u64 control;
};

static inline FloatState float_state() {
#if defined(__x86_64__)
  u32 value;
  __asm__ volatile("stmxcsr %0" : "=m"(value));
  return {value};
#elif defined(__aarch64__)
  u64 value;
  __asm__ volatile("mrs %0, fpcr" : "=r"(value));
  return {value};
#elif defined(__arm__)
  u32 value;
  __asm__ volatile("vmrs %0, fpscr" : "=r"(value));
  return {value};
#else
  return {0};
#endif
}

static inline void set_float_state(FloatState state) {
#if defined(__x86_64__)
  u32 value = static_cast<u32>(state.control);
  __asm__ volatile("ldmxcsr %0" : : "m"(value));
#elif defined(__aarch64__)
  __asm__ volatile("msr fpcr, %0" : : "r"(state.control));
#elif defined(__arm__)
  __asm__ volatile("vmsr fpscr, %0" : : "r"(static_cast<u32>(state.control)));
#else
  (void)state;
#endif
}

// Enters the default environment; hand the answer to set_float_state to leave it.
static inline FloatState enter_default_float() {
  FloatState before = float_state();
#if defined(__x86_64__)
  set_float_state({0x1f80});  // all exceptions masked, nearest even, neither flush-to-zero nor denormals-are-zero
#else
  set_float_state({0});
#endif
  return before;
}

// The default environment for a scope, and then the caller's again, sticky flags included.
struct DefaultFloat {
  FloatState before = enter_default_float();

  DefaultFloat() = default;
  DefaultFloat(const DefaultFloat&) = delete;
  ~DefaultFloat() { set_float_state(before); }
};

}  // namespace edgellm
