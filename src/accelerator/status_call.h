// Asks an accelerator what it does.
#pragma once

#include <chrono>
#include <string>

#include "accelerator/connection.h"
#include "accelerator/snapshot.h"
#include "base/status.h"

namespace bertie::accelerator {

struct StatusCallOptions {
  std::string address = "127.0.0.1:50051";
  Security security;
  std::chrono::milliseconds timeout{5'000};
};

// kUnavailable: nobody answers there, or not in this way; kInvalidArgument: the token is wrong.
Result<Snapshot> CallStatus(const StatusCallOptions& options);

}  // namespace bertie::accelerator
