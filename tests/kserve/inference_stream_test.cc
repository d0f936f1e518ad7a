#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "eventually.h"
#include "infer/sum_executor.h"
#include "kserve/one_service.h"
#include "kserve/services.h"
#include "serve/small_model.h"

namespace bertie::kserve {
namespace {

using inference::GRPCInferenceService;
using inference::ModelInferRequest;
using inference::ModelStreamInferResponse;
using std::chrono::system_clock;

// A gRPC server of the inference service alone, with a small model named "m", and its client.
class StreamServer {
 public:
  explicit StreamServer(serve::HandlerOptions options = {}, size_t max_requests = 512)
      : context_(WithLog(std::move(options))),
        repository_({}, context_, pool_),
        service_(context_, repository_),
        server_(service_) {
    context_.queue.max_requests = max_requests;
    context_.models.Put(context_.models.Adopt(
        serve::SmallModel({"m"}, executor_, context_.metrics, {.max_requests = max_requests})));
    context_.loaded = true;
  }

  ~StreamServer() {
    executor_.OpenGate();
    Drain();
  }

  bool Drain() { return server_.Drain(); }

  infer::SumExecutor& executor() { return executor_; }
  InferenceService& service() { return service_; }
  GRPCInferenceService::Stub& stub() { return server_.stub(); }

  // "m:OK" of a request of the model's, ":OK" of the call, as they ended, by the access log.
  std::vector<std::string> Ended() {
    std::lock_guard lock(mutex_);
    return ended_;
  }

  // Requests behind those that are computed.
  size_t Queued() { return context_.models.List()[0]->batcher->queued_requests(); }

 private:
  serve::HandlerOptions WithLog(serve::HandlerOptions options) {
    options.access_log = [this](const serve::AccessRecord& record) {
      std::lock_guard lock(mutex_);
      ended_.push_back(std::string(record.model) + ":" + std::string(record.grpc_status));
      EXPECT_EQ(record.request_id, "stream-1");
      EXPECT_EQ(record.route, "/inference.GRPCInferenceService/ModelStreamInfer");
    };
    return options;
  }

  std::mutex mutex_;  // guards ended_
  std::vector<std::string> ended_;
  infer::SumExecutor executor_;
  infer::ComputePool pool_{1};
  serve::ServeContext context_;
  serve::ModelRepository repository_;
  InferenceService service_;
  OneService<GRPCInferenceService, InferenceService> server_;
};

// A client's call.
class Stream {
 public:
  explicit Stream(StreamServer& server, const std::string& key = "") {
    call_.set_deadline(system_clock::now() + std::chrono::seconds(120));
    call_.AddMetadata("x-request-id", "stream-1");
    if (!key.empty()) call_.AddMetadata("authorization", "Bearer " + key);
    stream_ = server.stub().ModelStreamInfer(&call_);
  }
  ~Stream() {
    if (stream_) Cancel();
  }

  bool Send(const std::string& text, const std::string& id, const std::string& model = "m") {
    ModelInferRequest request;
    request.set_model_name(model);
    request.set_id(id);
    auto& input = *request.add_inputs();
    input.set_name("text");
    input.set_datatype("BYTES");
    input.add_shape(1);
    input.mutable_contents()->add_bytes_contents(text);
    request.add_outputs()->set_name("logits");
    return stream_->Write(request);
  }

  // "id first-logit", or "id !message"; "" at the end.
  std::string Next() {
    ModelStreamInferResponse answer;
    if (!stream_->Read(&answer)) return "";
    const auto& response = answer.infer_response();
    EXPECT_TRUE(response.parameters().at("triton_final_response").bool_param());
    if (!answer.error_message().empty()) return response.id() + " !" + answer.error_message();
    EXPECT_EQ(response.model_name(), "m");
    return response.id() + " " +
           std::to_string(static_cast<int>(response.outputs(0).contents().fp32_contents(0)));
  }

  void SaidAll() { stream_->WritesDone(); }

  grpc::Status End() {
    while (!Next().empty()) continue;
    grpc::Status status = stream_->Finish();
    stream_.reset();
    return status;
  }

  grpc::Status Cancel() {
    call_.TryCancel();
    return End();
  }

  std::string request_id() const {
    const auto found = call_.GetServerInitialMetadata().find("x-request-id");
    if (found == call_.GetServerInitialMetadata().end()) return "";
    return {found->second.data(), found->second.size()};
  }

 private:
  grpc::ClientContext call_;
  std::unique_ptr<grpc::ClientReaderWriter<ModelInferRequest, ModelStreamInferResponse>> stream_;
};

// The texts' first logits are the sums of their ids, with [CLS] 2 and [SEP] 3: "a" is 9.

TEST(InferenceStream, AnswersInOrderAndARefusalIsOneAnswer) {
  StreamServer server;
  Stream stream(server);
  ASSERT_TRUE(stream.Send("a", "1"));
  EXPECT_EQ(stream.Next(), "1 9");
  EXPECT_EQ(stream.request_id(), "stream-1");
  // All but the refusal wait for the gate.
  server.executor().CloseGate();
  ASSERT_TRUE(stream.Send("a b", "2"));
  server.executor().WaitUntilRunning();
  ASSERT_TRUE(stream.Send("b", "3"));
  ASSERT_TRUE(stream.Send("c", "4", "other"));
  ASSERT_TRUE(stream.Send("c", ""));
  stream.SaidAll();
  ASSERT_TRUE(Eventually([&] { return server.Ended().size() == 2; }));
  server.executor().OpenGate();
  EXPECT_EQ(stream.Next(), "2 14");
  EXPECT_EQ(stream.Next(), "3 10");
  EXPECT_EQ(stream.Next().substr(0, 3), "4 !");
  EXPECT_EQ(stream.Next(), " 11");
  EXPECT_TRUE(stream.End().ok());
  EXPECT_TRUE(server.Drain());
  EXPECT_EQ(server.Ended(),
            (std::vector<std::string>{"m:OK", ":NOT_FOUND", "m:OK", "m:OK", "m:OK", ":OK"}));
}

// Of so many requests that a client sends at once, `queued` wait behind the one that is computed.
void ExpectTaken(const std::string& text, int sent, size_t queued) {
  StreamServer server;
  server.executor().CloseGate();
  Stream stream(server);
  ASSERT_TRUE(stream.Send("a", "0"));
  server.executor().WaitUntilRunning();
  std::thread sender([&] {
    for (int i = 1; i < sent; ++i) ASSERT_TRUE(stream.Send(text, std::to_string(i)));
    stream.SaidAll();
  });
  EXPECT_TRUE(Eventually([&] { return server.Queued() == queued; })) << server.Queued();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(server.Queued(), queued);
  server.executor().OpenGate();
  for (int i = 0; i < sent; ++i) EXPECT_EQ(stream.Next(), std::to_string(i) + " 9");
  sender.join();
  EXPECT_TRUE(stream.End().ok());
}

TEST(InferenceStream, TakesABoundedNumberBeforeTheirAnswersAreSent) { ExpectTaken("a", 200, 63); }

TEST(InferenceStream, TakesFewLargeOnes) { ExpectTaken(std::string(10'000, ' ') + "a", 20, 4); }

TEST(InferenceStream, TakesNoMoreThanTheQueueHasRoomFor) {
  StreamServer server({}, 2);
  Stream stream(server);
  std::thread sender([&] {
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(stream.Send("a", std::to_string(i)));
    stream.SaidAll();
  });
  for (int i = 0; i < 50; ++i) EXPECT_EQ(stream.Next(), std::to_string(i) + " 9");
  sender.join();
  EXPECT_TRUE(stream.End().ok());
}

TEST(InferenceStream, WhatWasTakenIsAnsweredWhenTheServerEnds) {
  StreamServer server;
  server.executor().CloseGate();
  Stream stream(server), idle(server);
  ASSERT_TRUE(stream.Send("a", "1"));
  server.executor().WaitUntilRunning();
  ASSERT_TRUE(stream.Send("b", "2"));
  ASSERT_TRUE(Eventually([&] { return server.Queued() == 1; }));
  server.service().BeginDrain();
  EXPECT_EQ(idle.End().error_code(), grpc::StatusCode::UNAVAILABLE);
  server.executor().OpenGate();
  EXPECT_EQ(stream.Next(), "1 9");
  EXPECT_EQ(stream.Next(), "2 10");
  EXPECT_EQ(stream.End().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Stream(server).End().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(server.Drain());
}

TEST(InferenceStream, EndsItsWorkWithItsClient) {
  StreamServer server;
  server.executor().CloseGate();
  Stream stream(server);
  ASSERT_TRUE(stream.Send("a", "1"));
  server.executor().WaitUntilRunning();
  ASSERT_TRUE(stream.Send("b", "2"));
  ASSERT_TRUE(Eventually([&] { return server.Queued() == 1; }));
  EXPECT_EQ(stream.Cancel().error_code(), grpc::StatusCode::CANCELLED);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  server.executor().OpenGate();
  ASSERT_TRUE(Eventually([&] { return server.Ended().size() == 3; }));
  EXPECT_EQ(server.Ended().back(), ":CANCELLED");
  EXPECT_EQ(server.executor().batches().size(), 1U);  // the second was not computed
}

TEST(InferenceStream, AsksForAKey) {
  serve::HandlerOptions options;
  options.keys.api = {"right"};
  StreamServer server(options);
  EXPECT_EQ(Stream(server).End().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  Stream stream(server, "right");
  ASSERT_TRUE(stream.Send("a", "1"));
  EXPECT_EQ(stream.Next(), "1 9");
}

TEST(InferenceStream, IsBoundedAndEndedCallsMakeRoom) {
  StreamServer server;
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < 1000; ++i) {
    streams.push_back(std::make_unique<Stream>(server));
    ASSERT_TRUE(streams.back()->Send("a", "1"));
    ASSERT_EQ(streams.back()->Next(), "1 9");
  }
  EXPECT_EQ(Stream(server).End().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  streams.back()->SaidAll();
  EXPECT_TRUE(streams.back()->End().ok());
  streams.pop_back();
  ASSERT_TRUE(Eventually([&] { return server.Ended().size() == 1002; }));
  Stream stream(server);
  ASSERT_TRUE(stream.Send("a", "1"));
  EXPECT_EQ(stream.Next(), "1 9");
}

TEST(InferenceStream, EveryCallEndsOnceWhenManyComeAndGoInADrain) {
  StreamServer server;
  std::atomic<bool> ended{false};
  std::atomic<size_t> begun{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&, i] {
      while (!ended) {
        Stream staying(server), going(server);
        begun += 2;
        for (int n = 0; n < 5; ++n) staying.Send("a", ""), going.Send("b", "");
        if (i % 2 == 0) staying.Next();
        if (i % 2 == 1) staying.SaidAll(), staying.End();
        going.Cancel();
      }
    });
  }
  const auto calls = [&] {
    size_t count = 0;
    for (const std::string& end : server.Ended()) count += end.front() == ':';
    return count;
  };
  ASSERT_TRUE(Eventually([&] { return calls() > 200; }));
  EXPECT_TRUE(server.Drain());
  ended = true;
  for (std::thread& client : clients) client.join();
  EXPECT_LE(calls(), begun);
}

}  // namespace
}  // namespace bertie::kserve
