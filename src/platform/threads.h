// A fixed pool of threads that spin briefly, then park. The caller is thread 0 and works along. Chunks are claimed one by
// one, so a thread that the system has taken off its core holds up the one chunk it is in, not a share of the whole; give
// a few chunks per thread.
#pragma once
#include "base/status.h"

namespace edgellm {

class Threads {
 public:
  static constexpr i32 MAX = 64;
  using Task = void (*)(void* context, i32 chunk, i32 thread);

  // Starts `count` - 1 threads, 1 <= count <= MAX; fails when the system refuses one. On return all of them run, so that the
  // process may be sealed; they live until it ends or `stop`, which waits for them. Workers receive no signals but their
  // own faults and compute in the default floating-point environment. With one thread nothing is started and `run` is a
  // plain loop.
  Status start(i32 count);
  void stop();

  // Calls task(context, chunk, thread) once for each chunk in [0, chunks), each on any one thread, and returns when all are
  // done. Results must not depend on which thread took which chunk. Not reentrant.
  void run(i32 chunks, Task task, void* context);

  // The same for a callable: pool.run(n, [&](i32 chunk, i32 thread) {...}).
  template <class Body>
  void run(i32 chunks, const Body& body) {
    Task call = [](void* context, i32 chunk, i32 thread) { (*static_cast<const Body*>(context))(chunk, thread); };
    run(chunks, call, const_cast<Body*>(&body));
  }

  i32 count() const { return count_; }

 private:
  struct Shared;
  Shared* shared_ = nullptr;
  i32 count_ = 1;
};

}  // namespace edgellm
