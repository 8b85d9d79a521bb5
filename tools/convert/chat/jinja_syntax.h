// What a template consists of, between its text (jinja_parse.cpp) and what it writes (jinja.cpp).
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/types.h"

namespace edgellm::convert {

struct JinjaExpression {
  enum class Kind {
    text,    // a string: `name`
    number,  // `number`
    truth,   // true or false: `number`
    none,
    variable,     // `name`
    list,         // parts
    dictionary,   // parts: key, value, key, value
    member,       // parts[0].name
    item,         // parts[0][parts[1]]
    slice,        // parts[0][parts[1] : parts[2] : parts[3]], null where left out
    call,         // parts[0](the others)
    filter,       // parts[0] | name(the others)
    test,         // parts[0] is name(the others)
    negation,     // not parts[0]
    minus,        // -parts[0]
    binary,       // parts[0] name parts[1]
    conditional,  // parts[0] if parts[1] else parts[2], which may be null
  };
  Kind kind;
  std::string name = {};
  i64 number = 0;
  std::vector<std::unique_ptr<JinjaExpression>> parts = {};
  std::vector<std::string> keywords = {};  // of a call, a filter or a test: the name of each part, empty for those by place
  i32 line = 0;
  i32 depth = 1;  // of what it consists of
};

using JinjaPart = std::unique_ptr<JinjaExpression>;

struct JinjaStatement;

struct JinjaBody {
  std::vector<std::unique_ptr<JinjaStatement>> statements;
};

struct JinjaStatement {
  enum class Kind {
    text,     // names[0]
    output,   // {{ value }}
    choice,   // if: `value` chooses bodies[0], else bodies[1]
    loop,     // for names in value if condition: bodies[0]; else bodies[1]
    set,      // names = value; with `member`, names[0].member = value
    capture,  // names[0] = what bodies[0] writes
    macro,    // names[0](the other names), with defaults[i] for names[i]
    leave,    // break
    next,     // continue
  };
  Kind kind;
  std::vector<std::string> names = {};
  std::string member = {};
  JinjaPart value = {};
  JinjaPart condition = {};
  std::vector<JinjaPart> defaults = {};
  JinjaBody bodies[2] = {};
};

std::unique_ptr<const JinjaBody> parse_jinja(const std::string& source);

}  // namespace edgellm::convert
