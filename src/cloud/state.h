// The database of the cloud's state, for whoever keeps rows there beside the objects.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "cloud/commit_queue.h"
#include "cloud/database.h"
#include "cloud/failure.h"
#include "cloud/schema.h"

namespace bertie::cloud {

// Any thread.
class State {
 public:
  // folder: the ObjectStore's, which must be open: its lock keeps other processes out.
  static Result<std::unique_ptr<State>> Open(const std::filesystem::path& folder,
                                             const std::vector<SchemaPart>& parts);

  // Runs change in a transaction and returns once its effects are on the disk. A failure that it
  // returns undoes it. It must not throw.
  template <class T>
  Outcome<T> Change(const std::function<Outcome<T>(Database&)>& change) {
    std::optional<Outcome<T>> outcome;
    const Status status = commits_.Run([&](Database& database) {
      outcome.emplace(change(database));
      return outcome->ok();
    });
    if (!status.ok()) return Failure(status.error());
    return *std::move(outcome);
  }

  // Runs read on what was committed last, unchanged meanwhile.
  template <class T>
  Outcome<T> Read(const std::function<Outcome<T>(Database&)>& read) const {
    std::lock_guard lock(reader_mutex_);
    BERTIE_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*reader_, false));
    return read(*reader_);
  }

 private:
  State(std::unique_ptr<Database> writer, std::unique_ptr<Database> reader)
      : commits_(std::move(writer)), reader_(std::move(reader)) {}

  CommitQueue commits_;
  mutable std::mutex reader_mutex_;  // guards *reader_
  std::unique_ptr<Database> reader_;
};

}  // namespace bertie::cloud
