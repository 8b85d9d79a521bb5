// A strict reader of Prometheus' text format, version 0.0.4, as our server writes it: stricter than the format, which leaves out
// help, types and order.
#pragma once
#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "check.h"
#include "files.h"
#include "program.h"

struct Exposition {
  std::string wrong;                     // the first complaint; empty: none
  std::map<std::string, double> values;  // by series, as it is written: name{labels}
  std::map<std::string, std::string> types;

  bool has(const std::string& series) const { return values.count(series) > 0; }
  double at(const std::string& series) const {
    const auto found = values.find(series);
    return found == values.end() ? std::nan("") : found->second;
  }
};

class ExpositionReader {
 public:
  explicit ExpositionReader(const std::string& text) : rest_(text) {
    while (out_.wrong.empty() && !rest_.empty())
      line();
    if (out_.wrong.empty()) end_family();
  }
  Exposition result() const { return out_; }

 private:
  using Labels = std::vector<std::pair<std::string, std::string>>;

  void complain(const std::string& what) {
    if (out_.wrong.empty()) out_.wrong = what + ": " + line_;
  }

  static bool is_name(const std::string& name, bool colons) {
    if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0]))) return false;
    return std::all_of(name.begin(), name.end(), [&](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || (colons && c == ':');
    });
  }

  std::string until(std::string& text, char end) {
    const size_t at = std::min(text.find(end), text.size());
    const std::string head = text.substr(0, at);
    text.erase(0, at + 1);
    return head;
  }

  void line() {
    const size_t end = rest_.find('\n');
    line_ = rest_.substr(0, end);
    if (end == std::string::npos) return complain("a line without an end");
    rest_.erase(0, end + 1);
    if (line_.empty()) return complain("an empty line");
    if (line_.rfind("# HELP ", 0) == 0) return help(line_.substr(7));
    if (line_.rfind("# TYPE ", 0) == 0) return type(line_.substr(7));
    if (line_[0] == '#') return complain("a comment");
    sample(line_);
  }

  void help(std::string text) {
    end_family();
    name_ = until(text, ' ');
    type_.clear();
    if (!is_name(name_, true)) return complain("no name of a metric");
    if (!names_.insert(name_).second) return complain("a family that came before");
    if (text.empty() || text.find('\\') != std::string::npos) complain("no help");
  }

  void type(std::string text) {
    if (until(text, ' ') != name_ || !type_.empty()) return complain("a type that does not follow its help");
    static const std::set<std::string> known = {"counter", "gauge", "histogram", "summary"};
    if (!known.count(text)) return complain("an unknown type");
    type_ = text;
    out_.types[name_] = type_;
    const bool total = name_.size() > 6 && name_.substr(name_.size() - 6) == "_total";
    if (total != (type_ == "counter")) complain("counters end with _total, and nothing else does");
  }

  // What is behind the brace; leaves what follows the closing one.
  Labels labels(std::string& text) {
    Labels found;
    for (;;) {
      const std::string name = until(text, '=');
      if (!is_name(name, false)) complain("no name of a label");
      if (text.empty() || text[0] != '"') complain("a label without a quoted value");
      std::string value;
      size_t at = 1;
      for (; at < text.size() && text[at] != '"'; at++) {
        if (text[at] == '\\') {
          at++;
          if (at >= text.size() || (text[at] != '\\' && text[at] != '"' && text[at] != 'n')) complain("an unknown escape");
        }
        if (at < text.size()) value += text[at];
      }
      for (const auto& other : found)
        if (other.first == name) complain("a label twice");
      found.emplace_back(name, value);
      text.erase(0, at + 1);
      if (!out_.wrong.empty() || text.empty() || text[0] != ',') break;
      text.erase(0, 1);
    }
    if (text.empty() || text[0] != '}') complain("labels without an end");
    text.erase(0, 1);
    return found;
  }

  void sample(std::string text) {
    if (type_.empty()) return complain("a value without a type");
    const size_t end = text.find_first_of("{ ");
    if (end == std::string::npos) return complain("no value");
    const std::string name = text.substr(0, end);
    const bool braces = text[end] == '{';
    text.erase(0, end + (braces ? 1 : 0));
    const Labels found = braces ? labels(text) : Labels();
    if (!out_.wrong.empty()) return;
    if (text.size() < 2 || text[0] != ' ') return complain("no value");
    text.erase(0, 1);
    char* rest = nullptr;
    const double value = std::strtod(text.c_str(), &rest);
    if (*rest || !std::isfinite(value) || std::isspace(static_cast<unsigned char>(text[0]))) return complain("no number");
    if (!out_.values.emplace(line_.substr(0, line_.rfind(' ')), value).second) return complain("a series twice");
    if (type_ != "gauge" && value < 0) return complain("a negative count");
    if (type_ == "gauge" || type_ == "counter") {
      if (name != name_) complain("not of this family");
      return;
    }
    part(name, found, value);
  }

  // A line of a histogram or a summary.
  void part(const std::string& name, const Labels& found, double value) {
    std::string others, bound;
    for (const auto& label : found) {
      if (label.first == "le") {
        bound = label.second;
      } else {
        others += label.first + "=" + label.second + ",";
      }
    }
    Parts& parts = parts_[others];
    if (name == name_ + "_bucket" && type_ == "histogram") {
      const double limit = bound == "+Inf" ? HUGE_VAL : std::strtod(bound.c_str(), nullptr);
      if (bound.empty() || parts.sum || parts.counted) return complain("a bucket out of place");
      if (parts.buckets && !(limit > parts.bound)) return complain("bounds that do not rise");
      if (value < parts.most) return complain("buckets that fall");
      parts.bound = limit;
      parts.most = value;
      parts.buckets++;
    } else if (name == name_ + "_sum" && bound.empty()) {
      parts.sum = true;
    } else if (name == name_ + "_count" && bound.empty()) {
      if (type_ == "histogram" && value != parts.most) return complain("a count that is not the last bucket's");
      parts.counted = true;
    } else {
      complain("not of this family");
    }
  }

  void end_family() {
    if (!name_.empty() && type_.empty()) complain("a help without a type before");
    for (const auto& [labels, parts] : parts_) {
      if (!parts.sum || !parts.counted) complain("a sum or a count lacks before");
      if (type_ == "histogram" && parts.bound != HUGE_VAL) complain("no last bucket before");
    }
    parts_.clear();
  }

  struct Parts {
    int buckets = 0;
    double bound = 0, most = 0;
    bool sum = false, counted = false;
  };

  std::string rest_, line_, name_, type_;
  std::set<std::string> names_;
  std::map<std::string, Parts> parts_;
  Exposition out_;
};

inline Exposition read_exposition(const std::string& text) {
  return ExpositionReader(text).result();
}

// Prometheus' own reader has nothing to say of it.
inline void check_with_promtool(const std::string& text) {
  if (shell("command -v promtool").code != 0) SKIP("promtool is not installed (apt-get install prometheus)");
  Folder folder;
  write_file(folder / "metrics", text);
  const Said said = shell("promtool check metrics", folder / "metrics");
  CHECK_EQ(said.out + said.err, "");
  CHECK_EQ(said.code, 0);
}
