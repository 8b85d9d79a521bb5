// A fixed pool of threads that spin briefly, then park. The caller is thread 0 and works along.
#pragma once
#include "base/status.h"

namespace edgellm {

class Threads {
 public:
  static constexpr i32 MAX = 64;
  using Task = void (*)(void* context, i32 chunk, i32 thread);

  // Starts `count` - 1 threads. They live until the process ends or `stop`.
  Status start(i32 count);
  void stop();

  // Calls task(context, chunk, thread) once for each chunk in [0, chunks), each on any one thread, and returns when all are
  // done. Results must not depend on which thread took which chunk. Not reentrant.
  void run(i32 chunks, Task task, void* context);

  // The same for a callable: pool.run(n, [&](i32 chunk, i32 thread) {...}).
  template <class Body>
  void run(i32 chunks, Body&& body) {
    run(chunks, [](void* context, i32 chunk, i32 thread) { (*static_cast<Body*>(context))(chunk, thread); }, &body);
  }

  i32 count() const { return count_; }

 private:
  struct Shared;
  Shared* shared_ = nullptr;
  i32 count_ = 1;
};

}  // namespace edgellm
