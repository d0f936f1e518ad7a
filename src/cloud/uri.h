// Query strings as Amazon's signatures and S3 use them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/encoding.h"

namespace bertie::cloud {

struct Parameter {
  std::string name;
  std::string value;  // empty where there was no '='
};

// A query string or a form, decoded; in both a plus is a blank.
class Query {
 public:
  static std::optional<Query> Parse(std::string_view text);

  const std::vector<Parameter>& parameters() const { return parameters_; }
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  // The first value of that name; null when there is none.
  const std::string* Find(std::string_view name) const;
  // The first value, or "".
  std::string Get(std::string_view name) const;

 private:
  std::vector<Parameter> parameters_;
};

}  // namespace bertie::cloud
