#include "convert/output/compare.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "convert/base/mapped_file.h"
#include "engine/engine.h"

namespace edgellm::convert {

const char VERIFIED_TEXT[] =
    "Once upon a time there was a little girl who lived near the sea. Every morning she walked along the beach with her dog "
    "and "
    "looked for shells, because her grandmother had told her that the sea gives something back to those who wait.";

namespace {

constexpr i32 MOST_IDS = 128, FIXED_IDS = 48;

class Running {
 public:
  Running(const std::string& path, i64 text_bytes) : file_(MappedFile::open(path)) {
    EngineOptions options;
    options.file = {file_->bytes().data, static_cast<i64>(file_->bytes().size)};
    options.default_context = MOST_IDS;
    options.kv = KvFormat::F16;
    options.tokens = 1;
    options.text_bytes = text_bytes;
    Status status = open_engine(options, &engine_);
    if (!status.ok()) io_error(path, ": --verify: ", status.text());
  }
  ~Running() { close_engine(engine_); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  std::vector<i32> ids_of(const std::string& prompt) {
    std::vector<i32> ids;
    if (!engine_.has_tokenizer) {
      for (i32 i = 0; i < min(FIXED_IDS, engine_.limits.context); i++)
        ids.push_back((31 * i * i + 7 * i + 1) % vocab());
      return ids;
    }
    i32 count = 0;
    Status status =
        engine_.tokenizer.encode({prompt.data(), static_cast<i64>(prompt.size())}, {.add_bos = true, .parse_special = false},
                                 engine_.text_workspace, engine_.text_ids, &count);
    if (!status.ok()) io_error("--verify-text: ", status.text());
    ids.assign(engine_.text_ids.data, engine_.text_ids.data + min(count, engine_.limits.context));
    return ids;
  }

  // The logits after the id.
  const f32* after(i32 id) {
    Step step = {&engine_.sessions[0], {&id, 1}, Wanted::last};
    Status status = forward(engine_, {&step, 1});
    if (!status.ok()) io_error(file_->path, ": --verify: ", status.text());
    return logits_row(engine_, 0);
  }

  i32 vocab() const { return engine_.model.vocab; }

 private:
  File file_;
  Engine engine_;
};

f64 nll(const f32* logits, i32 vocab, i32 next) {
  const f64 most = static_cast<f64>(*std::max_element(logits, logits + vocab));
  f64 sum = 0;
  for (i32 i = 0; i < vocab; i++)
    sum += std::exp(static_cast<f64>(logits[i]) - most);
  return std::log(sum) + most - static_cast<f64>(logits[next]);
}

}  // namespace

Comparison compare(const std::string& path, const std::string& reference_path, const std::string& prompt) {
  const std::string text = prompt.empty() ? VERIFIED_TEXT : prompt;
  Running file(path, static_cast<i64>(text.size())), reference(reference_path, static_cast<i64>(text.size()));
  const std::vector<i32> ids = file.ids_of(text);
  const i32 vocab = file.vocab();
  Comparison result;
  for (size_t i = 0; i < ids.size(); i++) {
    const f32 *found = file.after(ids[i]), *meant = reference.after(ids[i]);
    auto [least, most] = std::minmax_element(meant, meant + vocab);
    f32 largest = 0;
    for (i32 id = 0; id < vocab; id++)
      largest = std::max(largest, std::fabs(found[id] - meant[id]));
    const f64 range = static_cast<f64>(*most - *least);
    if (range > 0) result.difference = std::max(result.difference, static_cast<f64>(largest) / range);
    result.same_top += std::max_element(found, found + vocab) - found == most - meant;
    if (i + 1 == ids.size()) continue;
    result.nll += nll(found, vocab, ids[i + 1]);
    result.reference_nll += nll(meant, vocab, ids[i + 1]);
  }
  result.tokens = static_cast<i64>(ids.size());
  const f64 scored = std::max(1.0, static_cast<f64>(ids.size()) - 1);
  result.nll /= scored;
  result.reference_nll /= scored;
  return result;
}

}  // namespace edgellm::convert
