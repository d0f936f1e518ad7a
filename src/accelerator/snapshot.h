// What an accelerator tells of itself: AcceleratorStatus of accelerator.proto, without protobuf.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "accelerator/sizes.h"

namespace bertie::accelerator {

struct Snapshot {
  struct Model {
    std::string content_hash;
    std::string precision;
    uint64_t memory_bytes = 0;
    uint32_t sessions = 0;
    uint64_t batches = 0;
  };
  struct Endpoint {
    std::string name;
    std::string accelerator_type;
    std::string content_hash;
    std::string peer;
    double attached_seconds = 0;
    double units = 0;
    double share = 0;  // of the busy time of the last 10 s
    uint64_t batches = 0;
    uint64_t sentences = 0;
    uint64_t tokens = 0;
    uint64_t failures = 0;
    uint64_t queued_tokens = 0;
    uint64_t bytes_in = 0;
    uint64_t bytes_out = 0;
    double busy_seconds = 0;
    double queue_p50_ms = 0;
    double queue_p99_ms = 0;
    double total_p50_ms = 0;
    double total_p99_ms = 0;
  };

  std::string version;
  std::string processor;
  Capacity capacity;
  uint64_t memory_used = 0;
  double units_used = 0;
  double uptime_seconds = 0;
  uint64_t batches = 0;
  uint64_t sentences = 0;
  uint64_t tokens = 0;
  uint64_t urgent_batches = 0;         // not in the protocol
  uint64_t failures = 0;               // not in the protocol
  std::vector<uint64_t> batch_tokens;  // SchedulerTotals'; not in the protocol
  double busy_seconds = 0;
  uint64_t queued_batches = 0;
  uint64_t queued_tokens = 0;
  std::vector<Model> models;
  std::vector<Endpoint> endpoints;
};

}  // namespace bertie::accelerator
