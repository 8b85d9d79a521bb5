#include "load/report.h"

#include <algorithm>
#include <cstdio>

#include "base/json_writer.h"

namespace edgellm::load {
namespace {

struct Spread {
  double p50 = 0, p99 = 0, max = 0;
};

Spread spread_of(std::vector<double>& ms) {
  if (ms.empty()) return {};
  std::sort(ms.begin(), ms.end());
  const auto at = [&](double share) {
    return ms[std::min(ms.size() - 1, static_cast<size_t>(share * static_cast<double>(ms.size())))];
  };
  return {at(0.5), at(0.99), ms.back()};
}

Text view(const std::string& text) {
  return {text.data(), static_cast<i64>(text.size())};
}

void print_json(const Options& options, Report& report) {
  JsonWriter json([](void*, Text piece) { std::fwrite(piece.data, 1, static_cast<size_t>(piece.size), stdout); }, nullptr);
  json.open({});
  json.number("connections", options.connections);
  json.real("rate", {options.rate, 3});
  json.number("in_flight", options.in_flight);
  json.real("seconds", {report.seconds, 3});
  json.real("waited", {report.waited, 3});
  json.number("offered", report.offered);
  json.number("whole", report.whole);
  json.number("busy", report.busy);
  json.number("unavailable", report.unavailable);
  json.number("unanswered", report.unanswered);
  json.number("unsent", report.unsent);
  json.number("failed", report.failed());
  json.open("failures");
  for (const auto& [why, count] : report.failures)
    json.number(view(why), count);
  json.close();
  json.number("reconnected", report.reconnected);
  json.real("tokens_in_per_second", {static_cast<double>(report.tokens_in) / report.seconds, 2});
  json.real("tokens_out_per_second", {static_cast<double>(report.tokens_out) / report.seconds, 2});
  const auto times = [&](const char* key, Times& of) {
    const Spread spread = spread_of(of.ms);
    json.open(key);
    json.real("p50", {spread.p50, 3});
    json.real("p99", {spread.p99, 3});
    json.real("max", {spread.max, 3});
    json.close();
  };
  times("first_byte_ms", report.first_byte);
  times("first_token_ms", report.first_token);
  times("between_tokens_ms", report.between);
  times("answer_ms", report.answer);
  json.close();
  std::printf("\n");
}

}  // namespace

long Report::failed() const {
  long sum = 0;
  for (const auto& [why, count] : failures)
    sum += count;
  return sum;
}

void print_report(const Options& options, Report& report) {
  if (options.json) return print_json(options, report);
  std::printf("requests     offered %ld, whole %ld, 429 %ld, 503 %ld, failed %ld", report.offered, report.whole, report.busy,
              report.unavailable, report.failed());
  if (options.ends) std::printf(", unanswered %ld, unsent %ld", report.unanswered, report.unsent);
  std::printf("\nconnections  %d, made anew %ld\n", options.connections, report.reconnected);
  std::printf("tokens/s     out %.1f, in %.1f, over %.1f s; the last answer %.2f s behind\n",
              static_cast<double>(report.tokens_out) / report.seconds,
              static_cast<double>(report.tokens_in) / report.seconds, report.seconds, report.waited);
  std::printf("%-15s %10s %10s %10s\n", "ms", "p50", "p99", "max");
  const auto row = [](const char* name, Times& of) {
    const Spread spread = spread_of(of.ms);
    if (!of.ms.empty()) std::printf("%-15s %10.2f %10.2f %10.2f\n", name, spread.p50, spread.p99, spread.max);
  };
  row("first byte", report.first_byte);
  row("first token", report.first_token);
  row("between tokens", report.between);
  row("whole answer", report.answer);
  for (const auto& [why, count] : report.failures)
    std::printf("failed %ld times: %s\n", count, why.c_str());
}

}  // namespace edgellm::load
