#include "http/client_pool.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <map>
#include <optional>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "http/asio.h"

namespace bertie::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// One read: most answers are smaller.
constexpr size_t kAnswerBytes = 16 * 1024;
// Of a file, read at once.
constexpr size_t kFileBytes = 256 * 1024;
constexpr char kEnding[] = "the program is ending";

// An idle connection on which something has come: its end, or bytes that nobody asked for.
bool HasEnded(tcp::socket& socket) {
  char byte = 0;
  const ssize_t size = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return size >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

}  // namespace

// Belongs to the I/O thread but for what says otherwise.
struct ClientPool::State {
  explicit State(const ClientPoolOptions& the_options) : options(the_options) {}

  void Run();
  std::shared_ptr<Link> TakeIdle(uint16_t port);

  const ClientPoolOptions options;
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work = asio::make_work_guard(io);
  std::map<uint16_t, std::vector<std::shared_ptr<Link>>> idle;  // newest last
  std::unordered_set<std::shared_ptr<Link>> busy;
  bool ended = false;
  std::thread thread;
};

// One connection, with at most one request on it.
class ClientPool::Link : public std::enable_shared_from_this<Link> {
 public:
  Link(State& state, uint16_t port)
      : state_(state), port_(port), socket_(state.io), timer_(state.io) {}

  void Begin(PoolRequest request, Done done);
  bool Ended() { return HasEnded(socket_); }
  void Fail(ErrorCode code, const std::string& why) {
    Finish(Error{code, "127.0.0.1:" + std::to_string(port_) + ": " + why});
  }
  void Close();

 private:
  void Connect();
  void Write();
  void WriteFiles();
  void Read();
  void OnRead(const error_code& error, size_t size);
  void Finish(Result<ClientAnswer> answer);
  void WatchIdle();
  void SetTimer(std::chrono::milliseconds from_now, void (Link::*then)());
  void OnConnectTimeout() { Fail(ErrorCode::kUnavailable, "no connection in time"); }
  void OnTimeout() { Fail(ErrorCode::kDeadlineExceeded, "no answer in time"); }
  void LeaveIdle();

  State& state_;
  uint16_t port_;
  tcp::socket socket_;
  asio::steady_timer timer_;
  int64_t timer_turn_ = 0;  // tells the timer's present wait from those before it
  PoolRequest request_;
  Done done_;             // empty: idle
  bool writing_ = false;  // or writing has failed
  bool watched_ = false;
  std::string head_;
  std::string input_;
  std::array<char, kAnswerBytes> bytes_;
  std::vector<char> file_bytes_;  // those that are being written
  std::optional<AnswerReader> reader_;
  std::optional<std::stop_callback<std::function<void()>>> on_cancel_;
};

std::shared_ptr<ClientPool::Link> ClientPool::State::TakeIdle(uint16_t port) {
  const auto found = idle.find(port);
  while (found != idle.end() && !found->second.empty()) {
    std::shared_ptr<Link> link = std::move(found->second.back());
    found->second.pop_back();
    if (!link->Ended()) return link;
    link->Close();
  }
  return std::make_shared<Link>(*this, port);
}

// A connection that met a want of memory is left to its timer; the others go on.
void ClientPool::State::Run() {
  while (true) {
    try {
      io.run();
      return;
    } catch (const std::exception&) {
      continue;
    }
  }
}

void ClientPool::Link::SetTimer(std::chrono::milliseconds from_now, void (Link::*then)()) {
  timer_.expires_after(from_now);
  timer_.async_wait(
      [self = shared_from_this(), then, turn = ++timer_turn_](const error_code& error) {
        if (!error && turn == self->timer_turn_) (self.get()->*then)();
      });
}

void ClientPool::Link::Begin(PoolRequest request, Done done) {
  request_ = std::move(request);
  done_ = std::move(done);
  state_.busy.insert(shared_from_this());
  const std::string authority = "127.0.0.1:" + std::to_string(port_);
  uint64_t more_bytes = 0;
  for (const FilePiece& piece : request_.files) more_bytes += piece.size;
  head_ = SerializeRequestHead(authority, {.method = request_.method,
                                           .target = request_.target,
                                           .fields = std::move(request_.fields),
                                           .body = request_.body,
                                           .more_bytes = more_bytes});
  reader_.emplace(authority, request_.method == "HEAD", state_.options.limits);
  if (request_.cancelled.stop_possible()) {
    on_cancel_.emplace(request_.cancelled, [this, weak = weak_from_this()] {
      asio::post(state_.io, [weak] {
        const auto self = weak.lock();
        if (self && self->request_.cancelled.stop_requested()) {
          self->Fail(ErrorCode::kCancelled, "nobody waits for the answer");
        }
      });
    });
  }
  return socket_.is_open() ? Write() : Connect();
}

void ClientPool::Link::Connect() {
  SetTimer(std::min(state_.options.connect_timeout, request_.timeout), &Link::OnConnectTimeout);
  socket_.async_connect({asio::ip::address_v4::loopback(), port_},
                        [self = shared_from_this()](const error_code& error) {
                          if (!self->done_) return;
                          if (error) return self->Fail(ErrorCode::kUnavailable, error.message());
                          error_code ignored;
                          self->socket_.set_option(tcp::no_delay(true), ignored);
                          self->Write();
                        });
}

void ClientPool::Link::Write() {
  SetTimer(request_.timeout, &Link::OnTimeout);
  const std::array<asio::const_buffer, 2> buffers{asio::buffer(head_), asio::buffer(request_.body)};
  // A server may answer, and end the connection, before it has read all: what it said counts, so
  // that an error of writing is left to the reading.
  writing_ = true;
  asio::async_write(socket_, buffers, [self = shared_from_this()](const error_code& error, size_t) {
    if (!error) self->WriteFiles();
  });
  Read();
}

// The next of the files' bytes, and so on to their end.
void ClientPool::Link::WriteFiles() {
  if (!done_) return;  // answered before
  while (!request_.files.empty() && request_.files.front().size == 0) {
    request_.files.erase(request_.files.begin());
  }
  writing_ = !request_.files.empty();
  if (!writing_) return;
  FilePiece& piece = request_.files.front();
  file_bytes_.resize(kFileBytes);
  const ssize_t got =
      ::pread(piece.file->fd(), file_bytes_.data(),
              static_cast<size_t>(std::min<uint64_t>(piece.size, file_bytes_.size())),
              static_cast<off_t>(piece.offset));
  if (got < 0 && errno == EINTR) return WriteFiles();
  if (got <= 0) return Fail(ErrorCode::kIo, "a file of the request's body cannot be read");
  piece.offset += static_cast<uint64_t>(got);
  piece.size -= static_cast<uint64_t>(got);
  asio::async_write(socket_, asio::buffer(file_bytes_.data(), static_cast<size_t>(got)),
                    [self = shared_from_this()](const error_code& error, size_t) {
                      if (!error) self->WriteFiles();
                    });
}

void ClientPool::Link::Read() {
  socket_.async_read_some(asio::buffer(bytes_),
                          [self = shared_from_this()](const error_code& error, size_t size) {
                            if (self->done_) self->OnRead(error, size);
                          });
}

void ClientPool::Link::OnRead(const error_code& error, size_t size) {
  input_.append(bytes_.data(), size);
  if (error == asio::error::eof) {
    const Status whole = reader_->End(input_);
    return whole.ok() ? Finish(reader_->Take()) : Finish(whole.error());
  }
  if (error) return Fail(ErrorCode::kIo, error.message());
  auto fed = reader_->Feed(input_);
  if (!fed.ok()) return Finish(fed.error());
  return *fed ? Finish(reader_->Take()) : Read();
}

void ClientPool::Link::Finish(Result<ClientAnswer> answer) {
  if (!done_) return;
  const auto self = shared_from_this();
  const bool keep = answer.ok() && reader_->keep_alive() && input_.empty() && !writing_;
  on_cancel_.reset();
  state_.busy.erase(self);
  std::vector<std::shared_ptr<Link>>& idle = state_.idle[port_];
  if (keep && idle.size() < state_.options.max_idle) {
    idle.push_back(self);
    SetTimer(state_.options.idle_timeout, &Link::LeaveIdle);
    WatchIdle();
  } else {
    Close();  // before the request's bytes go, which may still be being written
  }
  request_ = {};
  std::exchange(done_, nullptr)(std::move(answer));
}

// A server that ends its side waits for this one to do so too.
void ClientPool::Link::WatchIdle() {
  if (std::exchange(watched_, true)) return;
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const error_code& error) {
    self->watched_ = false;
    if (!error) self->LeaveIdle();  // or an answer has come, which is none of its
  });
}

void ClientPool::Link::LeaveIdle() {
  if (done_) return;
  std::erase(state_.idle[port_], shared_from_this());
  Close();
}

void ClientPool::Link::Close() {
  ++timer_turn_;
  timer_.cancel();
  error_code ignored;
  socket_.close(ignored);
}

ClientPool::ClientPool(const ClientPoolOptions& options)
    : state_(std::make_unique<State>(options)) {
  state_->thread = std::thread([state = state_.get()] { state->Run(); });
}

ClientPool::~ClientPool() { Stop(); }

void ClientPool::Stop() {
  if (!state_->thread.joinable()) return;
  asio::post(state_->io, [state = state_.get()] {
    state->ended = true;
    for (const auto& link : std::vector(state->busy.begin(), state->busy.end())) {
      link->Fail(ErrorCode::kCancelled, kEnding);
    }
    for (auto& [port, links] : std::exchange(state->idle, {})) {
      for (const auto& link : links) link->Close();
    }
    state->work.reset();
  });
  state_->thread.join();
}

void ClientPool::Send(PoolRequest request, Done done) {
  asio::post(state_->io, [state = state_.get(), request = std::move(request),
                          done = std::move(done)]() mutable {
    if (state->ended) return done(Error{ErrorCode::kCancelled, kEnding});
    const uint16_t port = request.port;
    state->TakeIdle(port)->Begin(std::move(request), std::move(done));
  });
}

void ClientPool::CloseIdle(uint16_t port) {
  asio::post(state_->io, [state = state_.get(), port] {
    auto links = state->idle.extract(port);
    if (links.empty()) return;
    for (const auto& link : links.mapped()) link->Close();
  });
}

}  // namespace bertie::http
