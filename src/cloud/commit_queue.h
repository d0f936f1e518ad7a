// Changes of several threads in one commit: the disk is waited for once for all that came while it
// was busy with those before.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/status.h"
#include "cloud/database.h"

namespace bertie::cloud {

class CommitQueue {
 public:
  explicit CommitQueue(std::unique_ptr<Database> database) : database_(std::move(database)) {}

  // Runs change on the database and returns once its effects are on the disk. Returning false, it
  // is undone, alone. Any thread; changes run one after another, each on the thread of any caller,
  // and must not throw. An error: nothing of it happened.
  Status Run(const std::function<bool(Database&)>& change);

 private:
  struct Entry {
    const std::function<bool(Database&)>* change;
    Status status = {};
    bool done = false;
  };
  void Commit(const std::vector<Entry*>& entries);
  Status RunAll(const std::vector<Entry*>& entries);

  std::mutex mutex_;  // guards queue_, busy_ and the entries' done
  std::condition_variable changed_;
  std::vector<Entry*> queue_;
  bool busy_ = false;
  std::unique_ptr<Database> database_;  // belongs to the thread that set busy_
};

}  // namespace bertie::cloud
