#include "comm/rank_server.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

namespace bertie::comm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kStrangerTime = seconds(10);
constexpr size_t kMaxStrangers = 64;
constexpr size_t kMaxUnsent = size_t{16} << 20;

}  // namespace

struct RankServer::Peer {
  enum class State { kStranger, kChallenged, kMember, kClosing, kGone };

  explicit Peer(Socket s)
      : socket(std::move(s)),
        name(PeerName(socket.fd())),
        local(LocalAddress(socket.fd()).empty()) {}
  bool stranger() const { return state == State::kStranger || state == State::kChallenged; }
  int rank() const { return static_cast<int>(hello.rank); }

  Socket socket;
  std::string name;
  bool local;
  bool done = false;  // it has said goodbye
  State state = State::kStranger;
  FrameReader reader;
  std::string unsent;
  Hello hello;
  Digest256 challenge{};
  Clock::time_point since = Clock::now();
  Clock::time_point heard = Clock::now();
  std::vector<std::string> offers;
};

RankServer::RankServer(const JoinOptions& options) : options_(options) {}

Result<std::unique_ptr<RankServer>> RankServer::Start(const JoinOptions& options) {
  std::unique_ptr<RankServer> server(new RankServer(options));
  if (options.listen_fd >= 0) {
    server->listener_ = Socket(options.listen_fd);
    Prepare(options.listen_fd);
  } else {
    if (options.token.empty() && !options.allow_no_token && !IsLoopback(options.host)) {
      return Error{ErrorCode::kInvalidArgument,
                   "rank 0 would listen on " + options.host + ":" + std::to_string(options.port) +
                       " for anybody who can reach it: set BERTIE_RANK_TOKEN to the same secret on "
                       "every rank, or allow it with --insecure-ranks in a network of your own"};
    }
    BERTIE_ASSIGN_OR_RETURN(server->listener_, Listen(options.host, options.port));
  }
  BERTIE_ASSIGN_OR_RETURN(auto wake, Pair());
  server->wake_ = std::move(wake.first);
  server->wake_end_ = std::move(wake.second);
  server->members_.resize(static_cast<size_t>(options.size));
  server->started_ = server->last_round_ = server->last_ping_ = server->last_log_ = Clock::now();
  server->ping_interval_ = std::min(milliseconds(1000), options.silence_timeout / 4);
  server->thread_ = std::thread([raw = server.get()] { raw->Run(); });
  return server;
}

RankServer::~RankServer() {
  if (!thread_.joinable()) return;
  stop_ = true;
  wake_.Write("x");
  thread_.join();
}

Result<Socket> RankServer::ConnectLocally() {
  BERTIE_ASSIGN_OR_RETURN(auto ends, Pair());
  {
    std::lock_guard lock(mutex_);
    adopted_.push_back(std::move(ends.first));
  }
  wake_.Write("x");
  return std::move(ends.second);
}

std::string RankServer::reached_at() const {
  std::lock_guard lock(mutex_);
  return reached_at_;
}

void RankServer::Run() {
  // Rank 0 says goodbye over its own connection before it stops the server; what it said still
  // reaches the others.
  while (!stop_ || (members_[0] != nullptr && !lost_)) {
    PollOnce(static_cast<int>(ping_interval_.count()));
    CheckTimes();
    if (stop_ && members_[0] == nullptr) break;
  }
  Drain();
}

void RankServer::PollOnce(int timeout_ms) {
  std::vector<pollfd> wait = {{wake_end_.fd(), POLLIN, 0}, {listener_.fd(), POLLIN, 0}};
  for (const auto& peer : peers_) {
    wait.push_back({peer->socket.fd(),
                    static_cast<short>(peer->unsent.empty() ? POLLIN : POLLIN | POLLOUT), 0});
  }
  if (poll(wait.data(), wait.size(), timeout_ms) <= 0) return;
  const size_t known = peers_.size();
  for (size_t i = 0; i < known; ++i) {
    const short events = wait[i + 2].revents;
    if (events & POLLOUT) Flush(*peers_[i]);
    if (events & (POLLIN | POLLHUP | POLLERR)) Receive(*peers_[i]);
  }
  if (wait[0].revents != 0) {
    char bytes[64];
    wake_end_.Read(bytes, sizeof(bytes));
    std::vector<Socket> adopted;
    {
      std::lock_guard lock(mutex_);
      adopted.swap(adopted_);
    }
    for (auto& socket : adopted) AddPeer(std::move(socket));
  }
  if (wait[1].revents != 0) Accept();
  std::erase_if(peers_, [](const auto& peer) { return peer->state == Peer::State::kGone; });
}

void RankServer::Accept() {
  for (;;) {
    Socket socket(accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.open()) return;
    Prepare(socket.fd());
    AddPeer(std::move(socket));
  }
}

void RankServer::AddPeer(Socket socket) {
  // Not rank 0 itself, which comes by the back door.
  auto is_stranger = [](const auto& peer) { return peer->stranger() && !peer->local; };
  if (static_cast<size_t>(std::count_if(peers_.begin(), peers_.end(), is_stranger)) >=
      kMaxStrangers) {
    auto oldest = std::find_if(peers_.begin(), peers_.end(), is_stranger);
    Drop(**oldest, "too many unknown peers");
  }
  peers_.push_back(std::make_unique<Peer>(std::move(socket)));
}

void RankServer::Receive(Peer& peer) {
  char bytes[65536];
  while (peer.state != Peer::State::kGone) {
    const int64_t got = peer.socket.Read(bytes, sizeof(bytes));
    if (got == 0) return;
    if (got < 0) return Drop(peer, "its connection closed");
    if (peer.state == Peer::State::kClosing) continue;
    peer.heard = Clock::now();
    peer.reader.Feed({bytes, static_cast<size_t>(got)});
    while (peer.state != Peer::State::kGone && peer.state != Peer::State::kClosing) {
      auto frame = peer.reader.Next();
      if (!frame.ok()) {
        if (peer.stranger()) return Refuse(peer, frame.error().message);
        return Drop(peer, "it sent bytes that are no frame");
      }
      if (!*frame) break;
      OnFrame(peer, **frame);
    }
  }
}

void RankServer::OnFrame(Peer& peer, const Frame& frame) {
  switch (peer.state) {
    case Peer::State::kStranger:
      return OnHello(peer, frame);
    case Peer::State::kChallenged:
      return OnProof(peer, frame);
    case Peer::State::kMember:
      return OnMember(peer, frame);
    default:
      return;
  }
}

// Why the greeting is not one of this run; "" when it is.
std::string RankServer::Unfit(const Hello& hello) const {
  if (hello.version != kProtocolVersion) {
    return "it speaks version " + std::to_string(hello.version) + " of the protocol, this run " +
           std::to_string(kProtocolVersion) + ": all ranks need the same bertie";
  }
  if (hello.job != options_.job) {
    return "it belongs to the job '" + SafeText(hello.job) + "', this is '" + options_.job + "'";
  }
  if (hello.size != static_cast<uint32_t>(options_.size)) {
    return "it expects " + std::to_string(hello.size) + " ranks, this run has " +
           std::to_string(options_.size);
  }
  return "";
}

void RankServer::OnHello(Peer& peer, const Frame& frame) {
  if (frame.type != FrameType::kHello) return Refuse(peer, "a greeting was expected");
  auto hello = ParseHello(frame.body);
  if (!hello.ok()) return Refuse(peer, hello.error().message);
  // A stranger learns no more than that; the reason for the log comes after the proof.
  if (hello->version != kProtocolVersion) return Refuse(peer, Unfit(*hello));
  peer.hello = *hello;
  peer.challenge = RandomBytes32();
  peer.state = Peer::State::kChallenged;
  Send(peer, FrameType::kChallenge, EncodeDigest(peer.challenge));
}

void RankServer::OnProof(Peer& peer, const Frame& frame) {
  auto proof = ParseDigest(frame.body);
  if (frame.type != FrameType::kProof || !proof.ok()) return Refuse(peer, "a proof was expected");
  if (!ConstantTimeEqual(*proof, Proof(options_.token, "rank", peer.hello, peer.challenge))) {
    return Refuse(peer, "its token is not the one of this run (BERTIE_RANK_TOKEN)");
  }
  if (const std::string reason = Unfit(peer.hello); !reason.empty()) return Refuse(peer, reason);
  if (formed_) return Refuse(peer, "the run has begun with all its ranks");
  // Whether or not it has greeted yet: it is in this process.
  if (peer.hello.rank == 0 && !peer.local) return Refuse(peer, "there is a rank 0 already, here");
  if (const Peer* other = members_[peer.hello.rank]; other != nullptr) {
    return Refuse(peer,
                  "there is a rank " + std::to_string(peer.rank()) + " already, at " + other->name);
  }
  Admit(peer);
}

void RankServer::Admit(Peer& peer) {
  peer.state = Peer::State::kMember;
  peer.reader.set_limit(static_cast<size_t>(options_.size) * (kMaxOffer + 4) + 1);
  members_[peer.hello.rank] = &peer;
  const std::string here = LocalAddress(peer.socket.fd());
  if (!here.empty()) {
    std::lock_guard lock(mutex_);
    if (reached_at_.empty() || !IsLoopback(here)) reached_at_ = here;
  }
  complete_ = std::find(members_.begin(), members_.end(), nullptr) == members_.end();
  Send(peer, FrameType::kWelcome,
       EncodeDigest(Proof(options_.token, "rank 0", peer.hello, peer.challenge)));
}

void RankServer::OnMember(Peer& peer, const Frame& frame) {
  switch (frame.type) {
    case FrameType::kPing:
      return;
    case FrameType::kGoodbye:
      peer.done = true;
      if (++done_ == options_.size) EndAll();
      return;
    case FrameType::kFailed:
      return Drop(peer, "it ended with: " + SafeText(frame.body));
    case FrameType::kOffers: {
      auto offers = ParseOffers(frame.body, static_cast<size_t>(options_.size));
      if (!offers.ok()) return Drop(peer, "it sent bytes that are no list of addresses");
      peer.offers = std::move(*offers);
      return FormWhenComplete();
    }
    default:
      return Drop(peer, "it sent a frame that rank 0 does not expect");
  }
}

// All ranks have said goodbye: none of them needs the others' connections any more.
void RankServer::EndAll() {
  for (const auto& peer : peers_) {
    if (peer->state != Peer::State::kMember) continue;
    Send(*peer, FrameType::kGoodbye);
    if (peer->state == Peer::State::kMember) peer->state = Peer::State::kClosing;
    peer->since = Clock::now();
  }
  std::fill(members_.begin(), members_.end(), nullptr);
}

// Once every rank has told the others its addresses, each hears those meant for it.
void RankServer::FormWhenComplete() {
  for (const Peer* member : members_) {
    if (member == nullptr || member->offers.empty()) return;
  }
  formed_ = true;
  for (Peer* member : members_) {
    std::vector<std::string> blobs;
    for (const Peer* from : members_) blobs.push_back(from->offers[member->hello.rank]);
    Send(*member, FrameType::kOffers, EncodeOffers(blobs));
  }
}

void RankServer::Refuse(Peer& peer, const std::string& reason) {
  Log("refused a connection from " + peer.name + ": " + reason);
  Send(peer, FrameType::kRefused, SafeText(reason));
  if (peer.state == Peer::State::kGone) return;
  peer.state = Peer::State::kClosing;
  peer.since = Clock::now();
  if (peer.unsent.empty()) shutdown(peer.socket.fd(), SHUT_WR);
}

void RankServer::Send(Peer& peer, FrameType type, std::string_view body) {
  peer.unsent += EncodeFrame(type, body);
  Flush(peer);
}

void RankServer::Flush(Peer& peer) {
  while (!peer.unsent.empty()) {
    const int64_t put = peer.socket.Write(peer.unsent);
    if (put < 0 || peer.unsent.size() > kMaxUnsent) return Drop(peer, "its connection closed");
    if (put == 0) return;
    peer.unsent.erase(0, static_cast<size_t>(put));
  }
  if (peer.state == Peer::State::kClosing) shutdown(peer.socket.fd(), SHUT_WR);
}

// Ends a connection. A member's place is free again before the run begins; after that it is lost.
void RankServer::Drop(Peer& peer, const std::string& reason) {
  if (peer.state == Peer::State::kGone) return;
  const bool member = peer.state == Peer::State::kMember && !peer.done;
  if (peer.done) members_[peer.hello.rank] = nullptr;
  peer.state = Peer::State::kGone;
  peer.socket.Close();
  if (!member) return;
  members_[peer.hello.rank] = nullptr;
  complete_ = false;
  if (formed_) return Lose(peer.rank(), reason);
  Log("rank " + std::to_string(peer.rank()) + " went away before the run began: " + reason);
}

void RankServer::Lose(int rank, const std::string& reason) {
  if (lost_) return;  // the ranks that end because of the first loss
  lost_ = true;
  const std::string body = EncodeLoss({rank, reason});
  for (const auto& peer : peers_) {
    if (peer->state == Peer::State::kMember) Send(*peer, FrameType::kLost, body);
  }
}

std::string RankServer::Missing() const {
  std::string names;
  int missing = 0;
  for (size_t rank = 0; rank < members_.size(); ++rank) {
    // Rank 0 makes its offers when all are there.
    if (members_[rank] != nullptr && (!complete_ || !members_[rank]->offers.empty())) continue;
    if (++missing > 8) continue;
    names += (names.empty() ? "" : ", ") + std::to_string(rank);
  }
  if (missing > 8) names += " and " + std::to_string(missing - 8) + " more";
  return (missing == 1 ? "rank " : "ranks ") + names;
}

void RankServer::CheckTimes() {
  const auto now = Clock::now();
  // Where this process itself was stopped for a while, the silence was not the others'.
  const bool was_stopped = now - last_round_ > options_.silence_timeout / 2;
  last_round_ = now;
  const bool ping = now - last_ping_ >= ping_interval_;
  if (ping) last_ping_ = now;
  for (const auto& peer : peers_) {
    if (was_stopped) peer->heard = now;
    if (peer->state == Peer::State::kMember) {
      if (now - peer->heard > options_.silence_timeout) {
        Drop(*peer, "nothing was heard from it for " + Seconds(options_.silence_timeout));
      } else if (ping) {
        Send(*peer, FrameType::kPing);
      }
    } else if (now - peer->since > kStrangerTime) {
      Drop(*peer, "it took too long");
    }
  }
  std::erase_if(peers_, [](const auto& peer) { return peer->state == Peer::State::kGone; });
  if (formed_ || lost_) return;
  if (now - started_ > options_.join_timeout) {
    Lose(-1, Missing() + " did not come within " + Seconds(options_.join_timeout));
  } else if (now - last_log_ > seconds(20)) {
    last_log_ = now;
    Log("waiting for " + Missing() + " of " + std::to_string(options_.size));
  }
}

// Closes in the order that loses no byte of a last message: no more writes, then read until the
// other side has closed too.
void RankServer::Drain() {
  listener_.Close();
  for (const auto& peer : peers_) {
    if (peer->state == Peer::State::kMember && !lost_) Send(*peer, FrameType::kGoodbye);
    if (peer->state == Peer::State::kGone) continue;
    peer->state = Peer::State::kClosing;
    peer->since = Clock::now();
    Flush(*peer);
  }
  lost_ = true;
  const auto end = Clock::now() + seconds(1);
  while (Clock::now() < end) {
    std::erase_if(peers_, [](const auto& peer) { return peer->state == Peer::State::kGone; });
    if (peers_.empty()) return;
    PollOnce(50);
  }
}

}  // namespace bertie::comm
