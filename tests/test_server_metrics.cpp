// The figures and their format: against an own strict reader, and against Prometheus' promtool where it is installed.
#include "server/metrics.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "files.h"
#include "metrics_format.h"
#include "program.h"
#include "server/connections.h"

using namespace edgellm;

namespace {

std::string string_of(Text text) {
  return {text.data, static_cast<size_t>(text.size)};
}

}  // namespace

TEST(histograms_count_by_their_bounds) {
  DurationHistogram durations;
  std::vector<i64> all;
  i64 sum = 0;
  for (const auto& bound : DurationHistogram::BOUNDS) {
    for (i64 ns : {bound.ns - 1, bound.ns, bound.ns + 1})
      all.push_back(ns);
    CHECK_EQ(std::atof(bound.seconds) * 1e9, static_cast<double>(bound.ns));
  }
  all.push_back(0);
  all.push_back(3600 * i64{1000000000});
  for (i64 ns : all) {
    durations.add(ns);
    sum += ns;
  }
  for (i32 i = 0; i < DurationHistogram::COUNT; i++) {
    const i64 bound = DurationHistogram::BOUNDS[i].ns;
    CHECK(i == 0 || bound > DurationHistogram::BOUNDS[i - 1].ns);
    CHECK_EQ(durations.at_most(i),
             static_cast<u64>(std::count_if(all.begin(), all.end(), [&](i64 ns) { return ns <= bound; })));
  }
  CHECK_EQ(durations.count(), all.size());
  CHECK_EQ(durations.seconds(), static_cast<double>(sum) / 1e9);
}

TEST(the_format) {
  char buffer[8192];
  Writer to(buffer);
  MetricsWriter out(to);
  out.family("edgellm_things_total", "counter", "Things.");
  out.whole(7);
  out.label("model", "a\"b\\c\nd \xc3\xa9 \xff\xc3(").label("status", "").whole(18446744073709551615u);
  out.plain();
  out.label("model", "x").whole(0);
  out.family("edgellm_heat_celsius", "gauge", "Heat.");
  out.real(-1.25, 3);
  DurationHistogram durations;
  durations.add(2000000000);
  out.family("edgellm_wait_seconds", "histogram", "Waiting.");
  out.label("model", "x").histogram(durations);
  out.family("edgellm_guess", "summary", "Guesses.");
  out.summary(2.5, 2);
  const std::string text = string_of(to.text());
  std::string buckets;
  for (const auto& bound : DurationHistogram::BOUNDS)
    buckets += "edgellm_wait_seconds_bucket{model=\"x\",le=\"" + std::string(bound.seconds) + "\"} " +
               (bound.ns >= 2000000000 ? "1" : "0") + "\n";
  CHECK_EQ(text,
           "# HELP edgellm_things_total Things.\n# TYPE edgellm_things_total counter\n"
           "edgellm_things_total 7\n"
           "edgellm_things_total{model=\"a\\\"b\\\\c\\nd \xc3\xa9 ?\?(\",status=\"\"} 18446744073709551615\n"
           "edgellm_things_total{model=\"x\"} 0\n"
           "# HELP edgellm_heat_celsius Heat.\n# TYPE edgellm_heat_celsius gauge\n"
           "edgellm_heat_celsius -1.250\n"
           "# HELP edgellm_wait_seconds Waiting.\n# TYPE edgellm_wait_seconds histogram\n" +
               buckets +
               "edgellm_wait_seconds_bucket{model=\"x\",le=\"+Inf\"} 1\n"
               "edgellm_wait_seconds_sum{model=\"x\"} 2.000000\nedgellm_wait_seconds_count{model=\"x\"} 1\n"
               "# HELP edgellm_guess Guesses.\n# TYPE edgellm_guess summary\nedgellm_guess_sum "
               "2.500000\nedgellm_guess_count 2\n");
  const Exposition read = read_exposition(text);
  CHECK_EQ(read.wrong, "");
  CHECK_EQ(read.at("edgellm_wait_seconds_count{model=\"x\"}"), 1.0);
  check_with_promtool(text);
}

TEST(a_text_that_does_not_fit_is_cut_and_says_so) {
  char buffer[60];
  Writer to(buffer);
  MetricsWriter out(to);
  out.family("edgellm_things_total", "counter", "Things.");
  CHECK(to.cut());
}

// The reader itself: what it refuses.
TEST(what_is_not_the_format) {
  const std::string head = "# HELP a_total A.\n# TYPE a_total counter\n", histogram = "# HELP h H.\n# TYPE h histogram\n";
  const std::string right = histogram + "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
  CHECK_EQ(read_exposition(head + "a_total 1\n" + right).wrong, "");
  const std::string wrong[] = {
      "a_total 1\n",                                         // no type
      head + "a_total 1",                                    // no end of the line
      head + "a_total 1\n\n",                                // an empty line
      head + "b_total 1\n",                                  // another family
      head + "a_total\n",                                    // no value
      head + "a_total x\n",                                  // no number
      head + "a_total 1 5 \n",                               // more than a value
      head + "a_total NaN\n",                                // not finite
      head + "a_total -1\n",                                 // falls
      head + "a_total{x=1} 1\n",                             // no quotation marks
      head + "a_total{x=\"1} 1\n",                           // no end
      head + "a_total{1x=\"1\"} 1\n",                        // no name
      head + "a_total{x=\"\\t\"} 1\n",                       // an escape that is none
      head + "a_total{x=\"1\",x=\"2\"} 1\n",                 // a label twice
      head + "a_total{x=\"1\"} 1\na_total{x=\"1\"} 1\n",     // a series twice
      head + "a_total 1\n" + head + "a_total{x=\"1\"} 1\n",  // a family twice
      "# HELP a A.\n# TYPE a counter\na 1\n",                // not _total
      "# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n",
      "# HELP a A.\n# TYPE b gauge\na 1\n",
      "# HELP a A.\n",
      "# HELP a \n# TYPE a gauge\na 1\n",
      "# HELP a A.\n# TYPE a number\na 1\n",
      histogram + "h_bucket{le=\"1\"} 1\nh_sum 3\nh_count 1\n",                           // no +Inf
      histogram + "h_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",  // falls
      histogram + "h_bucket{le=\"2\"} 1\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",
      histogram + "h_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 1\n",
      histogram + "h_bucket{le=\"+Inf\"} 2\nh_count 2\n",
      histogram + "h_bucket 2\nh_sum 3\nh_count 2\n",
      histogram + "h 2\n",
  };
  for (const std::string& text : wrong)
    CHECK_EQ(text + (read_exposition(text).wrong.empty() ? "is not refused" : ""), text);
}

TEST(requests_by_route_and_status) {
  const Route routes[] = {{"GET", "/a", nullptr}, {"POST", "/a", nullptr}};
  RequestCounts counts;
  Arena counting;
  counts.place(counting, 2);
  auto block = std::make_unique<u8[]>(static_cast<size_t>(counting.used()) + 64);
  Arena arena(block.get() + (64 - reinterpret_cast<uintptr_t>(block.get()) % 64), counting.used());
  counts.place(arena, 2);
  const Route* all[] = {&routes[0], &routes[1], nullptr};
  for (i32 round = 1; round <= 3; round++) {
    for (i32 status = 0; status < RequestCounts::STATUSES; status++)
      for (const Route* route : all)
        if (round < 3 || (status == 5 && route == all[1])) counts.add(route, status);
  }
  CHECK_EQ(counts.rows().count, 3 * RequestCounts::STATUSES);
  i64 wrong = 0;
  for (const RequestCounts::Row& row : counts.rows())
    wrong += row.count != (row.status == 5 && row.route == all[1] ? 3u : 2u);
  CHECK_EQ(wrong, 0);
}
