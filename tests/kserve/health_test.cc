#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kserve/health_service.h"
#include "kserve/one_service.h"

namespace bertie::kserve {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using std::chrono::system_clock;

// A gRPC server of the health service alone, and its client.
class HealthServer {
 public:
  HealthServer() : context_(Options()), service_(context_), server_(service_) {}
  ~HealthServer() { Drain(); }

  bool Drain() { return server_.Drain(); }

  serve::ServeContext& context() { return context_; }
  HealthService& service() { return service_; }
  Health::Stub& stub() { return server_.stub(); }

  // gRPC's names of what the calls ended with, by the access log.
  std::vector<std::string> Ended() {
    std::lock_guard lock(mutex_);
    return ended_;
  }

 private:
  serve::HandlerOptions Options() {
    serve::HandlerOptions options;
    options.access_log = [this](const serve::AccessRecord& record) {
      std::lock_guard lock(mutex_);
      ended_.emplace_back(record.grpc_status);
    };
    return options;
  }

  std::mutex mutex_;  // guards ended_
  std::vector<std::string> ended_;
  serve::ServeContext context_;
  HealthService service_;
  OneService<Health, HealthService> server_;
};

// A client's call of Watch.
class Watcher {
 public:
  explicit Watcher(HealthServer& server, const std::string& service = "") {
    HealthCheckRequest request;
    request.set_service(service);
    context_.set_deadline(system_clock::now() + std::chrono::seconds(120));
    reader_ = server.stub().Watch(&context_, request);
  }
  ~Watcher() {
    if (reader_) Cancel();
  }

  // What is said next; -1 when the call has ended.
  int Next() {
    HealthCheckResponse answer;
    return reader_->Read(&answer) ? static_cast<int>(answer.status()) : -1;
  }

  grpc::StatusCode End() {
    HealthCheckResponse answer;
    while (reader_->Read(&answer)) continue;
    const grpc::Status status = reader_->Finish();
    reader_.reset();
    return status.error_code();
  }

  grpc::StatusCode Cancel() {
    context_.TryCancel();
    return End();
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<HealthCheckResponse>> reader_;
};

TEST(HealthWatch, TellsTheStateAtOnceAndEachChangeUntilTheEnd) {
  HealthServer server;
  Watcher first(server), inference(server, "inference.GRPCInferenceService"), other(server, "x");
  EXPECT_EQ(first.Next(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(inference.Next(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(other.Next(), HealthCheckResponse::SERVICE_UNKNOWN);
  server.context().loaded = true;
  EXPECT_EQ(first.Next(), HealthCheckResponse::SERVING);
  EXPECT_EQ(inference.Next(), HealthCheckResponse::SERVING);
  server.context().draining = true;
  EXPECT_EQ(first.Next(), HealthCheckResponse::NOT_SERVING);
  server.context().draining = false;
  EXPECT_EQ(first.Next(), HealthCheckResponse::SERVING);

  server.service().BeginDrain();
  EXPECT_EQ(first.Next(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(first.Next(), -1);
  EXPECT_EQ(other.Next(), -1);
  for (Watcher* watcher : {&first, &inference, &other}) {
    EXPECT_EQ(watcher->End(), grpc::StatusCode::UNAVAILABLE);
  }
  Watcher late(server);
  EXPECT_EQ(late.Next(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(late.End(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(server.Drain());
  EXPECT_EQ(server.Ended(), std::vector<std::string>(4, "UNAVAILABLE"));
}

TEST(HealthWatch, IsBoundedAndCancelledCallsMakeRoom) {
  HealthServer server;
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (int i = 0; i < 1000; ++i) {
    watchers.push_back(std::make_unique<Watcher>(server));
    ASSERT_EQ(watchers.back()->Next(), HealthCheckResponse::NOT_SERVING);
  }
  EXPECT_EQ(Watcher(server).End(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(watchers.back()->Cancel(), grpc::StatusCode::CANCELLED);
  watchers.pop_back();
  const auto end = system_clock::now() + std::chrono::seconds(20);
  while (server.Ended().size() < 2 && system_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(server.Ended(), (std::vector<std::string>{"UNIMPLEMENTED", "CANCELLED"}));
  EXPECT_EQ(Watcher(server).Next(), HealthCheckResponse::NOT_SERVING);
}

TEST(HealthWatch, EveryCallEndsOnceWhenManyComeAndGoInADrain) {
  HealthServer server;
  server.context().loaded = true;
  std::atomic<bool> ended{false};
  std::atomic<size_t> begun{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&, i] {
      while (!ended) {
        Watcher staying(server), going(server);
        begun += 2;
        if (i % 2 == 0) staying.Next();
        going.Cancel();
        std::this_thread::sleep_for(std::chrono::milliseconds(i == 0 ? 300 : 20));
      }
    });
  }
  // Long enough for the timer too.
  const auto begin = system_clock::now();
  while (system_clock::now() < begin + std::chrono::milliseconds(1500) ||
         (server.Ended().size() <= 10 && system_clock::now() < begin + std::chrono::seconds(60))) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_TRUE(server.Drain());
  ended = true;
  for (std::thread& client : clients) client.join();
  EXPECT_GT(server.Ended().size(), 10U);
  EXPECT_LE(server.Ended().size(), begun);
}

}  // namespace
}  // namespace bertie::kserve
