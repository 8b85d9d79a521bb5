// Reading JSON: texts that are taken and texts that are refused, each at every length and at the edge of readable memory; escapes
// of every code point, every sequence of bytes that is no UTF-8, numbers, limits; and fields in words.
#include "server/json.h"

#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/json_writer.h"
#include "check.h"
#include "guarded.h"
#include "text/unicode.h"

using namespace edgellm;
using namespace std::string_literals;

static constexpr i64 NODES = 4096;
static JsonNode nodes[NODES];

static Text view(const std::string& text) {
  return {text.data(), static_cast<i64>(text.size())};
}

// As JSON in our own spelling, strings in brackets.
static std::string shown(const JsonNode& node) {
  if (node.kind == JsonKind::string) return "<" + std::string(node.data, node.size) + ">";
  if (node.kind != JsonKind::list && node.kind != JsonKind::object) return std::string(node.data, node.size);
  const bool list = node.kind == JsonKind::list;
  std::string out = list ? "[" : "{";
  u32 count = 0;
  for (const JsonNode* child = json_first(node); child; child = json_next(*child), count++) {
    if (count) out += " ";
    out += shown(*child);
    if (!list) out += ":" + shown(child[1]);
  }
  CHECK_EQ(count, node.size);
  return out + (list ? "]" : "}");
}

static std::string read(const std::string& text, i64 room = NODES) {
  static check::Guarded memory(1 << 21);
  const Status status = parse_json(memory.at_end(text), {nodes, room});
  return status.ok() ? shown(nodes[0]) : status.text();
}

struct Row {
  std::string text, outcome;
};

static void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows)
    CHECK_EQ(row.text + " -> " + read(row.text), row.text + " -> " + row.outcome);
}

// A beginning of a list, an object or a string is never taken for a whole.
TEST(texts_that_are_taken) {
  const std::vector<Row> rows = {
      {"{}", "{}"},
      {"[]", "[]"},
      {"\"\"", "<>"},
      {" \t\r\n[ \t\r\n] \t\r\n", "[]"},
      {"[true,false,null]", "[true false null]"},
      {"[[],[[]],{}]", "[[] [[]] {}]"},
      {"{\"a\":1}", "{<a>:1}"},
      {"{ \"a\" : { \"b\" : [ 1 , 2 ] } , \"\" : \"c\" }", "{<a>:{<b>:[1 2]} <>:<c>}"},
      {"{\"a\":1,\"A\":2,\"a \":3,\"\\u0000\":4}", "{<a>:1 <A>:2 <a >:3 <\0>:4}"s},
      {"[0,-0,0.0,-0.0,0e0,0E+0,0e-0,1,-1,10,1.5,1e5,1E5,1e+5,1e-5,-1.25e+10]",
       "[0 -0 0.0 -0.0 0e0 0E+0 0e-0 1 -1 10 1.5 1e5 1E5 1e+5 1e-5 -1.25e+10]"},
      {"[1e999999999999999999999,123456789012345678901234567890]",
       "[1e999999999999999999999 123456789012345678901234567890]"},
      {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "<\"\\/\b\f\n\r\t>"},
      {"\"\\u0041\\u00e4\\u20aC\\uFFFF\\u0000\"", "<A\xc3\xa4\xe2\x82\xac\xef\xbf\xbf\0>"s},
      {"\"\\ud834\\udd1e\\uD800\\uDC00\\udbff\\udfff\"", "<\xf0\x9d\x84\x9e\xf0\x90\x80\x80\xf4\x8f\xbf\xbf>"},
      {"\"\x7f\xc2\x80\xe2\x80\xa8\xef\xbb\xbf\xf4\x8f\xbf\xbf\"", "<\x7f\xc2\x80\xe2\x80\xa8\xef\xbb\xbf\xf4\x8f\xbf\xbf>"},
      {"\"a\\\\u0041\"", "<a\\u0041>"},
  };
  check_rows(rows);
  for (const Row& row : rows) {
    for (size_t size = 0; size < row.text.find_last_of("]}\""); size++)
      CHECK_EQ(read(row.text.substr(0, size)).substr(0, 12), "not JSON at ");
  }
}

TEST(texts_that_are_refused) {
  auto at = [](int byte, const std::string& what, const std::string& got) {
    return "not JSON at byte " + std::to_string(byte) + ": expected " + what + ", got " + got;
  };
  const std::string value = "a value", end = "the end", element = "',' or ']'", more = "',' or '}'";
  const std::string key = "'\"' at the start of a key", quote = "'\"' at the end of a string", digit = "a digit";
  const std::string control = "an escape for a control character", last = "the end of the text";
  const std::string hex = "four hexadecimal digits behind \\u", letter = "one of \"\\/bfnrtu behind \\";
  const std::string half = ": half a surrogate pair: expected \\ud800 to \\udbff and \\udc00 to \\udfff";
  check_rows({
      {"", at(0, value, end)},
      {" ", at(1, value, end)},
      {"\xef\xbb\xbf{}", at(0, value, "byte 0xef")},
      {"{} {}", at(3, last, "'{'")},
      {"[]]", at(2, last, "']'")},
      {"1 2", at(2, last, "'2'")},
      {"\"a\"b", at(3, last, "'b'")},
      {"{}\0"s, at(2, last, "byte 0x00")},
      {"nul", at(3, "null", end)},
      {"nulL", at(3, "null", "'L'")},
      {"nullx", at(4, last, "'x'")},
      {"True", at(0, value, "'T'")},
      {"tru]", at(3, "true", "']'")},
      {"fals", at(4, "false", end)},
      {"NaN", at(0, value, "'N'")},
      {"Infinity", at(0, value, "'I'")},
      {"-Infinity", at(1, digit, "'I'")},
      {"-", at(1, digit, end)},
      {"+1", at(0, value, "'+'")},
      {".5", at(0, value, "'.'")},
      {"-.5", at(1, digit, "'.'")},
      {"1.", at(2, digit, end)},
      {"1.e5", at(2, digit, "'e'")},
      {"1e", at(2, digit, end)},
      {"1e+", at(3, digit, end)},
      {"1e+-5", at(3, digit, "'-'")},
      {"01", at(1, last, "'1'")},
      {"-01", at(2, last, "'1'")},
      {"00", at(1, last, "'0'")},
      {"0x10", at(1, last, "'x'")},
      {"1_000", at(1, last, "'_'")},
      {"[1,]", at(3, value, "']'")},
      {"[,1]", at(1, value, "','")},
      {"[1,,2]", at(3, value, "','")},
      {"[1 2]", at(3, element, "'2'")},
      {"[1", at(2, element, end)},
      {"[", at(1, value, end)},
      {"[1}", at(2, element, "'}'")},
      {"{", at(1, key, end)},
      {"{1:2}", at(1, key, "'1'")},
      {"{a:2}", at(1, key, "'a'")},
      {"{'a':2}", at(1, key, "'''")},
      {"{\"a\"}", at(4, "':' behind a key", "'}'")},
      {"{\"a\" 1}", at(5, "':' behind a key", "'1'")},
      {"{\"a\":}", at(5, value, "'}'")},
      {"{\"a\":1,}", at(7, key, "'}'")},
      {"{\"a\":1,,}", at(7, key, "','")},
      {"{\"a\":1 \"b\":2}", at(7, more, "'\"'")},
      {"{\"a\":1", at(6, more, end)},
      {"{\"a\":1]", at(6, more, "']'")},
      {"{\"a\":1,\"b\":2,\"a\":3}", "not JSON at byte 13: this key is in the object twice"},
      {"{\"a\":1,\"\\u0061\":3}", "not JSON at byte 7: this key is in the object twice"},
      {"{\"\":1,\"\":3}", "not JSON at byte 6: this key is in the object twice"},
      {"[1]//", at(3, last, "'/'")},
      {"/**/1", at(0, value, "'/'")},
      {"\"", at(1, quote, end)},
      {"\"a", at(2, quote, end)},
      {"'a'", at(0, value, "'''")},
      {"\"a\nb\"", at(2, control, "byte 0x0a")},
      {"\"\t\"", at(1, control, "byte 0x09")},
      {"\"\0\""s, at(1, control, "byte 0x00")},
      {"\"\x1f\"", at(1, control, "byte 0x1f")},
      {"\"\\", at(2, letter, end)},
      {"\"\\x41\"", at(2, letter, "'x'")},
      {"\"\\'\"", at(2, letter, "'''")},
      {"\"\\U0041\"", at(2, letter, "'U'")},
      {"\"\\\n\"", at(2, letter, "byte 0x0a")},
      {"\"\\u004\"", at(6, hex, "'\"'")},
      {"\"\\u00g0\"", at(5, hex, "'g'")},
      {"\"\\u", at(3, hex, end)},
      {"\"\\u-041\"", at(3, hex, "'-'")},
      {"\"\\ud800\"", "not JSON at byte 1" + half},
      {"\"\\udc00\"", "not JSON at byte 1" + half},
      {"\"\\udfff\\ud800\"", "not JSON at byte 1" + half},
      {"\"a\\ud800\\u0041\"", "not JSON at byte 2" + half},
      {"\"a\\ud800\\ud800\"", "not JSON at byte 2" + half},
      {"\"\\ud800\\ue000\"", "not JSON at byte 1" + half},
      {"\"\\ud800\\n\"", "not JSON at byte 1" + half},
      {"\"\\ud800\\", "not JSON at byte 1" + half},
      {"\"\\ud800\\u", at(9, hex, end)},
      {"\"\\ud800\\udc0\"", at(12, hex, "'\"'")},
  });
}

// Each escape alone, each character as it is, each pair, and what our writer makes of it.
TEST(every_code_point) {
  static char buffer[64];
  for (u32 c = 0; c <= 0x10ffff; c++) {
    char bytes[4], escape[16];
    if (c >= 0xd800 && c < 0xe000) {
      std::snprintf(escape, sizeof escape, "\"\\u%04x\"", c);
      CHECK_EQ(read(escape).substr(0, 40), "not JSON at byte 1: half a surrogate pai");
      // As UTF-8 would have it, were it allowed.
      const char sequence[] = {'"',
                               static_cast<char>(0xe0 | c >> 12),
                               static_cast<char>(0x80 | (c >> 6 & 63)),
                               static_cast<char>(0x80 | (c & 63)),
                               '"',
                               0};
      CHECK_EQ(read(sequence), "not JSON at byte 1: expected UTF-8, got byte 0xed");
      continue;
    }
    const std::string character(bytes, static_cast<size_t>(utf8_encode(c, bytes)));
    std::vector<std::string> forms;
    if (c < 0x10000) {
      std::snprintf(escape, sizeof escape, c & 1 ? "\\u%04x" : "\\u%04X", c);
    } else {
      std::snprintf(escape, sizeof escape, "\\u%04x\\u%04X", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + (c & 0x3ff));
    }
    forms.push_back("\"" + std::string(escape) + "\"");
    if (c >= 0x20 && c != '"' && c != '\\') forms.push_back("\"" + character + "\"");
    Writer writer(buffer);
    JsonWriter(writer).text({}, view(character));
    forms.push_back(std::string(writer.text().data, static_cast<size_t>(writer.text().size)));
    for (std::string& form : forms) {
      const Status status = parse_json({form.data(), static_cast<i64>(form.size())}, {nodes, NODES});
      if (!status.ok() || !(nodes[0].text() == view(character))) CHECK_EQ(form + status.text(), character);
    }
  }
}

// Every two bytes, and every three and four of those at the edges of what UTF-8 allows, against a decoder that is written out.
TEST(bytes_that_are_no_utf8) {
  auto valid = [](const std::string& s) {
    size_t i = 0;
    while (i < s.size()) {
      auto byte = [&](size_t k) { return i + k < s.size() ? static_cast<u8>(s[i + k]) : 0u; };
      const u32 lead = byte(0);
      const size_t size = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
      if (size == 0) return false;
      u32 c = size == 1 ? lead : lead & (0x7fu >> size);
      for (size_t k = 1; k < size; k++) {
        if (byte(k) >> 6 != 2) return false;
        c = c << 6 | (byte(k) & 63);
      }
      const u32 least[] = {0, 0, 0x80, 0x800, 0x10000};
      if (c < least[size] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return false;
      i += size;
    }
    return true;
  };
  auto compare = [&](const std::string& bytes) {
    if (bytes.find_first_of("\"\\") != std::string::npos) return;
    for (char c : bytes) {
      if (static_cast<u8>(c) < 0x20) return;
    }
    std::string text = "\"" + bytes + "\"";
    const bool ok = parse_json({text.data(), static_cast<i64>(text.size())}, {nodes, NODES}).ok();
    if (ok != valid(bytes)) CHECK_EQ(bytes, ok ? "refused" : "taken");
  };
  for (int a = 0; a < 256; a++) {
    compare(std::string(1, static_cast<char>(a)));
    for (int b = 0; b < 256; b++)
      compare({static_cast<char>(a), static_cast<char>(b)});
  }
  const std::string edges =
      "\x41\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee\xef\xf0\xf1\xf3\xf4\xf5\xf8\xff";
  for (char a : edges) {
    for (char b : edges) {
      for (char c : edges) {
        compare({a, b, c});
        for (char d : edges)
          compare({a, b, c, d});
      }
    }
  }
  CHECK_EQ(read("\"a\xe2\x82\""), "not JSON at byte 2: expected UTF-8, got byte 0xe2");
  CHECK_EQ(read("\"\xf0\x9f"), "not JSON at byte 1: expected UTF-8, got byte 0xf0");
}

TEST(limits) {
  auto nested = [](size_t depth, char open, char close) { return std::string(depth, open) + std::string(depth, close); };
  CHECK_EQ(read(nested(64, '[', ']')), nested(64, '[', ']'));
  CHECK_EQ(read(nested(65, '[', ']')), "not JSON at byte 64: more than 64 lists and objects in each other");
  CHECK_EQ(read(std::string(100000, '[')), "not JSON at byte 64: more than 64 lists and objects in each other");
  std::string objects;
  for (int i = 0; i < 65; i++)
    objects += "{\"k\":";
  CHECK_EQ(read(objects), "not JSON at byte 320: more than 64 lists and objects in each other");
  CHECK_EQ(read("[" + nested(63, '[', ']') + "," + nested(63, '[', ']') + "]").size(), size_t{2 + 4 * 63 + 1});

  CHECK_EQ(read("[1,{\"a\":2}]", 5), "[1 {<a>:2}]");
  for (i64 room = 0; room < 5; room++)
    CHECK_EQ(read("[1,{\"a\":2}]", room).substr(17), std::to_string(std::vector{0, 1, 3, 4, 8}[static_cast<size_t>(room)]) +
                                                         ": more than " + std::to_string(room) + " values and keys");
  std::string members = "{";
  for (int i = 0; i < 1024; i++)
    members += "\"" + std::to_string(i) + "\":0,";
  const std::string whole = members.substr(0, members.size() - 1) + "}", longer = members + "\"x\":0}";
  CHECK_EQ(read(whole).substr(0, 7), "{<0>:0 ");
  CHECK_EQ(read(longer), "not JSON at byte " + std::to_string(members.size()) + ": more than 1024 members in an object");
  CHECK_EQ(read("[" + whole + "]").substr(0, 8), "[{<0>:0 ");
}

static std::string said(const Status& status) {
  return status.ok() ? "ok" : status.text();
}

static JsonField parsed(const std::string& value) {
  static std::string kept;
  kept = "{\"x\":" + value + "}";
  const Status status = parse_json({kept.data(), static_cast<i64>(kept.size())}, {nodes, NODES});
  CHECK_EQ(said(status), "ok");
  return json_field(nodes[0], "x");
}

TEST(integers) {
  i64 n = 7;
  for (const Row& row : std::vector<Row>{
           {"1", "ok"},
           {"200", "ok"},
           {"0", "x: expected an integer from 1 to 200, got 0"},
           {"201", "x: expected an integer from 1 to 200, got 201"},
           {"-1", "x: expected an integer from 1 to 200, got -1"},
           {"\"ten\"", "x: expected an integer from 1 to 200, got \"ten\""},
           {"\"1\"", "x: expected an integer from 1 to 200, got \"1\""},
           {"1.5", "x: expected an integer from 1 to 200, got 1.5"},
           {"1e3", "x: expected an integer from 1 to 200, got 1e3"},
           {"1e-1", "x: expected an integer from 1 to 200, got 1e-1"},
           {"10.01e1", "x: expected an integer from 1 to 200, got 10.01e1"},
           {"1e999999999999", "x: expected an integer from 1 to 200, got 1e999999999999"},
           {"1e-999999999999", "x: expected an integer from 1 to 200, got 1e-999999999999"},
           {"true", "x: expected an integer from 1 to 200, got true"},
           {"[1]", "x: expected an integer from 1 to 200, got a list"},
           {"{\"a\":1}", "x: expected an integer from 1 to 200, got an object"},
           {"18446744073709551617", "x: expected an integer from 1 to 200, got 18446744073709551617"},
           {"99999999999999999999999999999999999999999",
            "x: expected an integer from 1 to 200, got " + std::string(40, '9') + "..."},
       }) {
    n = 7;
    CHECK_EQ(row.text + " " + said(read_integer(parsed(row.text), 1, 200, &n)), row.text + " " + row.outcome);
    CHECK_EQ(n, row.outcome == "ok" ? std::stoll(row.text) : 7);
  }
  // However a whole number is written.
  const std::pair<const char*, i64> forms[] = {{"16.0", 16},    {"1e0", 1},      {"1.6e1", 16},
                                               {"1600E-2", 16}, {"0.16e+2", 16}, {"-1.50e1", -15},
                                               {"-0.0", 0},     {"0e999", 0},    {"0.000e-999999", 0}};
  for (const auto& form : forms) {
    CHECK_EQ(said(read_integer(parsed(form.first), -20, 20, &n)), "ok");
    CHECK_EQ(n, form.second);
  }
  u64 most = 0;
  CHECK_EQ(said(read_whole(parsed("1844674407370955161.5e1"), ~u64{0}, &most)), "ok");
  CHECK_EQ(most, ~u64{0});
  CHECK(!read_whole(parsed("1844674407370955161.6e1"), ~u64{0}, &most).ok());
  n = 7;
  CHECK_EQ(said(read_integer(parsed("null"), 1, 200, &n)), "ok");
  CHECK_EQ(said(read_integer(json_field(nodes[0], "y"), 1, 200, &n)), "ok");
  CHECK_EQ(n, 7);
  for (const char* whole : {"-9223372036854775808", "9223372036854775807", "-1", "-0", "9007199254740993"}) {
    CHECK_EQ(said(read_integer(parsed(whole), INT64_MIN, INT64_MAX, &n)), "ok");
    CHECK_EQ(n, std::strtoll(whole, nullptr, 10));
  }
  for (const char* outside :
       {"-9223372036854775809", "9223372036854775808", "18446744073709551616", "-18446744073709551615"})
    CHECK_EQ(said(read_integer(parsed(outside), INT64_MIN, INT64_MAX, &n)),
             "x: expected an integer from -9223372036854775808 to 9223372036854775807, got "s + outside);
  u64 seed = 7;
  for (const char* whole : {"0", "-0", "18446744073709551615", "18446744073709551614", "9223372036854775808"}) {
    CHECK_EQ(said(read_whole(parsed(whole), UINT64_MAX, &seed)), "ok");
    CHECK_EQ(seed, std::strtoull(whole, nullptr, 10));
  }
  for (const char* outside : {"18446744073709551616", "-1", "184467440737095516150"})
    CHECK_EQ(said(read_whole(parsed(outside), UINT64_MAX, &seed)),
             "x: expected an integer from 0 to 18446744073709551615, got "s + outside);
  CHECK_EQ(said(read_whole(parsed("5"), 5, &seed)), "ok");
  CHECK_EQ(said(read_whole(parsed("6"), 5, &seed)), "x: expected an integer from 0 to 5, got 6");
  CHECK_EQ(said(read_whole(parsed("0"), 0, &seed)), "ok");
  CHECK_EQ(said(read_whole(parsed("1"), 0, &seed)), "x: expected an integer from 0 to 0, got 1");
}

// Each number of up to three digits, and around each bound, against libc.
TEST(integers_at_every_bound) {
  for (i64 high = 0; high < 130; high++) {
    for (u64 n = 0; n < 1400; n += n < 140 ? 1 : 97) {
      u64 value = 77777;
      const bool ok = read_whole(parsed(std::to_string(n)), static_cast<u64>(high), &value).ok();
      CHECK(ok == (n <= static_cast<u64>(high)) && value == (ok ? n : 77777));
    }
  }
}

TEST(reals) {
  f64 x = 7;
  CHECK_EQ(said(read_real(parsed("0.7"), 0, 2, &x)), "ok");
  CHECK_EQ(x, 0.7);
  CHECK_EQ(said(read_real(parsed("2"), 0, 2, &x)), "ok");
  CHECK_EQ(x, 2.0);
  CHECK_EQ(said(read_real(parsed("1e-3"), 0, 2, &x)), "ok");
  CHECK_EQ(x, 1e-3);
  CHECK_EQ(said(read_real(parsed("null"), 0, 2, &x)), "ok");
  CHECK_EQ(said(read_real(parsed("-0.1"), 0, 2, &x)), "x: expected a number from 0 to 2, got -0.1");
  CHECK_EQ(said(read_real(parsed("2.0000000000000004"), 0, 2, &x)),
           "x: expected a number from 0 to 2, got 2.0000000000000004");
  CHECK_EQ(said(read_real(parsed("1e999"), -2, 0.125, &x)), "x: expected a number from -2 to 0.125, got 1e999");
  CHECK_EQ(said(read_real(parsed("\"hot\""), 0.1, 2, &x)), "x: expected a number from 0.1 to 2, got \"hot\"");
  CHECK_EQ(x, 1e-3);
}

TEST(other_fields) {
  bool flag = false;
  Text text;
  const JsonNode *list = nullptr, *object = nullptr;
  CHECK(read_boolean(parsed("true"), &flag).ok() && flag);
  CHECK(read_boolean(parsed("null"), &flag).ok() && flag);
  CHECK(read_boolean(parsed("false"), &flag).ok() && !flag);
  CHECK_EQ(said(read_boolean(parsed("1"), &flag)), "x: expected true or false, got 1");
  CHECK_EQ(said(read_boolean(parsed("\"true\""), &flag)), "x: expected true or false, got \"true\"");
  CHECK(read_string(parsed("\"a\\u0000b\""), &text).ok() && text == view("a\0b"s));
  CHECK_EQ(said(read_string(parsed("[]"), &text)), "x: expected a string, got a list");
  CHECK(read_list(parsed("[1,2]"), &list).ok() && list && list->size == 2);
  CHECK_EQ(said(read_list(parsed("false"), &list)), "x: expected a list, got false");
  CHECK(read_object(parsed("{\"y\":1}"), &object).ok() && object && object->size == 1);
  CHECK_EQ(said(read_object(parsed("-1.5"), &object)), "x: expected an object, got -1.5");

  CHECK(!parsed("null").value);
  CHECK(!json_field(*parsed("[1]").value, "x").value);  // no object
  const Text known[] = {"model", "x"};
  (void)parsed("1,\"model\":2,\"temprature\":3");
  CHECK(json_unknown(nodes[0], {known, 2})->text() == "temprature");
  (void)parsed("1,\"model\":2");
  CHECK(!json_unknown(nodes[0], {known, 2}));
}

// What an error quotes is cut between two characters.
TEST(long_values_are_cut) {
  Text text;
  bool flag;
  for (size_t before = 35; before <= 42; before++) {
    const std::string value = std::string(before, 'v') +
                              "\xf0\x9f\x98\x80"
                              "end";
    const std::string kept = before <= 36 ? value.substr(0, 40) : std::string(before < 40 ? before : 40, 'v');
    CHECK_EQ(said(read_boolean(parsed("\"" + value + "\""), &flag)), "x: expected true or false, got \"" + kept + "...\"");
  }
  const std::string name(500, 'n');
  const Status status = read_string({view(name), parsed("1").value}, &text);
  CHECK_EQ(std::strlen(status.text()), size_t{315});
}

// Random documents, written by our writer: each node is where it was put.
static std::string random_document(std::mt19937_64& random, JsonWriter& json, int depth, Text key) {
  const u64 kind = random() % (depth > 5 ? 3 : 5);
  if (kind == 0) {
    const i64 n = static_cast<i64>(random() >> random() % 64);
    json.number(key, n);
    return std::to_string(n);
  }
  if (kind == 1) {
    std::string s;
    for (u64 size = random() % 8; size > 0; size--) {
      char bytes[4];
      u32 c = static_cast<u32>(random() >> (43 + random() % 21)) % 0x110000;
      if (c >= 0xd800 && c < 0xe000) c = '\n';
      s.append(bytes, static_cast<size_t>(utf8_encode(c, bytes)));
    }
    json.text(key, view(s));
    return "<" + s + ">";
  }
  if (kind == 2) {
    json.real(key, {__builtin_nan(""), 1});
    return "null";
  }
  const bool list = kind == 3;
  list ? json.open_list(key) : json.open(key);
  std::string out = list ? "[" : "{";
  const u64 size = random() % 5;
  for (u64 i = 0; i < size; i++) {
    if (i) out += " ";
    const std::string name = "k" + std::to_string(i);
    if (!list) out += "<" + name + ">:";
    out += random_document(random, json, depth + 1, list ? Text() : view(name));
  }
  list ? json.close_list() : json.close();
  return out + (list ? "]" : "}");
}

TEST(what_is_written_is_read) {
  static char buffer[1 << 20];
  std::mt19937_64 random(5);
  for (int i = 0; i < 2000; i++) {
    Writer writer(buffer);
    JsonWriter json(writer);
    const std::string expected = random_document(random, json, 0, {});
    CHECK(!writer.cut());
    CHECK_EQ(read(std::string(writer.text().data, static_cast<size_t>(writer.text().size))), expected);
  }
}
