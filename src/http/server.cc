#include "http/server.h"

#include <linux/filter.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "http/asio.h"
#include "http/connection.h"

namespace bertie::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

// After accept failed for want of descriptors or memory: connections that end free some.
constexpr std::chrono::milliseconds kAcceptRetry{100};
constexpr std::chrono::milliseconds kDrainTick{10};
// A handshake that has begun ends within a round trip; one that takes longer than this is refused.
constexpr std::chrono::milliseconds kHandshakeTime{50};
// Left for the model's files, the log, and the sockets of the server itself.
constexpr rlim_t kOtherFiles = 64;

size_t MaxConnections(size_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return wanted;
  rlim_t free =
      limit.rlim_cur > 2 * kOtherFiles ? limit.rlim_cur - kOtherFiles : limit.rlim_cur / 2;
  return std::clamp<size_t>(wanted, 1, static_cast<size_t>(free));
}

// Lets the kernel drop packets that ask for a new connection (SYN without ACK), while handshakes
// that have begun go on. Closing a listening socket resets every connection that has not been
// accepted, and between the last accept and the close there is always room for one more. A client
// whose packet was dropped asks again a second later and is refused, or finds the next server.
void DropNewHandshakes(int socket) {
  constexpr uint32_t kFlags = 13;  // byte of the TCP header (RFC 9293 3.1)
  constexpr uint32_t kSyn = 0x02;
  constexpr uint32_t kAck = 0x10;
  sock_filter code[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kFlags),
                        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, kSyn | kAck),
                        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kSyn, 0, 1),
                        BPF_STMT(BPF_RET | BPF_K, 0), BPF_STMT(BPF_RET | BPF_K, 0xffffffff)};
  sock_fprog program{static_cast<unsigned short>(std::size(code)), code};
  // Where this is not to be had, the close stays as small a risk as with any other server.
  setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

// CONNECT is let in where there is somebody to answer it.
ServerOptions Completed(ServerOptions options) {
  options.limits.connect = options.connect != nullptr;
  return options;
}

std::string AddressText(const tcp::endpoint& endpoint) {
  std::string host = endpoint.address().to_string();
  if (endpoint.address().is_v6()) host = "[" + host + "]";
  return host + ":" + std::to_string(endpoint.port());
}

}  // namespace

struct Server::Impl {
  Impl(const ServerOptions& options, Handler& handler)
      : state(std::make_shared<ServerState>(options, handler)),
        acceptor(state->io),
        accept_timer(state->io),
        drain_timer(state->io),
        work(asio::make_work_guard(state->io)),
        max_connections(MaxConnections(options.max_connections)) {
    state->on_connection_closed = [this] {
      accept_timer.cancel();  // what was lacking may be there
      Accept();
    };
  }

  Status Bind();
  void Accept();
  void OnAccept(const error_code& error, tcp::socket socket);
  void AcceptLater();
  bool full() const { return state->connections.size() >= max_connections; }
  void MakeRoom();
  void Add(tcp::socket socket);
  void DrainTick();
  void TakeBacklogAndClose();
  void Run();
  void Stop();

  std::shared_ptr<ServerState> state;
  tcp::acceptor acceptor;
  asio::steady_timer accept_timer;
  asio::steady_timer drain_timer;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  size_t max_connections;
  bool accepting = false;  // an accept, a wait for a client, or a retry is pending
  bool scarce = false;     // the last accept found no descriptor or no memory
  Clock::time_point drain_until;
  Clock::time_point close_at = Clock::time_point::max();
  tcp::endpoint endpoint;
  std::thread thread;
  bool stopped = false;  // by Stop's caller only

  std::mutex mutex;  // guards drained
  std::condition_variable drained_changed;
  bool drained = false;
};

Status Server::Impl::Bind() {
  const ServerOptions& options = state->options;
  std::string where = options.host + ":" + std::to_string(options.port);
  error_code error;
  tcp::resolver resolver(state->io);
  auto found = resolver.resolve(options.host, std::to_string(options.port),
                                tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || found.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 "cannot listen on " + where + ": " + options.host + " is no host name or address"};
  }
  tcp::endpoint wanted = *found.begin();
  const auto failed = [&](ErrorCode code) {
    return Error{code, "cannot listen on " + where + ": " + error.message()};
  };
  if (acceptor.open(wanted.protocol(), error)) return failed(ErrorCode::kIo);
  // A server that ended a moment ago leaves its port in TIME_WAIT, which must not stop the next.
  if (acceptor.set_option(tcp::acceptor::reuse_address(true), error)) {
    return failed(ErrorCode::kIo);
  }
  if (acceptor.bind(wanted, error) ||
      acceptor.listen(tcp::acceptor::max_listen_connections, error)) {
    if (error == asio::error::address_in_use) return failed(ErrorCode::kUnavailable);
    if (error == boost::system::errc::address_not_available)
      return failed(ErrorCode::kInvalidArgument);
    return failed(ErrorCode::kIo);
  }
  acceptor.non_blocking(true, error);
  // Else Asio's accept would go on waiting after a client that left the backlog, blocking or not.
  acceptor.set_option(asio::socket_base::enable_connection_aborted(true), error);
  endpoint = acceptor.local_endpoint(error);
  return {};
}

void Server::Impl::Accept() {
  if (accepting || !acceptor.is_open()) return;
  accepting = true;
  if (full()) {
    return acceptor.async_wait(tcp::acceptor::wait_read, [this](const error_code& error) {
      accepting = false;
      if (error) return;
      if (full()) return MakeRoom();
      Accept();
    });
  }
  acceptor.async_accept([this](const error_code& error, tcp::socket socket) {
    accepting = false;
    OnAccept(error, std::move(socket));
  });
}

void Server::Impl::OnAccept(const error_code& error, tcp::socket socket) {
  if (error == asio::error::operation_aborted) return;
  if (!error) {
    scarce = false;
    Add(std::move(socket));
    return Accept();
  }
  const bool lacking = error == asio::error::no_descriptors || error == asio::error::no_memory ||
                       error == asio::error::no_buffer_space ||
                       error == boost::system::errc::too_many_files_open_in_system;
  if (!lacking) return Accept();  // that client has gone already
  if (!std::exchange(scarce, true)) {
    state->Log("cannot accept connections for the moment: " + error.message());
  }
  AcceptLater();
}

void Server::Impl::AcceptLater() {
  accepting = true;
  accept_timer.expires_after(kAcceptRetry);
  accept_timer.async_wait([this](const error_code&) {
    accepting = false;
    Accept();
  });
}

// A client waits, and all places are taken. One that asks nothing must not keep others out.
void Server::Impl::MakeRoom() {
  std::shared_ptr<Connection> longest;
  auto since = Clock::now() - state->options.yield_idle;
  for (const auto& connection : state->connections) {
    const auto idle = connection->IdleSince();
    if (!idle || *idle > since || connection->HasUnread()) continue;
    longest = connection;
    since = *idle;
  }
  if (!longest) return AcceptLater();
  longest->Close();  // and Accept
}

void Server::Impl::Add(tcp::socket socket) {
  auto connection = std::make_shared<Connection>(std::move(socket), state);
  state->connections.insert(connection);
  state->connection_count = state->connections.size();
  connection->Start();
}

// Clients in the backlog have been told that they are connected; closing the socket over them would
// reset them.
void Server::Impl::TakeBacklogAndClose() {
  error_code error;
  do {
    tcp::socket socket = acceptor.accept(error);
    if (!error) Add(std::move(socket));
  } while (!error || error == asio::error::connection_aborted);
  acceptor.close(error);
}

void Server::Impl::DrainTick() {
  auto now = Clock::now();
  if (acceptor.is_open()) {
    if (close_at == Clock::time_point::max() &&
        (now >= drain_until || state->connections.empty())) {
      DropNewHandshakes(acceptor.native_handle());
      close_at = now + kHandshakeTime;
    }
    if (now >= close_at) TakeBacklogAndClose();
  } else {
    std::vector<std::shared_ptr<Connection>> copy(state->connections.begin(),
                                                  state->connections.end());
    for (auto& connection : copy) connection->CloseIfIdle(state->options.drain_linger);
  }
  if (!acceptor.is_open() && state->connections.empty()) {
    std::lock_guard lock(mutex);
    drained = true;
    return drained_changed.notify_all();
  }
  drain_timer.expires_after(kDrainTick);
  drain_timer.async_wait([this](const error_code& error) {
    if (!error) DrainTick();
  });
}

void Server::Impl::Stop() {
  if (std::exchange(stopped, true)) return;
  asio::post(state->io, [this] {
    error_code ignored;
    acceptor.close(ignored);
    accept_timer.cancel();
    drain_timer.cancel();
    std::vector<std::shared_ptr<Connection>> copy(state->connections.begin(),
                                                  state->connections.end());
    for (auto& connection : copy) connection->Abort();
    work.reset();
  });
  if (thread.joinable()) {
    thread.join();
  } else {
    state->io.run();  // never started: the cancelled operations still have to be taken back
  }
  state->pool.join();
}

// A connection that met a want of memory is left to its deadline; the others go on.
void Server::Impl::Run() {
  // sendfile to a client that has gone raises SIGPIPE, and has no flag against it.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  while (true) {
    try {
      state->io.run();
      return;
    } catch (const std::exception& error) {
      state->Log(std::string("a connection met a fault: ") + error.what());
    }
  }
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() { Stop(); }

Result<std::unique_ptr<Server>> Server::Listen(const ServerOptions& options, Handler& handler) {
  auto impl = std::make_unique<Impl>(Completed(options), handler);
  BERTIE_RETURN_IF_ERROR(impl->Bind());
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

void Server::Start() {
  asio::post(impl_->state->io, [impl = impl_.get()] { impl->Accept(); });
  impl_->thread = std::thread([impl = impl_.get()] { impl->Run(); });
}

uint16_t Server::port() const { return impl_->endpoint.port(); }
std::string Server::address() const { return AddressText(impl_->endpoint); }

std::string Server::url() const {
  tcp::endpoint reached = impl_->endpoint;
  if (reached.address().is_unspecified()) reached.address(asio::ip::address_v4::loopback());
  return (impl_->state->options.tls ? "https://" : "http://") + AddressText(reached);
}

size_t Server::connections() const { return impl_->state->connection_count; }

void Server::BeginDrain() {
  asio::post(impl_->state->io, [impl = impl_.get()] {
    if (std::exchange(impl->state->draining, true)) return;
    impl->drain_until = Clock::now() + impl->state->options.drain_linger;
    impl->DrainTick();
  });
}

bool Server::WaitDrained(std::chrono::milliseconds timeout) {
  std::unique_lock lock(impl_->mutex);
  return impl_->drained_changed.wait_for(lock, timeout, [this] { return impl_->drained; });
}

void Server::Stop() { impl_->Stop(); }

}  // namespace bertie::http
