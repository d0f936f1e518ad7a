#include "accelerator/status_call.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "accelerator.grpc.pb.h"
#include "accelerator/credentials.h"

namespace bertie::accelerator {
namespace {

Snapshot::Endpoint FromProto(const v1::AcceleratorStatus::Endpoint& message) {
  Snapshot::Endpoint endpoint;
  endpoint.name = message.name();
  endpoint.accelerator_type = message.accelerator_type();
  endpoint.content_hash = message.content_hash();
  endpoint.peer = message.peer();
  endpoint.attached_seconds = message.attached_seconds();
  endpoint.units = message.units();
  endpoint.share = message.share();
  endpoint.batches = message.batches();
  endpoint.sentences = message.sentences();
  endpoint.tokens = message.tokens();
  endpoint.failures = message.failures();
  endpoint.queued_tokens = message.queued_tokens();
  endpoint.bytes_in = message.bytes_in();
  endpoint.bytes_out = message.bytes_out();
  endpoint.queue_p50_ms = message.queue_p50_ms();
  endpoint.queue_p99_ms = message.queue_p99_ms();
  endpoint.total_p50_ms = message.total_p50_ms();
  endpoint.total_p99_ms = message.total_p99_ms();
  endpoint.busy_seconds = message.busy_seconds();
  return endpoint;
}

Snapshot FromProto(const v1::AcceleratorStatus& message) {
  Snapshot snapshot;
  snapshot.version = message.version();
  snapshot.processor = message.processor();
  snapshot.capacity = {message.capacity(), static_cast<int>(message.threads()),
                       message.memory_bytes(), message.units()};
  snapshot.memory_used = message.memory_used();
  snapshot.units_used = message.units_used();
  snapshot.uptime_seconds = message.uptime_seconds();
  snapshot.batches = message.batches();
  snapshot.sentences = message.sentences();
  snapshot.tokens = message.tokens();
  snapshot.busy_seconds = message.busy_seconds();
  snapshot.queued_batches = message.queued_batches();
  snapshot.queued_tokens = message.queued_tokens();
  for (const auto& model : message.models()) {
    snapshot.models.push_back({model.content_hash(), model.precision(), model.memory_bytes(),
                               model.sessions(), model.batches()});
  }
  for (const auto& endpoint : message.endpoints()) {
    snapshot.endpoints.push_back(FromProto(endpoint));
  }
  return snapshot;
}

}  // namespace

Result<Snapshot> CallStatus(const StatusCallOptions& options) {
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  const auto stub = v1::Accelerator::NewStub(
      grpc::CreateChannel(options.address, ChannelCredentials(options.security)));
  grpc::ClientContext call;
  call.set_deadline(std::chrono::system_clock::now() + options.timeout);
  Authorise(options.security, call);
  v1::AcceleratorStatus answer;
  const grpc::Status status = stub->GetStatus(&call, {}, &answer);
  if (status.ok()) return FromProto(answer);
  const bool refused = status.error_code() == grpc::StatusCode::UNAUTHENTICATED;
  return Error{refused ? ErrorCode::kInvalidArgument : ErrorCode::kUnavailable,
               "the accelerator at " + options.address + ": " + status.error_message() +
                   (refused ? " (--token-file, or BERTIE_ACCELERATOR_TOKEN)" : "")};
}

}  // namespace bertie::accelerator
