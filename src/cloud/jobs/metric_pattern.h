// Metrics that a job's user finds in its log by regular expressions.
#pragma once

#include <optional>
#include <regex>
#include <string>
#include <string_view>

#include "base/status.h"

namespace bertie::cloud {

class MetricPattern {
 public:
  // pattern: as Python writes them, without look-behind, references to groups and flags, which are
  // refused (kUnsupported), as is what is none (kInvalidArgument). Matching takes time in
  // proportion to the line, whatever the pattern.
  static Result<MetricPattern> Compile(std::string name, const std::string& pattern);

  const std::string& name() const { return name_; }

  // The first group's number where the pattern is found in the line.
  std::optional<double> Find(std::string_view line) const;

 private:
  MetricPattern(std::string name, std::regex regex)
      : name_(std::move(name)), regex_(std::move(regex)) {}

  std::string name_;
  std::regex regex_;
};

}  // namespace bertie::cloud
