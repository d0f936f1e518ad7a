#include "kserve/health_service.h"

#include <string>

#include "inference.grpc.pb.h"
#include "kserve/health_watch.h"
#include "kserve/unary_call.h"

namespace bertie::kserve {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

bool IsHere(const HealthCheckRequest& request) {
  const std::string& service = request.service();
  return service.empty() || service == inference::GRPCInferenceService::service_full_name();
}

}  // namespace

HealthService::HealthService(serve::ServeContext& context)
    : context_(context), watchers_(std::make_shared<HealthWatchers>(context)) {}

HealthService::~HealthService() = default;

void HealthService::BeginDrain() { watchers_->BeginDrain(); }

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* call,
                                               const HealthCheckRequest* request,
                                               HealthCheckResponse* answer) {
  auto* unary =
      new UnaryCall(context_, *call, "/grpc.health.v1.Health/Check", serve::Access::kOpen);
  return unary->Run([&] {
    if (!IsHere(*request)) return unary->Refuse({404, "NotFound", "no such service"});
    answer->set_status(HealthNow(context_));
    unary->Answer();
  });
}

grpc::ServerWriteReactor<HealthCheckResponse>* HealthService::Watch(
    grpc::CallbackServerContext* call, const HealthCheckRequest* request) {
  const auto watch = std::make_shared<HealthWatch>(context_, watchers_, *call, IsHere(*request));
  watch->Begin();
  return watch.get();
}

}  // namespace bertie::kserve
