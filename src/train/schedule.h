// Learning rates over a run.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace bertie::train {

enum class Schedule { kConstant, kLinear, kCosine };

Result<Schedule> ParseSchedule(std::string_view name);

// The factor of the base rate for optimiser step `step` (from 0) of `total`: rises from 0 over the
// warm-up steps, then stays (constant), falls in a line to 0 at `total`, or along a half cosine.
// The same values as transformers' get_*_schedule_with_warmup.
double ScheduleFactor(Schedule schedule, int64_t step, int64_t total, int64_t warmup);

}  // namespace bertie::train
