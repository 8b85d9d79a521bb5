#include "server/request_log.h"

#include "base/json_writer.h"
#include "platform/clock.h"
#include "platform/console.h"

namespace edgellm {

namespace {

void add_milliseconds(JsonWriter& json, Text key, i64 ns) {
  json.real(key, {static_cast<f64>(ns) / 1e6, 1});
}

void add_request(JsonWriter& json, const Connection& c, i64 date) {
  char buffer[32];
  Writer time(buffer);
  write_iso_date(time, date);
  json.text("time", time.text());
  json.text("client", Text(c.peer));
  Text label(c.label);
  i64 method = 0;
  while (method < label.size && label[method] != ' ')
    method++;
  json.text("method", label.slice(0, method));
  json.text("path", label.from(min(method + 1, label.size)));
}

void add_answer(JsonWriter& json, const RequestFigures& figures, i64 now) {
  json.number("status", figures.status);
  json.number("bytes", figures.bytes);
  json.number("tokens_in", figures.tokens_in);
  json.number("tokens_out", figures.tokens_out);
  json.number("cached", figures.cached);
  if (figures.first_token) {
    add_milliseconds(json, "first_token_ms", figures.first_token - figures.began);
  } else {
    json.null("first_token_ms");
  }
  add_milliseconds(json, "ms", now - figures.began);
  figures.slot >= 0 ? json.number("slot", figures.slot) : json.null("slot");
  const Text ending = figures.whole ? Text(figures.ending) : Text("client gone");
  ending.size ? json.text("ending", ending) : json.null("ending");
}

}  // namespace

void RequestLog::add(const Connection& c) {
  if (!on) return;
  if (!takes_bytes(STDERR)) {
    lost_++;
    return;
  }
  char line[1024];  // a label is ASCII, and few of its characters are escaped with more than one
  Writer out(line);
  JsonWriter json(out);
  json.open({});
  add_request(json, c, unix_seconds());
  add_answer(json, c.figures, now_ns());
  if (lost_) json.number("lost_lines", lost_);
  json.close();
  out.add("\n");
  note(out.text());
  lost_ = 0;
}

}  // namespace edgellm
