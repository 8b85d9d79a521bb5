// The language of chat templates: what each part of it writes, as `transformers` has it (tools/golden/jinja_language.py), what is
// refused and in which words, and where its bounds lie.
#include "convert/base/error.h"
#include "convert/base/json.h"
#include "convert/chat/jinja.h"

#include "check.h"
#include "files.h"

using namespace edgellm;
using convert::Json;

namespace {

std::vector<convert::ChatMessage> messages_of(const Json& json) {
  std::vector<convert::ChatMessage> messages;
  for (const Json& one : *json.find("messages")->array())
    messages.push_back({*one.find("role")->string(), *one.find("content")->string()});
  return messages;
}

// What a template writes, or why it does not.
std::string said(const std::string& source, const std::vector<convert::ChatMessage>& messages = {{"user", "Hi"}}) {
  try {
    return convert::JinjaTemplate(source).render(messages, false, "", "");
  } catch (const convert::Error& error) {
    return std::string("refused: ") + error.what();
  }
}

TEST(every_part_of_the_language_writes_what_transformers_writes) {
  const Json json = convert::parse_json(read_file("tests/golden/chat/language.json"), "language.json");
  const std::vector<convert::ChatMessage> messages = messages_of(json);
  for (const Json& one : *json.find("cases")->array()) {
    const std::string &source = *(*one.array())[0].string(), &expected = *(*one.array())[1].string();
    CHECK_EQ(source + " -> " + said(source, messages), source + " -> " + expected);
  }
}

// A template, and its text or the exact words of its refusal.
struct Row {
  const char *source, *expected;
};

void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows)
    CHECK_EQ(std::string(row.source) + " -> " + said(row.source), std::string(row.source) + " -> " + row.expected);
}

// One value more than a method, a filter or a function is known with is refused; as many as that are not too many.
TEST(more_values_than_are_known) {
  const std::pair<const char*, std::vector<const char*>> names[] = {
      {"",
       {"capitalize", "count", "first", "items", "keys", "last", "length", "list", "lower", "safe", "string", "upper",
        "values"}},
      {"1", {"append", "endswith", "join", "lstrip", "rstrip", "split", "startswith", "strip", "trim"}},
      {"1, 1", {"d", "default", "get", "replace"}},
      {"1, 1, 1", {"range", "rejectattr", "selectattr"}},
  };
  for (const auto& [most, of] : names) {
    const std::string more = *most ? std::string(most) + ", 1" : "1", count = std::to_string((more.size() + 2) / 3);
    for (const std::string name : of) {
      const std::string call = "{{ " + std::string(name == "range" ? "" : "'x'.") + name + "(";
      const std::string refusal = "refused: line 1: \"" + name + "\" with " + count + " values is not known";
      CHECK_EQ(said(call + more + ") }}"), refusal);
      CHECK(said(call + most + ") }}").find("values is not known") == std::string::npos);
    }
  }
}

TEST(what_cannot_be_read_is_refused_by_line_and_name) {
  check_rows({
      {"a\n{# b", "refused: line 2: a comment has no end"},
      {"{{ 1", "refused: line 1: a tag has no end"},
      {"{% if 1 }}", "refused: line 1: a tag has no end"},
      {"\n{{ ( }}", "refused: line 2: a tag has no end"},
      {"{{ 'a }}", "refused: line 1: a string has no end"},
      {"{{ '\\", "refused: line 1: a string has no end"},
      {"{{ '\\x4g' }}", "refused: line 1: \\x4g is no character"},
      {"{{ '\\x 4' }}", "refused: line 1: \\x 4 is no character"},
      {"{{ '\\u12' }}", "refused: line 1: \\u12'  is no character"},
      {"{{ a & b }}", "refused: line 1: unexpected \"&\""},
      {"{{ 2 ** 3 }}", "refused: line 1: unexpected \"**\""},
      {"{{ 1.5 }}", "refused: line 1: unexpected \"5\""},
      {"{{ }}", "refused: line 1: unexpected \"\""},
      {"{{ 1 2 }}", "refused: line 1: unexpected \"2\""},
      {"{{ 1000000000 }}", "refused: line 1: the number 1000000000 is too large"},
      {"{{ [1 2] }}", "refused: line 1: expected \",\", found \"2\""},
      {"{{ {'a' 1} }}", "refused: line 1: expected \":\", found \"1\""},
      {"{{ {'a': 1 'b': 2} }}", "refused: line 1: expected \",\", found \"b\""},
      {"{{ a[] }}", "refused: line 1: unexpected \"\""},
      {"{{ a[1 2] }}", "refused: line 1: unexpected \"2\""},
      {"{{ a[1:2:3:4] }}", "refused: line 1: unexpected \"4\""},
      {"{{ a.1 }}", "refused: line 1: unexpected \"1\""},
      {"{{ a | 'x' }}", "refused: line 1: unexpected \"x\""},
      {"{{ a is 1 }}", "refused: line 1: unexpected \"1\""},
      {"{{ f(1 2) }}", "refused: line 1: expected \",\", found \"2\""},
      {"{{ a not b }}", "refused: line 1: unexpected \"b\""},
      {"{{ 1 if }}", "refused: line 1: unexpected \"\""},
      {"{% %}", "refused: line 1: unexpected \"\""},
      {"{% raw %}{% endraw %}", "refused: line 1: a block \"raw\" is not known"},
      {"{% endif %}", "refused: line 1: a block \"endif\" is not known"},
      {"{% if 1 %}\n\n", "refused: line 2: expected endif"},
      {"{% if 1 %}{% else %}", "refused: line 1: expected endif"},
      {"{% if 1 %}{% endfor %}", "refused: line 1: a block \"endfor\" is not known"},
      {"{% if 1 %}{% endif 2 %}", "refused: line 1: unexpected \"2\""},
      {"{% if 1 %}{% else %}{% else %}{% endif %}", "refused: line 1: a block \"else\" is not known"},
      {"{% if 1 %}{% else 1 %}{% endif %}", "refused: line 1: unexpected \"1\""},
      {"{% for 1 in x %}", "refused: line 1: unexpected \"1\""},
      {"{% for x of y %}", "refused: line 1: unexpected \"of\""},
      {"{% for x in y %}", "refused: line 1: expected endfor"},
      {"{% for x in y %}{% else %}", "refused: line 1: expected endfor"},
      {"{% for x in y %}{% endfor x %}", "refused: line 1: unexpected \"x\""},
      {"{% set 1 = 2 %}", "refused: line 1: unexpected \"1\""},
      {"{% set a.1 = 2 %}", "refused: line 1: unexpected \"1\""},
      {"{% set a = 1, 2 %}", "refused: line 1: unexpected \",\""},
      {"{% set a %}", "refused: line 1: expected endset"},
      {"{% set a %}{% endset b %}", "refused: line 1: unexpected \"b\""},
      {"{% macro f %}", "refused: line 1: expected \"(\", found \"\""},
      {"{% macro f(a b) %}", "refused: line 1: expected \",\", found \"b\""},
      {"{% macro f(1) %}", "refused: line 1: unexpected \"1\""},
      {"{% macro f() %}", "refused: line 1: expected endmacro"},
      {"{% break 1 %}", "refused: line 1: unexpected \"1\""},
      {"{% generation %}", "refused: line 1: expected endgeneration"},
      {"{% generation x %}", "refused: line 1: unexpected \"x\""},
      {"{% macro f() %}x{% endmacro f %}{{ f() }}", "x"},
      {"{% macro f() %}{{ x }}{% endmacro %}{{ f() }}{% set x = 1 %}{{ f() }}{% set x = 2 %}{{ f() }}", "12"},
      {"{{ 1 < 2 < 3 }}", "refused: line 1: a chain of comparisons is not known"},
      {"{{ 1 == 1 in [2] }}", "refused: line 1: a chain of comparisons is not known"},
      {"{{ 'a' | trim.x }}", "refused: line 1: unexpected \".\""},
  });
}

TEST(what_cannot_be_run_is_refused_by_line_and_name) {
  check_rows({
      {"a\nb {{ 'x'\n | nope }}", "refused: line 3: a filter \"nope\" is not known"},
      {"{{ 'x' | title }}", "refused: line 1: a filter \"title\" is not known"},
      {"{{ 'x'.title() }}", "refused: line 1: a filter \"title\" is not known"},
      {"{{ 'x'.nope() }}", "refused: line 1: a filter \"nope\" is not known"},
      {"{{ 1 is nope }}", "refused: line 1: a test \"nope\" is not known"},
      {"{{ 'a' is odd }}", "refused: line 1: a test \"odd\" is not known"},
      {"{{ nope() }}", "refused: line 1: a function \"nope\" is not known"},
      {"{{ [1][0]() }}", "refused: line 1: this cannot be called"},
      {"{{ (1).append(2) }}", "refused: line 1: a method \"append\" is not known"},
      {"{{ {}.append(2) }}", "refused: line 1: a method \"append\" is not known"},
      {"{{ [].strip() }}", "refused: line 1: a method \"strip\" is not known"},
      {"{{ raise_exception('no ' ~ 1) }}", "refused: line 1: it refuses the conversation: no 1"},
      {"{{ nothing.x }}", "refused: line 1: \"x\" of what is undefined"},
      {"{{ nothing['x'] }}", "refused: line 1: \"x\" of what is undefined"},
      {"{{ [1][none] }}", "refused: line 1: what is in brackets does not fit"},
      {"{{ {}[1] }}", "refused: line 1: what is in brackets does not fit"},
      {"{{ none[1] }}", "refused: line 1: what is in brackets does not fit"},
      {"{{ (1)[1:] }}", "refused: line 1: only lists and strings can be sliced"},
      {"{{ 'abc'[::2] }}", "refused: line 1: slices in steps of another size are not known"},
      {"{{ 'abc'[::0] }}", "refused: line 1: slices in steps of another size are not known"},
      {"{{ - 'a' }}", "refused: line 1: - wants a number"},
      {"{{ 1 + 'a' }}", "refused: line 1: \"+\" does not go with these values"},
      {"{{ 'a' + 1 }}", "refused: line 1: + does not go with these values"},
      {"{{ [1] + 1 }}", "refused: line 1: + does not go with these values"},
      {"{{ none + none }}", "refused: line 1: + does not go with these values"},
      {"{{ 'a' - 'b' }}", "refused: line 1: \"-\" does not go with these values"},
      {"{{ 'a' * 3 }}", "refused: line 1: \"*\" does not go with these values"},
      {"{{ 3 * 'a' }}", "refused: line 1: \"*\" does not go with these values"},
      {"{{ 'a' < 1 }}", "refused: line 1: \"<\" does not go with these values"},
      {"{{ [1] < [2] }}", "refused: line 1: \"<\" does not go with these values"},
      {"{{ 6 / 2 }}", "refused: line 1: this division is not known"},
      {"{{ 6 // 0 }}", "refused: line 1: this division is not known"},
      {"{{ 6 % 0 }}", "refused: line 1: this division is not known"},
      {"{{ 6 // -2 }}", "refused: line 1: this division is not known"},
      {"{{ 1 in 'abc' }}", "refused: line 1: in wants a string"},
      {"{{ 1 in 1 }}", "refused: line 1: in wants a string, a list or a dictionary"},
      {"{{ {1: 2} }}", "refused: line 1: a key wants a string"},
      {"{{ {}.get(1) }}", "refused: line 1: get wants a string"},
      {"{{ 'aXb'.split('X', 1) }}", "refused: line 1: \"split\" with 2 values is not known"},
      {"{{ 'aa' | replace('a', 'b', 1) }}", "refused: line 1: \"replace\" with 3 values is not known"},
      {"{{ [] | join(',', 'x') }}", "refused: line 1: \"join\" with 2 values is not known"},
      {"{{ [] | join(attribute='x') }}", "refused: line 1: \"join\" with \"attribute\" is not known"},
      {"{{ 'a' | upper(boolean=1) }}", "refused: line 1: \"upper\" with \"boolean\" is not known"},
      {"{{ range(1, 2, 3, 4) }}", "refused: line 1: \"range\" with 4 values is not known"},
      {"{{ 1 | default(1, 2, 3) }}", "refused: line 1: \"default\" with 3 values is not known"},
      {"{{ {} }}", "refused: line 1: it writes a list or a dictionary"},
      {"{{ [] | trim }}", "refused: line 1: it writes a list or a dictionary"},
      {"{{ 1 | list }}", "refused: line 1: only lists and dictionaries have items"},
      {"{% for x in 'abc' %}{% endfor %}", "refused: line 1: only lists and dictionaries have items"},
      {"{% set a, b = [1] %}", "refused: line 1: a value of another number of parts than names"},
      {"{% for a, b in [[1, 2, 3]] %}{% endfor %}", "refused: line 1: a value of another number of parts than names"},
      {"{% set x = 1 %}{% set x.y = 2 %}", "refused: line 1: \"x\" is no namespace"},
      {"{{ namespace(1) }}", "refused: line 1: namespace wants a dictionary"},
      {"{{ dict([]) }}", "refused: line 1: dict wants a dictionary"},
      {"{{ [] | items }}", "refused: line 1: items wants a dictionary"},
      {"{{ 'a' | replace(1, 'b') }}", "refused: line 1: replace wants a string"},
      {"{{ 'a' | replace('a') }}", "refused: line 1: replace wants a string"},
      {"{{ 'a'.startswith(1) }}", "refused: line 1: startswith wants a string"},
      {"{{ 'a'.endswith(1) }}", "refused: line 1: endswith wants a string"},
      {"{{ 'a'.split() }}", "refused: line 1: split wants a string"},
      {"{{ 'a'.split('') }}", "refused: line 1: split wants a separator"},
      {"{{ messages | selectattr }}", "refused: line 1: selectattr wants a string"},
      {"{{ messages | selectattr('role', 'nope') }}", "refused: line 1: a test \"nope\" is not known"},
      {"{{ [] | tojson(2) }}", "refused: line 1: tojson with a value by its place is not known"},
      {"{{ [] | tojson(indent=17) }}", "refused: line 1: tojson with \"indent\" is not known"},
      {"{{ [] | tojson(indent=-1) }}", "refused: line 1: tojson with \"indent\" is not known"},
      {"{{ [nothing] | tojson }}", "refused: line 1: tojson of this value is not known"},
      {"{% macro f() %}{% endmacro %}{{ f }}", "refused: line 1: it writes a list or a dictionary"},
      {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "refused: line 1: macros call each other without end"},
  });
}

std::string times(int n, const std::string& part) {
  std::string out;
  while (n-- > 0)
    out += part;
  return out;
}

// The largest that is taken, and the next.
TEST(bounds) {
  auto check_bound = [](const std::string& most, const std::string& more, const std::string& words) {
    CHECK(!said(most).starts_with("refused"));
    if (said(most).starts_with("refused")) CHECK_EQ(said(most), "not refused");
    CHECK_EQ(said(more), "refused: " + words);
  };
  auto named = [](int n) { return "{{ " + times(n, "a") + " }}"; };
  check_bound(named(256), named(257), "line 1: a name is too long");
  auto sized = [](int n) { return times(n - 5, " ") + "{# #}"; };
  check_bound(sized(262144), sized(262145), "it has 262145 bytes, at most 262144");
  auto list = [](int n) { return "{{ range(" + std::to_string(n) + ") | length }}"; };
  check_bound(list(4096), list(4097), "line 1: a list is too long");
  CHECK_EQ(said(list(4096)), "4096");
  auto appended = [](int n) {
    return "{% set l = range(" + std::to_string(n) + ") %}{% set x = l.append(1) %}{{ l | length }}";
  };
  check_bound(appended(4095), appended(4096), "line 1: a list is too long");
  const std::string doubled = "{% set n = namespace(s='a') %}{% for i in range(16) %}{% set n.s = n.s ~ n.s %}{% endfor %}";
  check_bound(doubled + "{{ n.s }}", doubled + "{{ n.s }}a", "line 1: it writes too much");
  for (const char* more : {"{{ n.s ~ 'a' }}", "{{ n.s + 'a' }}", "{{ [n.s, 'a'] | join }}",
                           "{{ n.s[1:] | replace('a', 'b') ~ 'cd' }}", "{{ (n.s[1:] ~ 'b') | replace('b', 'cc') }}",
                           "{{ (n.s[2:] ~ 'bb') | replace('b', 'ccc') }}", "{{ n.s | tojson }}{{ n.s }}"})
    CHECK_EQ(more + said(doubled + more), more + std::string("refused: line 1: it writes too much"));
  CHECK_EQ(said(doubled + "{{ [n.s, ''] | join | length }}{{ n.s | replace('a', 'b') | length }}"), "6553665536");
  auto calls = [](int n) {
    return "{% macro f(n) %}{% if n > 1 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(" + std::to_string(n) + ") }}";
  };
  check_bound(calls(10), calls(11), "line 1: macros call each other without end");
  auto after = [](int n) {  // calls that have ended count no more
    return "{% macro f() %}x{% endmacro %}" + times(n, "{{ f() }}");
  };
  CHECK_EQ(said(after(30)), times(30, "x"));
  auto nested = [](int n, const char* with) {
    return "{% set n = namespace(a=[], b=[]) %}{% for i in range(" + std::to_string(n) +
           ") %}{% set n.a = [n.a] %}{% set n.b = [n.b] %}{% endfor %}{{ " + with + " }}";
  };
  check_bound(nested(100, "n.a == n.b"), nested(101, "n.a == n.b"), "line 1: lists are too deep to be compared");
  check_bound(nested(100, "n.a | tojson"), nested(101, "n.a | tojson"), "line 1: lists are too deep for tojson");
  auto product = [](const char* a) { return std::string("{{ ") + a + " + 1 }}"; };
  check_bound(product("2 * 536870912"), product("(2 * 536870912 + 1)"), "line 1: a number is too large");
  check_bound(product("-2 * 536870912"), product("(-2 * 536870912 - 1)"), "line 1: a number is too large");
  check_bound(times(1, "{{ 999999999 }}"), "{{ 1000000000 }}", "line 1: the number 1000000000 is too large");
  auto deep = [](int n) { return "{{ 1" + times(n, " + 1") + " }}"; };
  check_bound(deep(149), deep(150), "line 1: too deep");
  auto inside = [](int n) { return times(n, "{% if 1 %}") + "x" + times(n, "{% endif %}"); };
  int most = 1;
  while (said(inside(most + 1)) == "x" && most < 200)
    most++;
  CHECK_EQ(most, 73);  // a statement and what it holds
  CHECK_EQ(said(inside(74)), "refused: line 1: too deep");
}

// A step for each value and statement, and one for each 64 bytes.
TEST(work_is_counted) {
  auto loops = [](int n) {
    return "{% for i in range(" + std::to_string(n) + ") %}{% for j in range(1000) %}{% endfor %}{% endfor %}";
  };
  const std::string endless = "refused: line 1: it does not come to an end";
  CHECK_EQ(said(loops(5)), "");
  CHECK_EQ(said(loops(100)), endless);
  const std::string doubled = "{% set n = namespace(s='a') %}{% for i in range(15) %}{% set n.s = n.s ~ n.s %}{% endfor %}";
  auto again = [&](int n, const char* what) {
    return said(doubled + "{% for i in range(" + std::to_string(n) + ") %}{% set x = " + what + " %}{% endfor %}");
  };
  // Each takes 512 steps for its 32768 bytes, or more.
  for (const char* what : {"n.s ~ ''", "n.s + ''", "n.s | upper", "n.s | string", "n.s | trim", "n.s.split('b')",
                           "n.s | replace('b', 'c')", "'b' in n.s", "n.s[1:]", "n.s | tojson", "{n.s: 1}", "[n.s] | join"}) {
    CHECK_EQ(what + again(10, what), what + std::string());
    CHECK_EQ(what + again(200, what), what + endless);
  }
  auto lists = [&](int n, const char* what) {
    return said("{% set l = range(1600) %}{% for i in range(" + std::to_string(n) + ") %}{% set x = " + what +
                " %}{% endfor %}");
  };
  for (const char* what : {"l + []", "l[1:]", "l | list", "l == l[:]"}) {
    CHECK_EQ(what + lists(10, what), what + std::string());
    CHECK_EQ(what + lists(400, what), what + endless);
  }
}

}  // namespace
