// SageMaker's operations on transform jobs.
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

#include "cloud/json_service.h"
#include "cloud/logs/log_streams.h"
#include "cloud/s3/object_store.h"
#include "cloud/settings.h"
#include "cloud/state.h"
#include "cloud/transform/transform_runner.h"

namespace bertie::cloud {

// Any thread.
class TransformService : public LogSource {
 public:
  // Goes on with the jobs that an earlier run of the cloud left. folder: of their files. The
  // references must outlive the service.
  static Outcome<std::unique_ptr<TransformService>> Open(const Settings& settings,
                                                         ObjectStore& store, State& state,
                                                         const std::filesystem::path& folder,
                                                         std::function<void(std::string_view)> log);
  // Ends the jobs' servers; the next run goes on with the jobs.
  ~TransformService() override;

  // CreateTransformJob, DescribeTransformJob, ListTransformJobs, StopTransformJob.
  JsonService::Operations Operations();

  std::vector<std::string> Groups() const override;
  std::optional<std::vector<LogStream>> Streams(const std::string& group) const override;

 private:
  TransformService(const Settings& settings, ObjectStore& store, State& state,
                   const std::filesystem::path& folder, std::function<void(std::string_view)> log);

  Outcome<formats::Json> Create(const formats::Json& request, const std::string& body);
  Outcome<formats::Json> Describe(const formats::Json& request) const;
  Outcome<formats::Json> List(const formats::Json& request) const;
  Outcome<formats::Json> Stop(const formats::Json& request);
  Done ResumeAll();
  void Resume(const TransformRecord& record);
  void SetAside(const TransformRecord& record, const std::string& why);
  void Launch(TransformRequest job);
  formats::Json Summary(const TransformRecord& record) const;
  std::string Arn(const std::string& name) const { return settings_.Arn("transform-job", name); }

  struct Run {
    std::unique_ptr<TransformRunner> runner;
    std::jthread thread;
  };

  const Settings& settings_;
  State& state_;
  http::ClientPool pool_;
  TransformContext context_;
  std::mutex mutex_;  // guards runs_
  std::map<std::string, Run> runs_;
};

}  // namespace bertie::cloud
