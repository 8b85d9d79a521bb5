// Numbers as they are typed: no locale, and the same value on every machine.
#pragma once
#include "base/status.h"

namespace edgellm {

// A whole decimal number up to `most`; false for anything else.
bool parse_whole(const char* text, u64 most, u64* value);

// At most 17 digits, at most one point, and perhaps an exponent of ten such as e-3, up to 99; no sign in front. False for
// anything else. The nearest f64 where the digits make no more than 2^53 and the powers of ten are exact, up to 10^22.
bool parse_decimal(const char* text, f64* value);

// "1,2,3": calls add(context, number) for each; the error names `what`.
Status parse_list(Text what, const char* list, void (*add)(void* context, i32 number), void* context);

}  // namespace edgellm
