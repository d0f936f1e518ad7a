#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

namespace bertie::train {

Result<Schedule> ParseSchedule(std::string_view name) {
  if (name == "constant") return Schedule::kConstant;
  if (name == "linear") return Schedule::kLinear;
  if (name == "cosine") return Schedule::kCosine;
  return Error{ErrorCode::kInvalidArgument, "learning rate schedule '" + std::string(name) +
                                                "', expected linear, cosine or constant"};
}

double ScheduleFactor(Schedule schedule, int64_t step, int64_t total, int64_t warmup) {
  if (step < warmup) return static_cast<double>(step) / static_cast<double>(warmup);
  if (schedule == Schedule::kConstant) return 1;
  const double left = static_cast<double>(std::max<int64_t>(0, total - step)) /
                      static_cast<double>(std::max<int64_t>(1, total - warmup));
  if (schedule == Schedule::kLinear) return left;
  return 0.5 * (1 + std::cos(std::numbers::pi * (1 - left)));
}

}  // namespace bertie::train
