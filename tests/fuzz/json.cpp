// Any text as a JSON document: what is read, written and read again is the same.
#include "convert/base/json.h"

#include <stdlib.h>

#include <algorithm>

#include "convert/base/error.h"
#include "convert_sources.h"

using namespace edgellm;
using convert::Json;

static bool same(const Json& a, const Json& b) {
  if (a.array() && b.array()) {
    return std::equal(a.array()->begin(), a.array()->end(), b.array()->begin(), b.array()->end(), same);
  }
  if (a.object() && b.object()) {
    return std::equal(a.object()->begin(), a.object()->end(), b.object()->begin(), b.object()->end(),
                      [](const auto& x, const auto& y) { return x.first == y.first && same(x.second, y.second); });
  }
  if (a.string() && b.string()) return *a.string() == *b.string();
  if (a.number() && b.number()) return *a.number() == *b.number();
  if (a.boolean() && b.boolean()) return *a.boolean() == *b.boolean();
  return a.is_null() && b.is_null();
}

// Numbers that are none, as Python writes them, have no other form.
static bool finite(const Json& json) {
  bool all = !json.number() || std::isfinite(*json.number());
  if (json.array()) {
    for (const Json& element : *json.array())
      all &= finite(element);
  }
  if (json.object()) {
    for (const auto& [key, value] : *json.object())
      all &= finite(value);
  }
  return all;
}

// Of members with one name the last is found, of whole numbers all up to 2^53.
static void look_up(const Json& json) {
  if (const f64* number = json.number()) {
    const std::optional<i64> whole = json.whole(-Json::MAX_WHOLE, Json::MAX_WHOLE);
    if (whole && static_cast<f64>(*whole) != *number) abort();
  }
  if (json.array()) {
    for (const Json& element : *json.array())
      look_up(element);
  }
  if (!json.object()) return;
  for (const auto& [key, value] : *json.object()) {
    const Json* found = json.find(key);
    if (found && (found->is_null() || found < &value)) abort();
    look_up(value);
  }
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const Json json = convert::parse_json({reinterpret_cast<const char*>(data), size}, "input");
    look_up(json);
    if (size <= 512 && finite(json) && !same(json, convert::parse_json(sources::written(json), "written"))) abort();
  } catch (const convert::Error&) {
  }
  return 0;
}
