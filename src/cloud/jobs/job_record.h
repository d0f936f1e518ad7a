// What is known of a training job, as DescribeTrainingJob tells it, and the rows it is kept in.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cloud/schema.h"
#include "cloud/settings.h"
#include "cloud/state.h"
#include "cloud/times.h"
#include "formats/json.h"

namespace bertie::cloud {

struct JobTransition {
  std::string status;
  std::string message;
  Milliseconds begin = 0;
  std::optional<Milliseconds> end = {};
};

struct MetricValue {
  double value = 0;
  Milliseconds time = 0;
};

struct JobRecord {
  std::string name;
  std::string body;       // of the request, as it came
  formats::Json request;  // the same, parsed; an empty object where it cannot be read
  Milliseconds created = 0;
  Milliseconds modified = 0;
  std::optional<Milliseconds> started = {}, ended = {};
  std::optional<Milliseconds> stopping = {};  // since when it is to end
  std::string status = "InProgress";          // InProgress, Stopping, Stopped, Completed, Failed
  std::string secondary = {};
  std::vector<JobTransition> transitions = {};
  std::string failure = {};
  std::string artifacts = {};  // s3://...
  std::map<std::string, MetricValue> metrics = {};
  int starts = 0;  // of its ranks

  bool Ended() const { return status != "InProgress" && status != "Stopping"; }
  // Ends the last transition and begins one.
  void MoveTo(const std::string& secondary_status, const std::string& message);
  // The last move: status is what it ends with.
  void End(const std::string& status, const std::string& secondary, const std::string& message);
};

formats::Json DescribeJob(const JobRecord& record, const Settings& settings);
formats::Json SummarizeJob(const JobRecord& record, const Settings& settings);

// Their tables.
SchemaPart JobSchema();
// Inserts or replaces.
Done SaveJob(Database& database, const JobRecord& record);
Done DeleteJob(Database& database, const std::string& name);
// A row that is damaged is a job nevertheless: it has ranks and files, to which somebody must see.
// Without its history it goes on.
Outcome<std::vector<JobRecord>> LoadJobs(const State& state);

}  // namespace bertie::cloud
