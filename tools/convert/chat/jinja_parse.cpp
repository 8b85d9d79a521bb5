// Text to tokens to statements. Blocks take their line feed along and the blanks before them on their line (trim_blocks and
// lstrip_blocks), as `transformers` has it.
#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

#include "convert/base/error.h"
#include "convert/chat/jinja_syntax.h"
#include "text/unicode.h"

namespace edgellm::convert {
namespace {

constexpr size_t MAX_SOURCE = 1 << 18;
constexpr size_t MAX_NAME = 256;
constexpr int MAX_DEPTH = 150;  // of what is still open, and of an expression

struct Token {
  enum class Kind { text, output, output_end, block, block_end, name, string, number, symbol, end };
  Kind kind;
  std::string text;
  i32 line;
};

class Lexer {
 public:
  explicit Lexer(std::string source) : s_(std::move(source)) {}
  std::vector<Token> run();

 private:
  void put(Token::Kind kind, std::string text = {}) {
    if (kind == Token::Kind::name && text.size() > MAX_NAME) wrong("a name is too long");
    tokens_.push_back({kind, std::move(text), line_});
  }
  [[noreturn]] void wrong(const std::string& what) { unusable("line ", line_, ": ", what); }
  bool at(std::string_view word) const { return s_.compare(pos_, word.size(), word) == 0; }
  void advance(size_t n) {
    n = std::min(n, s_.size() - pos_);
    line_ +=
        static_cast<i32>(std::count(s_.begin() + static_cast<long>(pos_), s_.begin() + static_cast<long>(pos_ + n), '\n'));
    pos_ += n;
  }
  void text_until_tag();
  void comment();
  void code(std::string_view end, bool block);
  bool end_of_tag(std::string_view end, bool trims);
  void string(char quote);

  std::string s_;
  size_t pos_ = 0;
  i32 line_ = 1;
  bool line_start_ = true;
  std::vector<Token> tokens_;
};

std::vector<Token> Lexer::run() {
  while (pos_ < s_.size()) {
    text_until_tag();
    if (pos_ == s_.size()) break;
    char kind = s_[pos_ + 1];
    advance(2);
    if (pos_ < s_.size() && (s_[pos_] == '-' || s_[pos_] == '+')) advance(1);
    if (kind == '#') {
      comment();
    } else {
      put(kind == '{' ? Token::Kind::output : Token::Kind::block);
      code(kind == '{' ? "}}" : "%}", kind == '%');
    }
  }
  put(Token::Kind::end);
  return std::move(tokens_);
}

void Lexer::text_until_tag() {
  size_t start = pos_;
  while (start < s_.size() && !(s_[start] == '{' && start + 1 < s_.size() &&
                                std::string_view("{%#").find(s_[start + 1]) != std::string_view::npos))
    start++;
  std::string text = s_.substr(pos_, start - pos_);
  char sign = start + 2 < s_.size() ? s_[start + 2] : '\0';
  if (start < s_.size() && sign == '-') {
    text.erase(std::find_if_not(text.rbegin(), text.rend(), [](unsigned char c) { return std::isspace(c); }).base(),
               text.end());
  } else if (start < s_.size() && sign != '+' && s_[start + 1] != '{') {
    size_t line = text.rfind('\n') + 1;
    bool blank = text.find_first_not_of(" \t", line) == std::string::npos;
    if (blank && (line > 0 || line_start_)) text.resize(line);
  }
  if (!text.empty()) put(Token::Kind::text, text);
  advance(start - pos_);
}

// After the content of a tag: takes its end, and what the end takes along.
bool Lexer::end_of_tag(std::string_view end, bool trims) {
  size_t sign = pos_ < s_.size() && (s_[pos_] == '-' || s_[pos_] == '+') ? 1 : 0;
  if (s_.compare(pos_ + sign, end.size(), end) != 0) return false;
  bool strips = sign && s_[pos_] == '-';
  advance(sign + end.size());
  size_t after = pos_;
  if (strips) {
    while (pos_ < s_.size() && std::isspace(static_cast<unsigned char>(s_[pos_])))
      advance(1);
  } else if (trims && !sign && at("\n")) {
    advance(1);
  }
  line_start_ = pos_ > after && s_[pos_ - 1] == '\n';
  return true;
}

void Lexer::comment() {
  while (pos_ < s_.size()) {
    if (end_of_tag("#}", true)) return;
    advance(1);
  }
  wrong("a comment has no end");
}

void Lexer::code(std::string_view end, bool block) {
  int depth = 0;
  while (pos_ < s_.size()) {
    char c = s_[pos_];
    if (depth == 0 && end_of_tag(end, block)) {
      put(block ? Token::Kind::block_end : Token::Kind::output_end);
      return;
    }
    size_t first = pos_;
    auto take_while = [&](auto what) {
      while (pos_ < s_.size() && what(static_cast<unsigned char>(s_[pos_])))
        pos_++;
      return s_.substr(first, pos_ - first);
    };
    if (std::isspace(static_cast<unsigned char>(c))) {
      advance(1);
    } else if (std::isalpha(static_cast<unsigned char>(c)) || c == '_') {
      put(Token::Kind::name, take_while([](unsigned char k) { return std::isalnum(k) || k == '_'; }));
    } else if (std::isdigit(static_cast<unsigned char>(c))) {
      put(Token::Kind::number, take_while([](unsigned char k) { return std::isdigit(k); }));
    } else if (c == '\'' || c == '"') {
      string(c);
    } else {
      std::string symbol(1, c);
      for (const char* pair : {"==", "!=", "<=", ">=", "//", "**"}) {
        if (at(pair)) symbol = pair;
      }
      if (std::string_view("+-*/%~<>=!()[]{}.,:|").find(c) == std::string_view::npos) wrong("unexpected \"" + symbol + "\"");
      depth += c == '(' || c == '[' || c == '{';
      depth -= c == ')' || c == ']' || c == '}';
      put(Token::Kind::symbol, symbol);
      advance(symbol.size());
    }
  }
  wrong("a tag has no end");
}

void Lexer::string(char quote) {
  std::string out;
  for (advance(1); pos_ < s_.size() && s_[pos_] != quote; advance(1)) {
    if (s_[pos_] != '\\' || pos_ + 1 == s_.size()) {
      out += s_[pos_];
      continue;
    }
    advance(1);
    char c = s_[pos_];
    size_t known = std::string_view("ntr\\'\"").find(c), digits = c == 'x' ? 2 : c == 'u' ? 4 : 0;
    if (known != std::string_view::npos) {
      out += "\n\t\r\\'\""[known];
    } else if (digits > 0 && pos_ + digits < s_.size()) {
      char* end;
      std::string hex = s_.substr(pos_ + 1, digits);
      u32 code = static_cast<u32>(std::strtoul(hex.c_str(), &end, 16));
      if (*end || !std::isxdigit(static_cast<unsigned char>(hex[0]))) wrong("\\" + (c + hex) + " is no character");
      char buffer[4];
      out.append(buffer, static_cast<size_t>(utf8_encode(code, buffer)));
      advance(digits);
    } else {
      out += '\\';
      out += c;
    }
  }
  if (pos_ == s_.size()) wrong("a string has no end");
  advance(1);
  put(Token::Kind::string, out);
}

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  JinjaBody all() {
    JinjaBody body;
    std::string end = statements(&body, {});
    return body;
  }

 private:
  using Kind = JinjaExpression::Kind;

  struct Deeper {
    explicit Deeper(Parser* parser) : p(parser) {
      if (++p->depth_ > MAX_DEPTH) p->wrong("too deep");
    }
    ~Deeper() { p->depth_--; }
    Parser* p;
  };

  const Token& now() const { return tokens_[at_]; }
  [[noreturn]] void wrong(const std::string& what) { unusable("line ", now().line, ": ", what); }
  [[noreturn]] void unexpected() { wrong("unexpected \"" + now().text + "\""); }
  bool is(Token::Kind kind, std::string_view text) const { return now().kind == kind && now().text == text; }
  bool take(Token::Kind kind, std::string_view text) {
    if (!is(kind, text)) return false;
    at_++;
    return true;
  }
  bool symbol(std::string_view text) { return take(Token::Kind::symbol, text); }
  bool word(std::string_view text) { return take(Token::Kind::name, text); }
  void need(std::string_view text) {
    if (!symbol(text)) wrong("expected \"" + std::string(text) + "\", found \"" + now().text + "\"");
  }
  std::string name() {
    if (now().kind != Token::Kind::name) unexpected();
    return tokens_[at_++].text;
  }
  void end_block() {
    if (now().kind != Token::Kind::block_end) unexpected();
    at_++;
  }

  JinjaPart make(Kind kind, std::string text = {}, JinjaPart a = {}, JinjaPart b = {}) {
    auto e = std::make_unique<JinjaExpression>(JinjaExpression{.kind = kind, .name = std::move(text), .line = now().line});
    for (JinjaPart* part : {&a, &b}) {
      if (!*part) continue;
      e->depth = std::max(e->depth, (*part)->depth + 1);
      e->parts.push_back(std::move(*part));
    }
    if (e->depth > MAX_DEPTH) wrong("too deep");
    return e;
  }

  // Until a block that starts with one of `ends`, which is answered.
  std::string statements(JinjaBody* body, const std::vector<std::string>& ends);
  void block(JinjaBody* body, const std::string& what);
  void choice(JinjaStatement* s);
  void loop(JinjaStatement* s);
  void set(JinjaStatement* s);
  void macro(JinjaStatement* s);

  JinjaPart expression();
  JinjaPart binary(int level);
  JinjaPart unary();
  JinjaPart negative();
  JinjaPart primary();
  JinjaPart postfix(JinjaPart of);
  JinjaPart subscript(JinjaPart of);
  JinjaPart test(JinjaPart of);
  void arguments(JinjaExpression* call);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

std::string Parser::statements(JinjaBody* body, const std::vector<std::string>& ends) {
  Deeper deeper(this);
  using Statement = JinjaStatement::Kind;
  for (;;) {
    Token token = now();
    if (token.kind == Token::Kind::end) {
      if (!ends.empty()) wrong("expected " + ends.back());
      return {};
    }
    at_++;
    if (token.kind == Token::Kind::text) {
      body->statements.push_back(
          std::make_unique<JinjaStatement>(JinjaStatement{.kind = Statement::text, .names = {token.text}}));
    } else if (token.kind == Token::Kind::output) {
      body->statements.push_back(
          std::make_unique<JinjaStatement>(JinjaStatement{.kind = Statement::output, .value = expression()}));
      if (now().kind != Token::Kind::output_end) unexpected();
      at_++;
    } else {
      std::string what = name();
      if (std::find(ends.begin(), ends.end(), what) != ends.end()) return what;
      block(body, what);
    }
  }
}

void Parser::block(JinjaBody* body, const std::string& what) {
  using Statement = JinjaStatement::Kind;
  if (what == "generation") {  // marks what is trained on
    end_block();
    statements(body, {"endgeneration"});
    return end_block();
  }
  auto s = std::make_unique<JinjaStatement>(JinjaStatement{.kind = Statement::choice});
  if (what == "if") {
    choice(s.get());
  } else if (what == "for") {
    loop(s.get());
  } else if (what == "set") {
    set(s.get());
  } else if (what == "macro") {
    macro(s.get());
  } else if (what == "break" || what == "continue") {
    s->kind = what == "break" ? Statement::leave : Statement::next;
    end_block();
  } else {
    wrong("a block \"" + what + "\" is not known");
  }
  body->statements.push_back(std::move(s));
}

void Parser::choice(JinjaStatement* s) {
  Deeper deeper(this);
  s->value = expression();
  end_block();
  std::string end = statements(&s->bodies[0], {"elif", "else", "endif"});
  if (end == "elif") {
    s->bodies[1].statements.push_back(
        std::make_unique<JinjaStatement>(JinjaStatement{.kind = JinjaStatement::Kind::choice}));
    return choice(s->bodies[1].statements.back().get());
  }
  end_block();
  if (end == "endif") return;
  statements(&s->bodies[1], {"endif"});
  end_block();
}

void Parser::loop(JinjaStatement* s) {
  s->kind = JinjaStatement::Kind::loop;
  do {
    s->names.push_back(name());
  } while (symbol(","));
  if (!word("in")) unexpected();
  s->value = binary(0);
  if (word("if")) s->condition = expression();
  end_block();
  std::string end = statements(&s->bodies[0], {"else", "endfor"});
  end_block();
  if (end == "endfor") return;
  statements(&s->bodies[1], {"endfor"});
  end_block();
}

void Parser::set(JinjaStatement* s) {
  s->kind = JinjaStatement::Kind::set;
  s->names.push_back(name());
  if (symbol(".")) s->member = name();
  while (s->member.empty() && symbol(","))
    s->names.push_back(name());
  if (symbol("=")) {
    s->value = expression();
    return end_block();
  }
  s->kind = JinjaStatement::Kind::capture;
  end_block();
  statements(&s->bodies[0], {"endset"});
  end_block();
}

void Parser::macro(JinjaStatement* s) {
  s->kind = JinjaStatement::Kind::macro;
  s->names.push_back(name());
  s->defaults.emplace_back();
  need("(");
  while (!symbol(")")) {
    s->names.push_back(name());
    s->defaults.push_back(symbol("=") ? expression() : nullptr);
    if (!is(Token::Kind::symbol, ")")) need(",");
  }
  end_block();
  statements(&s->bodies[0], {"endmacro"});
  if (now().kind == Token::Kind::name) at_++;
  end_block();
}

JinjaPart Parser::expression() {
  Deeper deeper(this);
  JinjaPart value = binary(0);
  if (!word("if")) return value;
  JinjaPart e = make(Kind::conditional, {}, std::move(value), binary(0));
  e->parts.push_back(word("else") ? expression() : nullptr);
  return e;
}

// From `or`, which binds the least, to products.
JinjaPart Parser::binary(int level) {
  static const std::vector<std::vector<std::string>> LEVELS = {
      {"or"}, {"and"}, {}, {"==", "!=", "<", ">", "<=", ">=", "in", "not"}, {"+", "-"}, {"~"}, {"*", "/", "//", "%"}};
  if (level == static_cast<int>(LEVELS.size())) return unary();
  if (level == 2) {
    Deeper deeper(this);
    return word("not") ? make(Kind::negation, {}, binary(level)) : binary(level + 1);
  }
  const std::vector<std::string>& operators = LEVELS[static_cast<size_t>(level)];
  JinjaPart left = binary(level + 1);
  bool compared = false;
  for (;;) {
    bool can = now().kind == Token::Kind::symbol || now().kind == Token::Kind::name;
    std::string op = now().text;
    if (!can || std::find(operators.begin(), operators.end(), op) == operators.end()) return left;
    at_++;
    if (op == "not" && !word("in")) unexpected();
    if (level == 3 && std::exchange(compared, true)) wrong("a chain of comparisons is not known");
    left = make(Kind::binary, op == "not" ? "not in" : op, std::move(left), binary(level + 1));
  }
}

// A minus binds more than filters and tests, and less than what a value has behind it.
JinjaPart Parser::unary() {
  JinjaPart of = negative();
  for (;;) {
    if (symbol("|")) {
      of = make(Kind::filter, name(), std::move(of));
      of->keywords.emplace_back();
      if (symbol("(")) arguments(of.get());
    } else if (word("is")) {
      of = test(std::move(of));
    } else {
      return of;
    }
  }
}

JinjaPart Parser::negative() {
  Deeper deeper(this);
  if (symbol("-")) return make(Kind::minus, {}, negative());
  return postfix(primary());
}

JinjaPart Parser::primary() {
  Token token = now();
  at_++;
  if (token.kind == Token::Kind::string) {
    while (now().kind == Token::Kind::string)
      token.text += tokens_[at_++].text;
    return make(Kind::text, token.text);
  }
  if (token.kind == Token::Kind::number) {
    if (token.text.size() > 9) wrong("the number " + token.text + " is too large");
    JinjaPart e = make(Kind::number);
    e->number = std::stol(token.text);
    return e;
  }
  if (token.kind == Token::Kind::name) {
    if (token.text == "none" || token.text == "None") return make(Kind::none);
    bool yes = token.text == "true" || token.text == "True";
    if (!yes && token.text != "false" && token.text != "False") return make(Kind::variable, token.text);
    JinjaPart e = make(Kind::truth);
    e->number = yes;
    return e;
  }
  bool round = token.text == "(", square = token.text == "[";
  if (token.kind != Token::Kind::symbol || !(round || square || token.text == "{")) {
    at_--;
    unexpected();
  }
  const char* end = round ? ")" : square ? "]" : "}";
  JinjaPart e = make(round || square ? Kind::list : Kind::dictionary);
  bool comma = false;
  while (!symbol(end)) {
    e->parts.push_back(expression());
    if (e->kind == Kind::dictionary) {
      need(":");
      e->parts.push_back(expression());
    }
    if (is(Token::Kind::symbol, end)) continue;
    need(",");
    comma = true;
  }
  return round && !comma && e->parts.size() == 1 ? std::move(e->parts[0]) : std::move(e);
}

JinjaPart Parser::postfix(JinjaPart of) {
  for (;;) {
    if (symbol(".")) {
      of = make(Kind::member, name(), std::move(of));
    } else if (symbol("[")) {
      of = subscript(std::move(of));
    } else if (symbol("(")) {
      of = make(Kind::call, {}, std::move(of));
      of->keywords.emplace_back();
      arguments(of.get());
    } else {
      return of;
    }
  }
}

JinjaPart Parser::subscript(JinjaPart of) {
  JinjaPart parts[3];
  int colons = 0;
  while (!symbol("]")) {
    if (symbol(":")) {
      if (++colons > 2) unexpected();
    } else {
      if (parts[colons]) unexpected();
      parts[colons] = expression();
    }
  }
  if (colons == 0 && !parts[0]) unexpected();
  if (colons == 0) return make(Kind::item, {}, std::move(of), std::move(parts[0]));
  JinjaPart e = make(Kind::slice, {}, std::move(of));
  for (JinjaPart& part : parts)
    e->parts.push_back(std::move(part));
  return e;
}

JinjaPart Parser::test(JinjaPart of) {
  bool negated = word("not");
  JinjaPart e = make(Kind::test, symbol("==") ? "equalto" : name(), std::move(of));
  e->keywords.emplace_back();
  if (symbol("(")) {
    arguments(e.get());
  } else if (now().kind == Token::Kind::string || now().kind == Token::Kind::number || is(Token::Kind::symbol, "[")) {
    e->parts.push_back(primary());
    e->keywords.emplace_back();
  }
  return negated ? make(Kind::negation, {}, std::move(e)) : std::move(e);
}

void Parser::arguments(JinjaExpression* call) {
  while (!symbol(")")) {
    bool named =
        now().kind == Token::Kind::name && tokens_[at_ + 1].kind == Token::Kind::symbol && tokens_[at_ + 1].text == "=";
    call->keywords.push_back(named ? name() : std::string());
    if (named) need("=");
    call->parts.push_back(expression());
    if (!is(Token::Kind::symbol, ")")) need(",");
  }
}

}  // namespace

std::unique_ptr<const JinjaBody> parse_jinja(const std::string& source) {
  if (source.size() > MAX_SOURCE) unusable("it has ", source.size(), " bytes, at most ", MAX_SOURCE);
  std::string text;
  for (size_t i = 0; i < source.size(); i++) {
    if (source[i] != '\r')
      text += source[i];
    else if (i + 1 == source.size() || source[i + 1] != '\n')
      text += '\n';
  }
  if (text.ends_with('\n')) text.pop_back();
  return std::make_unique<const JinjaBody>(Parser(Lexer(std::move(text)).run()).all());
}

}  // namespace edgellm::convert
