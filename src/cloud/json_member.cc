#include "cloud/json_member.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace bertie::cloud {

using formats::Json;

Member Member::operator[](const char* name) const {
  std::string path = path_.empty() ? "" : path_ + ".";
  path += static_cast<char>(std::tolower(static_cast<unsigned char>(*name)));
  path += name + 1;
  const Json* member = nullptr;
  if (value_ != nullptr && !value_->is_object()) {
    Refuse("Member must be an object");
  } else if (value_ != nullptr) {
    const auto found = value_->find(name);
    if (found != value_->end() && !found->is_null()) member = &*found;
  }
  return {member, std::move(path), *failure_};
}

Member Member::Required() const {
  if (!there()) Refuse("Member must not be null");
  return *this;
}

std::string Member::Text(size_t max, const char* pattern) const {
  if (!there()) return {};
  if (!value_->is_string()) {
    Refuse("Member must be a string");
    return {};
  }
  const std::string text = value_->get<std::string>();
  if (text.size() > max) {
    Refuse("Member must have length less than or equal to " + std::to_string(max));
    return {};
  }
  if (pattern != nullptr && !std::regex_match(text, std::regex(pattern))) {
    Refuse(std::string("Member must satisfy regular expression pattern: ") + pattern);
  }
  return text;
}

std::string Member::OneOf(const std::vector<std::string>& words) const {
  if (!there()) return words.front();
  const std::string text = Text(256);
  if (std::find(words.begin(), words.end(), text) != words.end()) return text;
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : ", ") + word;
  Refuse("Member must satisfy enum value set: [" + all + "]");
  return words.front();
}

int64_t Member::Int(int64_t min, int64_t max, int64_t otherwise) const {
  if (!there()) return otherwise;
  if (!value_->is_number_integer()) {
    Refuse("Member must be an integer");
    return otherwise;
  }
  const bool huge = value_->is_number_unsigned() &&
                    value_->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()};
  const int64_t number = huge ? std::numeric_limits<int64_t>::max() : value_->get<int64_t>();
  if (number < min)
    Refuse("Member must have value greater than or equal to " + std::to_string(min));
  if (number > max) Refuse("Member must have value less than or equal to " + std::to_string(max));
  return std::clamp(number, min, max);
}

bool Member::Flag() const {
  if (!there()) return false;
  if (!value_->is_boolean()) Refuse("Member must be true or false");
  return value_->is_boolean() && value_->get<bool>();
}

std::optional<int64_t> Member::Time() const {
  if (!there()) return std::nullopt;
  const double seconds = value_->is_number() ? value_->get<double>() : -1;
  if (!(seconds >= 0 && seconds < 1e11)) {
    Refuse("Member must be a time in seconds since 1970");
    return std::nullopt;
  }
  return std::llround(seconds * 1000);
}

std::vector<Member> Member::Items(size_t min, size_t max) const {
  std::vector<Member> items;
  if (!there()) return items;
  if (!value_->is_array() || value_->size() < min || value_->size() > max) {
    Refuse("Member must be a list of " + std::to_string(min) + " to " + std::to_string(max) +
           " elements");
    return items;
  }
  for (const Json& item : *value_) {
    items.push_back({&item, path_ + "." + std::to_string(items.size() + 1) + ".member", *failure_});
  }
  return items;
}

std::map<std::string, std::string> Member::Texts(size_t max_pairs, size_t max_key,
                                                 size_t max_value) const {
  std::map<std::string, std::string> texts;
  if (!there()) return texts;
  if (!value_->is_object() || value_->size() > max_pairs) {
    Refuse("Member must be a map of at most " + std::to_string(max_pairs) + " pairs");
    return texts;
  }
  for (const auto& [key, value] : value_->items()) {
    if (key.size() > max_key)
      Refuse("Map keys must have length at most " + std::to_string(max_key));
    if (!value.is_string() || value.get_ref<const std::string&>().size() > max_value) {
      Refuse("Map value of " + key.substr(0, 256) + " must be a string of length at most " +
             std::to_string(max_value));
      continue;
    }
    texts[key] = value.get<std::string>();
  }
  return texts;
}

void Member::Refuse(const std::string& rule) const {
  const std::string value = there() ? formats::DumpJson(*value_).substr(0, 100) : "null";
  RefuseWith("1 validation error detected: Value '" + value + "' at '" + path_ +
             "' failed to satisfy constraint: " + rule);
}

void Member::RefuseWith(const std::string& message) const {
  if (!*failure_) failure_->emplace("ValidationException", message);
}

double Seconds(int64_t milliseconds) { return static_cast<double>(milliseconds) / 1000; }

}  // namespace bertie::cloud
