// One conversion: source to model file.
#pragma once
#include <iosfwd>

#include "convert/output/options.h"

namespace edgellm::convert {

// Writes options.destination, or throws and leaves no file. Notes, and the lines that it ends with, go to `report`; a progress bar
// goes to stderr when `progress`.
void convert(const Options& options, std::ostream& report, bool progress);

}  // namespace edgellm::convert
