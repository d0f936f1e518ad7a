// What a RemoteExecutor knows of its batches and of its accelerators. For its own sources.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "accelerator/remote_executor.h"

namespace bertie::accelerator {

// Batches that may be begun again for lateness: a share of those sent, and so many saved up.
inline constexpr double kHedgeShare = 0.1;
inline constexpr double kMaxHedges = 10;

// Whether another accelerator would say the same.
inline bool IsAboutTheBatch(const Error& error) {
  return error.code == ErrorCode::kInvalidArgument;
}

// A batch that has not been answered.
struct RemoteExecutor::Flight {
  uint64_t id = 0;
  std::shared_ptr<const model::PackedBatch> batch;
  Clock::time_point deadline;
  Done done;

  // Guarded by the mutex.
  bool answered = false;
  Accelerator* at = nullptr;  // where it was sent last; nullptr: it is here
  Clock::time_point late_at = Clock::time_point::max();
  bool again = false;  // it has been begun a second time
  bool here = false;   // it waits for this process's processors, or is with them
};

struct RemoteExecutor::Accelerator {
  struct Sent {
    Clock::time_point when;
    int64_t tokens = 0;
  };

  Accelerator(size_t number, std::string where, std::chrono::milliseconds probe_interval)
      : index(number), address(std::move(where)), breaker(probe_interval) {}

  bool Usable() const {
    return session && !lost && breaker.Allows() &&
           static_cast<int>(open.size()) < model.max_in_flight;
  }

  const size_t index;
  const std::string address;
  std::shared_ptr<RemoteSession> session;
  AttachedModel model;
  bool lost = false;
  bool tried = false;  // the first attempt to attach has ended
  Error first_error;
  std::unordered_map<uint64_t, Sent> open;  // sent and not replied to, though perhaps answered
  int64_t open_tokens = 0;
  double usual_tokens = 1;  // moving average of open_tokens whenever a batch is sent
  Breaker breaker;
  RoundTrips round_trips;
  uint64_t bytes_sent = 0;  // by sessions that have ended
  uint64_t bytes_received = 0;
};

}  // namespace bertie::accelerator
