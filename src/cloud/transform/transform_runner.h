// The life of one transform job, from its input to its output.
#pragma once

#include <atomic>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "cloud/s3/object_store.h"
#include "cloud/state.h"
#include "cloud/transform/object_answers.h"
#include "cloud/transform/object_requests.h"
#include "cloud/transform/transform_request.h"
#include "cloud/transform/transform_rows.h"
#include "cloud/transform/transform_servers.h"
#include "http/client_pool.h"

namespace bertie::cloud {

// What all jobs have in common. Must outlive them.
struct TransformContext {
  State& state;
  ObjectStore& store;
  http::ClientPool& pool;
  std::filesystem::path folder;  // each job has one below
  std::function<void(std::string_view)> log;
};

// The files of a job's logs: a server's, and what the job itself has to say.
std::filesystem::path ServerLog(const std::filesystem::path& job_folder, int64_t instance);
std::filesystem::path DataLog(const std::filesystem::path& job_folder);

// Ends what an earlier run of the cloud left running of a job that has ended, and removes all of
// its files but the logs.
void RemoveAllButLogs(const std::filesystem::path& job_folder);

class TransformRunner {
 public:
  // job: its record is in InProgress or Stopping.
  TransformRunner(const TransformContext& context, TransformRequest job);

  // Until the job has ended. Servers that an earlier run of the cloud started are taken over;
  // outputs that it wrote are not written again. A request to leave ends the servers and leaves the
  // job as it is, for the next run of the cloud.
  void Run(const std::stop_token& leave);
  // Any thread: the job is to end.
  void Stop() { stopping_ = true; }

 private:
  struct Input {
    ObjectFile file;
    S3Uri output;
    std::unique_ptr<ObjectAnswers> answers = {};
    bool all_asked = false;  // no request comes after those that are under way
    bool failed = false;
  };

  bool GoOn() const { return !stopping_ && !leave_.stop_requested(); }
  Done Work(const TransformRecord& record);
  Done FindInputs();
  Result<EndpointPlan> PlanFor(const TransformRecord& record) const;
  Done Transform();
  void Fill();
  std::optional<ObjectRequest> NextRequest();
  void UseAnswers();
  void Use(TransformTask& task);
  void FinishInput(Input& input);
  void FailInput(Input& input, const std::string& why);
  void End(const Done& done);
  Done WriteEnd(const Done& done, const std::string& reason);
  void Say(const std::string& line) const;  // in the job's own log

  TransformContext context_;
  const TransformRequest job_;
  const std::filesystem::path folder_;
  std::atomic<bool> stopping_ = false;
  std::stop_token leave_;
  std::unique_ptr<TransformServers> servers_;
  std::vector<Input> inputs_;
  size_t open_ = 0;  // the input whose requests come next
  std::optional<ObjectRequests> requests_;
  std::deque<std::shared_ptr<TransformTask>> tasks_;  // in the order of the output
  std::string first_fault_;
};

}  // namespace bertie::cloud
