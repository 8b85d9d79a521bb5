// An engine behind the public calls, in a block that starts at an odd address, lies between guards, and is full of rubbish at first.
#pragma once
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "edgellm.h"
#include "platform/memory.h"

// Whole error texts are compared: "" stands for success.
inline edgellm_error last_error;

inline std::string said(edgellm_code code) {
  const char* const codes[] = {"", "failed: ", "usage: ", "bad model: "};
  const std::string text = code == EDGELLM_OK ? "" : codes[code] + std::string(last_error.text);
  std::memset(last_error.text, '?', sizeof last_error.text);
  return text;
}

// The call comes first: what it gives may be in the words.
#define CHECK_SAYS(call, words)                                          \
  do {                                                                   \
    const std::string answer = said(call);                               \
    check::equal(answer, std::string(words), #call, __FILE__, __LINE__); \
  } while (0)
#define CHECK_OK(call) CHECK_SAYS(call, "")

struct Host {
  static constexpr size_t GUARD = 256;

  edgellm::Span<const edgellm::u8> map;
  edgellm_config config = {};
  edgellm_facts facts = {};
  edgellm_engine* engine = nullptr;
  std::vector<unsigned char> area;

  // `offset` is where in a line of 64 bytes the block starts.
  explicit Host(const std::string& path, edgellm_config wanted = {}, size_t offset = 1, unsigned char rubbish = 0xa5)
      : config(wanted), rubbish_(rubbish) {
    CHECK(edgellm::map_file(path.c_str(), {}, &map).ok());
    config.model = map.data;
    config.model_bytes = static_cast<size_t>(map.count);
    CHECK_OK(edgellm_plan(&config, &facts, &last_error));
    area.assign(facts.block_bytes + 2 * GUARD + 128, rubbish);
    start_ = GUARD + 64 - reinterpret_cast<uintptr_t>(area.data()) % 64 + offset;
    CHECK_OK(edgellm_init(&config, block(), facts.block_bytes, &engine, &last_error));
  }
  ~Host() {
    edgellm_close(engine);
    const size_t end = start_ + facts.block_bytes;
    for (size_t i = 0; i < GUARD; i++)
      CHECK(area[start_ - 1 - i] == rubbish_ && area[end + i] == rubbish_);
    edgellm::release_memory(map);
  }
  Host(const Host&) = delete;

  unsigned char* block() { return area.data() + start_; }

  edgellm_code step(int32_t session, const std::vector<int32_t>& ids, int32_t logits = 1) {
    const edgellm_input input = {session, static_cast<int32_t>(ids.size()), ids.data(), logits};
    return edgellm_step(engine, &input, 1, &last_error);
  }
  // The hash of the logits after the ids.
  uint64_t run(int32_t session, const std::vector<int32_t>& ids) {
    CHECK_OK(step(session, ids));
    return edgellm_logits_hash(engine, session);
  }
  int32_t sample(int32_t session, const edgellm_sampling* how = nullptr) {
    int32_t id = -1;
    CHECK_OK(edgellm_sample(engine, session, how, &id, &last_error));
    return id;
  }
  std::vector<unsigned char> save(int32_t session) {
    std::vector<unsigned char> image(facts.state_bytes);
    CHECK_OK(edgellm_save(engine, session, image.data(), image.size(), &last_error));
    return image;
  }

 private:
  size_t start_ = 0;
  unsigned char rubbish_;
};
