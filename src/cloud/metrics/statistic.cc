#include "cloud/metrics/statistic.h"

#include <cstdlib>
#include <string>
#include <utility>

namespace bertie::cloud {

std::optional<Statistic> Statistic::Parse(std::string_view name) {
  constexpr std::pair<std::string_view, Kind> kNames[] = {{"SampleCount", Kind::kSampleCount},
                                                          {"Average", Kind::kAverage},
                                                          {"Sum", Kind::kSum},
                                                          {"Minimum", Kind::kMinimum},
                                                          {"Maximum", Kind::kMaximum}};
  for (const auto& [known, kind] : kNames) {
    if (name == known) return Statistic(kind);
  }
  if (!name.starts_with('p') || name.size() < 2 || name.size() > 6) return std::nullopt;
  const std::string number(name.substr(1));
  const size_t dot = number.find('.');
  const bool plain = number.find_first_not_of("0123456789.") == number.npos && dot != 0 &&
                     number.find('.', dot == number.npos ? dot : dot + 1) == number.npos;
  const double percent = plain ? std::strtod(number.c_str(), nullptr) : -1;
  if (percent < 0 || percent > 100) return std::nullopt;
  return Statistic(Kind::kPercentile, percent / 100);
}

double Statistic::Of(const Distribution& values) const {
  switch (kind_) {
    case Kind::kSampleCount:
      return static_cast<double>(values.count());
    case Kind::kAverage:
      return values.mean();
    case Kind::kSum:
      return values.sum();
    case Kind::kMinimum:
      return values.min();
    case Kind::kMaximum:
      return values.max();
    default:
      return values.Percentile(share_);
  }
}

}  // namespace bertie::cloud
