// The accelerator's protocol over a real socket, with answers that can be checked by hand
// (infer/sum_executor.h) and faults on demand: what no healthy accelerator does.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "accelerator.grpc.pb.h"
#include "infer/sum_executor.h"

namespace bertie::accelerator {

class ScriptedAccelerator : public v1::Accelerator::Service {
 public:
  enum class Mood { kWell, kSilent, kOtherModel, kTooMany, kFails, kOutOfPlace };

  ScriptedAccelerator() { Start(0); }
  ~ScriptedAccelerator() override { Kill(); }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // As a process that dies: every stream breaks.
  void Kill() {
    if (!server_) return;
    server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }
  void Restart() { Start(port_); }

  // What has happened. Any thread.
  std::atomic<Mood> mood{Mood::kWell};
  std::atomic<int> replies_in_reverse{0};  // that many batches are gathered, and the last is first
  std::atomic<int> batches{0};
  std::atomic<int> cancels{0};
  std::atomic<int> attaches{0};
  std::atomic<int> uploads{0};
  std::atomic<uint64_t> uploaded{0};
  std::atomic<uint64_t> break_upload_at{UINT64_MAX};  // once, after so many bytes of a stream
  std::string refusal;                                // of every Attach; set before it
  std::string token;                                  // asked for, unless empty

  grpc::Status FindModel(grpc::ServerContext*, const v1::Manifest* manifest,
                         v1::ModelState* state) override {
    if (mood == Mood::kSilent) {
      return {grpc::StatusCode::UNAVAILABLE, "silent"};
    }
    std::lock_guard lock(mutex_);
    state->set_complete(true);
    for (const auto& file : manifest->files()) {
      v1::FileState& to = *state->add_files();
      to.set_name(file.name());
      to.set_received(store_[file.name()].size());
      to.set_complete(to.received() == file.size());
      if (!to.complete()) state->set_complete(false);
    }
    return grpc::Status::OK;
  }

  grpc::Status Upload(grpc::ServerContext*, grpc::ServerReader<v1::FileChunk>* reader,
                      v1::FileState* state) override {
    ++uploads;
    v1::FileChunk chunk;
    std::string name;
    uint64_t here = 0;
    while (reader->Read(&chunk)) {
      std::lock_guard lock(mutex_);
      if (name.empty()) name = chunk.name();
      std::string& file = store_[name];
      if (here == 0 && chunk.offset() != file.size()) {
        return {grpc::StatusCode::INVALID_ARGUMENT, "the wrong offset"};
      }
      const uint64_t limit = break_upload_at;
      if (here + chunk.data().size() > limit) {
        file += chunk.data().substr(0, limit - here);
        break_upload_at = UINT64_MAX;
        return {grpc::StatusCode::UNAVAILABLE, "broken"};
      }
      file += chunk.data();
      here += chunk.data().size();
      uploaded += chunk.data().size();
    }
    state->set_name(name);
    state->set_complete(true);
    return grpc::Status::OK;
  }

  grpc::Status Session(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::FromAccelerator, v1::ToAccelerator>* stream) override {
    if (!token.empty()) {
      const auto found = context->client_metadata().find("authorization");
      if (found == context->client_metadata().end() || found->second != "Bearer " + token) {
        return {grpc::StatusCode::UNAUTHENTICATED, "wrong token"};
      }
    }
    v1::ToAccelerator in;
    if (!stream->Read(&in) || !in.has_attach()) return grpc::Status::CANCELLED;
    if (!refusal.empty()) return {grpc::StatusCode::RESOURCE_EXHAUSTED, refusal};
    ++attaches;
    v1::FromAccelerator out;
    v1::Attached& attached = *out.mutable_attached();
    attached.set_content_hash(in.attach().content_hash());
    attached.set_num_labels(2);
    attached.set_vocab_size(1000);
    attached.set_precision(in.attach().precision());
    attached.set_max_batch_tokens(512);
    attached.set_max_in_flight(32);
    stream->Write(out);
    std::vector<v1::FromAccelerator> held;
    while (stream->Read(&in)) {
      if (in.has_cancel()) ++cancels;
      if (!in.has_batch()) continue;
      ++batches;
      if (mood == Mood::kSilent) continue;
      held.push_back(Reply(in.batch()));
      if (static_cast<int>(held.size()) < replies_in_reverse) continue;
      for (; !held.empty(); held.pop_back()) stream->Write(held.back());
    }
    return grpc::Status::OK;
  }

 private:
  void Start(int port) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }

  v1::FromAccelerator Reply(const v1::Batch& batch) const {
    v1::FromAccelerator out;
    if (mood == Mood::kOutOfPlace) {
      out.mutable_attached();
      return out;
    }
    if (mood == Mood::kFails) {
      out.mutable_failure()->set_id(batch.id());
      out.mutable_failure()->set_code("internal");
      return out;
    }
    v1::Logits& logits = *out.mutable_logits();
    logits.set_id(batch.id());
    logits.set_content_hash(mood == Mood::kOtherModel ? "other" : batch.content_hash());
    auto next = batch.token_ids().begin();
    for (const int32_t length : batch.lengths()) {
      for (float logit : infer::SumLogits({next, next + length})) logits.add_logits(logit);
      next += length;
    }
    if (mood == Mood::kTooMany) logits.add_logits(1);
    return out;
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::mutex mutex_;  // guards store_
  std::map<std::string, std::string> store_;
};

}  // namespace bertie::accelerator
