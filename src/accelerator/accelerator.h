// The accelerator without its transport: who is attached, to which model, with which share.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "accelerator/loaded_models.h"
#include "accelerator/model_store.h"
#include "accelerator/scheduler.h"
#include "accelerator/sizes.h"
#include "accelerator/snapshot.h"
#include "accelerator/task_thread.h"
#include "base/status.h"

namespace bertie::accelerator {

struct AcceleratorOptions {
  Capacity capacity;
  ModelStoreOptions store;
  std::string version;           // of the program, for those who ask
  std::string processor;         // the same
  int64_t max_batch_tokens = 0;  // computed at once; 0: 64 a thread
  size_t max_sessions = 256;
  size_t max_in_flight = 32;              // batches of a session
  std::chrono::seconds keep_models{600};  // that no session uses
};

struct AttachRequest {
  uint32_t protocol = 0;
  std::string endpoint;
  std::string accelerator_type;
  std::string content_hash;
  std::string precision;
  std::string peer;
};

class Accelerator;

// An endpoint's share of the accelerator, given back when it is destroyed. Any thread.
class Session {
 public:
  struct Init {
    AttachRequest request;
    Size size;
  };
  Session(Accelerator& owner, const Init& init);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const LoadedModel& model() const { return *queue_->model; }
  const std::string& content_hash() const { return request_.content_hash; }
  const std::string& endpoint() const { return request_.endpoint; }
  const std::string& accelerator_type() const { return request_.accelerator_type; }

  // As Scheduler's. kInvalidArgument besides: more tokens than Accelerator::max_session_tokens.
  Status Submit(WorkPtr work);
  void Cancel(uint64_t id);

  void CountBytes(uint64_t in, uint64_t out);

 private:
  friend class Accelerator;

  Accelerator& owner_;
  const AttachRequest request_;
  const Size size_;
  const std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  SessionPtr queue_;  // made once the model is there
  std::atomic<uint64_t> bytes_in_{0};
  std::atomic<uint64_t> bytes_out_{0};
};

// Any thread. Outlives its sessions.
class Accelerator {
 public:
  // ModelStore::Open's errors.
  static Result<std::unique_ptr<Accelerator>> Create(AcceleratorOptions options);

  // done is called once, at once or by a thread of the accelerator's own that loads models. Errors:
  // kUnsupported: another protocol. kInvalidArgument: a type, a precision, a name that is none.
  // kResourceExhausted: "model needs X GB, ml.eia2.medium has 2 GB", or what the type takes is not
  // left. kNotFound: the model is not (whole) in the store. LoadedModels::Open's.
  void Attach(AttachRequest request, std::function<void(Result<std::unique_ptr<Session>>)> done);

  ModelStore& store() { return *store_; }
  // Tokens of a batch that a session may send: it is computed in smaller ones.
  int64_t MaxTokensOf(const Session& session) const;
  const AcceleratorOptions& options() const { return options_; }

  Snapshot Read() const;

  // Lets go of models that have been unused for long: for a clock to call.
  void Tidy();

 private:
  friend class Session;
  explicit Accelerator(AcceleratorOptions options, std::unique_ptr<ModelStore> store);

  Status Reserve(Session& session);
  void Release(Session& session);
  Status Load(Session& session);

  const AcceleratorOptions options_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::unique_ptr<ModelStore> store_;
  std::unique_ptr<LoadedModels> models_;
  std::unique_ptr<Scheduler> scheduler_;
  mutable std::mutex mutex_;  // guards all below
  std::vector<Session*> sessions_;
  uint64_t memory_used_ = 0;
  double units_used_ = 0;
  std::unique_ptr<TaskThread> loader_;  // ends first
};

}  // namespace bertie::accelerator
