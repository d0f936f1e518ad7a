// What the figures mean for who runs bertie on this machine.
#pragma once

#include <string>
#include <vector>

#include "cli/doctor/facts.h"
#include "cli/doctor/speed.h"

namespace bertie::cli {

// A warning costs speed or may cost answers; with an error bertie does not work.
struct Finding {
  enum class Level { kWarning, kError };
  Level level = Level::kWarning;
  std::string what;  // "memory": for scripts
  std::string text;  // what was found, and what to do
};

// Sentences a second, in batches, and milliseconds for one alone. Estimates: products and reading
// weights, at the speeds measured, with a fixed share for the rest.
struct Expectation {
  std::string model;  // "bert-base"
  int64_t tokens = 0;
  std::string precision;
  double serving = 0, training = 0;  // sentences/s; training in the precision advised for it
  double latency = 0;                // milliseconds
};

struct Advice {
  std::string serving_precision, training_precision;
  std::string serving_reason, training_reason;
  int threads = 0;
  std::string threads_reason;
  std::vector<Expectation> expectations;
  std::vector<Finding> findings;
};

Advice Advise(const Facts& facts, const Speed& speed);

}  // namespace bertie::cli
