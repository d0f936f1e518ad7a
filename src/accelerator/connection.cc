#include "accelerator/connection.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <fstream>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "accelerator.grpc.pb.h"
#include "accelerator/credentials.h"
#include "accelerator/protocol.h"

namespace bertie::accelerator {
namespace {

constexpr size_t kChunk = 1024 * 1024;
constexpr int kKeepaliveMs = 5000;
constexpr int kKeepaliveTimeoutMs = 3000;

ErrorCode CodeOf(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::UNAVAILABLE:
      return ErrorCode::kUnavailable;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return ErrorCode::kDeadlineExceeded;
    case grpc::StatusCode::CANCELLED:
      return ErrorCode::kCancelled;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return ErrorCode::kResourceExhausted;
    case grpc::StatusCode::NOT_FOUND:
      return ErrorCode::kNotFound;
    case grpc::StatusCode::DATA_LOSS:
      return ErrorCode::kInvalidData;
    case grpc::StatusCode::UNIMPLEMENTED:
      return ErrorCode::kUnsupported;
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNKNOWN:
      return ErrorCode::kInternal;
    default:
      return ErrorCode::kInvalidArgument;
  }
}

std::string OneLine(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  constexpr size_t kMost = 500;
  if (text.size() > kMost) text = text.substr(0, kMost) + "...";
  return text;
}

Error FromStatus(const std::string& address, const grpc::Status& status) {
  const std::string where = "the accelerator at " + address;
  const std::string said = OneLine(status.error_message());
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      return {ErrorCode::kUnavailable, where + " cannot be reached (" + said +
                                           "); is 'bertie accelerator' running there, with TLS on "
                                           "both ends or on neither?"};
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return {ErrorCode::kDeadlineExceeded, where + " did not answer in time"};
    case grpc::StatusCode::UNAUTHENTICATED:
      return {ErrorCode::kInvalidArgument,
              where + " does not take this token (" + said +
                  "); give the one it was started with, by --accelerator-token-file or "
                  "BERTIE_ACCELERATOR_TOKEN"};
    case grpc::StatusCode::UNIMPLEMENTED:
      return {ErrorCode::kUnsupported,
              where + " is no accelerator of this version of bertie (" + said + ")"};
    default:
      return {CodeOf(status.error_code()), where + ": " + said};
  }
}

ErrorCode CodeNamed(const std::string& name) {
  for (const ErrorCode code :
       {ErrorCode::kInvalidArgument, ErrorCode::kNotFound, ErrorCode::kInvalidData,
        ErrorCode::kUnsupported, ErrorCode::kResourceExhausted, ErrorCode::kIo,
        ErrorCode::kUnavailable, ErrorCode::kDeadlineExceeded, ErrorCode::kCancelled}) {
    if (name == ErrorCodeName(code)) return code;
  }
  return ErrorCode::kInternal;
}

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

AttachedModel FromMessage(const v1::Attached& attached) {
  return {.content_hash = attached.content_hash(),
          .num_labels = attached.num_labels(),
          .max_position_embeddings = attached.max_position_embeddings(),
          .vocab_size = attached.vocab_size(),
          .precision = attached.precision(),
          .accelerator = attached.accelerator(),
          .max_batch_tokens = attached.max_batch_tokens(),
          .max_in_flight = static_cast<int>(std::min(attached.max_in_flight(), 1000u))};
}

v1::ToAccelerator ToMessage(uint64_t id, const std::string& content_hash,
                            const model::PackedBatch& batch, std::chrono::microseconds timeout) {
  v1::ToAccelerator message;
  v1::Batch& to = *message.mutable_batch();
  to.set_id(id);
  to.set_content_hash(content_hash);
  to.mutable_token_ids()->Add(batch.token_ids.begin(), batch.token_ids.end());
  if (std::any_of(batch.type_ids.begin(), batch.type_ids.end(), [](int32_t t) { return t != 0; })) {
    to.mutable_type_ids()->Add(batch.type_ids.begin(), batch.type_ids.end());
  }
  const auto& ends = batch.cumulative_seq_lengths;
  to.mutable_lengths()->Reserve(static_cast<int>(batch.size()));
  for (size_t i = 1; i < ends.size(); ++i) to.add_lengths(ends[i] - ends[i - 1]);
  to.set_timeout_us(static_cast<uint64_t>(std::max<int64_t>(0, timeout.count())));
  return message;
}

RemoteReply FromMessage(v1::FromAccelerator& message) {
  RemoteReply reply;
  if (message.has_logits()) {
    v1::Logits& logits = *message.mutable_logits();
    reply.id = logits.id();
    reply.logits = std::vector<float>(logits.logits().begin(), logits.logits().end());
    reply.content_hash = std::move(*logits.mutable_content_hash());
    reply.queue_time = std::chrono::microseconds(logits.queue_us());
    reply.compute_time = std::chrono::microseconds(logits.compute_us());
  } else {
    const v1::Failure& failure = message.failure();
    reply.id = failure.id();
    reply.logits = Error{CodeNamed(failure.code()), OneLine(failure.message())};
  }
  return reply;
}

// One thread of its own polls for the stream. gRPC's callbacks would need no thread here, but take
// turns on several of its own, which costs an endpoint with little processor two more wake-ups for
// each answer.
class StreamSession final : public RemoteSession {
 public:
  StreamSession(std::string address, SessionEvents events)
      : address_(std::move(address)), events_(std::move(events)) {}

  ~StreamSession() override {
    End();
    if (thread_.joinable()) thread_.join();
  }

  grpc::ClientContext& context() { return context_; }

  void Begin(v1::Accelerator::Stub& stub, const AttachOptions& request) {
    content_hash_ = request.content_hash;
    v1::ToAccelerator message;
    v1::Attach& attach = *message.mutable_attach();
    attach.set_protocol(kProtocolVersion);
    attach.set_endpoint(request.endpoint);
    attach.set_accelerator_type(request.accelerator_type);
    attach.set_content_hash(request.content_hash);
    attach.set_precision(request.precision);
    bytes_sent_ += message.ByteSizeLong();
    outgoing_.push_back(std::move(message));
    stream_ = stub.PrepareAsyncSession(&context_, &queue_);
    stream_->StartCall(Tag(Step::kStart));
    thread_ = std::thread([this] { Loop(); });
  }

  // kDeadlineExceeded when nothing came; else the model, or why the stream ended.
  Result<AttachedModel> WaitAttached(std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    const bool came =
        changed_.wait_for(lock, timeout, [this] { return attached_.has_value() || done_; });
    if (!came) {
      return Error{ErrorCode::kDeadlineExceeded, "the accelerator at " + address_ +
                                                     " did not take the endpoint within " +
                                                     std::to_string(timeout.count() / 1000) + " s"};
    }
    if (!attached_) return end_error_;
    return *attached_;
  }

  void Send(uint64_t id, const model::PackedBatch& batch,
            std::chrono::microseconds timeout) override {
    Write(ToMessage(id, content_hash_, batch, timeout));
  }

  void Cancel(uint64_t id) override {
    v1::ToAccelerator message;
    message.mutable_cancel()->set_id(id);
    Write(std::move(message));
  }

  void End() override { context_.TryCancel(); }
  uint64_t bytes_sent() const override { return bytes_sent_; }
  uint64_t bytes_received() const override { return bytes_received_; }

 private:
  static bool Answers(const v1::FromAccelerator& message) {
    return message.has_logits() || message.has_failure();
  }

  enum class Step : uintptr_t { kStart = 1, kRead, kWrite, kFinish };
  static void* Tag(Step step) { return reinterpret_cast<void*>(static_cast<uintptr_t>(step)); }

  void Loop() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      switch (static_cast<Step>(reinterpret_cast<uintptr_t>(tag))) {
        case Step::kStart:
          OnStarted(ok);
          break;
        case Step::kRead:
          OnRead(ok);
          break;
        case Step::kWrite:
          OnWritten(ok);
          break;
        case Step::kFinish:
          OnFinished();
          break;
      }
    }
  }

  void OnStarted(bool ok) {
    if (!ok) return Finish();
    std::lock_guard lock(mutex_);
    WriteFirst();
    stream_->Read(&incoming_, Tag(Step::kRead));
  }

  void OnRead(bool ok) {
    if (!ok) return Finish();
    bytes_received_ += incoming_.ByteSizeLong();
    const bool first = !attached_.has_value();  // only this thread changes it
    if (first != incoming_.has_attached() || (!first && !Answers(incoming_))) {
      broken_ = "sent a message that is out of place";
      context_.TryCancel();
    } else if (first) {
      std::lock_guard lock(mutex_);
      attached_ = FromMessage(incoming_.attached());
      changed_.notify_all();
    } else {
      events_.on_reply(FromMessage(incoming_));
    }
    incoming_.Clear();
    stream_->Read(&incoming_, Tag(Step::kRead));
  }

  void OnWritten(bool ok) {
    std::lock_guard lock(mutex_);
    outgoing_.pop_front();
    if (!ok) over_ = true;
    if (over_) outgoing_.clear();
    if (!outgoing_.empty()) WriteFirst();
  }

  void Finish() {
    {
      std::lock_guard lock(mutex_);
      over_ = true;
    }
    stream_->Finish(&status_, Tag(Step::kFinish));
  }

  void OnFinished() {
    Error error = FromStatus(address_, status_);
    if (!broken_.empty()) {
      error = {ErrorCode::kInternal, "the accelerator at " + address_ + " " + broken_};
    } else if (status_.ok()) {
      error = {ErrorCode::kUnavailable, "the accelerator at " + address_ + " ended the session"};
    }
    if (attached_.has_value()) events_.on_end(error);
    {
      std::lock_guard lock(mutex_);
      end_error_ = std::move(error);
      done_ = true;
      changed_.notify_all();
    }
    queue_.Shutdown();  // what is left of it ends the loop
  }

  void Write(v1::ToAccelerator message) {
    bytes_sent_ += message.ByteSizeLong();
    std::lock_guard lock(mutex_);
    if (over_) return;
    outgoing_.push_back(std::move(message));
    if (outgoing_.size() == 1) WriteFirst();
  }

  void WriteFirst() {
    grpc::WriteOptions options;
    // What follows at once shares the packet.
    if (outgoing_.size() > 1) options.set_buffer_hint();
    stream_->Write(outgoing_.front(), options, Tag(Step::kWrite));
  }

  const std::string address_;
  const SessionEvents events_;
  std::string content_hash_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<v1::ToAccelerator, v1::FromAccelerator>> stream_;
  std::thread thread_;
  v1::FromAccelerator incoming_;  // this and the next two: the thread's own
  grpc::Status status_;
  std::string broken_;  // what the accelerator did wrong
  std::atomic<uint64_t> bytes_sent_{0};
  std::atomic<uint64_t> bytes_received_{0};

  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::deque<v1::ToAccelerator> outgoing_;  // the first is being written
  std::optional<AttachedModel> attached_;
  Error end_error_;
  bool over_ = false;
  bool done_ = false;
};

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
  auto session = std::make_unique<StreamSession>(impl_->address, std::move(events));
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
