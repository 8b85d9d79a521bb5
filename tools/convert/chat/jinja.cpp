// Runs a template. A run owns all strings, lists and dictionaries that it makes until it ends, so that none is too deep to destroy
// and lists may hold themselves; every byte of them counts as work, and the work is bounded.
#include "convert/chat/jinja.h"

#include <algorithm>
#include <deque>
#include <initializer_list>
#include <iterator>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "convert/base/error.h"
#include "convert/chat/jinja_syntax.h"

namespace edgellm::convert {
namespace {

constexpr u64 MAX_STEPS = 100000;
constexpr u64 STEP_BYTES = 64;         // made, copied or searched in one step
constexpr size_t MAX_BYTES = 1 << 16;  // of a string, and of what is written
constexpr size_t MAX_ITEMS = 4096;     // of a list
constexpr int MAX_DEPTH = 10;          // of macros that call macros
constexpr int MAX_NESTING = 100;       // of lists that are compared

struct Value;
using List = std::vector<Value>;
class Dictionary;
struct Undefined {
  i64 nothing = 0;  // else copies of it would be of bytes that nobody set
};
struct None {};

// Lists and dictionaries are shared, as in the language; the strings of the template are used where they are.
struct Value {
  std::variant<Undefined, None, bool, i64, const std::string*, List*, Dictionary*, const JinjaStatement*> is = Undefined{};

  Value() = default;
  template <class T>
  Value(T value) : is(value) {}

  template <class T>
  const T* as() const {
    return std::get_if<T>(&is);
  }
  template <class T>
  T* pointer() const {
    T* const* found = as<T*>();
    return found ? *found : nullptr;
  }
  const std::string* string() const { return pointer<const std::string>(); }
  List* list() const { return pointer<List>(); }
  Dictionary* dictionary() const { return pointer<Dictionary>(); }
  bool undefined() const { return as<Undefined>(); }
};

// Members in the order in which their keys, strings, came first.
class Dictionary {
 public:
  struct Member {
    std::string key;
    Value value;
  };

  Dictionary() = default;
  Dictionary(std::initializer_list<std::pair<const char*, Value>> members) {
    for (const auto& [key, value] : members)
      (*this)[key] = value;
  }

  Value& operator[](const std::string& key) {
    auto [place, is_new] = places_.emplace(key, members_.size());
    if (is_new) members_.push_back({key, {}});
    return members_[place->second].value;
  }
  const Value* find(const std::string& key) const {
    auto place = places_.find(key);
    return place == places_.end() ? nullptr : &members_[place->second].value;
  }
  size_t size() const { return members_.size(); }
  bool empty() const { return members_.empty(); }
  auto begin() const { return members_.begin(); }
  auto end() const { return members_.end(); }

 private:
  std::vector<Member> members_;
  std::map<std::string, size_t> places_;
};

bool truth(const Value& v) {
  if (v.undefined() || v.as<None>()) return false;
  if (const bool* b = v.as<bool>()) return *b;
  if (const i64* n = v.as<i64>()) return *n != 0;
  if (v.string()) return !v.string()->empty();
  if (v.list()) return !v.list()->empty();
  return !v.dictionary() || !v.dictionary()->empty();
}

std::optional<i64> number(const Value& v) {
  if (const bool* b = v.as<bool>()) return *b;
  if (const i64* n = v.as<i64>()) return *n;
  return std::nullopt;
}

constexpr const char* BLANKS = " \t\n\v\f\r\x1c\x1d\x1e\x1f";

std::string cased(std::string s, int (*first)(int), int (*others)(int)) {
  for (size_t i = 0; i < s.size(); i++) {
    if (static_cast<unsigned char>(s[i]) < 0x80) s[i] = static_cast<char>((i == 0 ? first : others)(s[i]));
  }
  return s;
}

int upper(int c) {
  return c >= 'a' && c <= 'z' ? c - 32 : c;
}
int lower(int c) {
  return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

// As json.dumps writes a string.
std::string quoted(const std::string& s) {
  std::string out = "\"";
  for (char c : s) {
    const size_t known = std::string_view("\"\\\b\f\n\r\t").find(c);
    if (known != std::string_view::npos) {
      out += {'\\', "\"\\bfnrt"[known]};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      constexpr const char* DIGITS = "0123456789abcdef";
      out += {'\\', 'u', '0', '0', DIGITS[c >> 4], DIGITS[c & 15]};
    } else {
      out += c;
    }
  }
  return out + "\"";
}

// How many arguments by place a method, a filter or a function takes here: more would change what it does.
constexpr std::pair<const char*, size_t> MOST_ARGUMENTS[] = {
    {"append", 1},     {"capitalize", 0}, {"count", 0}, {"d", 2},      {"default", 2}, {"endswith", 1},
    {"first", 0},      {"get", 2},        {"items", 0}, {"join", 1},   {"keys", 0},    {"last", 0},
    {"length", 0},     {"list", 0},       {"lower", 0}, {"lstrip", 1}, {"range", 3},   {"replace", 2},
    {"rejectattr", 3}, {"rstrip", 1},     {"safe", 0},  {"split", 1},  {"string", 0},  {"strip", 1},
    {"selectattr", 3}, {"startswith", 1}, {"trim", 1},  {"upper", 0},  {"values", 0}};

// Arguments of a call, a filter or a test: by place, then by name.
struct Arguments {
  List places;
  Dictionary names;
  const Value& at(size_t place, const char* name = "") const {
    static const Value NOTHING;
    const Value* named = names.find(name);
    return named ? *named : place < places.size() ? places[place] : NOTHING;
  }
};

class Run {
 public:
  std::string body(const JinjaBody& body, Dictionary globals) {
    scopes_.push_back(std::move(globals));
    run(body);
    return std::move(out_);
  }

  Value make(std::string characters) {
    work(characters.size());
    strings_.push_back(std::move(characters));
    return &strings_.back();
  }
  Value make(List items) {
    work(items.size() * sizeof(Value));
    if (items.size() > MAX_ITEMS) wrong("a list is too long");
    lists_.push_back(std::move(items));
    return &lists_.back();
  }
  Value make(Dictionary members) {
    work(members.size() * sizeof(Dictionary::Member));
    dictionaries_.push_back(std::move(members));
    return &dictionaries_.back();
  }

 private:
  using Kind = JinjaExpression::Kind;
  enum class Flow { on, leave, next };

  [[noreturn]] void wrong(const std::string& what) { unusable("line ", line_, ": ", what); }
  void work(u64 bytes) {
    steps_ += 1 + bytes / STEP_BYTES;
    if (steps_ > MAX_STEPS) wrong("it does not come to an end");
  }
  void step() { work(0); }
  const std::string& bounded(const std::string& s) {
    if (s.size() > MAX_BYTES) wrong("it writes too much");
    return s;
  }
  // Where `part` next is in `whole`. At worst all of it is compared at each place.
  size_t find(const std::string& whole, const std::string& part, size_t from = 0) {
    size_t at = whole.find(part, from);
    work(u64{std::min(at, whole.size()) - from + 1} * part.size());
    return at;
  }

  Flow run(const JinjaBody& body);
  Flow run(const JinjaStatement& s);
  Flow loop(const JinjaStatement& s);
  void assign(const std::vector<std::string>& names, const Value& value);
  void set(const JinjaStatement& s);
  std::string captured(const JinjaBody& body);

  Value eval(const JinjaExpression& e);
  Value eval_part(const JinjaPart& part) { return part ? eval(*part) : Value(); }
  Value variable(const std::string& name);
  Value member(const Value& of, const std::string& name);
  Value item(const Value& of, const Value& key);
  Value slice(const Value& of, const Value& first, const Value& last, const Value& step);
  Value binary(const JinjaExpression& e);
  Value concatenate(const Value& a, const Value& b);
  bool equal(const Value& a, const Value& b, int depth = 0);
  bool contains(const Value& whole, const Value& part);
  Arguments arguments(const JinjaExpression& e);
  void check_arguments(const std::string& name, const Arguments& with);
  Value call(const JinjaExpression& e);
  Value call_macro(const JinjaStatement& macro, const Arguments& with);
  Value method(const Value& of, const std::string& name, const Arguments& with);
  Value filter(const std::string& name, const Value& of, const Arguments& with);
  Value where(const Value& of, const Arguments& with, bool wanted);
  bool test(const std::string& name, const Value& of, const Arguments& with);
  List items(const Value& of);
  std::string text(const Value& v);
  std::string json(const Value& v, const std::string& indent, int depth = 0);
  std::string strip(const Value& v, const Value& what, bool left, bool right);
  std::string replace(std::string s, const std::string& what, const std::string& by);
  const std::string& string(const Value& v, const char* what) {
    if (!v.string()) wrong(std::string(what) + " wants a string");
    return *v.string();
  }
  const std::string& key(const Value& v) {
    work(string(v, "a key").size());
    return *v.string();
  }

  std::vector<Dictionary> scopes_;
  std::deque<std::string> strings_;
  std::deque<List> lists_;
  std::deque<Dictionary> dictionaries_;
  std::string out_;
  u64 steps_ = 0;
  int depth_ = 0;
  i32 line_ = 1;
};

Run::Flow Run::run(const JinjaBody& body) {
  for (const auto& statement : body.statements) {
    if (Flow flow = run(*statement); flow != Flow::on) return flow;
  }
  return Flow::on;
}

Run::Flow Run::run(const JinjaStatement& s) {
  using Statement = JinjaStatement::Kind;
  step();
  switch (s.kind) {
    case Statement::text:
      out_ += s.names[0];
      break;
    case Statement::output:
      out_ += text(eval(*s.value));
      break;
    case Statement::choice:
      return run(s.bodies[truth(eval(*s.value)) ? 0 : 1]);
    case Statement::loop:
      return loop(s);
    case Statement::set:
      set(s);
      break;
    case Statement::capture:
      assign(s.names, make(captured(s.bodies[0])));
      break;
    case Statement::macro:
      assign({s.names[0]}, &s);
      break;
    case Statement::leave:
      return Flow::leave;
    case Statement::next:
      return Flow::next;
  }
  bounded(out_);
  return Flow::on;
}

Run::Flow Run::loop(const JinjaStatement& s) {
  List all = items(eval(*s.value)), chosen;
  for (const Value& one : all) {
    step();
    scopes_.emplace_back();
    assign(s.names, one);
    if (!s.condition || truth(eval(*s.condition))) chosen.push_back(one);
    scopes_.pop_back();
  }
  i64 length = static_cast<i64>(chosen.size());
  for (i64 i = 0; i < length; i++) {
    size_t at = static_cast<size_t>(i);
    scopes_.emplace_back();
    assign(s.names, chosen[at]);
    scopes_.back()["loop"] = make(Dictionary{{"index", i + 1},
                                             {"index0", i},
                                             {"revindex", length - i},
                                             {"revindex0", length - i - 1},
                                             {"first", i == 0},
                                             {"last", i + 1 == length},
                                             {"length", length},
                                             {"previtem", i > 0 ? chosen[at - 1] : Value()},
                                             {"nextitem", i + 1 < length ? chosen[at + 1] : Value()}});
    Flow flow = run(s.bodies[0]);
    scopes_.pop_back();
    if (flow == Flow::leave) break;
  }
  return length == 0 ? run(s.bodies[1]) : Flow::on;
}

void Run::assign(const std::vector<std::string>& names, const Value& value) {
  if (names.size() == 1) {
    scopes_.back()[names[0]] = value;
    return;
  }
  List parts = items(value);
  if (parts.size() != names.size()) wrong("a value of another number of parts than names");
  for (size_t i = 0; i < names.size(); i++)
    scopes_.back()[names[i]] = parts[i];
}

void Run::set(const JinjaStatement& s) {
  Value value = eval(*s.value);
  if (s.member.empty()) return assign(s.names, value);
  Value owner = variable(s.names[0]);
  if (!owner.dictionary()) wrong("\"" + s.names[0] + "\" is no namespace");
  work(sizeof(Dictionary::Member));
  (*owner.dictionary())[s.member] = value;
}

std::string Run::captured(const JinjaBody& body) {
  std::string outer = std::move(out_);
  out_.clear();
  run(body);
  std::swap(outer, out_);
  return outer;
}

Value Run::eval(const JinjaExpression& e) {
  step();
  line_ = e.line;
  switch (e.kind) {
    case Kind::text:
      return &e.name;
    case Kind::number:
      return e.number;
    case Kind::truth:
      return e.number != 0;
    case Kind::none:
      return None{};
    case Kind::variable:
      return variable(e.name);
    case Kind::list: {
      List out;
      for (const JinjaPart& part : e.parts)
        out.push_back(eval(*part));
      return make(std::move(out));
    }
    case Kind::dictionary: {
      Dictionary out;
      for (size_t i = 0; i < e.parts.size(); i += 2)
        out[key(eval(*e.parts[i]))] = eval(*e.parts[i + 1]);
      return make(std::move(out));
    }
    case Kind::member:
      return member(eval(*e.parts[0]), e.name);
    case Kind::item:
      return item(eval(*e.parts[0]), eval(*e.parts[1]));
    case Kind::slice:
      return slice(eval(*e.parts[0]), eval_part(e.parts[1]), eval_part(e.parts[2]), eval_part(e.parts[3]));
    case Kind::call:
      return call(e);
    case Kind::filter:
      return filter(e.name, eval(*e.parts[0]), arguments(e));
    case Kind::test:
      return test(e.name, eval(*e.parts[0]), arguments(e));
    case Kind::negation:
      return !truth(eval(*e.parts[0]));
    case Kind::minus:
      if (std::optional<i64> n = number(eval(*e.parts[0]))) return -*n;
      wrong("- wants a number");
    case Kind::binary:
      return binary(e);
    case Kind::conditional:
      return truth(eval(*e.parts[1])) ? eval(*e.parts[0]) : eval_part(e.parts[2]);
  }
  return {};
}

Value Run::variable(const std::string& name) {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (const Value* found = scope->find(name)) return *found;
  }
  return {};
}

Value Run::member(const Value& of, const std::string& name) {
  if (of.undefined()) wrong("\"" + name + "\" of what is undefined");
  if (!of.dictionary()) return {};
  const Value* found = of.dictionary()->find(name);
  return found ? *found : Value();
}

Value Run::item(const Value& of, const Value& key) {
  if (key.string()) return member(of, *key.string());
  std::optional<i64> n = number(key);
  if (!n || !(of.list() || of.string())) wrong("what is in brackets does not fit");
  i64 size = static_cast<i64>(of.list() ? of.list()->size() : of.string()->size());
  i64 at = *n < 0 ? *n + size : *n;
  if (at < 0 || at >= size) return {};
  return of.list() ? (*of.list())[static_cast<size_t>(at)] : make(std::string(1, (*of.string())[static_cast<size_t>(at)]));
}

Value Run::slice(const Value& of, const Value& first, const Value& last, const Value& step_value) {
  if (!of.list() && !of.string()) wrong("only lists and strings can be sliced");
  i64 size = static_cast<i64>(of.list() ? of.list()->size() : of.string()->size()), by = number(step_value).value_or(1);
  if (by != 1 && by != -1) wrong("slices in steps of another size are not known");
  auto place = [&](const Value& v, i64 otherwise) {
    std::optional<i64> n = number(v);
    if (!n) return otherwise;
    i64 low = by > 0 ? 0 : -1;
    return std::clamp(*n < 0 ? *n + size : *n, low, low + size);
  };
  i64 from = place(first, by > 0 ? 0 : size - 1), to = place(last, by > 0 ? size : -1);
  List out;
  std::string characters;
  for (i64 i = from; by > 0 ? i < to : i > to; i += by) {
    if (of.list())
      out.push_back((*of.list())[static_cast<size_t>(i)]);
    else
      characters += (*of.string())[static_cast<size_t>(i)];
  }
  return of.list() ? make(std::move(out)) : make(std::move(characters));
}

Value Run::binary(const JinjaExpression& e) {
  const std::string& op = e.name;
  Value a = eval(*e.parts[0]);
  if (op == "or") return truth(a) ? a : eval(*e.parts[1]);
  if (op == "and") return truth(a) ? eval(*e.parts[1]) : a;
  Value b = eval(*e.parts[1]);
  if (op == "==") return equal(a, b);
  if (op == "!=") return !equal(a, b);
  if (op == "in") return contains(b, a);
  if (op == "not in") return !contains(b, a);
  if (op == "~") return make(bounded(text(a) + text(b)));
  if (op == "+" && !number(a)) return concatenate(a, b);
  std::optional<i64> x = number(a), y = number(b);
  if (a.string() && b.string()) x = a.string()->compare(*b.string()), y = 0;
  if (!x || !y || (a.string() && op[0] != '<' && op[0] != '>')) wrong("\"" + op + "\" does not go with these values");
  if (op == "<") return *x < *y;
  if (op == ">") return *x > *y;
  if (op == "<=") return *x <= *y;
  if (op == ">=") return *x >= *y;
  constexpr i64 MOST = 1 << 30;
  if (std::max(std::abs(*x), std::abs(*y)) > MOST) wrong("a number is too large");
  if (op == "+") return *x + *y;
  if (op == "-") return *x - *y;
  if (op == "*") return *x * *y;
  if (op == "/" || *y <= 0) wrong("this division is not known");
  i64 rest = ((*x % *y) + *y) % *y;
  return op == "%" ? rest : (*x - rest) / *y;
}

Value Run::concatenate(const Value& a, const Value& b) {
  if (a.string() && b.string()) return make(bounded(*a.string() + *b.string()));
  if (!a.list() || !b.list()) wrong("+ does not go with these values");
  List out = *a.list();
  out.insert(out.end(), b.list()->begin(), b.list()->end());
  return make(std::move(out));
}

bool Run::equal(const Value& a, const Value& b, int depth) {
  if (depth > MAX_NESTING) wrong("lists are too deep to be compared");
  step();
  if (number(a) && number(b)) return *number(a) == *number(b);
  if (a.is.index() != b.is.index()) return false;
  if (a.string()) return *a.string() == *b.string();
  if (a.dictionary()) {  // in any order
    return a.dictionary()->size() == b.dictionary()->size() &&
           std::all_of(a.dictionary()->begin(), a.dictionary()->end(), [&](const Dictionary::Member& member) {
             const Value* other = b.dictionary()->find(member.key);
             return other && equal(member.value, *other, depth + 1);
           });
  }
  if (!a.list()) return true;
  return std::equal(a.list()->begin(), a.list()->end(), b.list()->begin(), b.list()->end(),
                    [&](const Value& one, const Value& other) { return equal(one, other, depth + 1); });
}

bool Run::contains(const Value& whole, const Value& part) {
  if (whole.string()) return find(*whole.string(), string(part, "in")) != std::string::npos;
  if (whole.dictionary()) return part.string() && whole.dictionary()->find(*part.string());
  if (!whole.list()) wrong("in wants a string, a list or a dictionary");
  return std::any_of(whole.list()->begin(), whole.list()->end(), [&](const Value& one) { return equal(one, part); });
}

Arguments Run::arguments(const JinjaExpression& e) {
  Arguments out;
  for (size_t i = 1; i < e.parts.size(); i++) {
    if (e.keywords[i].empty())
      out.places.push_back(eval(*e.parts[i]));
    else
      out.names[e.keywords[i]] = eval(*e.parts[i]);
  }
  return out;
}

void Run::check_arguments(const std::string& name, const Arguments& with) {
  for (const auto& [known, most] : MOST_ARGUMENTS) {
    if (name != known) continue;
    if (with.places.size() > most)
      wrong("\"" + name + "\" with " + std::to_string(with.places.size()) + " values is not known");
    for (const auto& [key, value] : with.names) {
      if (key != "boolean" || name[0] != 'd') wrong("\"" + name + "\" with \"" + key + "\" is not known");
    }
  }
}

Value Run::call(const JinjaExpression& e) {
  const JinjaExpression& callee = *e.parts[0];
  Arguments with = arguments(e);
  if (callee.kind == Kind::member) return method(eval(*callee.parts[0]), callee.name, with);
  Value of = eval(callee);
  if (const auto* macro = of.as<const JinjaStatement*>()) return call_macro(**macro, with);
  const std::string& name = callee.name;
  if (callee.kind != Kind::variable) wrong("this cannot be called");
  if (name == "raise_exception") wrong("it refuses the conversation: " + text(with.at(0)));
  if (name == "namespace" || name == "dict") {
    if (with.places.empty()) return make(with.names);
    const Dictionary* first = with.places[0].dictionary();
    if (!first) wrong(name + " wants a dictionary");
    Dictionary out = *first;
    for (const auto& [key, value] : with.names)
      out[key] = value;
    return make(std::move(out));
  }
  if (name != "range") wrong("a function \"" + name + "\" is not known");
  check_arguments(name, with);
  bool two = with.places.size() > 1;
  i64 first = two ? number(with.at(0)).value_or(0) : 0, last = number(with.at(two)).value_or(0),
      by = number(with.at(2)).value_or(1);
  List out;
  for (i64 i = first; by != 0 && (by > 0 ? i < last : i > last) && out.size() <= MAX_ITEMS; i += by)
    out.push_back(i);
  return make(std::move(out));
}

Value Run::call_macro(const JinjaStatement& macro, const Arguments& with) {
  if (++depth_ > MAX_DEPTH) wrong("macros call each other without end");
  Dictionary scope;
  for (size_t i = 1; i < macro.names.size(); i++) {
    const Value& given = with.at(i - 1, macro.names[i].c_str());
    scope[macro.names[i]] = given.undefined() ? eval_part(macro.defaults[i]) : given;
  }
  // It sees what stands at the top of the template, and nothing of who calls it.
  std::vector<Dictionary> callers(std::make_move_iterator(scopes_.begin() + 1), std::make_move_iterator(scopes_.end()));
  scopes_.resize(1);
  scopes_.push_back(std::move(scope));
  std::string out = captured(macro.bodies[0]);
  scopes_.pop_back();
  std::move(callers.begin(), callers.end(), std::back_inserter(scopes_));
  depth_--;
  return make(std::move(out));
}

Value Run::method(const Value& of, const std::string& name, const Arguments& with) {
  check_arguments(name, with);
  if (Dictionary* d = of.dictionary()) {
    if (name == "get") {
      const Value* found = d->find(string(with.at(0), "get"));
      return found ? *found : with.places.size() > 1 ? with.at(1) : Value(None{});
    }
    if (name == "items") return filter("items", of, with);
    if (name == "keys") return make(items(of));
    if (name == "values") {
      List out;
      for (const auto& member : *d)
        out.push_back(member.value);
      return make(std::move(out));
    }
  }
  if (name == "append" && of.list()) {
    if (of.list()->size() == MAX_ITEMS) wrong("a list is too long");
    work(sizeof(Value));
    of.list()->push_back(with.at(0));
    return None{};
  }
  if (!of.string()) wrong("a method \"" + name + "\" is not known");
  const std::string& s = *of.string();
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    return make(strip(of, with.at(0), name != "rstrip", name != "lstrip"));
  }
  if (name == "startswith") return s.starts_with(string(with.at(0), "startswith"));
  if (name == "endswith") return s.ends_with(string(with.at(0), "endswith"));
  if (name == "split") {
    const std::string& by = string(with.at(0), "split");
    if (by.empty()) wrong("split wants a separator");
    List out;
    size_t from = 0;
    for (size_t to; (to = find(s, by, from)) != std::string::npos; from = to + by.size())
      out.push_back(make(s.substr(from, to - from)));
    out.push_back(make(s.substr(from)));
    return make(std::move(out));
  }
  return filter(name, of, with);
}

Value Run::filter(const std::string& name, const Value& of, const Arguments& with) {
  check_arguments(name, with);
  if (name == "default" || name == "d")
    return of.undefined() || (truth(with.at(1, "boolean")) && !truth(of)) ? with.at(0) : of;
  if (name == "selectattr" || name == "rejectattr") return where(of, with, name == "selectattr");
  if (name == "tojson") {
    std::string indent;  // of each depth, behind a line feed; empty: all in one line
    for (const auto& [key, value] : with.names) {
      const i64 spaces = number(value).value_or(-1);
      if (key != "indent" || (!value.as<None>() && (spaces < 0 || spaces > 16)))
        wrong("tojson with \"" + key + "\" is not known");
      if (!value.as<None>()) indent = "\n" + std::string(static_cast<size_t>(spaces), ' ');
    }
    if (!with.places.empty()) wrong("tojson with a value by its place is not known");
    return make(json(of, indent));
  }
  if (name == "string" || name == "safe") return make(text(of));
  if (name == "length" || name == "count") return static_cast<i64>(of.string() ? of.string()->size() : items(of).size());
  if (name == "list") return make(items(of));
  if (name == "first" || name == "last") {
    List all = items(of);
    return all.empty() ? Value() : name == "first" ? all.front() : all.back();
  }
  if (name == "items") {
    if (!of.dictionary()) wrong("items wants a dictionary");
    List out;
    for (const auto& [key, value] : *of.dictionary())
      out.push_back(make(List{make(key), value}));
    return make(std::move(out));
  }
  if (name == "join") {
    std::string out, between;
    for (const Value& one : items(of)) {
      bounded(out += between + text(one));
      if (with.at(0).string()) between = *with.at(0).string();
    }
    return make(out);
  }
  if (name == "trim") return make(strip(of, with.at(0), true, true));
  if (name == "capitalize") return make(cased(text(of), upper, lower));
  if (name == "title") wrong("a filter \"title\" is not known");
  if (name == "upper") return make(cased(text(of), upper, upper));
  if (name == "lower") return make(cased(text(of), lower, lower));
  if (name == "replace") return make(replace(text(of), string(with.at(0), "replace"), string(with.at(1), "replace")));
  wrong("a filter \"" + name + "\" is not known");
}

// selectattr(name, test, value): the items whose member passes the test, or without one is true.
Value Run::where(const Value& of, const Arguments& with, bool wanted) {
  List out;
  for (const Value& one : items(of)) {
    Value value = member(one, string(with.at(0), "selectattr"));
    bool passes = with.at(1).string() ? test(*with.at(1).string(), value, {{with.at(2)}, {}}) : truth(value);
    if (passes == wanted) out.push_back(one);
  }
  return make(std::move(out));
}

bool Run::test(const std::string& name, const Value& of, const Arguments& with) {
  if (name == "defined") return !of.undefined();
  if (name == "undefined") return of.undefined();
  if (name == "none") return of.as<None>();
  if (name == "string") return of.string();
  if (name == "mapping") return of.dictionary();
  if (name == "iterable" && of.undefined()) return true;
  if (name == "sequence" || name == "iterable") return of.string() || of.list() || of.dictionary();
  if (name == "boolean") return of.as<bool>();
  if (name == "number") return number(of).has_value();
  if (name == "integer") return of.as<i64>();
  if (name == "true") return of.as<bool>() && truth(of);
  if (name == "false") return of.as<bool>() && !truth(of);
  if (name == "equalto" || name == "eq") return equal(of, with.at(0));
  if (name == "ne") return !equal(of, with.at(0));
  if (name == "in") return contains(with.at(0), of);
  if ((name == "odd" || name == "even") && number(of)) return (*number(of) % 2 != 0) == (name == "odd");
  wrong("a test \"" + name + "\" is not known");
}

List Run::items(const Value& of) {
  List out;
  if (of.list()) {
    work(of.list()->size() * sizeof(Value));
    out = *of.list();
  } else if (of.dictionary()) {
    for (const auto& [key, value] : *of.dictionary())
      out.push_back(make(key));
  } else if (!of.undefined()) {
    wrong("only lists and dictionaries have items");
  }
  return out;
}

std::string Run::text(const Value& v) {
  if (v.undefined()) return {};
  if (v.string()) return *v.string();
  if (v.as<None>()) return "None";
  if (const bool* b = v.as<bool>()) return *b ? "True" : "False";
  if (const i64* n = v.as<i64>()) return std::to_string(*n);
  wrong("it writes a list or a dictionary");
}

// Of a string, either end without blanks, or without the characters of `what`.
std::string Run::strip(const Value& v, const Value& what, bool left, bool right) {
  std::string s = text(v), characters = what.string() ? *what.string() : BLANKS;
  work(u64{s.size()} * characters.size());
  if (left) s.erase(0, std::min(s.find_first_not_of(characters), s.size()));
  if (right) s.erase(s.find_last_not_of(characters) + 1);
  return s;
}

std::string Run::replace(std::string s, const std::string& what, const std::string& by) {
  if (what.empty()) return s;
  std::string out;
  size_t from = 0;
  for (size_t to; (to = find(s, what, from)) != std::string::npos; from = to + what.size())
    bounded(out.append(s, from, to - from).append(by));
  return bounded(out.append(s, from));
}

// As Python's json.dumps with ensure_ascii=False, which is what transformers makes of tojson: a dictionary in its own order.
std::string Run::json(const Value& v, const std::string& indent, int depth) {
  if (depth > MAX_NESTING) wrong("lists are too deep for tojson");
  step();
  if (v.as<None>()) return "null";
  if (const bool* b = v.as<bool>()) return *b ? "true" : "false";
  if (const i64* n = v.as<i64>()) return std::to_string(*n);
  auto line = [&](int deep) {  // the break before an element, or the end
    std::string out = indent.substr(0, 1);
    while (deep-- > 0 && !indent.empty())
      out += indent.substr(1);
    return out;
  };
  std::string out;
  const char* between = indent.empty() ? ", " : ",";
  auto add = [&](const std::string& part) { bounded(out += (out.empty() ? "" : between) + line(depth + 1) + part); };
  if (v.list()) {
    for (const Value& one : *v.list())
      add(json(one, indent, depth + 1));
    return out.empty() ? "[]" : "[" + out + line(depth) + "]";
  }
  if (v.dictionary()) {
    for (const auto& [key, value] : *v.dictionary())
      add(quoted(key) + ": " + json(value, indent, depth + 1));
    return out.empty() ? "{}" : "{" + out + line(depth) + "}";
  }
  if (!v.string()) wrong("tojson of this value is not known");
  work(v.string()->size());
  return quoted(*v.string());
}

}  // namespace

JinjaTemplate::JinjaTemplate(const std::string& source) : body_(parse_jinja(source)) {}
JinjaTemplate::~JinjaTemplate() = default;

std::string JinjaTemplate::render(const std::vector<ChatMessage>& messages, bool add_generation_prompt,
                                  const std::string& bos_token, const std::string& eos_token) const {
  Run run;
  List list;
  for (const ChatMessage& message : messages)
    list.push_back(run.make(Dictionary{{"role", &message.role}, {"content", &message.content}}));
  return run.body(*body_, {{"messages", run.make(std::move(list))},
                           {"add_generation_prompt", add_generation_prompt},
                           {"bos_token", &bos_token},
                           {"eos_token", &eos_token},
                           {"tools", None{}},
                           {"documents", None{}}});
}

}  // namespace edgellm::convert
