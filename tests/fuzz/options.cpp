// Any words as a command line, each up to a zero byte: what is accepted keeps to the limits, and its lists of numbers are read.
#include "cli/options.h"

#include <stdlib.h>

#include <vector>

#include "input.h"

using namespace edgellm;

static void check(bool holds) {
  if (!holds) abort();
}

static void check_limits(const Options& o) {
  const SamplingOptions& s = o.generate.sampling;
  check(o.generate.count >= 0 && o.generate.count <= 1 << 30);
  check(o.generate.stop_ids.ids().count <= StopIds::MAX_IDS);
  check(s.temperature >= 0 && s.temperature <= MAX_TEMPERATURE);
  check(s.top_p >= 0 && s.top_p <= 1 && s.min_p >= 0 && s.min_p <= 1);
  check(s.top_k >= 0 && s.top_k <= MAX_VOCAB);
  check(s.repeat_penalty >= MIN_REPEAT_PENALTY && s.repeat_penalty <= MAX_REPEAT_PENALTY);
  check(o.generate.pace == 0 || (o.generate.pace >= 0.01 && o.generate.pace <= 10000));
  check(o.engine.sessions >= 1 && o.engine.sessions <= MAX_SESSIONS);
  check(o.engine.threads >= 0 && o.engine.threads <= Threads::MAX);
  check(o.engine.context >= 0 && o.engine.context <= MAX_CONTEXT);
  check(o.engine.window >= 0 && o.engine.window <= MAX_CONTEXT);
  check(o.engine.kv >= KvFormat::I8 && o.engine.kv <= KvFormat::F32);
  check(o.bench_prompt >= 1 && o.bench_prompt <= MAX_CONTEXT);
  check(o.repeat >= 1 && o.repeat <= 1000);
  check(o.max_tokens >= 0 && o.max_tokens <= 1 << 30);
  check(o.model_count >= 0 && o.model_count <= Options::MAX_MODELS && o.model == o.models[0]);
  for (i32 i = 0; i < Options::MAX_MODELS; i++)
    check((o.models[i] != nullptr) == (i < o.model_count));
  check(o.help || (o.prompt != nullptr) + (o.text_file != nullptr) + o.from_stdin <= 1);
}

static void take_number(void*, i32 number) {
  check(number >= 0 && number <= 1 << 30);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  std::vector<std::string> words = {"edgellm"};
  while (input.left())
    words.push_back(input.line());
  std::vector<char*> arguments;
  for (std::string& word : words)
    arguments.push_back(word.data());
  Options options;
  if (!parse_options(static_cast<i32>(arguments.size()), arguments.data(), &options).ok()) return 0;
  check_limits(options);
  if (options.ids) (void)parse_list("--ids", options.ids, take_number, nullptr);
  (void)parse_list("--at", options.bench_at, take_number, nullptr);
  return 0;
}
