#include "comm/member.h"

#include <poll.h>

#include <algorithm>

namespace bertie::comm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

int MillisecondsUntil(Clock::time_point time) {
  const auto left = std::chrono::duration_cast<milliseconds>(time - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
}

// Worth another try, as against a refusal.
bool Passing(const Error& error) { return error.code == ErrorCode::kUnavailable; }

}  // namespace

Result<std::unique_ptr<Member>> Member::Join(const JoinOptions& options, Socket local) {
  std::unique_ptr<Member> member(new Member(options));
  const auto deadline = Clock::now() + options.join_timeout;
  if (local.open()) {
    member->socket_ = std::move(local);
    BERTIE_RETURN_IF_ERROR(member->Handshake(deadline));
    member->Start();
    return member;
  }
  const auto started = Clock::now();
  bool told = false;
  for (auto pause = milliseconds(50);; pause = std::min(pause * 2, milliseconds(1000))) {
    auto socket = Connect(options.host, options.port, seconds(10));
    Status status = socket.ok() ? Status() : Status(socket.error());
    if (socket.ok()) {
      member->socket_ = std::move(*socket);
      member->reader_ = {};
      status = member->Handshake(std::min(deadline, Clock::now() + seconds(15)));
    }
    if (status.ok()) break;
    if (!Passing(status.error())) return status.error();
    if (Clock::now() + pause > deadline) {
      return Error{ErrorCode::kDeadlineExceeded,
                   "rank " + std::to_string(options.rank) + " did not reach rank 0 within " +
                       Seconds(options.join_timeout) + ": " + status.error().message};
    }
    if (!told && options.log && Clock::now() - started > seconds(5)) {
      told = true;
      options.log("rank " + std::to_string(options.rank) +
                  " waits for rank 0: " + status.error().message);
    }
    std::this_thread::sleep_for(pause);
  }
  member->local_address_ = LocalAddress(member->socket_.fd());
  member->Start();
  return member;
}

void Member::Start() {
  // A pair cannot fail where the sockets before it did not, but for want of descriptors; then the
  // thread is woken by its timer only.
  if (auto ends = Pair(); ends.ok()) {
    wake_ = std::move(ends->first);
    wake_end_ = std::move(ends->second);
  }
  thread_ = std::thread([this] { Run(); });
}

Member::~Member() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  if (wake_.open()) wake_.Write("x");
  thread_.join();
}

Status Member::Handshake(Clock::time_point deadline) {
  Hello hello;
  hello.size = static_cast<uint32_t>(options_.size);
  hello.rank = static_cast<uint32_t>(options_.rank);
  hello.job = options_.job;
  hello.nonce = RandomBytes32();
  reader_.set_limit(kMaxStrangerFrame);
  if (!SendAll(EncodeFrame(FrameType::kHello, EncodeHello(hello)))) {
    return Error{ErrorCode::kUnavailable, "rank 0 closed the connection"};
  }
  BERTIE_ASSIGN_OR_RETURN(const Frame challenge_frame, Await(FrameType::kChallenge, deadline));
  BERTIE_ASSIGN_OR_RETURN(const Digest256 challenge, ParseDigest(challenge_frame.body));
  SendAll(EncodeFrame(FrameType::kProof,
                      EncodeDigest(Proof(options_.token, "rank", hello, challenge))));
  BERTIE_ASSIGN_OR_RETURN(const Frame welcome_frame, Await(FrameType::kWelcome, deadline));
  BERTIE_ASSIGN_OR_RETURN(const Digest256 welcome, ParseDigest(welcome_frame.body));
  if (!ConstantTimeEqual(welcome, Proof(options_.token, "rank 0", hello, challenge))) {
    return Error{ErrorCode::kInvalidData,
                 "what answers at " + PeerName(socket_.fd()) + " does not know this run's token"};
  }
  reader_.set_limit(static_cast<size_t>(options_.size) * (kMaxOffer + 4) + 1);
  return {};
}

Result<Frame> Member::Await(FrameType type, Clock::time_point deadline) {
  const std::string who = "rank 0 at " + PeerName(socket_.fd());
  char bytes[4096];
  for (;;) {
    BERTIE_ASSIGN_OR_RETURN(std::optional<Frame> frame, reader_.Next());
    if (frame && frame->type == type) return *std::move(frame);
    if (frame && frame->type == FrameType::kRefused) {
      return Error{
          ErrorCode::kInvalidArgument,
          who + " refused rank " + std::to_string(options_.rank) + ": " + SafeText(frame->body)};
    }
    if (frame) return Error{ErrorCode::kInvalidData, who + " sent an unexpected frame"};
    pollfd wait{socket_.fd(), POLLIN, 0};
    if (poll(&wait, 1, MillisecondsUntil(deadline)) == 0) {
      return Error{ErrorCode::kUnavailable, who + " does not answer"};
    }
    const int64_t got = socket_.Read(bytes, sizeof(bytes));
    if (got < 0) return Error{ErrorCode::kUnavailable, who + " closed the connection"};
    reader_.Feed({bytes, static_cast<size_t>(got)});
  }
}

bool Member::SendAll(std::string_view bytes) {
  std::lock_guard lock(send_mutex_);
  const auto deadline = Clock::now() + seconds(10);
  while (!bytes.empty()) {
    const int64_t put = socket_.Write(bytes);
    if (put < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(put));
    if (put > 0) continue;
    pollfd wait{socket_.fd(), POLLOUT, 0};
    if (poll(&wait, 1, MillisecondsUntil(deadline)) == 0) return false;
  }
  return true;
}

Result<std::vector<std::string>> Member::Exchange(const std::vector<std::string>& offers) {
  SendAll(EncodeFrame(FrameType::kOffers, EncodeOffers(offers)));
  std::unique_lock lock(mutex_);
  // Rank 0 keeps the time, and says who is missing; the rest is for the case that it does not.
  const bool heard = changed_.wait_for(lock, options_.join_timeout + seconds(30),
                                       [&] { return offers_ || loss_; });
  if (loss_) return *loss_;
  if (!heard) return Error{ErrorCode::kDeadlineExceeded, "the ranks did not all come in time"};
  return *offers_;
}

void Member::OnLoss(std::function<void()> heard) {
  std::unique_lock lock(mutex_);
  if (!loss_) {
    on_loss_ = std::move(heard);
    return;
  }
  lock.unlock();
  heard();
}

std::optional<Error> Member::WaitForLoss(milliseconds time) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [&] { return loss_.has_value(); });
  return loss_;
}

void Member::Leave(const Status& status) {
  {
    std::lock_guard lock(mutex_);
    if (left_) return;
    left_ = true;
  }
  SendAll(status.ok() ? EncodeFrame(FrameType::kGoodbye)
                      : EncodeFrame(FrameType::kFailed, SafeText(status.error().message)));
  if (!status.ok()) return;
  // A connection closed too early can take the last bytes of a sum with it.
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, seconds(30), [&] { return all_left_ || loss_; });
}

void Member::Run() {
  const auto interval = std::min(milliseconds(1000), options_.silence_timeout / 4);
  auto heard = Clock::now();
  auto last_round = heard;
  auto next_ping = heard;
  for (;;) {
    pollfd wait[] = {{socket_.fd(), POLLIN, 0}, {wake_end_.fd(), POLLIN, 0}};
    poll(wait, 2, MillisecondsUntil(next_ping));
    {
      std::lock_guard lock(mutex_);
      if (stop_ || loss_) return;
    }
    const auto now = Clock::now();
    // Where this process itself was stopped for a while, the silence was not rank 0's.
    if (now - last_round > options_.silence_timeout / 2) heard = now;
    last_round = now;
    if (wait[0].revents != 0) {
      heard = now;
      if (!ReadFrames()) return;
    } else if (now - heard > options_.silence_timeout) {
      return Lose(Loss{0, "nothing was heard from it for " + Seconds(options_.silence_timeout)});
    }
    if (now >= next_ping) {
      next_ping = now + interval;
      SendAll(EncodeFrame(FrameType::kPing));
    }
  }
}

// False when the connection is of no more use.
bool Member::ReadFrames() {
  char bytes[65536];
  const int64_t got = socket_.Read(bytes, sizeof(bytes));
  if (got > 0) reader_.Feed({bytes, static_cast<size_t>(got)});
  for (;;) {
    auto frame = reader_.Next();
    if (!frame.ok()) return Lose(Loss{0, "it sent bytes that are no frame"}), false;
    if (!*frame) break;
    OnFrame(**frame);
  }
  if (got < 0) Lose(Loss{0, "its connection closed"});
  return got >= 0;
}

void Member::OnFrame(const Frame& frame) {
  if (frame.type == FrameType::kOffers) {
    auto offers = ParseOffers(frame.body, static_cast<size_t>(options_.size));
    if (!offers.ok()) return Lose(Loss{0, "it sent bytes that are no list of addresses"});
    std::lock_guard lock(mutex_);
    offers_ = std::move(*offers);
    changed_.notify_all();
  } else if (frame.type == FrameType::kLost) {
    auto loss = ParseLoss(frame.body, options_.size);
    Lose(loss.ok() ? *loss : Loss{0, "it sent bytes that are no frame"});
  } else if (frame.type == FrameType::kGoodbye) {
    {
      std::lock_guard lock(mutex_);
      all_left_ = left_;
      changed_.notify_all();
    }
    Lose(Loss{0, "it left the run"});
  }
}

void Member::Lose(const Loss& loss) {
  if (loss.rank < 0) return Lose(Error{ErrorCode::kDeadlineExceeded, loss.reason});
  Lose(Error{ErrorCode::kUnavailable,
             "rank " + std::to_string(loss.rank) + " was lost: " + loss.reason});
}

void Member::Lose(Error error) {
  std::function<void()> heard;
  {
    std::lock_guard lock(mutex_);
    if (loss_ || all_left_) return;
    loss_ = std::move(error);
    heard.swap(on_loss_);
    changed_.notify_all();
  }
  if (heard) heard();
}

}  // namespace bertie::comm
