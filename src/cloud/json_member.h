// Reads the members of a request in JSON and checks them, in the words of Amazon's services.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "cloud/failure.h"
#include "cloud/json_service.h"
#include "formats/json.h"

namespace bertie::cloud {

// A value, and where it stands. What breaks a rule is kept, the first of it, and reading goes on
// with a default: callers look at the failure once, at the end. Refers to the JSON and the failure
// it was made with.
class Member {
 public:
  Member(const formats::Json& value, std::optional<Failure>& failure)
      : Member(&value, std::string(), failure) {}

  bool there() const { return value_ != nullptr; }
  const std::string& path() const { return path_; }

  // The member of an object; one that is not there, or null, can be read too, to defaults.
  Member operator[](const char* name) const;
  // Notes that it is missing, if it is.
  Member Required() const;

  // The whole text must match the pattern (ECMAScript).
  std::string Text(size_t max = 1024, const char* pattern = nullptr) const;
  // One of these. The first is the default.
  std::string OneOf(const std::vector<std::string>& words) const;
  int64_t Int(int64_t min, int64_t max, int64_t otherwise) const;
  bool Flag() const;  // false by default
  // A time in seconds since 1970, as milliseconds.
  std::optional<int64_t> Time() const;
  std::vector<Member> Items(size_t min, size_t max) const;
  std::map<std::string, std::string> Texts(size_t max_pairs, size_t max_key,
                                           size_t max_value) const;

  // "1 validation error detected: ...", with the rule that the value breaks.
  void Refuse(const std::string& rule) const;
  // In own words.
  void RefuseWith(const std::string& message) const;

 private:
  Member(const formats::Json* value, std::string path, std::optional<Failure>& failure)
      : value_(value), path_(std::move(path)), failure_(&failure) {}

  const formats::Json* value_;
  std::string path_;  // "resourceConfig.instanceCount"
  std::optional<Failure>* failure_;
};

// Of jobs, endpoints, configurations, variants.
inline constexpr char kNamePattern[] = "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}";
inline constexpr char kRolePattern[] = "arn:aws[a-z-]*:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@/-]+";

// Seconds since 1970 with a fraction, as JSON 1.1 has times.
double Seconds(int64_t milliseconds);

}  // namespace bertie::cloud
