// A folder of training checkpoints: step-000000500/, step-000001000/, ...
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "base/status.h"
#include "train/checkpoint_files.h"

namespace bertie::train {

// One writer at a time, in this process and on the machine. The folders are complete or not there:
// each is written under a hidden name, synced, and renamed.
class CheckpointStore {
 public:
  struct Entry {
    std::filesystem::path dir;
    int64_t step = 0;
  };
  struct Saved {
    std::filesystem::path dir;
    int64_t bytes = 0;
    double seconds = 0;
  };

  // Makes the folder where it is missing, takes its lock and removes what killed writers left in
  // it. kUnavailable when another process holds the lock.
  static Result<CheckpointStore> Open(const std::filesystem::path& folder);
  CheckpointStore(CheckpointStore&& other) noexcept;
  CheckpointStore& operator=(CheckpointStore&& other) noexcept;
  ~CheckpointStore();

  // Newest first, whole or not. Empty where there is no folder.
  static std::vector<Entry> List(const std::filesystem::path& folder);

  // The newest whole checkpoint; damaged hears of each newer one that is not. nullopt: none.
  static std::optional<Entry> FindNewest(const std::filesystem::path& folder,
                                         const std::function<void(const Error&)>& damaged);

  // Then removes the oldest ones but for `keep` (at least 1) up to this step. After an error those
  // before it are as they were.
  Result<Saved> Save(const TrainingState& run, const RunIdentity& identity,
                     const text::Tokenizer& tokenizer, int64_t keep);

  // Removes all of them.
  void Clear();

 private:
  CheckpointStore(std::filesystem::path folder, int lock_fd)
      : folder_(std::move(folder)), lock_fd_(lock_fd) {}
  void Prune(int64_t newest_step, int64_t keep) const;

  std::filesystem::path folder_;
  int lock_fd_ = -1;
};

// When to write a checkpoint, apart from stops: after each epoch, and within one at each multiple
// of so many steps, and when so many minutes have passed since the last.
class CheckpointSchedule {
 public:
  // 0: not by this.
  CheckpointSchedule(int64_t steps, double minutes);

  bool IsDue(Boundary boundary, const Position& position) const;
  void Written();

 private:
  using Clock = std::chrono::steady_clock;

  int64_t steps_;
  double minutes_;
  Clock::time_point last_;
};

}  // namespace bertie::train
