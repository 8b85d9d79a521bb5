// edgellm: one command each. Only this file exits.
#include "base/floating_point.h"
#include "base/version.h"
#include "cli/command.h"
#include "cli/find_model.h"
#include "cli/progress.h"
#include "platform/signals.h"
#include "platform/stage.h"

namespace edgellm {

static Status run(i32 count, char** arguments, Options& options) {
  EDGELLM_TRY(parse_options(count, arguments, &options));
  if (options.version) {
    print("edgellm " EDGELLM_VERSION "\n");
    return {};
  }
  if (options.help) {
    print_help(options);
    return {};
  }
  if (options.model_count <= 1) EDGELLM_TRY(find_models(options));  // of several each finds its own
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
    case SERVE:
      return serve_command(options);
    default:
      return run_command(options);
  }
}

// What is wrong with a model that nobody typed is said of the variable that names it.
static bool about_variable(const Status& status, const Options& options) {
  return options.model_from_variable && status.code() == Code::bad_model && status.text()[0] != '-';  // --tokenizer ...
}

static void say(const Status& status, const Options& options) {
  if (status.text()[0]) {
    note("edgellm: ", about_variable(status, options) ? "EDGELLM_MODEL: " : "", status.text(), "\n");
  } else if (status.code() == Code::usage) {
    note_use();
  }
}

}  // namespace edgellm

int main(int count, char** arguments) {
  edgellm::install_signals();
  edgellm::enter_default_float();
  edgellm::show_progress();
  static edgellm::Options options;
  edgellm::Status status = edgellm::run(count, arguments, options);
  edgellm::end_stage();
  if (status.ok()) status = edgellm::check_interrupted();
  if (status.ok()) status = edgellm::check_output();
  edgellm::say(status, options);
  return static_cast<int>(status.code());
}
