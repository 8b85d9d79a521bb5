#include "convert/base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "convert/base/mapped_file.h"

namespace edgellm::convert {
namespace {

constexpr i32 MAX_DEPTH = 128;

class Parser {
 public:
  Parser(std::string_view text, const std::string& source) : text_(text), source_(source) {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;  // byte order mark
  }

  Json document() {
    Json value = parse(0);
    skip_space();
    if (at_ != text_.size()) fail("text after the end of the document");
    return value;
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    std::string_view before = text_.substr(0, at_);
    auto line = 1 + std::count(before.begin(), before.end(), '\n');
    size_t column = before.size() - (before.rfind('\n') + 1) + 1;
    unusable(source_, ": not JSON: line ", line, ", column ", column, ": ", what,
             at_ == text_.size() ? ", where it ends: it was cut, or never finished" : "");
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      at_++;
  }

  bool accept(char c) {
    skip_space();
    if (peek() != c || at_ >= text_.size()) return false;
    at_++;
    return true;
  }

  void expect(char c, const char* otherwise) {
    if (!accept(c)) fail(otherwise);
  }

  void word(std::string_view expected) {
    if (!text_.substr(at_).starts_with(expected)) fail("expected a value");
    at_ += expected.size();
  }

  Json parse(i32 depth) {
    if (depth > MAX_DEPTH) fail("nested too deeply");
    skip_space();
    switch (peek()) {
      case '{':
        return Json(object(depth));
      case '[':
        return Json(array(depth));
      case '"':
        return Json(string());
      case 't':
        word("true");
        return Json(true);
      case 'f':
        word("false");
        return Json(false);
      case 'n':
        word("null");
        return Json();
      case 'N':  // Python writes it, and infinities, though JSON has no such numbers
        word("NaN");
        return Json(std::numeric_limits<f64>::quiet_NaN());
      case 'I':
        word("Infinity");
        return Json(std::numeric_limits<f64>::infinity());
      default:
        return Json(number());
    }
  }

  Json::Object object(i32 depth) {
    Json::Object members;
    at_++;
    if (accept('}')) return members;
    do {
      skip_space();
      if (peek() != '"') fail("expected the name of a member");
      std::string key = string();
      expect(':', "expected ':'");
      members.emplace_back(std::move(key), parse(depth + 1));
    } while (accept(','));
    expect('}', "expected ',' or '}'");
    return members;
  }

  Json::Array array(i32 depth) {
    Json::Array elements;
    at_++;
    if (accept(']')) return elements;
    do
      elements.push_back(parse(depth + 1));
    while (accept(','));
    expect(']', "expected ',' or ']'");
    return elements;
  }

  f64 number() {
    if (text_.substr(at_).starts_with("-I")) {
      word("-Infinity");
      return -std::numeric_limits<f64>::infinity();
    }
    f64 value = 0;
    const char* first = text_.data() + at_;
    const char* last = text_.data() + text_.size();
    bool plausible = first < last && (*first == '-' || (*first >= '0' && *first <= '9'));  // from_chars also reads "inf"
    if (!plausible) fail("expected a value");
    const char* digits = first + (*first == '-');
    bool leading_zero = last - digits > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9';
    if (leading_zero || digits == last || *digits < '0' || *digits > '9') fail("a number that cannot be read");
    auto [end, problem] = std::from_chars(first, last, value);
    if (problem != std::errc()) fail("a number that cannot be read");
    at_ += static_cast<size_t>(end - first);
    return value;
  }

  u32 hex4() {
    if (text_.size() - at_ < 4) fail("a cut \\u escape");
    u32 code = 0;
    const char* first = text_.data() + at_;
    auto [end, problem] = std::from_chars(first, first + 4, code, 16);
    if (problem != std::errc() || end != first + 4) fail("a \\u escape without four hexadecimal digits");
    at_ += 4;
    return code;
  }

  // Halves of a pair that stand alone become U+FFFD.
  void escaped_character(std::string* out) {
    u32 code = hex4();
    if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_).starts_with("\\u")) {
      size_t back = at_;
      at_ += 2;
      u32 low = hex4();
      if (low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      } else {
        at_ = back;
      }
    }
    if (code >= 0xD800 && code < 0xE000) code = 0xFFFD;
    auto put = [out](u32 byte) { out->push_back(static_cast<char>(byte)); };
    if (code < 0x80) {
      put(code);
    } else if (code < 0x800) {
      put(0xC0 | code >> 6), put(0x80 | (code & 63));
    } else if (code < 0x10000) {
      put(0xE0 | code >> 12), put(0x80 | (code >> 6 & 63)), put(0x80 | (code & 63));
    } else {
      put(0xF0 | code >> 18), put(0x80 | (code >> 12 & 63)), put(0x80 | (code >> 6 & 63)), put(0x80 | (code & 63));
    }
  }

  std::string string() {
    std::string out;
    at_++;
    while (true) {
      size_t plain = at_;
      while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\' && static_cast<u8>(text_[at_]) >= 0x20)
        at_++;
      out.append(text_, plain, at_ - plain);
      if (at_ == text_.size()) fail("a string without an end");
      char c = text_[at_];
      if (static_cast<u8>(c) < 0x20) fail("a control character in a string");
      at_++;
      if (c == '"') return out;
      if (at_ == text_.size()) fail("a string without an end");
      char escape = text_[at_++];
      if (escape == 'u') {
        escaped_character(&out);
        continue;
      }
      size_t known = std::string_view("\"\\/bfnrt").find(escape);
      if (known == std::string_view::npos) fail("an unknown escape in a string");
      out.push_back("\"\\/\b\f\n\r\t"[known]);
    }
  }

  std::string_view text_;
  const std::string& source_;
  size_t at_ = 0;
};

}  // namespace

std::optional<i64> Json::whole(i64 least, i64 most) const {
  const f64* value = number();
  if (!value || !(*value >= static_cast<f64>(least) && *value <= static_cast<f64>(most)) || *value != std::floor(*value)) {
    return std::nullopt;
  }
  return static_cast<i64>(*value);
}

const Json* Json::find(std::string_view key) const {
  const Object* members = object();
  if (!members) return nullptr;
  auto named = [&](const auto& member) { return member.first == key; };
  auto last = std::find_if(members->rbegin(), members->rend(), named);
  return last == members->rend() || last->second.is_null() ? nullptr : &last->second;
}

Json parse_json(std::string_view text, const std::string& source) {
  return Parser(text, source).document();
}

Json read_json(const std::string& path) {
  return parse_json(MappedFile::open(path)->bytes().text(), path);
}

}  // namespace edgellm::convert
