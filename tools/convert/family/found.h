// What somebody means by the name of a source: it may stand in another's place, as config.json does for its folder.
#pragma once
#include "convert/source/source.h"

namespace edgellm::convert {

// The source that `path` names: itself, or the one that is read for it, which `notes` hears of. Of a folder without weights of
// its own that is its one GGUF file, of config.json or of a folder's weights the folder. Throws where there is nothing.
Source find_source(const std::string& path, std::vector<std::string>* notes);

}  // namespace edgellm::convert
