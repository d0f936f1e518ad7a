#include "accelerator/grpc_server.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "accelerator/server_call.h"
#include "accelerator/server_credentials.h"

namespace bertie::accelerator {
namespace {

constexpr int kMaxMessageBytes = 4 << 20;
constexpr std::chrono::milliseconds kClock{500};

// gRPC writes to stderr what clients do wrong (a failed handshake): at most ten lines a second.
void LogForGrpc(gpr_log_func_args* args) {
  static std::mutex mutex;
  static Clock::time_point second;
  static int lines = 0;
  std::lock_guard lock(mutex);
  const auto now = Clock::now();
  if (now - second >= std::chrono::seconds(1)) {
    second = now;
    lines = 0;
  }
  if (lines++ < 10) fprintf(stderr, "bertie: gRPC: %s\n", args->message);
}

void SetLimits(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // A few bytes can stand for gigabytes.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetResourceQuota(grpc::ResourceQuota("bertie").Resize(size_t{512} << 20));
  const std::pair<const char*, int> arguments[] = {
      // A peer that has vanished is noticed within 10 s.
      {GRPC_ARG_KEEPALIVE_TIME_MS, 5'000},
      {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000},
      {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
      {GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0},
      // Endpoints may do the same, and no more.
      {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1'000},
      {GRPC_ARG_HTTP2_MAX_PING_STRIKES, 3},
      {GRPC_ARG_MAX_CONCURRENT_STREAMS, 64},
      {GRPC_ARG_MAX_METADATA_SIZE, 8 * 1024},
      {GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000},
      {GRPC_ARG_ALLOW_REUSEPORT, 0},
      // Not a ping for every message, to learn how much the network holds: both sides would wake
      // for it. A window of this size keeps an upload going over 1 Gbit/s and 30 ms.
      {GRPC_ARG_HTTP2_BDP_PROBE, 0},
      {GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 4 << 20},
      {GRPC_ARG_ENABLE_CENSUS, 0},
      {GRPC_ARG_ENABLE_CHANNELZ, 0},
  };
  for (const auto& [name, value] : arguments) builder.AddChannelArgument(name, value);
}

}  // namespace

struct GrpcServer::Impl {
  Impl(GrpcServerOptions options, Accelerator& accelerator)
      : context{.accelerator = accelerator, .options = std::move(options)} {}

  void Watch() {
    std::unique_lock lock(mutex);
    while (!wake.wait_for(lock, kClock, [this] { return stop; })) {
      lock.unlock();
      const auto now = Clock::now();
      context.streams.ForEach([now](Stream& stream) { stream.CheckClock(now); });
      context.accelerator.Tidy();
      lock.lock();
    }
  }

  ServiceContext context;
  std::unique_ptr<grpc::Server> server;
  int port = 0;

  std::mutex mutex;  // guards stop
  std::condition_variable wake;
  bool stop = false;
  std::thread clock;
};

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

GrpcServer::~GrpcServer() {
  Drain(std::chrono::milliseconds(0));
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->wake.notify_one();
  if (impl_->clock.joinable()) impl_->clock.join();
}

Result<std::unique_ptr<GrpcServer>> GrpcServer::Start(GrpcServerOptions options,
                                                      Accelerator& accelerator) {
  gpr_set_log_function(LogForGrpc);
  auto impl = std::make_unique<Impl>(std::move(options), accelerator);
  ServiceContext& context = impl->context;
  BERTIE_ASSIGN_OR_RETURN(auto credentials, MakeServerCredentials(context.options));
  grpc::ServerBuilder builder;
  SetLimits(builder);
  builder.AddListeningPort(context.options.listen, credentials, &impl->port);
  builder.RegisterService(&context.service);
  builder.RegisterService(&context.health);
  context.queue = std::make_unique<ServerQueue>(builder.AddCompletionQueue());
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr || impl->port <= 0) {
    return Error{ErrorCode::kUnavailable,
                 "cannot listen on " + context.options.listen +
                     ": another program has the port, or the host is not one of this machine's"};
  }
  AwaitUnaryCalls(context);
  AwaitHealthCalls(context);
  AwaitUpload(context);
  AwaitSession(context);
  impl->clock = std::thread([raw = impl.get()] { raw->Watch(); });
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

std::string GrpcServer::address() const {
  const std::string& listen = impl_->context.options.listen;
  return listen.substr(0, listen.rfind(':') + 1) + std::to_string(impl_->port);
}

bool GrpcServer::Drain(std::chrono::milliseconds limit) {
  if (impl_->server == nullptr) return true;
  ServiceContext& context = impl_->context;
  context.draining = true;
  context.watchers.ForEach([](Stream& stream) { stream.BeginDrain(); });
  context.streams.ForEach([](Stream& stream) { stream.BeginDrain(); });
  const bool ended = context.streams.WaitEmpty(limit);
  // Says GOAWAY; a client that is not listening to its connection would be waited for without end.
  impl_->server->Shutdown(std::chrono::system_clock::now() +
                          std::min(limit, std::chrono::milliseconds(200)));
  context.queue->Close();
  impl_->server.reset();
  return ended;
}

}  // namespace bertie::accelerator
