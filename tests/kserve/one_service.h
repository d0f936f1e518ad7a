// A gRPC server of one service alone, and its client.
#pragma once

#include <absl/synchronization/mutex.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

namespace bertie::kserve {

// Api: what protoc made of the service. Service: ours, which must outlive this.
template <class Api, class Service>
class OneService {
 public:
  explicit OneService(Service& service) : service_(service) {
    // As the program does: else thousands of calls take minutes.
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    server_ = builder.BuildAndStart();
    stub_ = Api::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                             grpc::InsecureChannelCredentials()));
  }

  // Whether every call has ended in time.
  bool Drain() {
    service_.BeginDrain();
    const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(60);
    server_->Shutdown(deadline);
    return std::chrono::system_clock::now() < deadline;
  }

  typename Api::Stub& stub() const { return *stub_; }

 private:
  Service& service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<typename Api::Stub> stub_;
};

}  // namespace bertie::kserve
