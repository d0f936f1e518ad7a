#include "accelerator/server_call.h"

namespace bertie::accelerator {
namespace {

ModelManifest FromProto(const v1::Manifest& message) {
  ModelManifest manifest;
  for (const v1::Manifest::File& file : message.files()) {
    manifest.files.push_back({file.name(), file.size(), file.sha256()});
  }
  manifest.content_hash = message.content_hash();
  return manifest;
}

void ToProto(const StoredModel& model, v1::ModelState* message) {
  message->set_complete(model.complete);
  for (const StoredFile& file : model.files) {
    v1::FileState* state = message->add_files();
    state->set_name(file.name);
    state->set_received(file.received);
    state->set_complete(file.complete);
  }
}

void ToProto(const Snapshot::Endpoint& endpoint, v1::AcceleratorStatus::Endpoint* message) {
  message->set_name(endpoint.name);
  message->set_accelerator_type(endpoint.accelerator_type);
  message->set_content_hash(endpoint.content_hash);
  message->set_peer(endpoint.peer);
  message->set_attached_seconds(endpoint.attached_seconds);
  message->set_units(endpoint.units);
  message->set_share(endpoint.share);
  message->set_batches(endpoint.batches);
  message->set_sentences(endpoint.sentences);
  message->set_tokens(endpoint.tokens);
  message->set_failures(endpoint.failures);
  message->set_queued_tokens(endpoint.queued_tokens);
  message->set_bytes_in(endpoint.bytes_in);
  message->set_bytes_out(endpoint.bytes_out);
  message->set_queue_p50_ms(endpoint.queue_p50_ms);
  message->set_queue_p99_ms(endpoint.queue_p99_ms);
  message->set_total_p50_ms(endpoint.total_p50_ms);
  message->set_total_p99_ms(endpoint.total_p99_ms);
  message->set_busy_seconds(endpoint.busy_seconds);
}

void ToProto(const Snapshot& snapshot, v1::AcceleratorStatus* message) {
  message->set_version(snapshot.version);
  message->set_processor(snapshot.processor);
  message->set_capacity(snapshot.capacity.name);
  message->set_threads(static_cast<uint32_t>(snapshot.capacity.threads));
  message->set_memory_bytes(snapshot.capacity.memory_bytes);
  message->set_memory_used(snapshot.memory_used);
  message->set_units(snapshot.capacity.units);
  message->set_units_used(snapshot.units_used);
  message->set_uptime_seconds(snapshot.uptime_seconds);
  message->set_batches(snapshot.batches);
  message->set_sentences(snapshot.sentences);
  message->set_tokens(snapshot.tokens);
  message->set_busy_seconds(snapshot.busy_seconds);
  message->set_queued_batches(snapshot.queued_batches);
  message->set_queued_tokens(snapshot.queued_tokens);
  for (const Snapshot::Model& model : snapshot.models) {
    v1::AcceleratorStatus::Model* out = message->add_models();
    out->set_content_hash(model.content_hash);
    out->set_precision(model.precision);
    out->set_memory_bytes(model.memory_bytes);
    out->set_sessions(model.sessions);
    out->set_batches(model.batches);
  }
  for (const Snapshot::Endpoint& endpoint : snapshot.endpoints) {
    ToProto(endpoint, message->add_endpoints());
  }
}

class FindModelCall final : public UnaryCall<v1::Manifest, v1::ModelState> {
 public:
  using UnaryCall::UnaryCall;

 private:
  void Request(void* tag) override {
    auto* queue = context_.queue->get();
    context_.service.RequestFindModel(&call_, &request_, &writer_, queue, queue, tag);
  }
  void AwaitNext() const override { accelerator::Await<FindModelCall>(context_); }

  void Begin(const grpc::Status& refusal) override {
    if (!refusal.ok()) return Finish(refusal);
    context_.disk.Post([this, self = shared_from_this()] {
      const auto found = context_.accelerator.store().Find(FromProto(request_));
      if (found.ok()) ToProto(*found, &answer_);
      Finish(found.ok() ? grpc::Status::OK : ToGrpc(found.error()));
    });
  }
};

class GetStatusCall final : public UnaryCall<v1::StatusRequest, v1::AcceleratorStatus> {
 public:
  using UnaryCall::UnaryCall;

 private:
  void Request(void* tag) override {
    auto* queue = context_.queue->get();
    context_.service.RequestGetStatus(&call_, &request_, &writer_, queue, queue, tag);
  }
  void AwaitNext() const override { accelerator::Await<GetStatusCall>(context_); }

  void Begin(const grpc::Status& refusal) override {
    if (refusal.ok()) ToProto(context_.accelerator.Read(), &answer_);
    Finish(refusal);
  }
};

}  // namespace

void AwaitUnaryCalls(ServiceContext& context) {
  Await<FindModelCall>(context);
  Await<GetStatusCall>(context);
}

}  // namespace bertie::accelerator
