// Files and folders of the tests, and a look at texts.
#pragma once
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

// Removed with everything in it. In memory where the system has such a place: the converter waits until its file is durable.
struct Folder {
  std::string path;
  Folder() {
    char name[2][32] = {"/dev/shm/edgellm_test_XXXXXX", "/tmp/edgellm_test_XXXXXX"};
    const char* made = mkdtemp(name[0]);
    if (!made) made = mkdtemp(name[1]);
    if (!made) throw std::runtime_error("no place for temporary files");
    path = made;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  std::string operator/(const std::string& name) const { return path + "/" + name; }
};

inline void write_file(const std::string& path, const std::string& data) {
  std::ofstream(path, std::ios::binary) << data;
}

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The bytes of a file as values that follow each other.
template <class T>
std::vector<T> read_array(const std::string& path) {
  const std::string bytes = read_file(path);
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
