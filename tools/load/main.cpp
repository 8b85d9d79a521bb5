// edgellm-load URL [options]: offers a server more than it may like, and looks at every answer.
#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>

#include "load/generator.h"
#include "load/null_server.h"

namespace edgellm::load {
namespace {

const char HELP[] =
    "edgellm-load URL [options]     URL: http://127.0.0.1:8081/v1/completions\n"
    "edgellm-load --null PORT       serves canned answers, to see what the generator costs\n"
    "\n"
    "Keeps many connections to one server, offers requests, and compares each answer with the one that the same\n"
    "request has alone. An answer with 429 or 503 and Retry-After is a proper refusal; whatever else is not whole\n"
    "and the same is a failure.\n"
    "\n"
    "  --connections N      kept open (100)\n"
    "  --rate R             requests a second, on a fixed schedule (10)\n"
    "  --in-flight N        instead of a rate: so many under way at any time\n"
    "  --seconds T          how long requests are offered (10)\n"
    "  --stream             server-sent events\n"
    "  --kinds N            distinct requests (64)\n"
    "  --max-tokens A[-B]   tokens of an answer (16-64)\n"
    "  --temperature T      of every request (0.7)\n"
    "  --prompts FILE       a prompt in each line\n"
    "  --seed N             what the requests are drawn from (1)\n"
    "  --no-alone           does not ask each kind alone first; texts are not compared\n"
    "  --ends               the server is going to end meanwhile: a request may find no server, or its connection\n"
    "                       end before the first byte of an answer\n"
    "  --api-key KEY        sent as a bearer token\n"
    "  --json               figures as JSON\n"
    "\n"
    "Exit codes: 0 every answer was right or a proper refusal, and there was one; 1 not so; 2 wrong usage\n";

[[noreturn]] void wrong_usage(const std::string& why) {
  std::fprintf(stderr, "edgellm-load: %s\nedgellm-load --help lists the options\n", why.c_str());
  std::exit(2);
}

double number(const std::string& name, const std::string& text, double low, double high) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end || !(value >= low && value <= high))
    wrong_usage(name + ": expected a number from " + std::to_string(low) + " to " + std::to_string(high) + ", got \"" +
                text + "\"");
  return value;
}

int whole(const std::string& name, const std::string& text, int low, int high) {
  const double value = number(name, text, low, high);
  if (value != static_cast<int>(value)) wrong_usage(name + ": expected a whole number, got \"" + text + "\"");
  return static_cast<int>(value);
}

void take_url(const std::string& url, Options* options) {
  const std::string scheme = "http://";
  const size_t colon = url.find(':', scheme.size());
  const size_t slash = url.find('/', scheme.size());
  if (!url.starts_with(scheme) || colon == std::string::npos || (slash != std::string::npos && slash < colon))
    wrong_usage("expected a URL such as http://127.0.0.1:8081/v1/completions, got \"" + url + "\"");
  options->host = url.substr(scheme.size(), colon - scheme.size());
  if (options->host == "localhost") options->host = "127.0.0.1";
  const size_t end = slash == std::string::npos ? url.size() : slash;
  options->port = whole("the URL's port", url.substr(colon + 1, end - colon - 1), 1, 65535);
  if (slash != std::string::npos && slash + 1 < url.size()) options->path = url.substr(slash);
}

void take_tokens(const std::string& text, Options* options) {
  const size_t dash = text.find('-');
  options->least_tokens = whole("--max-tokens", text.substr(0, dash), 1, 1 << 20);
  options->most_tokens = dash == std::string::npos
                             ? options->least_tokens
                             : whole("--max-tokens", text.substr(dash + 1), options->least_tokens, 1 << 20);
}

void take_option(const std::string& name, const std::function<std::string()>& value, Options* options) {
  if (name == "--stream")
    options->stream = true;
  else if (name == "--no-alone")
    options->alone = false;
  else if (name == "--ends")
    options->ends = true;
  else if (name == "--json")
    options->json = true;
  else if (name == "--connections")
    options->connections = whole(name, value(), 1, 60000);
  else if (name == "--rate")
    options->rate = number(name, value(), 0.001, 1e6);
  else if (name == "--in-flight")
    options->in_flight = whole(name, value(), 1, 60000);
  else if (name == "--seconds")
    options->seconds = number(name, value(), 0.1, 1e6);
  else if (name == "--kinds")
    options->kinds = whole(name, value(), 1, 100000);
  else if (name == "--max-tokens")
    take_tokens(value(), options);
  else if (name == "--temperature")
    options->temperature = number(name, value(), 0, 100);
  else if (name == "--prompts")
    options->prompts = value();
  else if (name == "--seed")
    options->seed = static_cast<unsigned long long>(number(name, value(), 0, 9e15));
  else if (name == "--api-key")
    options->key = value();
  else if (name == "--null")
    options->null_port = whole(name, value(), 1, 65535);
  else
    wrong_usage("unknown option " + name);
}

Options parse(int count, char** arguments) {
  Options options;
  bool url = false;
  for (int i = 1; i < count; i++) {
    const std::string name = arguments[i];
    if (name == "--help" || name == "-h") {
      std::fputs(HELP, stdout);
      std::exit(0);
    }
    if (!name.starts_with("-")) {
      if (url) wrong_usage("one URL is expected, and \"" + name + "\" is a second");
      take_url(name, &options);
      url = true;
      continue;
    }
    take_option(
        name,
        [&]() -> std::string {
          if (i + 1 == count) wrong_usage(name + " needs a value");
          return arguments[++i];
        },
        &options);
  }
  if (!url && !options.null_port) wrong_usage("expected a URL, such as http://127.0.0.1:8081/v1/completions");
  if (options.rate > 0 && options.in_flight) wrong_usage("--rate and --in-flight exclude each other");
  if (options.in_flight > options.connections) wrong_usage("--in-flight is more than --connections");
  if (options.rate <= 0 && !options.in_flight) options.rate = 10;
  return options;
}

int run(const Options& options) {
  std::signal(SIGPIPE, SIG_IGN);
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  try {
    if (options.null_port) serve_nothing(options);
    std::vector<Kind> kinds = make_kinds(options);
    Generator generator(options, kinds);
    if (options.alone) generator.ask_alone();
    generator.run();
    print_report(options, generator.report);
    return generator.report.failed() == 0 && generator.report.whole > 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "edgellm-load: %s\n", error.what());
    return 1;
  }
}

}  // namespace
}  // namespace edgellm::load

int main(int count, char** arguments) {
  return edgellm::load::run(edgellm::load::parse(count, arguments));
}
