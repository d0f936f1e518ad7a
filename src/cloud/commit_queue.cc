#include "cloud/commit_queue.h"

#include <exception>
#include <utility>

namespace bertie::cloud {

Status CommitQueue::Run(const std::function<bool(Database&)>& change) {
  Entry entry{&change};
  std::unique_lock lock(mutex_);
  queue_.push_back(&entry);
  changed_.wait(lock, [&] { return entry.done || !busy_; });
  if (entry.done) return entry.status;
  // This thread commits for all that wait by now.
  busy_ = true;
  std::vector<Entry*> entries = std::exchange(queue_, {});
  lock.unlock();
  Commit(entries);
  lock.lock();
  for (Entry* finished : entries) finished->done = true;
  busy_ = false;
  changed_.notify_all();
  return entry.status;
}

void CommitQueue::Commit(const std::vector<Entry*>& entries) {
  Status status;
  try {
    status = RunAll(entries);
  } catch (const std::exception&) {  // no memory; the others must not wait for ever
    status = Error{ErrorCode::kResourceExhausted, "not enough memory to change the state"};
  }
  if (status.ok()) return;
  for (Entry* entry : entries) entry->status = status;
}

Status CommitQueue::RunAll(const std::vector<Entry*>& entries) {
  BERTIE_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*database_));
  for (Entry* entry : entries) {
    BERTIE_RETURN_IF_ERROR(database_->Run("SAVEPOINT entry"));
    if (!(*entry->change)(*database_)) {
      BERTIE_RETURN_IF_ERROR(database_->Run("ROLLBACK TO entry"));
    }
    BERTIE_RETURN_IF_ERROR(database_->Run("RELEASE entry"));
  }
  return transaction.Commit();
}

}  // namespace bertie::cloud
