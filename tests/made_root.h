// A folder that stands for the root of a system, for what reads /proc and /sys.
#pragma once
#include <filesystem>
#include <string>

#include "files.h"

struct MadeRoot : Folder {
  MadeRoot& file(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(*this / name).parent_path());
    write_file(*this / name, text);
    return *this;
  }
};
