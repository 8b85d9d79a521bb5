// An engine over a file, for as long as a test wants it.
#pragma once
#include <string>
#include <vector>

#include "check.h"
#include "engine/engine.h"
#include "platform/memory.h"

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
};
