// From decimal digits to the nearest number.
#pragma once
#include "base/types.h"

namespace edgellm {

// The f64 nearest to a number as JSON writes it, ties to even, for any number of digits and any exponent; beyond the largest f64 it
// is infinite. `number` is -?[0-9]+(.[0-9]+)?([eE][+-]?[0-9]+)?, which the caller has checked.
f64 nearest_f64(Text number);

}  // namespace edgellm
