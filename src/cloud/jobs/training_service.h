// SageMaker's operations on training jobs.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "cloud/jobs/job_board.h"
#include "cloud/jobs/job_metrics.h"
#include "cloud/jobs/job_runner.h"
#include "cloud/json_service.h"
#include "cloud/logs/log_streams.h"
#include "cloud/s3/object_store.h"
#include "cloud/settings.h"
#include "cloud/state.h"

namespace bertie::cloud {

// Any thread.
class TrainingService : public LogSource {
 public:
  // Goes on with the jobs that an earlier run of the cloud left, and says so on the log. folder: of
  // their files. The references must outlive the service.
  static Result<std::unique_ptr<TrainingService>> Open(const Settings& settings, ObjectStore& store,
                                                       State& state, std::filesystem::path folder,
                                                       std::function<void(std::string_view)> log);
  // Leaves the jobs running, for the next run.
  ~TrainingService() override;

  // CreateTrainingJob and so on, for a JsonService.
  std::map<std::string, JsonService::Operation> Operations();

  const MetricSource& metrics() const { return *metrics_; }

  std::vector<std::string> Groups() const override;
  std::optional<std::vector<LogStream>> Streams(const std::string& group) const override;

 private:
  TrainingService(const Settings& settings, ObjectStore& store, State& state,
                  std::filesystem::path folder, std::function<void(std::string_view)> log)
      : settings_(settings),
        store_(store),
        state_(state),
        folder_(std::move(folder)),
        log_(std::move(log)) {}

  Outcome<formats::Json> Create(const formats::Json& request, const std::string& body);
  Outcome<formats::Json> Describe(const formats::Json& request) const;
  Outcome<formats::Json> List(const formats::Json& request) const;
  Outcome<formats::Json> Stop(const formats::Json& request);
  Outcome<formats::Json> Delete(const formats::Json& request);
  void Launch(JobRequest job);
  void ResumeAll();
  void Resume(const JobRecord& record);
  void SetAside(const JobRecord& record, const std::string& why);

  struct Run {
    std::unique_ptr<JobRunner> runner;
    std::jthread thread;
  };

  const Settings& settings_;
  ObjectStore& store_;
  State& state_;
  std::filesystem::path folder_;
  std::function<void(std::string_view)> log_;
  std::unique_ptr<JobBoard> board_;
  std::unique_ptr<JobMetrics> metrics_;
  std::mutex deleting_;  // one after the other
  std::mutex mutex_;     // guards runs_
  std::map<std::string, Run> runs_;
};

}  // namespace bertie::cloud
