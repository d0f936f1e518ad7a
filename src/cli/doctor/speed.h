// Short measurements of what bounds a BERT on this machine: products, memory, disk.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/thread_pool.h"
#include "cli/doctor/facts.h"
#include "cli/doctor/pauses.h"

namespace bertie::cli {

// Each is the best of several tries, on all of the pool's threads; spread and stolen tell how far
// the others were from it.
struct Speed {
  double fp32 = 0, bf16 = 0, int8 = 0;  // 10^9 multiplications and additions a second, by kernels
  double read = 0;    // 10^9 bytes a second: weights beyond the caches, multiplied by one token
  double copy = 0;    // 10^9 bytes a second, read and written, as STREAM counts them
  double disk = 0;    // 10^6 bytes a second written to the cache's folder; 0: not measured
  double spread = 0;  // by how much the slowest tenth of equal pieces of work exceeds the best
  double stolen = 0;  // share of the processors' time that other machines of the host took
  Pauses pauses;
};

// About three seconds. Memory: at most a quarter of what is usable.
Speed MeasureSpeed(const Facts& facts, ThreadPool& pool);

}  // namespace bertie::cli
