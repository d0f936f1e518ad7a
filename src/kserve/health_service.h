// gRPC's health service (github.com/grpc/grpc, doc/health-checking.md), by gRPC's callbacks.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>

#include "health.grpc.pb.h"
#include "serve/context.h"

namespace bertie::kserve {

class HealthWatchers;

// Whether the models answer; of the server as a whole and of the inference service. No key is asked
// for. Any thread; the context outlives the service and its calls.
class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  explicit HealthService(serve::ServeContext& context);
  ~HealthService() override;

  // Tells those who watch that the end has come, and ends their calls and those that still come.
  // Without it they hold up the gRPC server's Shutdown.
  void BeginDrain();

 private:
  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* call,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* answer) override;
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* call,
      const grpc::health::v1::HealthCheckRequest* request) override;

  serve::ServeContext& context_;
  const std::shared_ptr<HealthWatchers> watchers_;
};

}  // namespace bertie::kserve
