#include "accelerator/connection.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <fstream>
#include <mutex>
#include <utility>

#include "accelerator.grpc.pb.h"
#include "accelerator/client_errors.h"
#include "accelerator/client_session.h"
#include "accelerator/credentials.h"

namespace bertie::accelerator {
namespace {

constexpr size_t kChunk = 1024 * 1024;
constexpr int kKeepaliveMs = 5000;
constexpr int kKeepaliveTimeoutMs = 3000;

v1::Manifest ToMessage(const ModelManifest& manifest) {
  v1::Manifest message;
  message.set_content_hash(manifest.content_hash);
  for (const ModelFile& file : manifest.files) {
    v1::Manifest::File& to = *message.add_files();
    to.set_name(file.name);
    to.set_size(file.size);
    to.set_sha256(file.sha256);
  }
  return message;
}

RemoteFile FromMessage(const v1::FileState& state) {
  return {state.name(), state.received(), state.complete()};
}

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A channel is for one attachment; a failed one must not make the next wait.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Nothing that costs time in each message and that nobody reads.
  arguments.SetInt(GRPC_ARG_ENABLE_CENSUS, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  return arguments;
}

}  // namespace

struct Connection::Impl {
  std::string address;
  Security security;
  std::unique_ptr<v1::Accelerator::Stub> stub;
  std::mutex mutex;  // guards all below
  grpc::ClientContext* under_way = nullptr;
  bool stopped = false;

  // Names a call for Stop as long as it is under way.
  class Call {
   public:
    Call(Impl& impl, grpc::ClientContext& context) : impl_(impl) {
      std::lock_guard lock(impl_.mutex);
      impl_.under_way = &context;
      if (impl_.stopped) context.TryCancel();
    }
    ~Call() {
      std::lock_guard lock(impl_.mutex);
      impl_.under_way = nullptr;
    }

   private:
    Impl& impl_;
  };
};

Connection::Connection(std::string address, Security security) : impl_(std::make_unique<Impl>()) {
  impl_->address = std::move(address);
  impl_->security = std::move(security);
  impl_->stub = v1::Accelerator::NewStub(
      grpc::CreateCustomChannel(impl_->address, ChannelCredentials(impl_->security), Arguments()));
}

Connection::~Connection() = default;

Result<RemoteModel> Connection::FindModel(const ModelManifest& manifest,
                                          std::chrono::milliseconds timeout) {
  grpc::ClientContext context;
  Authorise(impl_->security, context);
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  Impl::Call call(*impl_, context);
  v1::ModelState state;
  const grpc::Status status = impl_->stub->FindModel(&context, ToMessage(manifest), &state);
  if (!status.ok()) return FromStatus(impl_->address, status);
  RemoteModel found{.complete = state.complete(), .files = {}};
  for (const v1::FileState& file : state.files()) found.files.push_back(FromMessage(file));
  return found;
}

Result<RemoteFile> Connection::Upload(const ModelManifest& manifest, size_t index,
                                      const std::filesystem::path& model_dir, uint64_t offset,
                                      const std::function<void(uint64_t)>& on_bytes) {
  const ModelFile& file = manifest.files[index];
  const std::filesystem::path path = model_dir / file.name;
  std::ifstream in(path, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(offset));
  if (!in)
    return Error{ErrorCode::kIo, path.string() + ": cannot be read at " + std::to_string(offset)};
  grpc::ClientContext context;
  Authorise(impl_->security, context);
  Impl::Call call(*impl_, context);
  v1::FileState state;
  auto writer = impl_->stub->Upload(&context, &state);
  v1::FileChunk chunk;
  chunk.set_content_hash(manifest.content_hash);
  chunk.set_name(file.name);
  chunk.set_offset(offset);
  std::string buffer;
  uint64_t left = file.size - offset;
  do {
    buffer.resize(static_cast<size_t>(std::min<uint64_t>(left, kChunk)));
    if (!in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()))) {
      context.TryCancel();
      static_cast<void>(writer->Finish());
      return Error{ErrorCode::kIo, path.string() + ": ends before its " +
                                       std::to_string(file.size) + " bytes; has it been replaced?"};
    }
    left -= buffer.size();
    chunk.set_data(std::move(buffer));
    const uint64_t sent = chunk.data().size();
    if (!writer->Write(chunk)) break;  // Finish says why
    chunk.Clear();
    on_bytes(sent);
  } while (left > 0);
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (!status.ok()) return FromStatus(impl_->address, status);
  return FromMessage(state);
}

Result<Connection::Attached> Connection::Attach(const AttachOptions& request, SessionEvents events,
                                                std::chrono::milliseconds timeout) {
  auto session = std::make_unique<ClientSession>(impl_->address, std::move(events));
  Authorise(impl_->security, session->context());
  Impl::Call call(*impl_, session->context());
  session->Begin(*impl_->stub, request);
  BERTIE_ASSIGN_OR_RETURN(AttachedModel model, session->WaitAttached(timeout));
  return Attached{std::move(session), std::move(model)};
}

void Connection::Stop() {
  std::lock_guard lock(impl_->mutex);
  impl_->stopped = true;
  if (impl_->under_way) impl_->under_way->TryCancel();
}

bool IsPassing(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kDeadlineExceeded ||
         error.code == ErrorCode::kCancelled;
}

}  // namespace bertie::accelerator
