// Whether an accelerator that fails is to be left alone for a while (Nygard, Release It!, 2007).
#pragma once

#include <algorithm>
#include <chrono>

namespace bertie::accelerator {

// Not safe for several threads: its owner guards it.
//
// Closed: batches go through; kMaxFailures failures in a row open it. Open: none do; a probe that
// is answered half-opens it. Half-open: one batch is the trial, which closes it or opens it again,
// then with twice the wait before the next probe.
class Breaker {
 public:
  static constexpr int kMaxFailures = 5;

  explicit Breaker(std::chrono::milliseconds probe_interval)
      : interval_(probe_interval), wait_(probe_interval) {}

  bool Allows() const {
    return state_ == State::kClosed || (state_ == State::kHalfOpen && !trying_);
  }
  bool open() const { return state_ == State::kOpen; }
  bool closed() const { return state_ == State::kClosed; }
  std::chrono::milliseconds wait_before_probe() const { return wait_; }

  void OnSent() { trying_ = true; }

  // True when it closed by this.
  bool OnSuccess() {
    failures_ = 0;
    if (state_ == State::kClosed) return false;
    wait_ = interval_;
    state_ = State::kClosed;
    return true;
  }

  // True when it opened by this.
  bool OnFailure() {
    if (state_ == State::kOpen) return false;
    if (state_ == State::kClosed && ++failures_ < kMaxFailures) return false;
    if (state_ == State::kHalfOpen) wait_ = std::min(2 * wait_, 8 * interval_);
    state_ = State::kOpen;
    failures_ = 0;
    return true;
  }

  void OnProbeAnswered() {
    if (state_ != State::kOpen) return;
    state_ = State::kHalfOpen;
    trying_ = false;
  }

 private:
  enum class State { kClosed, kOpen, kHalfOpen };

  std::chrono::milliseconds interval_;
  std::chrono::milliseconds wait_;
  State state_ = State::kClosed;
  int failures_ = 0;
  bool trying_ = false;
};

}  // namespace bertie::accelerator
