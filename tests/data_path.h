// Where real checkpoints, tokenizers and texts lie: $EDGELLM_DATA, else ../shared/data beside the project. Tests that need
// them are skipped when they are not there.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <string>

inline std::filesystem::path data_path(const std::string& name) {
  const char* folder = std::getenv("EDGELLM_DATA");
  return std::filesystem::path(folder ? folder : "../shared/data") / name;
}

// Why a test is skipped.
inline std::string no_data(const std::string& name) {
  return "no " + data_path(name).string();
}
