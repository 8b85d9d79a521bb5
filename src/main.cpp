// edgellm: one command each. Only this file exits.
#include "base/floating_point.h"
#include "base/version.h"
#include "cli/command.h"
#include "cli/find_model.h"
#include "platform/signals.h"

namespace edgellm {

static Status run(i32 count, char** arguments) {
  static Options options;
  EDGELLM_TRY(parse_options(count, arguments, &options));
  if (options.version) {
    print("edgellm " EDGELLM_VERSION "\n");
    return {};
  }
  if (options.help) {
    print_help();
    return {};
  }
  EDGELLM_TRY(find_models(options));
  switch (options.command) {
    case CHAT:
      return chat_command(options);
    case BENCH:
      return bench_command(options);
    case EVAL:
      return eval_command(options);
    case INFO:
      return info_command(options);
    case SELFTEST:
      return selftest_command(options);
    case TOKENIZE:
      return tokenize_command(options);
    case DETOKENIZE:
      return detokenize_command(options);
    default:
      return run_command(options);
  }
}

}  // namespace edgellm

int main(int count, char** arguments) {
  edgellm::install_signals();
  edgellm::enter_default_float();
  edgellm::Status status = edgellm::run(count, arguments);
  if (status.ok()) status = edgellm::check_interrupted();
  if (status.ok()) status = edgellm::check_output();
  if (status.text()[0]) edgellm::note("edgellm: ", status.text(), "\n");
  return static_cast<int>(status.code());
}
