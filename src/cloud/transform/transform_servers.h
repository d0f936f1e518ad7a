// The servers of one transform job, and the requests that are under way to them.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "cloud/endpoints/deployment.h"
#include "cloud/endpoints/routes.h"
#include "cloud/s3/object_store.h"
#include "cloud/transform/object_requests.h"
#include "cloud/transform/transform_request.h"
#include "http/client_pool.h"

namespace bertie::cloud {

// A request of an object, until its answer is used. The job's thread's, but for `answer`.
struct TransformTask {
  enum class State { kWaiting, kAsked, kGood, kBad };
  size_t object = 0;  // which of the job's
  ObjectRequest request;
  State state = State::kWaiting;
  int64_t tries = 0;
  std::chrono::steady_clock::time_point not_before = {};
  std::unique_ptr<Lease> lease = {};
  std::optional<Result<http::ClientAnswer>> answer = {};  // guarded by TransformServers' mutex
  std::string fault = {};                                 // of a bad one
};

// One thread at a time.
class TransformServers {
 public:
  struct Options {
    const TransformRequest& job;
    http::ClientPool& pool;
    Deployment::Options deployment;
  };
  TransformServers(Options options, const EndpointPlan& plan);
  // Requests under way are dropped. The servers run on, unless End was called.
  ~TransformServers();

  // Takes over those of an earlier process, if adopt, and starts the others; returns when all
  // answer, or go_on says no. Failures: worded for FailureReason.
  Done Start(const ObjectStore& store, bool adopt, const std::function<bool()>& go_on);
  // Ends them. Their logs stay.
  void End();

  // Sends the task, where a server has a place for it.
  void Ask(const std::shared_ptr<TransformTask>& task);
  // Moves an asked task on, if its answer has come: to good, bad, or waiting for another try.
  void Settle(TransformTask& task);
  // Looks after the servers, and returns once an answer has come, or after a moment.
  void Wait();
  // Why there is no sense in going on.
  std::optional<std::string> failure() const;

 private:
  using Clock = std::chrono::steady_clock;
  // What answers come to; outlives the servers where one is late.
  struct Mailbox {
    std::mutex mutex;  // guards what follows, and tasks' answers
    std::condition_variable came;
    bool any = false;
  };
  std::vector<http::Field> FieldsFor() const;

  Options options_;
  Deployment deployment_;
  Routes routes_;
  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  std::stop_source dropped_;
  Clock::time_point ready_at_ = {};  // the last time that one took requests
};

// Requests to one instance at once.
int64_t PlacesFor(const TransformRequest& job);

}  // namespace bertie::cloud
