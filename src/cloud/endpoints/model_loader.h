// Has servers of several models load what is asked for, by the contract of SageMaker's multi-model
// containers.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cloud/endpoints/routes.h"
#include "cloud/s3/object_store.h"
#include "http/client_pool.h"

namespace bertie::cloud {

struct LoadAnswer {
  enum class Kind {
    kReady,
    kMissing,   // no such object
    kNotReady,  // it takes longer
    kRefused,   // the server said no: answer
    kBroken,    // the server did not answer, or the artifact is not to be had
  };
  Kind kind = Kind::kReady;
  std::string message = {};
  http::ClientAnswer answer = {};
};

// Any thread.
class ModelLoader {
 public:
  // Both must outlive it; servers.Stop() comes before its end.
  ModelLoader(const ObjectStore& store, http::ClientPool& servers);
  // Who waits gets kBroken.
  ~ModelLoader();

  // Calls ready once: at once where the model is loaded, else on a thread of the loader's when it
  // is, or will not be. target: with models, its server on this port.
  using Ready = std::function<void(LoadAnswer)>;
  void Load(const std::shared_ptr<Target>& target, uint16_t port, const std::string& model,
            Ready ready);
  // The server has not got it, whatever was known.
  static void Forget(Target& target, const std::string& model);

  // What the server knows the model by.
  static std::string NameFor(const std::string& model);

 private:
  using Clock = std::chrono::steady_clock;
  struct Waiter {
    Ready ready;
    Clock::time_point since;
  };
  struct Job {
    std::shared_ptr<Target> target;
    uint16_t port = 0;
    std::vector<Waiter> waiters = {};
  };
  using Key = std::pair<const Target*, std::string>;

  void Run(const std::stop_token& stop);
  void Watch(const std::stop_token& stop);
  LoadAnswer LoadNow(const std::stop_token& stop, Target& target, uint16_t port,
                     const std::string& model);
  bool UnloadOne(const std::stop_token& stop, ModelHost& host, uint16_t port);
  Result<http::ClientAnswer> Ask(const std::stop_token& stop, http::PoolRequest request);

  const ObjectStore& store_;
  http::ClientPool& servers_;
  std::mutex mutex_;  // guards the next two
  std::map<Key, Job> jobs_;
  std::deque<Key> queue_;
  std::condition_variable_any changed_;
  std::vector<std::jthread> threads_;  // end first
};

}  // namespace bertie::cloud
