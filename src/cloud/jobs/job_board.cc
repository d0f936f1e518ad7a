#include "cloud/jobs/job_board.h"

#include <utility>

namespace bertie::cloud {

Failure NoSuchJob() { return {"ValidationException", "Requested resource not found."}; }

Outcome<std::unique_ptr<JobBoard>> JobBoard::Open(State& state) {
  std::unique_ptr<JobBoard> board(new JobBoard(state));
  auto records = LoadJobs(state);
  if (!records.ok()) return records.error();
  for (JobRecord& record : *records) {
    const std::string name = record.name;
    board->jobs_.emplace(name, std::move(record));
  }
  return board;
}

Done JobBoard::Add(const JobRecord& record,
                   const std::function<Done(const std::map<std::string, JobRecord>&)>& admit,
                   const AlsoInState& also) {
  std::lock_guard lock(mutex_);
  if (Done done = admit(jobs_); !done.ok()) return done;
  const Done added = state_.Change<std::monostate>([&](Database& database) -> Done {
    if (Done saved = SaveJob(database, record); !saved.ok()) return saved;
    return also(database);
  });
  if (!added.ok()) return added;
  jobs_.emplace(record.name, record);
  return std::monostate();
}

std::optional<JobRecord> JobBoard::Find(const std::string& name) const {
  std::lock_guard lock(mutex_);
  const auto found = jobs_.find(name);
  return found == jobs_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<JobRecord> JobBoard::All() const {
  std::lock_guard lock(mutex_);
  std::vector<JobRecord> records;
  for (const auto& [name, record] : jobs_) records.push_back(record);
  return records;
}

Done JobBoard::Change(const std::string& name, const std::function<Done(JobRecord&)>& change) {
  std::lock_guard lock(mutex_);
  const auto found = jobs_.find(name);
  if (found == jobs_.end()) return NoSuchJob();
  JobRecord record = found->second;
  if (Done done = change(record); !done.ok()) return done;
  found->second = record;
  return state_.Change<std::monostate>(
      [&](Database& database) { return SaveJob(database, record); });
}

void JobBoard::SetMetric(const std::string& name, const std::string& metric,
                         const MetricValue& value) {
  std::lock_guard lock(mutex_);
  const auto found = jobs_.find(name);
  if (found != jobs_.end()) found->second.metrics[metric] = value;
}

Done JobBoard::Remove(const std::string& name, const AlsoInState& also) {
  std::lock_guard lock(mutex_);
  const Done removed = state_.Change<std::monostate>([&](Database& database) -> Done {
    if (Done deleted = DeleteJob(database, name); !deleted.ok()) return deleted;
    return also(database);
  });
  if (!removed.ok()) return removed;
  jobs_.erase(name);
  return std::monostate();
}

}  // namespace bertie::cloud
