#include "accelerator/grpc_server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "accelerator.grpc.pb.h"
#include "accelerator/streams.h"
#include "base/file.h"
#include "base/hmac.h"

namespace bertie::accelerator {
namespace {

constexpr int kMaxMessageBytes = 4 << 20;
constexpr uint64_t kMaxPemBytes = 1 << 20;
constexpr unsigned kCertificateSeconds = 1;  // between two looks at the files
constexpr std::chrono::milliseconds kClock{500};

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

// The service's methods; none blocks a thread of gRPC's.
class Service final : public v1::Accelerator::CallbackService {
 public:
  Service(const ServiceContext& context, const std::string& token)
      : context_(context), token_(token.empty() ? "" : "Bearer " + token) {}

  grpc::ServerUnaryReactor* FindModel(grpc::CallbackServerContext* call,
                                      const v1::Manifest* request,
                                      v1::ModelState* answer) override {
    auto* reactor = call->DefaultReactor();
    if (const auto refusal = Authorize(*call); !refusal.ok()) {
      reactor->Finish(refusal);
      return reactor;
    }
    context_.disk.Post([this, reactor, request, answer] {
      const auto found = context_.accelerator.store().Find(FromProto(*request));
      if (found.ok()) ToProto(*found, answer);
      reactor->Finish(found.ok() ? grpc::Status::OK : ToGrpc(found.error()));
    });
    return reactor;
  }

  grpc::ServerReadReactor<v1::FileChunk>* Upload(grpc::CallbackServerContext* call,
                                                 v1::FileState* answer) override {
    return StartUpload(context_, answer, Authorize(*call));
  }

  grpc::ServerBidiReactor<v1::ToAccelerator, v1::FromAccelerator>* Session(
      grpc::CallbackServerContext* call) override {
    return StartSession(context_, call, Authorize(*call));
  }

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* call, const v1::StatusRequest*,
                                      v1::AcceleratorStatus* answer) override {
    auto* reactor = call->DefaultReactor();
    const auto refusal = Authorize(*call);
    if (refusal.ok()) ToProto(context_.accelerator.Read(), answer);
    reactor->Finish(refusal);
    return reactor;
  }

  // Streams that come from now on are refused.
  void BeginDrain() { draining_ = true; }

 private:
  grpc::Status Authorize(const grpc::CallbackServerContext& call) const {
    if (!token_.empty()) {
      const auto& metadata = call.client_metadata();
      const auto found = metadata.find("authorization");
      const grpc::string_ref sent = found == metadata.end() ? grpc::string_ref() : found->second;
      if (!ConstantTimeEqual(std::as_bytes(std::span(sent.data(), sent.size())),
                             std::as_bytes(std::span(token_)))) {
        return {grpc::StatusCode::UNAUTHENTICATED, "a token is needed"};
      }
    }
    if (draining_) return {grpc::StatusCode::UNAVAILABLE, "the accelerator is shutting down"};
    return {};
  }

  const ServiceContext context_;
  const std::string token_;
  std::atomic<bool> draining_{false};
};

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

Status CheckPem(const std::string& path, std::string_view what) {
  BERTIE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxPemBytes));
  if (text.find("-----BEGIN " + std::string(what)) != std::string::npos ||
      (what == "PRIVATE KEY" && text.find(" PRIVATE KEY-----") != std::string::npos)) {
    return {};
  }
  return Error{ErrorCode::kInvalidData,
               path + ": found no \"-----BEGIN " + std::string(what) + "-----\"; expected PEM"};
}

Result<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(const GrpcServerOptions& options) {
  namespace tls = grpc::experimental;
  if (options.tls_certificate.empty()) return grpc::InsecureServerCredentials();
  BERTIE_RETURN_IF_ERROR(CheckPem(options.tls_certificate, "CERTIFICATE"));
  BERTIE_RETURN_IF_ERROR(CheckPem(options.tls_key, "PRIVATE KEY"));
  const bool mutual = !options.tls_client_ca.empty();
  if (mutual) BERTIE_RETURN_IF_ERROR(CheckPem(options.tls_client_ca, "CERTIFICATE"));
  auto files = std::make_shared<tls::FileWatcherCertificateProvider>(
      options.tls_key, options.tls_certificate, options.tls_client_ca, kCertificateSeconds);
  tls::TlsServerCredentialsOptions made(files);
  made.watch_identity_key_cert_pairs();
  if (mutual) made.watch_root_certs();
  made.set_cert_request_type(mutual ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                    : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  return tls::TlsServerCredentials(made);
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
  Impl(GrpcServerOptions given, Accelerator& of)
      : options(std::make_shared<const GrpcServerOptions>(std::move(given))),
        accelerator(of),
        service(context, options->token) {}

  void Watch() {
    std::unique_lock lock(mutex);
    while (!wake.wait_for(lock, kClock, [this] { return stop; })) {
      lock.unlock();
      const auto now = Clock::now();
      streams.ForEach([now](Stream& stream) { stream.CheckClock(now); });
      accelerator.Tidy();
      lock.lock();
    }
  }

  const std::shared_ptr<const GrpcServerOptions> options;
  Accelerator& accelerator;
  StreamSet streams;
  TaskThread disk;
  ServiceContext context{accelerator, options, disk, streams};
  Service service;
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
  grpc::EnableDefaultHealthCheckService(true);
  auto impl = std::make_unique<Impl>(std::move(options), accelerator);
  BERTIE_ASSIGN_OR_RETURN(auto credentials, MakeCredentials(*impl->options));
  grpc::ServerBuilder builder;
  SetLimits(builder);
  builder.AddListeningPort(impl->options->listen, credentials, &impl->port);
  builder.RegisterService(&impl->service);
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr || impl->port <= 0) {
    return Error{ErrorCode::kUnavailable,
                 "cannot listen on " + impl->options->listen +
                     ": another program has the port, or the host is not one of this machine's"};
  }
  impl->clock = std::thread([raw = impl.get()] { raw->Watch(); });
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

std::string GrpcServer::address() const {
  const std::string& listen = impl_->options->listen;
  return listen.substr(0, listen.rfind(':') + 1) + std::to_string(impl_->port);
}

bool GrpcServer::Drain(std::chrono::milliseconds limit) {
  if (impl_->server == nullptr) return true;
  impl_->service.BeginDrain();
  if (auto* health = impl_->server->GetHealthCheckService()) health->SetServingStatus(false);
  impl_->streams.ForEach([](Stream& stream) { stream.BeginDrain(); });
  const bool ended = impl_->streams.WaitEmpty(limit);
  // Says GOAWAY; a client that is not listening to its connection would be waited for without end.
  impl_->server->Shutdown(std::chrono::system_clock::now() +
                          std::min(limit, std::chrono::milliseconds(200)));
  impl_->server->Wait();
  impl_->server.reset();
  return ended;
}

bool StreamSet::Add(const std::shared_ptr<Stream>& stream, size_t most) {
  std::lock_guard lock(mutex_);
  if (streams_.size() >= most) return false;
  streams_.insert(stream);
  return true;
}

void StreamSet::Remove(const std::shared_ptr<Stream>& stream) {
  std::lock_guard lock(mutex_);
  streams_.erase(stream);
  if (streams_.empty()) removed_.notify_all();
}

bool StreamSet::WaitEmpty(std::chrono::milliseconds limit) const {
  std::unique_lock lock(mutex_);
  return removed_.wait_for(lock, limit, [this] { return streams_.empty(); });
}

void StreamSet::ForEach(const std::function<void(Stream&)>& body) const {
  std::vector<std::shared_ptr<Stream>> streams;
  {
    std::lock_guard lock(mutex_);
    streams.assign(streams_.begin(), streams_.end());
  }
  for (const auto& stream : streams) body(*stream);
}

}  // namespace bertie::accelerator
