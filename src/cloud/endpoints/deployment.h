// All that runs for one configuration of an endpoint: its variants' models and workers.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cloud/endpoints/endpoint_plan.h"
#include "cloud/endpoints/model_data.h"
#include "cloud/endpoints/routes.h"
#include "cloud/endpoints/worker.h"
#include "cloud/s3/object_store.h"

namespace bertie::cloud {

// Workers that get no requests any more, and the folder that goes with the last of them.
class Retired {
 public:
  explicit Retired(std::filesystem::path folder = {}) : folder_(std::move(folder)) {}

  void Add(std::unique_ptr<Worker> worker);
  // One that fetches into the folder.
  void Add(std::shared_ptr<ModelCache> models);
  // Ends each worker once it has answered what it was asked. True when all have ended.
  bool Tick();
  // Nothing more of what they were asked is waited for.
  void CutOff();
  void Kill();

 private:
  std::filesystem::path folder_;  // "": stays
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::shared_ptr<ModelCache>> models_;
  std::chrono::steady_clock::time_point cut_off_ = {};
};

// One thread at a time.
class Deployment {
 public:
  struct Options {
    std::string label;             // in log lines: "endpoint NAME"
    std::filesystem::path folder;  // its own
    // Where an instance of a variant logs.
    std::function<std::filesystem::path(const std::string& variant, size_t number)> log_file;
    bool served_before = false;  // see WorkerOptions
    std::function<void(std::string_view)> log;
    std::function<void(uint16_t)> close_connections;  // see WorkerOptions
  };
  Deployment(Options options, EndpointPlan plan);

  // Takes over what still runs of an earlier process's, and fetches the models' data for what does
  // not. May block for as long as that takes. Failures: FetchModelData's.
  Done Prepare(const ObjectStore& store, bool adopt);

  void Tick();
  bool ready() const;
  // Why it will never be.
  std::optional<std::string> failure() const;

  // Takes on weights and counts; workers that are too many stay until Shrink.
  void Apply(const EndpointPlan& plan);
  // Removes workers that are too many. Only after Routes have been replaced.
  Retired Shrink();
  // All of it, with its folder or without. Only after Routes have been replaced.
  Retired Retire(bool with_folder = true);

  std::vector<Route> MakeRoutes() const;
  const EndpointPlan& plan() const { return plan_; }
  // How many workers of a variant serve at the moment.
  int64_t ReadyWorkers(const std::string& variant) const;

 private:
  struct Variant {
    std::vector<std::unique_ptr<Worker>> workers;
    std::shared_ptr<ModelCache> models = {};  // where it serves several
  };
  void AddWorkers(size_t variant);
  void RemoveSurplus(const VariantPlan& plan) const;
  std::filesystem::path FolderOf(const VariantPlan& plan) const;

  Options options_;
  EndpointPlan plan_;
  std::vector<Variant> variants_;  // as the plan's
};

// Ends whatever an earlier process left running in a deployment's folder, in the places where a
// Deployment has its programs: what the models' own files hold is not looked at. RemoveDeployment,
// for one that nobody knows any more, removes the folder as well.
void EndDeployment(const std::filesystem::path& folder);
void RemoveDeployment(const std::filesystem::path& folder);

}  // namespace bertie::cloud
