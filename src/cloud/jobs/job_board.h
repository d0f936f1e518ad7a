// All training jobs that are known, in memory and in the state's database.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cloud/jobs/job_record.h"

namespace bertie::cloud {

// Any thread. What a call has changed is on the disk when it returns.
class JobBoard {
 public:
  // state: with JobSchema's tables.
  static Outcome<std::unique_ptr<JobBoard>> Open(State& state);

  // Another change of the state's database that happens with the job's or not at all.
  using AlsoInState = std::function<Done(Database&)>;
  // admit: asked about all the others while none can be added.
  Done Add(const JobRecord& record,
           const std::function<Done(const std::map<std::string, JobRecord>&)>& admit,
           const AlsoInState& also);
  std::optional<JobRecord> Find(const std::string& name) const;
  std::vector<JobRecord> All() const;
  // ValidationException when there is no such job. A failure of change leaves all as it was. When
  // the disk refuses, the change holds in memory nevertheless: what has happened, has.
  Done Change(const std::string& name, const std::function<Done(JobRecord&)>& change);
  // In memory only, until the next Change.
  void SetMetric(const std::string& name, const std::string& metric, const MetricValue& value);
  Done Remove(const std::string& name, const AlsoInState& also);

 private:
  explicit JobBoard(State& state) : state_(state) {}

  State& state_;
  mutable std::mutex mutex_;  // guards jobs_, and orders what is written
  std::map<std::string, JobRecord> jobs_;
};

Failure NoSuchJob();

}  // namespace bertie::cloud
