// Loading, replacing and unloading models while others are served.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "infer/compute_pool.h"
#include "serve/context.h"
#include "serve/loaded_model.h"
#include "serve/model_table.h"

namespace bertie::serve {

struct RepositoryOptions {
  // A model's folder or archive, opened. Absent: folders only.
  std::function<Result<ModelFolder>(const std::filesystem::path&)> open = {};
  LoadOptions load;
  std::filesystem::path folder = {};  // of models; "": none
  // That the weights of all models together may take; 0: what the machine has free.
  int64_t max_weight_bytes = 0;
};

struct ModelStatus {
  enum class State { kLoading, kReady, kUnavailable };

  ModelId id;
  std::string source;  // the path, as it was given
  State state = State::kLoading;
  std::string reason = {};  // why it is unavailable, or was not replaced
};

// Works on a thread of its own, one thing after the other, so that the others' threads are not held
// up. A version is loaded with one thread beside those that serve, asked for a few texts, and only
// then put in the place of the one that served before, which answers what it was asked and ends. On
// an error the one before stays.
//
// Every member may be called from any thread. A Done is called once, by the repository's thread.
class ModelRepository {
 public:
  using Done = std::function<void(Status)>;

  // All must outlive it.
  ModelRepository(RepositoryOptions options, ServeContext& context, infer::ComputePool& pool);
  // What waits gets kUnavailable.
  ~ModelRepository();
  ModelRepository(const ModelRepository&) = delete;
  ModelRepository& operator=(const ModelRepository&) = delete;

  // Makes a name known and loads it. False, and nothing is done: the name is taken. One that comes
  // before ServeContext::loaded stays known when it is unloaded, as those of the folder do.
  bool Add(const std::string& name, const std::string& source, Done done);

  // Loads every version of a known name, or of that folder in the folder of models, anew; versions
  // whose folders have gone are unloaded. The first error; versions without one are loaded all the
  // same. kNotFound: no such model. kResourceExhausted: no memory for it.
  void Load(const std::string& name, Done done);

  // Later requests find it no more; those under way are answered. kNotFound: not there.
  void Unload(const std::string& name, Done done);

  // Load for all whose files changed since they were loaded, and for what is new in the folder of
  // models; Unload for what has gone from there. What Unload took out stays out. The first error.
  void ReloadChanged(Done done);

  // Load for all in the folder of models, once, before others load from there; folders without a
  // model are left out. kInvalidArgument for a name that Add took.
  void LoadFolder(Done done);

  // By name and version.
  std::vector<ModelStatus> Index() const;

 private:
  struct Version {
    ModelStatus status;
    std::string fingerprint;  // of what is served
    int64_t weight_bytes = 0;
  };
  struct Known {
    std::string source;
    bool from_folder = false;
    bool kept = false;  // when it is unloaded
    std::map<std::string, Version, VersionLess> versions = {};
  };

  void Post(std::function<Status()> work, Done done);
  void Loop();

  // These run on the thread. only_changed: versions whose files are as they were stay.
  Status LoadName(const std::string& name, bool only_changed);
  Status LoadVersion(const ModelId& id, const std::filesystem::path& path);
  Result<ModelPointer> Open(const ModelId& id, const std::filesystem::path& path);
  Status CheckMemory(const ModelId& id, int64_t bytes);
  Status UnloadName(const std::string& name);
  void UnloadVersion(const ModelId& id);
  Status ReloadAll();
  Status LoadAllOfFolder();

  std::optional<std::filesystem::path> Locate(const std::string& name);
  void SetStatus(const ModelId& id, const std::function<void(Version&)>& change);

  const RepositoryOptions options_;
  ServeContext& context_;
  infer::ComputePool& pool_;

  mutable std::mutex mutex_;  // guards all below but the thread
  std::condition_variable changed_;
  struct Task {
    std::function<Status()> work;
    Done done;
  };
  std::deque<Task> tasks_;
  bool stop_ = false;
  std::map<std::string, Known> known_;
  std::thread thread_;
};

}  // namespace bertie::serve
