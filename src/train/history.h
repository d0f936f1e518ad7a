// The record of a training run: a file of JSON lines, one object an event.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "train/metrics.h"
#include "train/position.h"

namespace bertie::train {

using HistoryValue = std::variant<bool, int64_t, double, std::string>;

// One line: {"event":"step","step":50,"loss":0.61,...}, members in the order they were added.
// Numbers have as few digits as read back to the same value; NaN and infinities become null.
class HistoryEvent {
 public:
  explicit HistoryEvent(std::string event) { Set("event", std::move(event)); }

  // A key is added once.
  HistoryEvent& Set(std::string key, bool value);
  HistoryEvent& Set(std::string key, int value) { return Set(std::move(key), int64_t{value}); }
  HistoryEvent& Set(std::string key, int64_t value);
  HistoryEvent& Set(std::string key, double value);
  HistoryEvent& Set(std::string key, std::string value);
  HistoryEvent& Set(std::string key, const char* value) {
    return Set(std::move(key), std::string(value));
  }

  // PREFIXKEY for each of the problem's figures (train/figures.h), and PREFIXexamples.
  HistoryEvent& SetMetrics(const std::string& prefix, const Metrics& metrics);

  // Without a line end.
  std::string ToJson() const;

 private:
  HistoryEvent& Add(std::string key, HistoryValue value);

  std::vector<std::pair<std::string, HistoryValue>> members_;
};

// For a run that goes on from a checkpoint: takes out of the file what its last run (from the last
// "start" event on) wrote after `position`, so that no line comes twice. Done by an atomic
// replacement. Nothing happens where the file is missing.
Status RewindHistory(const std::filesystem::path& path, const Position& position);

// An open history file. One thread at a time.
class History {
 public:
  enum class Mode {
    kReplace,   // a new run
    kContinue,  // a resumed one: what a crash left of an unfinished last line is cut off
  };

  // The folder must exist. Errors name the path and the system's reason.
  static Result<History> Open(const std::filesystem::path& path, Mode mode);
  History(History&& other) noexcept;
  History& operator=(History&& other) noexcept;
  ~History();

  // Writes the event's line and syncs the file: after success neither a crash nor a power loss
  // takes it away. After an error (a full disk) the file holds the lines before it, and a later
  // Append may be tried.
  Status Append(const HistoryEvent& event);

 private:
  History(std::filesystem::path path, int fd, int64_t length)
      : path_(std::move(path)), fd_(fd), length_(length) {}

  std::filesystem::path path_;
  int fd_ = -1;
  int64_t length_ = 0;  // bytes of whole lines
};

}  // namespace bertie::train
