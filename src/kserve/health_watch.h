// The calls that watch a server's health.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "health.grpc.pb.h"
#include "kserve/unary_call.h"
#include "serve/context.h"
#include "serve/request_record.h"

namespace bertie::kserve {

using Health = grpc::health::v1::HealthCheckResponse::ServingStatus;

Health HealthNow(const serve::ServeContext& context);

class HealthWatchers;

// One call. Says what it is to say once gRPC has taken the word before: of words that came
// meanwhile only the last one is said. Any thread.
class HealthWatch final : public grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>,
                          public std::enable_shared_from_this<HealthWatch> {
 public:
  // known: false for a service that is not here, of which nothing ever changes.
  HealthWatch(serve::ServeContext& context, std::shared_ptr<HealthWatchers> watchers,
              grpc::CallbackServerContext& call, bool known);

  // Once; it then keeps itself until gRPC has done with it.
  void Begin();

  // What the client is to hear; Go says it.
  void Want(Health health);
  // The same of the server's end, and of the call's.
  void WantLast();
  void Go();

 private:
  enum class Step { kNothing, kWrite, kFinish };
  Step NextStep();
  // Ends without a further word. status: HTTP's, for the log.
  void Drop(int status, grpc::Status end);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  const CallCount counted_;
  const std::shared_ptr<HealthWatchers> watchers_;
  const bool known_;
  serve::RequestRecord record_;
  std::shared_ptr<HealthWatch> self_;
  std::mutex mutex_;  // guards all below; an end, once there, stays as it is
  std::optional<Health> wanted_, said_;
  grpc::health::v1::HealthCheckResponse message_;  // gRPC's while it writes
  bool writing_ = false;
  bool finished_ = false;
  std::optional<grpc::Status> end_;
  int end_status_ = 200;
};

// All of them, with one timer of gRPC's own by which the context is asked for its state, as nothing
// in it tells of changes. There is no timer while nobody watches. Any thread.
class HealthWatchers : public std::enable_shared_from_this<HealthWatchers> {
 public:
  explicit HealthWatchers(serve::ServeContext& context) : context_(context) {}

  // Tells it what it is to say until Remove. False when there are too many already.
  bool Add(const std::shared_ptr<HealthWatch>& watch);
  void Remove(const std::shared_ptr<HealthWatch>& watch);
  // Each call, also of those to come, ends with a last word.
  void BeginDrain();

 private:
  void SetTimer();  // with the mutex held
  void OnTimer();

  std::mutex mutex_;  // guards all below; taken before a watch's
  // Asked only while somebody watches: the server, and so the context, lives until all are removed.
  serve::ServeContext& context_;
  std::vector<std::shared_ptr<HealthWatch>> watches_;
  std::optional<grpc::Alarm> timer_;
  bool draining_ = false;
};

}  // namespace bertie::kserve
