// A JSON document (RFC 8259) as a tree. Strings are UTF-8; numbers are doubles, exact for whole numbers up to 2^53, or NaN and
// the infinities as Python writes them.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/types.h"

namespace edgellm::convert {

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;  // in the order of the document

  Json() = default;
  explicit Json(bool value) : value_(value) {}
  explicit Json(f64 value) : value_(value) {}
  explicit Json(std::string value) : value_(std::move(value)) {}
  explicit Json(Array value) : value_(std::move(value)) {}
  explicit Json(Object value) : value_(std::move(value)) {}

  static constexpr i64 MAX_WHOLE = i64{1} << 53;  // up to here every whole number is one of ours

  // Null when the value is of another type.
  const bool* boolean() const { return std::get_if<bool>(&value_); }
  const f64* number() const { return std::get_if<f64>(&value_); }
  const std::string* string() const { return std::get_if<std::string>(&value_); }
  const Array* array() const { return std::get_if<Array>(&value_); }
  const Object* object() const { return std::get_if<Object>(&value_); }
  // Nothing when the value is no number from `least` to `most`, each at most 2^53, or has a fraction.
  std::optional<i64> whole(i64 least, i64 most) const;
  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }

  // The member of an object, of equal ones the last; null when this is no object, there is no such member, or the member is null.
  const Json* find(std::string_view key) const;

 private:
  std::variant<std::monostate, bool, f64, std::string, Array, Object> value_;
};

// Throws an Error (bad_model) that names `source`, line and column (in bytes) and what is wrong there. Nesting is limited to 128.
Json parse_json(std::string_view text, const std::string& source);

Json read_json(const std::string& path);

}  // namespace edgellm::convert
