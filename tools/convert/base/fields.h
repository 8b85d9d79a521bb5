// Members of a JSON object of some file, by type. One that is there but of another type is an error that names the file; null
// counts as not there.
#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "convert/base/error.h"
#include "convert/base/json.h"

namespace edgellm::convert {

class Fields {
 public:
  Fields(const Json& object, std::string where) : object_(&object), where_(std::move(where)) {}

  std::optional<f64> number(const char* key) const {
    const Json* value = object_->find(key);
    if (!value) return std::nullopt;
    if (!value->number()) unusable(where_, ": \"", key, "\" is not a number");
    return *value->number();
  }

  std::optional<i64> integer(const char* key) const {
    const Json* value = object_->find(key);
    if (!value) return std::nullopt;
    std::optional<i64> whole = value->whole(-Json::MAX_WHOLE, Json::MAX_WHOLE);
    if (!whole) unusable(where_, ": \"", key, "\" is not a whole number");
    return whole;
  }

  i64 required(const char* key) const {
    std::optional<i64> value = integer(key);
    if (!value) unusable(where_, ": \"", key, "\" is missing");
    return *value;
  }

  // Empty when it is not there.
  std::string string(const char* key) const {
    const Json* value = object_->find(key);
    if (!value) return {};
    if (!value->string()) unusable(where_, ": \"", key, "\" is not a text");
    return *value->string();
  }

  std::optional<bool> flag(const char* key) const {
    const Json* value = object_->find(key);
    if (!value) return std::nullopt;
    if (!value->boolean()) unusable(where_, ": \"", key, "\" is not true or false");
    return *value->boolean();
  }

  std::optional<Fields> object(const char* key) const {
    const Json* value = object_->find(key);
    if (!value) return std::nullopt;
    if (!value->object()) unusable(where_, ": \"", key, "\" is not an object");
    return Fields(*value, where_ + ": " + key);
  }

  // A token id, or a list of them; -1 stands for none. Those that are new go to the end of `ids`.
  void add_ids(const char* key, std::vector<u32>* ids) const {
    if (const Json* value = object_->find(key)) add_ids(*value, key, ids);
  }

  const Json* find(const char* key) const { return object_->find(key); }
  const std::string& where() const { return where_; }

 private:
  void add_ids(const Json& value, const char* key, std::vector<u32>* ids) const {
    if (value.array()) {
      for (const Json& element : *value.array())
        add_ids(element, key, ids);
      return;
    }
    std::optional<i64> id = value.whole(-1, INT32_MAX);
    if (!id) unusable(where_, ": ", key, " is not a token id or a list of them");
    if (*id >= 0 && std::find(ids->begin(), ids->end(), *id) == ids->end()) ids->push_back(static_cast<u32>(*id));
  }

  const Json* object_;
  std::string where_;
};

}  // namespace edgellm::convert
