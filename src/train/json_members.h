// Members of a JSON object of known types.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

#include "base/status.h"
#include "formats/json.h"

namespace bertie::train {

using formats::Json;

// Reads members of a JSON object, which outlives it, and remembers the first that is missing or of
// another type.
class Members {
 public:
  Members(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  int64_t Integer(const char* name) {
    const Json* value = Find(name, &Json::is_number_integer, "a whole number");
    return value != nullptr ? value->get<int64_t>() : 0;
  }
  double Number(const char* name) {
    const Json* value = Find(name, &Json::is_number, "a number");
    return value != nullptr ? value->get<double>() : 0;
  }
  bool Bool(const char* name) {
    const Json* value = Find(name, &Json::is_boolean, "true or false");
    return value != nullptr && value->get<bool>();
  }
  std::string String(const char* name) {
    const Json* value = Find(name, &Json::is_string, "a string");
    return value != nullptr ? value->get<std::string>() : "";
  }
  const Json& Object(const char* name) {
    static const Json kEmpty = Json::object();
    const Json* value = Find(name, &Json::is_object, "an object");
    return value != nullptr ? *value : kEmpty;
  }

  const Status& status() const { return status_; }

 private:
  const Json* Find(const char* name, bool (Json::*is)() const noexcept, const char* expected) {
    const auto found = object_.find(name);
    if (found != object_.end() && ((*found).*is)()) return &*found;
    if (status_.ok()) {
      status_ = Error{ErrorCode::kInvalidData,
                      where_ + ": '" + name + "' is " +
                          (found == object_.end() ? "absent" : formats::JsonTypeName(*found)) +
                          ", expected " + expected};
    }
    return nullptr;
  }

  const Json& object_;
  std::string where_;
  Status status_;
};

// A file that holds one JSON object.
inline Result<Json> ReadObject(const std::filesystem::path& path) {
  BERTIE_ASSIGN_OR_RETURN(Json json, formats::ReadJsonFile(path));
  if (!json.is_object()) {
    return Error{ErrorCode::kInvalidData,
                 path.string() + ": holds " + formats::JsonTypeName(json) + ", expected an object"};
  }
  return json;
}

}  // namespace bertie::train
