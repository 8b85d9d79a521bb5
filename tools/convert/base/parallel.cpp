#include "convert/base/parallel.h"

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace edgellm::convert {

void parallel(i64 count, bool heavy, const std::function<void(i64)>& body) {
  std::atomic<i64> next{0};
  std::mutex mutex;
  std::exception_ptr problem;
  i64 problem_at = count;
  auto work = [&] {
    for (i64 i; (i = next++) < count;) {
      try {
        body(i);
      } catch (...) {
        std::lock_guard<std::mutex> lock(mutex);
        if (i < problem_at) problem_at = i, problem = std::current_exception();
      }
    }
  };
  const i64 cores = heavy ? static_cast<i64>(std::thread::hardware_concurrency()) : 1;
  std::vector<std::thread> threads;
  for (i64 i = 1; i < min(cores, count); i++)
    threads.emplace_back(work);
  work();
  for (std::thread& thread : threads)
    thread.join();
  if (problem) std::rethrow_exception(problem);
}

}  // namespace edgellm::convert
