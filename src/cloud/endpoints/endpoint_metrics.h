// What CloudWatch knows of endpoints: Invocations, Invocation4XXErrors, Invocation5XXErrors,
// ModelLatency and OverheadLatency, by EndpointName and VariantName.
#pragma once

#include <chrono>
#include <string>

#include "cloud/metrics/metric_store.h"

namespace bertie::cloud {

class EndpointMetrics {
 public:
  using Clock = std::chrono::steady_clock;

  struct Invocation {
    std::string endpoint;
    std::string variant;
    int status = 200;         // that the client got
    Clock::duration model{};  // the server's part, asked once more or not
    Clock::duration total{};
  };

  // Any thread.
  void Record(const Invocation& invocation);

  const MetricSource& source() const { return store_; }

 private:
  MetricStore store_;
};

}  // namespace bertie::cloud
