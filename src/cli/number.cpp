#include "cli/number.h"

namespace edgellm {

static bool digit(char c) {
  return c >= '0' && c <= '9';
}

bool parse_whole(const char* text, u64 most, u64* value) {
  u64 number = 0;
  if (!*text) return false;
  for (; *text; text++) {
    if (!digit(*text)) return false;
    u64 add = static_cast<u64>(*text - '0');
    if (number > (most - add) / 10) return false;
    number = number * 10 + add;
  }
  *value = number;
  return true;
}

bool parse_decimal(const char* text, f64* value) {
  f64 number = 0;
  i32 digits = 0, power = 0;  // the value is number * 10^power
  bool point = false;
  for (; digit(*text) || (*text == '.' && !point); text++) {
    if (*text == '.') {
      point = true;
      continue;
    }
    number = number * 10 + (*text - '0');
    digits++;
    power -= point;
  }
  if (digits == 0 || digits > 17) return false;
  if (*text == 'e' || *text == 'E') {
    text++;
    const bool negative = *text == '-';
    if (negative || *text == '+') text++;
    u64 exponent;
    if (!parse_whole(text, 99, &exponent)) return false;
    power += negative ? -static_cast<i32>(exponent) : static_cast<i32>(exponent);
  } else if (*text) {
    return false;
  }
  f64 scale = 1;
  for (i32 i = power < 0 ? -power : power; i > 0; i--)
    scale *= 10;
  *value = power < 0 ? number / scale : number * scale;
  return true;
}

Status parse_list(Text what, const char* list, void (*add)(void* context, i32 number), void* context) {
  while (*list) {
    char item[16] = "";
    i32 size = 0;
    while (*list && *list != ',' && size < 15)
      item[size++] = *list++;
    item[size] = 0;
    u64 number;
    if (!parse_whole(item, 1u << 30, &number) || (*list && (*list != ',' || !list[1]))) {
      return usage_error(what, ": \"", item, "\" is not a whole number in a list such as 1,2,3");
    }
    add(context, static_cast<i32>(number));
    list += *list == ',';
  }
  return {};
}

}  // namespace edgellm
