#include "cloud/jobs/job_record.h"

#include <algorithm>
#include <utility>

#include "cloud/json_service.h"
#include "cloud/paging.h"

namespace bertie::cloud {
namespace {

using formats::Json;

void PutTime(Json& object, const char* name, const std::optional<Milliseconds>& time) {
  if (time) object[name] = JsonTime(*time);
}

void PutText(Json& object, const char* name, const std::string& text) {
  if (!text.empty()) object[name] = text;
}

std::optional<Milliseconds> TimeIn(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  return found->get<Milliseconds>();
}

double NumberIn(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : 0.0;
}

std::string TextIn(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Json Details(const JobRecord& record) {
  Json details{{"starts", record.starts}};
  const auto put = [&](const char* name, const std::optional<Milliseconds>& time) {
    if (time) details[name] = *time;
  };
  put("started", record.started);
  put("ended", record.ended);
  put("stopping", record.stopping);
  PutText(details, "failure", record.failure);
  PutText(details, "artifacts", record.artifacts);
  for (const JobTransition& transition : record.transitions) {
    Json one{{"status", transition.status},
             {"message", transition.message},
             {"begin", transition.begin}};
    if (transition.end) one["end"] = *transition.end;
    details["transitions"].push_back(std::move(one));
  }
  for (const auto& [name, metric] : record.metrics) {
    details["metrics"][name] = {{"value", metric.value}, {"time", metric.time}};
  }
  return details;
}

void ReadDetails(const Json& details, JobRecord& record) {
  record.starts = static_cast<int>(TimeIn(details, "starts").value_or(record.starts));
  if (const auto started = TimeIn(details, "started")) record.started = started;
  record.ended = TimeIn(details, "ended");
  if (const auto stopping = TimeIn(details, "stopping")) record.stopping = stopping;
  record.failure = TextIn(details, "failure");
  record.artifacts = TextIn(details, "artifacts");
  if (const auto found = details.find("transitions"); found != details.end()) {
    for (const Json& one : *found) {
      record.transitions.push_back({TextIn(one, "status"), TextIn(one, "message"),
                                    TimeIn(one, "begin").value_or(0), TimeIn(one, "end")});
    }
  }
  if (const auto found = details.find("metrics"); found != details.end()) {
    for (const auto& [name, metric] : found->items()) {
      record.metrics[name] = {NumberIn(metric, "value"), TimeIn(metric, "time").value_or(0)};
    }
  }
}

JobRecord ReadRecord(const Rows& rows) {
  JobRecord record{.name = rows.Text(0),
                   .body = rows.Text(5),
                   .request = Json::object(),
                   .created = rows.Int(1),
                   .modified = rows.Int(2),
                   .status = rows.Text(3),
                   .secondary = rows.Text(4)};
  if (auto request = ParseRequest(record.body); request.ok()) record.request = *std::move(request);
  // Where the details do not say: of a job that runs or is to end the last move was that.
  record.starts = record.secondary == "Starting" ? 0 : 1;
  if (record.secondary == "Training") record.started = record.modified;
  if (record.status == "Stopping") record.stopping = record.modified;
  const auto details = formats::ParseJson(rows.Text(6), "the row of " + record.name);
  if (details.ok() && details->is_object()) ReadDetails(*details, record);
  return record;
}

// What the service tells of each job, whether or not the request had it. SageMaker's SDK fails in
// attach without the key.
void FillIn(Json& job) {
  const auto put = [](Json& object, const char* name, Json value) {
    if (object.is_null() || (object.is_object() && !object.contains(name))) {
      object[name] = std::move(value);
    }
  };
  put(job["StoppingCondition"], "MaxRuntimeInSeconds", 86400);
  put(job["OutputDataConfig"], "KmsKeyId", "");
  for (const char* name : {"EnableNetworkIsolation", "EnableInterContainerTrafficEncryption",
                           "EnableManagedSpotTraining"}) {
    put(job, name, false);
  }
}

}  // namespace

void JobRecord::MoveTo(const std::string& secondary_status, const std::string& message) {
  modified = Now();
  if (!transitions.empty() && !transitions.back().end) transitions.back().end = modified;
  transitions.push_back({secondary_status, message, modified, std::nullopt});
  secondary = secondary_status;
}

void JobRecord::End(const std::string& end_status, const std::string& end_secondary,
                    const std::string& message) {
  MoveTo(end_secondary, message);
  transitions.back().end = modified;
  status = end_status;
  ended = modified;
}

Json SummarizeJob(const JobRecord& record, const Settings& settings) {
  Json summary{{"TrainingJobName", record.name},
               {"TrainingJobArn", settings.Arn("training-job", record.name)},
               {"CreationTime", JsonTime(record.created)},
               {"LastModifiedTime", JsonTime(record.modified)},
               {"TrainingJobStatus", record.status},
               {"SecondaryStatus", record.secondary}};
  PutTime(summary, "TrainingEndTime", record.ended);
  return summary;
}

Json DescribeJob(const JobRecord& record, const Settings& settings) {
  Json job = record.request;
  job.erase("Tags");
  job.update(SummarizeJob(record, settings));
  PutTime(job, "TrainingStartTime", record.started);
  PutText(job, "FailureReason", record.failure);
  if (!record.artifacts.empty()) job["ModelArtifacts"] = {{"S3ModelArtifacts", record.artifacts}};
  FillIn(job);
  job["SecondaryStatusTransitions"] = Json::array();
  for (const JobTransition& transition : record.transitions) {
    Json one{{"Status", transition.status},
             {"StartTime", JsonTime(transition.begin)},
             {"StatusMessage", transition.message}};
    PutTime(one, "EndTime", transition.end);
    job["SecondaryStatusTransitions"].push_back(std::move(one));
  }
  for (const auto& [name, metric] : record.metrics) {
    job["FinalMetricDataList"].push_back(
        {{"MetricName", name}, {"Value", metric.value}, {"Timestamp", JsonTime(metric.time)}});
  }
  if (record.started && record.ended) {
    const int64_t seconds = std::max<int64_t>(1, (*record.ended - *record.started + 999) / 1000);
    job["TrainingTimeInSeconds"] = seconds;
    job["BillableTimeInSeconds"] = seconds;
  }
  return job;
}

SchemaPart JobSchema() {
  return {.name = "training_jobs",
          .steps = {"CREATE TABLE training_jobs(name BLOB PRIMARY KEY, created INTEGER NOT NULL, "
                    "modified INTEGER NOT NULL, status BLOB NOT NULL, secondary BLOB NOT NULL, "
                    "body BLOB NOT NULL, details BLOB NOT NULL) STRICT, WITHOUT ROWID;"}};
}

Done SaveJob(Database& database, const JobRecord& record) {
  const std::string details = formats::DumpJson(Details(record));
  BERTIE_RETURN_IF_ERROR(database.Run(
      "INSERT OR REPLACE INTO training_jobs(name, created, modified, status, secondary, body, "
      "details) VALUES(?,?,?,?,?,?,?)",
      {std::string_view(record.name), record.created, record.modified,
       std::string_view(record.status), std::string_view(record.secondary),
       std::string_view(record.body), std::string_view(details)}));
  return std::monostate();
}

Done DeleteJob(Database& database, const std::string& name) {
  BERTIE_RETURN_IF_ERROR(
      database.Run("DELETE FROM training_jobs WHERE name=?", {std::string_view(name)}));
  return std::monostate();
}

Outcome<std::vector<JobRecord>> LoadJobs(const State& state) {
  return state.Read<std::vector<JobRecord>>(
      [](Database& database) -> Outcome<std::vector<JobRecord>> {
        std::vector<JobRecord> records;
        BERTIE_ASSIGN_OR_RETURN(
            Rows rows, database.Query("SELECT name, created, modified, status, secondary, body, "
                                      "details FROM training_jobs"));
        while (true) {
          BERTIE_ASSIGN_OR_RETURN(const bool more, rows.Next());
          if (!more) return records;
          records.push_back(ReadRecord(rows));
        }
      });
}

}  // namespace bertie::cloud
