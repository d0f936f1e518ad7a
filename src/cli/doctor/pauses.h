// How long the processors stand still while all of them work: a neighbour on the host, a control
// group's quota, or other programs. Answers wait at least as long.
#pragma once

#include "base/thread_pool.h"

namespace bertie::cli {

struct Pauses {
  double longest_ms = 0;
  double per_second = 0;  // of more than a millisecond, on all processors together
  double lost = 0;        // share of the processors' time that pauses of 0.05 ms and more took
};

// Every thread of the pool reads the clock for that long, over and over; what is missing between
// two readings is a pause.
Pauses MeasurePauses(double seconds, ThreadPool& pool);

}  // namespace bertie::cli
