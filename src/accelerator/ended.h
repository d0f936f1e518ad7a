// What a thread that begins something on a completion queue can spare the one that polls it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <optional>
#include <utility>

namespace bertie::accelerator {

struct Ended {
  void* tag = nullptr;
  bool ok = false;
};

// Runs begin, which begins something on the queue, and takes from the queue one thing that has
// ended by then: as a rule that very thing, since a small write ends at once. Otherwise it would
// wake the thread that polls, for nothing that it must do.
template <typename Begin>
std::optional<Ended> BeginAndTake(grpc::CompletionQueue& queue, Begin&& begin) {
  Ended ended;
  const auto status = queue.DoThenAsyncNext(std::forward<Begin>(begin), &ended.tag, &ended.ok,
                                            gpr_inf_past(GPR_CLOCK_MONOTONIC));
  if (status != grpc::CompletionQueue::GOT_EVENT) return {};
  return ended;
}

}  // namespace bertie::accelerator
