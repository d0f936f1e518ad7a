#include "kserve/grpc_server.h"

#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <stop_token>
#include <thread>
#include <utility>

#include "kserve/health_service.h"
#include "kserve/open_streams.h"
#include "kserve/services.h"

namespace bertie::kserve {
namespace {

using Clock = std::chrono::steady_clock;

// Without a call for that long, the last one's answer is on its way.
constexpr std::chrono::milliseconds kQuiet{100};
constexpr std::chrono::milliseconds kTick{10};

void SetLimits(const GrpcServerOptions& options, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(
      std::min(options.max_message_bytes, size_t{std::numeric_limits<int>::max()})));
  // A few bytes can stand for gigabytes.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetResourceQuota(grpc::ResourceQuota("bertie").Resize(size_t{512} << 20));
  const std::pair<const char*, int> arguments[] = {
      // Clients that keep connections alive by a ping every ten seconds, Triton's among them, may.
      {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000},
      {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
      // Clients that have gone without a word, and hold calls that wait.
      {GRPC_ARG_KEEPALIVE_TIME_MS, 60'000},
      {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000},
      {GRPC_ARG_MAX_CONCURRENT_STREAMS, 1'024},
      {GRPC_ARG_MAX_METADATA_SIZE, 16 * 1024},
      {GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000},
      {GRPC_ARG_ALLOW_REUSEPORT, 0},
  };
  for (const auto& [name, value] : arguments) builder.AddChannelArgument(name, value);
}

// "[::1]:8001" for an address that has colons itself.
std::string WithPort(const std::string& host, int port) {
  const bool colons = host.find(':') != std::string::npos && !host.starts_with('[');
  return (colons ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace

struct GrpcServer::Impl {
  Impl(const GrpcServerOptions& given, serve::ServeContext& context,
       serve::ModelRepository& repository)
      : host(given.host),
        calls(context.grpc_calls),
        inference(context, repository),
        health(context) {}

  void WaitForRequests(std::chrono::milliseconds limit) const;
  void CutOnceQuiet(const std::stop_token& ended);

  const std::string host;
  const std::atomic<int>& calls;
  InferenceService inference;
  HealthService health;
  int port = 0;
  std::unique_ptr<grpc::Server> server;
};

// Those that are on their way: gRPC drops what has come whole only after Shutdown.
void GrpcServer::Impl::WaitForRequests(std::chrono::milliseconds limit) const {
  const auto end = Clock::now() + limit;
  while (Clock::now() < end && OpenStreams() > calls) std::this_thread::sleep_for(kTick);
}

// Shutdown also waits for each client to answer a ping, which one that makes no call may do seconds
// later: Python's looks at its idle connections every five.
void GrpcServer::Impl::CutOnceQuiet(const std::stop_token& ended) {
  auto quiet_since = Clock::now();
  while (!ended.stop_requested()) {
    const auto now = Clock::now();
    if (calls > 0) quiet_since = now;
    if (now - quiet_since >= kQuiet) return grpc_server_cancel_all_calls(server->c_server());
    std::this_thread::sleep_for(kTick);
  }
}

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

GrpcServer::~GrpcServer() { Drain(std::chrono::milliseconds(0)); }

Result<std::unique_ptr<GrpcServer>> GrpcServer::Start(const GrpcServerOptions& options,
                                                      serve::ServeContext& context,
                                                      serve::ModelRepository& repository) {
  auto impl = std::make_unique<Impl>(options, context, repository);
  grpc::ServerBuilder builder;
  SetLimits(options, builder);
  const std::string address = WithPort(options.host, options.port);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &impl->port);
  builder.RegisterService(&impl->inference);
  builder.RegisterService(&impl->health);
  impl->server = builder.BuildAndStart();
  if (!impl->server || impl->port <= 0) {
    return Error{ErrorCode::kUnavailable,
                 "cannot listen for gRPC on " + address +
                     ": another program has the port, or the host is not one of this machine's"};
  }
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

std::string GrpcServer::address() const { return WithPort(impl_->host, impl_->port); }

bool GrpcServer::Drain(std::chrono::milliseconds limit) {
  if (!impl_->server) return true;
  impl_->health.BeginDrain();
  impl_->inference.BeginDrain();
  const auto deadline = std::chrono::system_clock::now() + limit;
  impl_->WaitForRequests(limit / 2);
  // Shutdown refuses new calls and waits for those under way; at its deadline it cancels them.
  std::jthread cut([this](const std::stop_token& ended) { impl_->CutOnceQuiet(ended); });
  impl_->server->Shutdown(deadline);
  cut.request_stop();
  cut.join();
  const bool in_time = limit.count() == 0 || std::chrono::system_clock::now() < deadline;
  impl_->server.reset();
  return in_time;
}

}  // namespace bertie::kserve
