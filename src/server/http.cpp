#include "server/http.h"

#include <string.h>

namespace edgellm {

namespace {

constexpr i64 MAX_METHOD = 17;  // UPDATEREDIRECTREF: none that is registered is longer

bool is_digit(u8 c) {
  return c >= '0' && c <= '9';
}

u8 lower_case(u8 c) {
  return static_cast<u8>(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

bool is_letter(u8 c) {
  return lower_case(c) >= 'a' && lower_case(c) <= 'z';
}

bool is_space(u8 c) {
  return c == ' ' || c == '\t';
}

// A fragment is no part of a target.
bool is_target_byte(u8 c) {
  return c > ' ' && c < 0x7f && c != '#';
}

Text trimmed(Text text) {
  while (text.size && is_space(static_cast<u8>(text[0])))
    text = text.from(1);
  while (text.size && is_space(static_cast<u8>(text[text.size - 1])))
    text.size--;
  return text;
}

i64 find(Text text, char wanted) {
  i64 at = 0;
  while (at < text.size && text[at] != wanted)
    at++;
  return at;
}

bool all_digits(Text text) {
  for (i64 i = 0; i < text.size; i++) {
    if (!is_digit(static_cast<u8>(text[i]))) return false;
  }
  return true;
}

// A name or an address, and a port. Neither user nor password: that would be another host than it seems.
bool is_authority(Text text) {
  i64 end = 0;
  if (text.size && text[0] == '[') {
    end = find(text, ']');
    for (i64 i = 1; i < end; i++) {
      u8 c = static_cast<u8>(text[i]);
      if (!is_digit(c) && !is_letter(c) && c != ':' && c != '.') return false;
    }
    if (end < 2 || end == text.size) return false;
    end++;
  } else {
    end = find(text, ':');
    for (i64 i = 0; i < end; i++) {
      u8 c = static_cast<u8>(text[i]);
      if (!is_digit(c) && !is_letter(c) && (c == 0 || !strchr("-._~%!$&'()*+,;=", c))) return false;
    }
  }
  return end == text.size || (text[end] == ':' && all_digits(text.from(end + 1)));
}

struct Refusal {
  i32 status;
  const char* why;
};

constexpr Refusal NO_LINE_END = {400, "a line of the head does not end with CR LF or has a control character in it"};

// Each function goes on where the one before stopped. False: the input ended, or it was refused.
class HeadReader {
 public:
  HeadReader(Text bytes, const HttpLimits& limits, Span<HttpField> fields, HttpRequest* request)
      : in_(bytes), limits_(limits), fields_(fields), request_(*request) {}

  HttpOutcome read() {
    if (empty_line() && request_line() && target() && field_lines() && together()) outcome_.bytes = at_;
    return outcome_;
  }

 private:
  bool refuse(Refusal refusal) {
    outcome_.status = refusal.status;
    outcome_.why = refusal.why;
    return false;
  }

  // The next byte, or -1.
  i32 next() {
    if (at_ >= limits_.head) {
      refuse({431, "the head of the request is longer than this server takes"});
      return -1;
    }
    return at_ < in_.size ? static_cast<u8>(in_[at_]) : -1;
  }

  bool expect(char wanted, Refusal refusal) {
    i32 c = next();
    if (c < 0) return false;
    if (c != wanted) return refuse(refusal);
    at_++;
    return true;
  }

  bool line_end(Refusal refusal) { return expect('\r', refusal) && expect('\n', NO_LINE_END); }

  // All bytes up to the first that does not belong.
  bool take(bool (*belongs)(u8), i64 most, Refusal too_long, Text* taken) {
    i64 start = at_;
    for (i32 c; (c = next()) >= 0; at_++) {
      if (!belongs(static_cast<u8>(c))) {
        *taken = in_.slice(start, at_ - start);
        return true;
      }
      if (at_ - start == most) return refuse(too_long);
    }
    return false;
  }

  bool digit(i32* value) {
    i32 c = next();
    if (c < 0) return false;
    if (!is_digit(static_cast<u8>(c))) return refuse({400, "the version of HTTP is expected as HTTP/1.1"});
    *value = c - '0';
    at_++;
    return true;
  }

  bool empty_line();
  bool request_line();
  bool version();
  bool target();
  bool field_lines();
  bool field_line(HttpField* field);
  bool understand(const HttpField& field);
  bool host(Text value);
  bool content_length(Text value);
  bool transfer_encoding(Text value);
  bool connection(Text value);
  bool expectation(Text value);
  bool together();

  Text in_;
  const HttpLimits& limits_;
  Span<HttpField> fields_;
  HttpRequest& request_;
  HttpOutcome outcome_;
  Text target_;
  Text host_;
  i64 at_ = 0;
  bool has_host_ = false, has_length_ = false, close_ = false, keep_alive_ = false, expects_ = false;
};

// Some clients send one behind a body (RFC 9112, 2.2).
bool HeadReader::empty_line() {
  i32 c = next();
  return c >= 0 && (c != '\r' || line_end(NO_LINE_END));
}

bool HeadReader::request_line() {
  constexpr Refusal no_method = {400, "a request begins with a method and one space"};
  constexpr Refusal long_method = {501, "the method is longer than any that is known"};
  constexpr Refusal no_target = {400, "behind the method a target of visible ASCII characters and one space are expected"};
  constexpr Refusal long_target = {414, "the target of the request is longer than this server takes"};
  if (!take(is_token_byte, MAX_METHOD, long_method, &request_.method)) return false;
  if (request_.method.size == 0) return refuse(no_method);
  if (!expect(' ', no_method)) return false;
  if (!take(is_target_byte, limits_.target, long_target, &target_)) return false;
  if (target_.size == 0) return refuse(no_target);
  return expect(' ', no_target) && version();
}

bool HeadReader::version() {
  constexpr Refusal wrong = {400, "the version of HTTP is expected as HTTP/1.1, and CR LF behind it"};
  i32 major;
  for (const char* c = "HTTP/"; *c; c++) {
    if (!expect(*c, wrong)) return false;
  }
  if (!digit(&major) || !expect('.', wrong) || !digit(&request_.minor) || !line_end(wrong)) return false;
  if (major != 1) return refuse({505, "HTTP/1.0 and HTTP/1.1 are served, and no other version"});
  request_.minor = min(request_.minor, 1);
  return true;
}

// The forms of RFC 9112, 3.2: a path, a whole address, or `*`.
bool HeadReader::target() {
  if (request_.method == "CONNECT") return refuse({501, "this server is no proxy"});
  Text rest = target_;
  if (rest == "*") {
    request_.path = rest;
    return request_.method == "OPTIONS" || refuse({400, "the target * is for OPTIONS alone"});
  }
  if (rest[0] != '/') {
    i64 scheme = find(rest, ':');
    Text name = rest.slice(0, scheme);
    if (!equal_ignoring_case(name, "http") && !equal_ignoring_case(name, "https")) scheme = rest.size;
    if (rest.size < scheme + 3 || !(rest.slice(scheme, 3) == "://")) {
      return refuse({400, "the target is neither a path nor an address with http://"});
    }
    rest = rest.from(scheme + 3);
    i64 end = min(find(rest, '/'), find(rest, '?'));
    request_.authority = rest.slice(0, end);
    if (end == 0 || !is_authority(request_.authority)) return refuse({400, "the target's host is malformed"});
    rest = rest.from(end);
  }
  i64 end = find(rest, '?');
  request_.path = end > 0 ? rest.slice(0, end) : Text("/");
  if (end < rest.size) request_.query = rest.from(end + 1);
  return true;
}

bool HeadReader::field_lines() {
  i64 count = 0;
  for (i32 c; (c = next()) != '\r'; count++) {
    if (c < 0) return false;
    if (count == fields_.count) return refuse({431, "the request has more header fields than this server takes"});
    if (!field_line(&fields_[count]) || !understand(fields_[count])) return false;
  }
  request_.fields = fields_.slice(0, count);
  return line_end(NO_LINE_END);
}

bool HeadReader::field_line(HttpField* field) {
  constexpr Refusal no_limit = {};
  if (!take(is_token_byte, INT64_MAX, no_limit, &field->name)) return false;
  if (field->name.size == 0) {
    bool folded = is_space(static_cast<u8>(in_[at_]));
    return refuse({400, folded ? "a line of the head begins with white space: folded lines are not taken"
                               : "a line of the head does not begin with the name of a field"});
  }
  if (!expect(':', {400, "a colon is expected directly behind the name of a field"})) return false;
  if (!take(is_value_byte, INT64_MAX, no_limit, &field->value)) return false;
  field->value = trimmed(field->value);
  return line_end(NO_LINE_END);
}

// Fields that say where the request ends and what becomes of the connection.
bool HeadReader::understand(const HttpField& field) {
  if (equal_ignoring_case(field.name, "host")) return host(field.value);
  if (equal_ignoring_case(field.name, "content-length")) return content_length(field.value);
  if (equal_ignoring_case(field.name, "transfer-encoding")) return transfer_encoding(field.value);
  if (equal_ignoring_case(field.name, "connection")) return connection(field.value);
  if (equal_ignoring_case(field.name, "expect")) return expectation(field.value);
  if (equal_ignoring_case(field.name, "content-encoding") && !equal_ignoring_case(field.value, "identity")) {
    return refuse({415, "a body is taken as it is, without Content-Encoding"});
  }
  return true;
}

bool HeadReader::host(Text value) {
  if (has_host_) return refuse({400, "Host is there twice"});
  if (!is_authority(value)) return refuse({400, "Host is not a name or an address with a port"});
  has_host_ = true;
  host_ = value;
  return true;
}

constexpr Refusal TWO_LENGTHS = {400, "Content-Length and Transfer-Encoding exclude each other"};

bool HeadReader::content_length(Text value) {
  if (has_length_) return refuse({400, "Content-Length is there twice"});
  if (request_.chunked) return refuse(TWO_LENGTHS);
  if (value.size == 0 || !all_digits(value)) return refuse({400, "Content-Length is not one number of digits alone"});
  for (i64 i = 0; i < value.size; i++) {
    i64 digit = value[i] - '0';
    if (digit > limits_.body || request_.body_bytes > (limits_.body - digit) / 10) {
      return refuse({413, "the body is longer than this server takes"});
    }
    request_.body_bytes = request_.body_bytes * 10 + digit;
  }
  has_length_ = true;
  return true;
}

bool HeadReader::transfer_encoding(Text value) {
  if (request_.minor == 0) return refuse({400, "HTTP/1.0 has no Transfer-Encoding"});
  if (request_.chunked) return refuse({400, "Transfer-Encoding is there twice"});
  if (has_length_) return refuse(TWO_LENGTHS);
  if (!equal_ignoring_case(value, "chunked")) return refuse({501, "of transfer codings only chunked, alone, is known"});
  request_.chunked = true;
  return true;
}

bool HeadReader::connection(Text value) {
  while (value.size > 0) {
    i64 end = find(value, ',');
    Text option = trimmed(value.slice(0, end));
    close_ |= equal_ignoring_case(option, "close");
    keep_alive_ |= equal_ignoring_case(option, "keep-alive");
    value = value.from(min(end + 1, value.size));
  }
  return true;
}

bool HeadReader::expectation(Text value) {
  if (!equal_ignoring_case(value, "100-continue")) return refuse({417, "of expectations only 100-continue can be met"});
  expects_ = true;
  return true;
}

// What no single line says.
bool HeadReader::together() {
  if (request_.minor > 0 && !has_host_) return refuse({400, "HTTP/1.1 needs Host"});
  if (request_.authority.size == 0) request_.authority = host_;
  request_.keep = !close_ && (request_.minor > 0 || keep_alive_);
  request_.expects_continue = expects_ && request_.minor > 0 && (request_.chunked || request_.body_bytes > 0);
  return true;
}

}  // namespace

bool is_token_byte(u8 c) {
  return is_letter(c) || is_digit(c) || (c != 0 && strchr("!#$%&'*+-.^_`|~", c));
}

bool is_value_byte(u8 c) {
  return (c >= ' ' && c != 0x7f) || c == '\t';
}

bool equal_ignoring_case(Text text, Text lower) {
  if (text.size != lower.size) return false;
  for (i64 i = 0; i < text.size; i++) {
    if (lower_case(static_cast<u8>(text[i])) != static_cast<u8>(lower[i])) return false;
  }
  return true;
}

const HttpField* http_field(const HttpRequest& request, Text lower) {
  for (const HttpField& field : request.fields) {
    if (equal_ignoring_case(field.name, lower)) return &field;
  }
  return nullptr;
}

HttpOutcome parse_request(Text bytes, const HttpLimits& limits, Span<HttpField> fields, HttpRequest* request) {
  *request = {};
  return HeadReader(bytes, limits, fields, request).read();
}

}  // namespace edgellm
