#include "convert/chat/grammar.h"

#include <algorithm>
#include <utility>

#include "convert/base/error.h"
#include "convert/base/json.h"

namespace edgellm::convert {
namespace {

// A whole number below `limit`.
u32 number_in(const Json& json, i64 limit, const std::string& place, const char* what) {
  std::optional<i64> number = json.whole(0, limit - 1);
  if (!number) unusable(place, ": ", what, " must be a whole number below ", limit);
  return static_cast<u32>(*number);
}

std::vector<std::pair<u32, u32>> read_state(const Json& json, i64 vocab, size_t states, const std::string& place) {
  const Json::Array* list = json.array();
  if (!list || list->empty()) unusable(place, ": expected a list of [id, next state], one or more");
  std::vector<std::pair<u32, u32>> transitions;
  for (const Json& item : *list) {
    const Json::Array* pair = item.array();
    if (!pair || pair->size() != 2) unusable(place, ": expected [id, next state]");
    transitions.emplace_back(number_in((*pair)[0], vocab, place, "an id"),
                             number_in((*pair)[1], static_cast<i64>(states), place, "a state"));
  }
  std::sort(transitions.begin(), transitions.end());
  for (size_t i = 1; i < transitions.size(); i++) {
    if (transitions[i].first == transitions[i - 1].first) unusable(place, ": id ", transitions[i].first, " is there twice");
  }
  return transitions;
}

}  // namespace

std::vector<u32> read_grammar(const std::string& path, i64 vocab) {
  const Json json = read_json(path);
  const Json::Array* states = json.array();
  if (!states || states->empty()) unusable(path, ": expected a list of states, one or more");
  std::vector<u32> numbers = {static_cast<u32>(states->size())}, transitions;
  for (size_t s = 0; s < states->size(); s++) {
    for (auto [id, next] : read_state((*states)[s], vocab, states->size(), text(path, ": state ", s))) {
      transitions.push_back(id);
      transitions.push_back(next);
    }
    numbers.push_back(static_cast<u32>(transitions.size() / 2));
  }
  numbers.insert(numbers.end(), transitions.begin(), transitions.end());
  return numbers;
}

}  // namespace edgellm::convert
