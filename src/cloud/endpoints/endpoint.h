// One endpoint: what it is said to be, what runs for it, and the way from one to the other.
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "cloud/endpoints/deployment.h"
#include "cloud/endpoints/endpoint_logs.h"
#include "cloud/endpoints/endpoint_rows.h"
#include "cloud/endpoints/routes.h"
#include "cloud/s3/object_store.h"
#include "cloud/state.h"
#include "http/client_pool.h"

namespace bertie::cloud {

// What all endpoints work with. Must outlive them.
struct EndpointContext {
  State& state;
  const ObjectStore& store;
  const EndpointLogs& logs;
  std::filesystem::path folder;  // of all endpoints
  std::function<void(std::string_view)> log;
  http::ClientPool& servers;  // by which requests reach the workers
};

// Any thread. A thread of its own starts, watches and ends the workers.
class Endpoint {
 public:
  // row is in the database already. found: it is of an earlier process, whose workers are taken
  // over where they still run. A row that cannot be read is an endpoint that has failed.
  Endpoint(EndpointContext& context, EndpointRow row, bool found);
  // Ends the workers, which are started again by the next process. Within seconds.
  ~Endpoint();
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  // Tells it to end, which the destructor waits for.
  void BeginEnd() { thread_.request_stop(); }

  const std::string& name() const { return name_; }
  // Tells it from another one of the same name.
  Milliseconds created() const { return created_; }
  EndpointRow row() const;
  // What its servers were started from, or those of an earlier process; null when none serve.
  std::shared_ptr<const EndpointPlan> plan() const;
  // ProductionVariants of DescribeEndpoint.
  struct VariantState {
    std::string name;
    std::string image;
    double current_weight = 0, desired_weight = 0;
    int64_t current_count = 0, desired_count = 0;
  };
  std::vector<VariantState> variants() const;
  // True once it is deleted and nothing of it is left.
  bool gone() const { return gone_; }

  Routes& routes() { return routes_; }

  // change is given the row, with the deployment that serves as its current one, and sets the
  // target. ValidationException, with refusal as its text, unless the endpoint is in service.
  Done Update(const std::string& refusal, const std::function<Done(EndpointRow&)>& change);
  // The same, unless it is being created or changed.
  Done Delete(const std::string& refusal);

 private:
  void Run(const std::stop_token& stop);
  void Resume();
  void Step();
  void StepTarget();
  void BeginTarget();
  void SwitchToTarget();
  void GiveUpTarget(const std::string& reason);
  void StepDeleting();
  void End();
  void TakeOver();
  std::unique_ptr<Deployment> Make(EndpointPlan plan, bool served_before);
  // Changes the row, in memory and on the disk.
  void Save(const std::function<void(EndpointRow&)>& change);
  Done Write(const EndpointRow& row);
  // Makes a changed row the endpoint's once it is on the disk, and wakes the thread; with mutex_.
  Done Take(EndpointRow changed);
  // One of the row's texts, for the thread's every turn.
  std::string Field(std::string EndpointRow::*text) const;
  void Publish();
  void PublishPlan();
  bool Busy() const;
  void Log(const std::string& line) const { context_.log("endpoint " + name_ + ": " + line); }

  EndpointContext& context_;
  const std::string name_;
  const Milliseconds created_;
  const bool found_;
  Routes routes_;
  std::atomic<bool> gone_{false};

  mutable std::mutex mutex_;  // guards the next two, also while they are written to the disk
  EndpointRow row_;
  std::vector<VariantState> variants_;
  mutable std::mutex plan_mutex_;  // guards the next one, which each invocation asks for
  std::shared_ptr<const EndpointPlan> plan_;
  std::condition_variable_any changed_;

  // Of the thread.
  std::unique_ptr<Deployment> current_;
  std::unique_ptr<Deployment> next_;
  // Of the current one, whose target has other weights and counts.
  std::optional<EndpointPlan> before_resizing_;
  std::vector<Retired> retired_;
  std::jthread thread_;  // ends first
};

}  // namespace bertie::cloud
