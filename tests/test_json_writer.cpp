// Writing JSON: commas, lists, escapes of every code point, and buffers of every size.
#include "base/json_writer.h"

#include <string>

#include "check.h"
#include "text/unicode.h"

using namespace edgellm;

static std::string text_of(const Writer& writer) {
  return {writer.text().data, static_cast<size_t>(writer.text().size)};
}

template <class Body>
static std::string written(Body body) {
  static char buffer[4096];
  Writer writer(buffer);
  JsonWriter json(writer);
  body(json);
  CHECK(!writer.cut());
  return text_of(writer);
}

TEST(values_alone) {
  CHECK_EQ(written([](JsonWriter& json) { json.text({}, ""); }), "\"\"");
  CHECK_EQ(written([](JsonWriter& json) { json.number({}, INT64_MIN); }), "-9223372036854775808");
  CHECK_EQ(written([](JsonWriter& json) { json.real({}, {0.5, 3}); }), "0.500");
  CHECK_EQ(written([](JsonWriter& json) { json.real({}, {-__builtin_inf(), 3}); }), "null");
  CHECK_EQ(written([](JsonWriter& json) { json.real({}, {-1.7976931348623157e308, 9}); }), "-1.797693135e+308");
  CHECK_EQ(written([](JsonWriter& json) { json.real({}, {-18446744073709549568.0, 9}); }),
           "-18446744073709549568.000000000");
  CHECK_EQ(written([](JsonWriter& json) {
             json.open({});
             json.close();
           }),
           "{}");
  CHECK_EQ(written([](JsonWriter& json) {
             json.open_list({});
             json.close_list();
           }),
           "[]");
}

TEST(lists_and_objects_in_each_other) {
  const std::string said = written([](JsonWriter& json) {
    json.open({});
    json.open_list("choices");
    for (i64 i = 0; i < 2; i++) {
      json.open({});
      json.number("index", i);
      json.open("delta");
      json.close();
      json.open_list("empty");
      json.close_list();
      json.null("finish_reason");
      json.close();
    }
    json.close_list();
    json.open_list("mixed");
    json.number({}, -1);
    json.text({}, "two");
    json.open_list({});
    json.real({}, {0.25, 2});
    json.close_list();
    json.real({}, {1, 0});
    json.close_list();
    json.flag("yes", true);
    json.flag("no", false);
    json.real("nan", {__builtin_nan(""), 1});
    json.close();
  });
  CHECK_EQ(said,
           "{\"choices\":[{\"index\":0,\"delta\":{},\"empty\":[],\"finish_reason\":null},"
           "{\"index\":1,\"delta\":{},\"empty\":[],\"finish_reason\":null}],"
           "\"mixed\":[-1,\"two\",[0.25],1],\"yes\":true,\"no\":false,\"nan\":null}");
}

// Exactly the characters that must be escaped are.
TEST(every_code_point) {
  for (u32 c = 0; c <= 0x10ffff; c++) {
    if (c >= 0xd800 && c < 0xe000) continue;
    char bytes[4];
    const i32 size = utf8_encode(c, bytes);
    const std::string got = written([&](JsonWriter& json) { json.text({}, {bytes, size}); });
    std::string expected(bytes, static_cast<size_t>(size));
    if (c < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", c);
      expected = escape;
    }
    if (c == '"' || c == '\\') expected = std::string("\\") + static_cast<char>(c);
    if (c == '\b') expected = "\\b";
    if (c == '\f') expected = "\\f";
    if (c == '\n') expected = "\\n";
    if (c == '\r') expected = "\\r";
    if (c == '\t') expected = "\\t";
    if (got != "\"" + expected + "\"") CHECK_EQ(got, "\"" + expected + "\"");
  }
  CHECK_EQ(written([](JsonWriter& json) { json.text({}, "a\nb\"c\x01"); }), "\"a\\nb\\\"c\\u0001\"");
}

// A buffer that is too small keeps the beginning, says so, and nothing is written behind it.
TEST(buffers_of_every_size) {
  auto write_to = [](JsonWriter& json) {
    json.open({});
    json.text("k", "a\x02\n");
    json.numbers("n", {});
    json.real("r", {1.5, 2});
    json.close();
  };
  const std::string whole = written(write_to);
  for (size_t capacity = 1; capacity <= whole.size() + 2; capacity++) {
    std::string buffer(capacity + 1, '#');
    Writer writer(buffer.data(), static_cast<i64>(capacity));
    JsonWriter json(writer);
    write_to(json);
    CHECK_EQ(writer.cut(), capacity < whole.size() + 1);
    CHECK_EQ(text_of(writer), whole.substr(0, capacity - 1));
    CHECK_EQ(buffer[capacity], '#');
    writer.clear();
    CHECK(!writer.cut());
  }
}
