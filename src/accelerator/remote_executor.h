// Has batches computed by accelerators, and by this process's processors where they fail.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "accelerator/breaker.h"
#include "accelerator/connection.h"
#include "accelerator/link.h"
#include "accelerator/manifest.h"
#include "accelerator/round_trips.h"
#include "base/status.h"
#include "infer/executor.h"
#include "model/config.h"

namespace bertie::accelerator {

struct RemoteOptions {
  std::vector<std::string> addresses;  // HOST:PORT; batches go to the least loaded
  Security security;
  std::string endpoint;             // a name for people and metrics
  std::string accelerator_type;     // "ml.eia2.xlarge"
  std::string precision;            // as AttachOptions's
  std::filesystem::path model_dir;  // there as long as the executor: it may be uploaded again
  ModelManifest manifest;           // MakeManifest(model_dir)
  int64_t num_labels = 0;
  int64_t vocab_size = 0;
  // The same model here: it computes what the accelerators do not. It must outlive this executor.
  // nullptr: batches fail with kUnavailable while no accelerator is attached.
  infer::Executor* fallback = nullptr;
  // Batches under way at each accelerator. More hide longer round trips; beyond that they only make
  // the accelerator's queue longer.
  int max_in_flight = 8;
  std::chrono::milliseconds probe_interval{1000};
  // A batch counts as late after twice the round trips' 99th percentile, and this at least.
  std::chrono::milliseconds min_late{50};
  std::function<void(std::string_view)> log = [](std::string_view) {};  // one line; any thread
};

struct RemoteStats {
  struct Accelerator {
    std::string address;
    bool attached = false;
    bool resting = false;  // attached, but its breaker is open
    int in_flight = 0;
  };
  std::vector<Accelerator> accelerators;
  uint64_t remote_batches = 0;    // answered by an accelerator
  uint64_t fallback_batches = 0;  // answered here; those hedged among them
  uint64_t failed_batches = 0;    // answered by an error
  uint64_t hedged_batches = 0;    // begun a second time because they were late
  uint64_t sent_batches = 0;      // to accelerators, second attempts among them
  uint64_t attachments = 0;
  uint64_t upload_bytes = 0;
  uint64_t bytes_sent = 0;      // of batches, by sessions
  uint64_t bytes_received = 0;  // of answers
  RoundTrips::Counts round_trips{};
  double round_trip_seconds = 0;
};

// Every batch is answered once, by its deadline. It is begun a second time at most: when its
// accelerator fails or is late (twice the 99th percentile of the round trips), by the fallback, or
// without one by another accelerator. At most one batch in ten is begun again for lateness; five
// failures in a row open the breaker, and then batches go elsewhere until a probe is answered
// (breaker.h). So an outage costs the batches that were under way, and no storm follows.
class RemoteExecutor : public infer::Executor {
 public:
  // Begins to attach to every address and waits until one is attached or all have failed. With a
  // fallback, accelerators that cannot be reached are no error: they are tried on. Refusals are
  // (no room, another token, a type that is not there), where nobody else takes the endpoint.
  static Result<std::unique_ptr<RemoteExecutor>> Create(RemoteOptions options);
  // Every batch must have been answered.
  ~RemoteExecutor() override;

  int64_t num_labels() const override { return options_.num_labels; }
  void Start(std::shared_ptr<const model::PackedBatch> batch, infer::Clock::time_point deadline,
             Done done) override;
  int max_in_flight() const override { return capacity_; }
  int64_t max_batch_tokens() const override { return max_batch_tokens_; }
  bool shares_batches() const override {
    return !usable_ && options_.fallback && options_.fallback->shares_batches();
  }
  bool available() const override { return options_.fallback || usable_; }

  RemoteStats stats() const;

 private:
  using Clock = infer::Clock;
  struct Flight;
  struct Accelerator;
  using FlightPtr = std::shared_ptr<Flight>;
  using Lock = std::unique_lock<std::mutex>;
  // What is to be done once the mutex is let go of.
  using Actions = std::vector<std::function<void()>>;

  explicit RemoteExecutor(RemoteOptions options);
  void Begin();
  Status WaitForFirst();
  LinkEvents EventsOf(Accelerator& accelerator);
  void OnAttached(Accelerator& accelerator, const LinkAttached& attached);
  void OnAttachFailed(Accelerator& accelerator, const Error& error);
  void CheckReply(RemoteReply& reply, const FlightPtr& flight) const;
  void OnReply(Accelerator& accelerator, RemoteReply reply);
  void OnLost(Accelerator& accelerator, const Error& error);
  void StartHere(const FlightPtr& flight);
  void OnLocalDone(const FlightPtr& flight, Result<std::vector<float>> logits);
  void WatchTime();

  // With the mutex held.
  Accelerator* Pick(const Accelerator* but);
  void SendTo(Accelerator& accelerator, const FlightPtr& flight, Actions& actions);
  void RunHere(const FlightPtr& flight, Actions& actions);
  void TryAgain(const FlightPtr& flight, const Error& error, Actions& actions);
  void LeaveAll(Accelerator& accelerator, const Error& error, Actions& actions);
  void CountFailure(Accelerator& accelerator, const Error& error, Actions& actions);
  void OnLate(const FlightPtr& flight, Clock::time_point now, Actions& actions);
  void Answer(const FlightPtr& flight, Result<std::vector<float>> result, Actions& actions);
  void CancelRemote(const FlightPtr& flight, Actions& actions);
  void UpdateCapacity();
  // Batches under way where no accelerator takes any.
  int LocalCapacity() const { return options_.fallback ? options_.fallback->max_in_flight() : 1; }
  Clock::duration LateAfter(const Accelerator& accelerator) const;
  static void Run(Actions& actions);

  const RemoteOptions options_;
  std::atomic<int> capacity_;
  std::atomic<int64_t> max_batch_tokens_;
  std::atomic<bool> usable_{false};

  mutable std::mutex mutex_;  // guards all below down to stats_
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Accelerator>> accelerators_;
  std::map<uint64_t, FlightPtr> flights_;  // not answered
  uint64_t last_id_ = 0;
  int here_ = 0;  // batches that the fallback computes
  double hedges_left_ = 0;
  Clock::time_point watched_ = Clock::time_point::max();  // until when the time's thread sleeps
  bool stop_ = false;
  RemoteStats stats_;

  std::vector<std::unique_ptr<Link>> links_;
  std::thread clock_thread_;
};

}  // namespace bertie::accelerator
