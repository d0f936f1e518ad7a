// What is known of transform jobs, and the rows it is kept in.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cloud/database.h"
#include "cloud/failure.h"
#include "cloud/schema.h"
#include "cloud/state.h"
#include "cloud/times.h"

namespace bertie::cloud {

struct TransformRecord {
  std::string name;
  Milliseconds created = 0;
  Milliseconds modified = 0;
  std::string status = "InProgress";    // InProgress, Stopping, Stopped, Completed, Failed
  std::string request = {};             // as it came
  std::string deployment = {};          // its servers' (cloud/endpoints/endpoint_plan.h)
  Milliseconds started = 0, ended = 0;  // 0: not yet
  std::string failure = {};

  bool Ended() const { return status != "InProgress" && status != "Stopping"; }
};

SchemaPart TransformSchema();

// Any thread. admit: asked about all the others while none can be added. also: another change that
// happens with the job's or not at all.
Done AddTransform(State& state, const TransformRecord& record,
                  const std::function<Done(const std::vector<TransformRecord>&)>& admit,
                  const std::function<Done(Database&)>& also);
// By name.
Outcome<std::vector<TransformRecord>> AllTransforms(const State& state);
// ValidationException when there is no such job.
Outcome<TransformRecord> FindTransform(const State& state, const std::string& name);
// A failure of change leaves the job as it was.
Done ChangeTransform(State& state, const std::string& name,
                     const std::function<Done(TransformRecord&)>& change);

// Keys of the outputs that a job has written; MarkOutput in the transaction that writes one.
Outcome<std::set<std::string>> WrittenOutputs(const State& state, const std::string& job);
Done MarkOutput(Database& database, const std::string& job, const std::string& key);

}  // namespace bertie::cloud
