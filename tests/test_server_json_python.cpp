// Our reader of JSON and Python's agree on what is JSON and on what it says, to the last bit of every number, for texts that are
// put together at random and then damaged.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "base/decimal.h"
#include "check.h"
#include "files.h"
#include "server/json.h"

using namespace edgellm;

static std::string hex(const std::string& bytes) {
  std::string out;
  for (char c : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<u8>(c));
    out += digits;
  }
  return out;
}

static std::string shown(const JsonNode& node) {
  if (node.kind == JsonKind::string) return "<" + hex({node.data, node.size}) + ">";
  if (node.kind == JsonKind::number) {
    const std::string text(node.data, node.size);
    if (text.find_first_of(".eE") == std::string::npos) return text == "-0" ? "0" : text;
    char digits[20];
    std::snprintf(digits, sizeof digits, "%016llx",
                  static_cast<unsigned long long>(__builtin_bit_cast(u64, nearest_f64(node.text()))));
    return digits;
  }
  if (node.kind != JsonKind::list && node.kind != JsonKind::object) return {node.data, node.size};
  std::string out;
  for (const JsonNode* child = json_first(node); child; child = json_next(*child)) {
    if (!out.empty()) out += " ";
    out += shown(*child);
    if (node.kind == JsonKind::object) out += ":" + shown(child[1]);
  }
  return node.kind == JsonKind::list ? "[" + out + "]" : "{" + out + "}";
}

static std::string ours(std::string text) {
  static JsonNode nodes[4096];
  const Status status = parse_json({text.data(), static_cast<i64>(text.size())}, {nodes, 4096});
  return status.ok() ? shown(nodes[0]) : "refused";
}

class Texts {
 public:
  std::string value(int depth) {
    std::string out = space();
    switch (random() % (depth > 4 ? 5 : 7)) {
      case 0:
        out += one_of({"null", "true", "false"});
        break;
      case 1:
      case 2:
        out += number();
        break;
      case 3:
      case 4:
        out += string();
        break;
      case 5:
        out += "[" + members(depth, false) + "]";
        break;
      default:
        out += "{" + members(depth, true) + "}";
    }
    return out + space();
  }

  // One byte is changed, lost, doubled or swapped with the next.
  std::string damaged(std::string text) {
    if (text.empty()) return text;
    const size_t at = random() % text.size();
    switch (random() % 4) {
      case 0:
        text[at] = one_of({"\"", "\\", "u", "d", "0", "-", ".", "e", ",", "]", "}", " ", "\x80", "\xf4", "\xed", "\x01"})[0];
        break;
      case 1:
        text.erase(at, 1);
        break;
      case 2:
        text.insert(at, 1, text[at]);
        break;
      default:
        std::swap(text[at], text[(at + 1) % text.size()]);
    }
    return text;
  }

  std::mt19937_64 random{11};

 private:
  std::string one_of(const std::vector<std::string>& choices) { return choices[random() % choices.size()]; }
  std::string space() { return random() % 8 ? "" : one_of({" ", "\t", "\n", "\r\n", "  "}); }

  std::string digits() {
    std::string out;
    for (u64 count = 1 + random() % (random() % 16 ? 20 : 400); count > 0; count--)
      out += static_cast<char>('0' + random() % 10);
    return out;
  }

  std::string number() {
    std::string out = one_of({"", "-"}) + (random() % 4 ? one_of({"1", "2", "9"}) + digits() : "0");
    if (random() % 2) out += "." + digits();
    if (random() % 2) out += one_of({"e", "E", "e+", "E-", "e-"}) + std::to_string(random() % 330);
    return out;
  }

  std::string string() {
    std::string out = "\"";
    for (u64 count = random() % 6; count > 0; count--)
      out += one_of({"a", "b c", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\\n", "\\\"", "\\\\", "\\/", "\\u00e4",
                     "\\u20AC", "\\ud83d\\ude00", "\\u0000", "\x7f", "\\b"});
    return out + "\"";
  }

  std::string members(int depth, bool keys) {
    std::string out = space();
    const u64 count = random() % 5;
    for (u64 i = 0; i < count; i++) {
      if (i) out += ",";
      if (keys) out += space() + string() + space() + ":";
      out += value(depth + 1);
    }
    return out;
  }
};

TEST(python_agrees) {
  if (std::system("command -v python3 >/dev/null 2>&1") != 0) SKIP("there is no python3");
  Folder folder;
  const std::string name = folder / "texts";
  Texts texts;
  std::vector<std::string> all;
  for (int i = 0; i < 6000; i++) {
    std::string text = texts.value(0);
    for (u64 damages = texts.random() % 3; damages > 0; damages--)
      text = texts.damaged(text);
    all.push_back(text);
  }
  std::string lines;
  for (const std::string& text : all)
    lines += hex(text) + "\n";
  write_file(name, lines);
  FILE* python = popen(("python3 -B tests/json_oracle.py <" + name).c_str(), "r");
  CHECK(python != nullptr);
  std::string line;
  size_t at = 0, taken = 0;
  for (int c; python && (c = std::fgetc(python)) != EOF;) {
    if (c != '\n') {
      line += static_cast<char>(c);
      continue;
    }
    if (at < all.size()) CHECK_EQ(all[at] + " -> " + ours(all[at]), all[at] + " -> " + line);
    taken += line != "refused";
    at++;
    line.clear();
  }
  CHECK_EQ(python ? pclose(python) : -1, 0);
  CHECK_EQ(at, all.size());
  CHECK(taken > 1500 && taken < 5000);
}
