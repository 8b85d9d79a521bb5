// An engine over a file, for as long as a test wants it.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "check.h"
#include "engine/engine.h"
#include "platform/memory.h"

// Ids without a pattern, which the logits in tests/golden/ were computed after too.
inline std::vector<edgellm::i32> timeline(edgellm::i32 count, edgellm::i32 vocab) {
  std::vector<edgellm::i32> ids;
  for (edgellm::i32 i = 0; i < count; i++)
    ids.push_back((i * i * 31 + 7 * i + 1) % vocab);
  return ids;
}

struct OpenEngine {
  edgellm::Engine engine;
  edgellm::Span<const edgellm::u8> map;

  OpenEngine(edgellm::EngineOptions options, const std::string& path) {
    CHECK(edgellm::map_file(path.c_str(), {}, &map).ok());
    options.file = map;
    edgellm::Status status = edgellm::open_engine(options, &engine);
    CHECK_EQ(std::string(status.text()), "");
  }
  ~OpenEngine() {
    edgellm::close_engine(engine);
    edgellm::release_memory(map);
  }

  bool run(edgellm::i32 session, const std::vector<edgellm::i32>& ids, edgellm::Wanted wanted = edgellm::Wanted::last) {
    edgellm::Step step = {&engine.sessions[session], {ids.data(), static_cast<edgellm::i64>(ids.size())}, wanted};
    edgellm::Status status = edgellm::forward(engine, {&step, 1});
    CHECK_EQ(std::string(status.text()), "");
    return status.ok();
  }

  // A new beginning of the first session; the hash of the logits after the ids, `step` of them at a time.
  edgellm::u64 run_anew(const std::vector<edgellm::i32>& ids, edgellm::i64 step) {
    engine.sessions[0].restart();
    for (auto at = ids.begin(); at < ids.end();) {
      const auto end = at + std::min<edgellm::i64>(step, ids.end() - at);
      if (!run(0, {at, end})) return 0;
      at = end;
    }
    return edgellm::logits_hash(engine, 0);
  }
};
