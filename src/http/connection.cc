#include "http/connection.h"

#include <sys/sendfile.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <utility>
#include <variant>

namespace bertie::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

// One read: large enough for nearly every request, small enough for the stack.
constexpr size_t kReadBytes = 16 * 1024;
// Pieces of a body on the way to its sink: large enough that the hand-over between threads does not
// count. One is taken while the next is read.
constexpr size_t kPieceBytes = 128 * 1024;
// A turn of one connection that sends a file; then the others have theirs.
constexpr size_t kSendBytes = 1024 * 1024;
// A refused request's body up to this size is read and dropped, so that the connection can stay.
constexpr uint64_t kSmallBody = 64 * 1024;
// What a client may go on sending after the last answer before it is cut off: enough that one that
// sends its whole body before it looks at the answer still gets to see a 413.
constexpr size_t kMaxLingered = size_t{32} << 20;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

void CallHandler(Handler& handler, Request request, const std::shared_ptr<Exchange>& exchange) {
  Refusal refusal;
  try {
    return handler.OnRequest(std::move(request), exchange);
  } catch (const std::bad_alloc&) {
    refusal = {503, "OutOfMemory", "not enough memory for this request"};
  } catch (const std::exception&) {
    refusal = {500, "InternalError", "the request met a fault of the server"};
  }
  exchange->Respond(handler.OnRefusal(refusal));
}

std::optional<Response> CallSink(Handler& handler, BodySink& sink, std::string_view bytes) {
  try {
    return sink.Write(bytes);
  } catch (const std::bad_alloc&) {
    return handler.OnRefusal({503, "OutOfMemory", "not enough memory for this request"});
  } catch (const std::exception&) {
    return handler.OnRefusal({500, "InternalError", "the request met a fault of the server"});
  }
}

}  // namespace

std::string_view ServerState::Date() {
  std::time_t now = std::time(nullptr);
  if (now != date_time_) {
    date_time_ = now;
    std::tm parts{};
    gmtime_r(&now, &parts);
    std::array<char, 40> text{};
    size_t size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    date_.assign(text.data(), size);
  }
  return date_;
}

Connection::Connection(asio::ip::tcp::socket socket, std::shared_ptr<ServerState> server)
    : socket_(std::move(socket)),
      server_(std::move(server)),
      timer_(server_->io),
      deadline_(Clock::time_point::max()) {}

void Connection::Start() {
  error_code ignored;
  socket_.non_blocking(true, ignored);
  // Answers leave in one piece, so there is nothing to gather.
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  if (server_->options.tls) return BeginHandshake(*server_->options.tls->Get());
  BecomeIdle();
  WaitReadable();
}

void Connection::BecomeIdle() {
  state_ = State::kIdle;
  idle_since_ = Clock::now();
  SetDeadline(server_->options.idle_timeout);
}

// Waits without a buffer, so that an idle connection costs no memory for one.
void Connection::WaitReadable() {
  bool taking = state_ == State::kIdle || state_ == State::kHead || state_ == State::kBody ||
                state_ == State::kLingering;
  // While a request is worked on, reading goes on, to see the client leave, up to a bound.
  bool watching = input_.size() < kReadBytes;
  if (StreamIsFull()) return;
  if (state_ == State::kHandshake || state_ == State::kClosed) return;
  if (read_waits_ || end_of_input_ || !(taking || watching)) return;
  read_waits_ = true;
  auto resume = [self = shared_from_this()](const error_code& error) {
    self->read_waits_ = false;
    if (self->state_ != State::kClosed) self->OnReadable(error);
  };
  if (tls_ && tls_->may_have_more() && !read_wants_write_) {
    return asio::post(server_->io, [resume = std::move(resume)] { resume({}); });
  }
  socket_.async_wait(
      read_wants_write_ ? asio::ip::tcp::socket::wait_write : asio::ip::tcp::socket::wait_read,
      std::move(resume));
}

void Connection::OnReadable(const error_code& wait_error) {
  error_code error = wait_error;
  std::array<char, kReadBytes> bytes;
  size_t size = 0;
  if (state_ == State::kBody && request_.sink && !error) {
    server_->scratch.resize(kPieceBytes);
    size = ReadSome(server_->scratch.data(), server_->scratch.size(), error);
    if (size > 0) {
      // AdvanceStream has taken all that was there before, or there would be no reading.
      AdvanceStream(std::string_view(server_->scratch.data(), size));
      return WaitReadable();
    }
  } else if (!error) {
    size = ReadSome(bytes.data(), bytes.size(), error);
  }
  if (error == asio::error::would_block) return WaitReadable();
  if (error == asio::error::eof) return OnEndOfInput();
  if (error) return Close();
  if (state_ == State::kLingering) {
    lingered_ += size;
    if (lingered_ > kMaxLingered) return Close();
  } else {
    input_.append(bytes.data(), size);
    Advance();
  }
  WaitReadable();
}

void Connection::OnEndOfInput() {
  end_of_input_ = true;
  switch (state_) {
    case State::kHead:
    case State::kBody:
      return Refuse({400, "BadRequest", "the connection ended inside a request"});
    case State::kDelivering:
    case State::kHandling:
      return SetDeadline(server_->options.half_close_grace);
    case State::kWriting:
      return;
    default:
      return Close();
  }
}

void Connection::Advance() {
  while ((state_ == State::kIdle || state_ == State::kHead) ? AdvanceHead() : AdvanceBody()) {
  }
}

// True when the state changed and there may be more to do.
bool Connection::AdvanceHead() {
  const ServerOptions& options = server_->options;
  if (state_ == State::kIdle) {
    // RFC 9112 2.2: one empty line before a request is forgiven.
    if (input_.starts_with("\r\n")) input_.erase(0, 2);
    if (input_.empty() || input_ == "\r") return false;
    state_ = State::kHead;
    scanner_.emplace(options.limits);
    keep_alive_ = false;  // until the head says so
    head_only_ = false;
    SetDeadline(options.head_timeout);
  }
  HeadScanner::Step step = scanner_->Scan(input_);
  if (step.refusal) return Refuse(*step.refusal), false;
  if (step.head_bytes == 0) return false;
  auto head = ParseHead(std::string_view(input_).substr(0, step.head_bytes), options.limits);
  input_.erase(0, step.head_bytes);
  if (auto* refusal = std::get_if<Refusal>(&head)) return Refuse(*refusal), false;
  return BeginRequest(std::get<RequestHead>(std::move(head)));
}

bool Connection::BeginRequest(RequestHead head) {
  request_ = Request{std::move(head), {}};
  piece_.clear();
  streamed_ = 0;
  paused_.reset();
  const RequestHead& request = request_.head;
  if (request.method == "CONNECT") return BeginTunnel(request), false;
  keep_alive_ = request.keep_alive;
  head_only_ = request.method == "HEAD";
  minor_version_ = request.minor_version;
  Admission admission = server_->handler.Admit(request);
  early_answer_ = std::move(admission.answer);
  Limits limits = server_->options.limits;
  if (!early_answer_) {
    request_.sink = std::move(admission.sink);
    if (request_.sink) limits.max_body_bytes = limits.max_stream_bytes;
    if (request.content_length > limits.max_body_bytes) {
      Refuse({413, "BodyTooLarge",
              "the body has " + std::to_string(request.content_length) + " bytes; the limit is " +
                  std::to_string(limits.max_body_bytes)});
      return false;
    }
  }
  if (early_answer_) {
    bool small = !request.chunked && request.content_length <= kSmallBody;
    if (!small || request.expects_continue) {
      early_answer_->close = true;
      Write(*std::exchange(early_answer_, std::nullopt));
      return false;
    }
  }
  // For a body of no bytes too: botocore takes the final answer in its place for that of the next
  // request as well.
  if (request.expects_continue && input_.empty()) {
    // In plain text a client that does not get it goes on after a time-out of its own.
    if (!SendNow(kContinue) && tls_) return Close(), false;
  }
  state_ = State::kBody;
  decoder_.emplace(request, limits);
  body_begin_ = Clock::now();
  return true;
}

bool Connection::AdvanceBody() {
  if (state_ != State::kBody) return false;
  if (request_.sink) {
    if (!StreamIsFull()) AdvanceStream(std::exchange(input_, {}));
    return false;
  }
  BodyDecoder::Step step = decoder_->Feed(input_, request_.body);
  input_.erase(0, step.consumed);
  if (step.refusal) return Refuse(*step.refusal), false;
  if (!ChargeBody()) {
    Refuse({503, "Overloaded", "the requests being read need more memory than is set aside"});
    return false;
  }
  if (!step.done) return SetDeadline(BodyDeadline()), false;
  Dispatch();
  return false;
}

// As AdvanceBody, for a body that goes to a sink; input_ is empty, and takes what is left of `in`.
void Connection::AdvanceStream(std::string_view in) {
  size_t before = piece_.size();
  BodyDecoder::Step step = decoder_->Feed(in, piece_);
  input_.assign(in.substr(step.consumed));
  if (step.refusal) return Refuse(*step.refusal);
  streamed_ += piece_.size() - before;
  if (!ChargeBody()) {
    return Refuse({503, "SlowDown", "the requests being read need more memory than is set aside"});
  }
  if (step.done) state_ = State::kDelivering;
  if (step.done || StreamIsFull()) {
    // The sink's time is not the client's fault.
    SetDeadline(Clock::time_point::max());
    paused_ = Clock::now();
    if (end_of_input_ && step.done) SetDeadline(server_->options.half_close_grace);
  } else {
    SetDeadline(BodyDeadline());
  }
  if (sink_busy_) return;
  if (step.done && piece_.empty()) return Dispatch();
  if (step.done || StreamIsFull()) PassPiece();
}

bool Connection::StreamIsFull() const {
  return state_ == State::kBody && request_.sink && piece_.size() >= kPieceBytes;
}

void Connection::PassPiece() {
  sink_busy_ = true;
  passed_ = piece_.size();
  asio::post(server_->pool, [server = server_, connection = weak_from_this(), sink = request_.sink,
                             bytes = std::move(piece_)]() mutable {
    std::optional<Response> answer;
    if (!connection.expired()) answer = CallSink(server->handler, *sink, bytes);
    sink.reset();
    asio::post(server->io,
               [connection, bytes = std::move(bytes), answer = std::move(answer)]() mutable {
                 if (auto self = connection.lock())
                   self->OnPieceTaken(std::move(bytes), std::move(answer));
               });
  });
  piece_.clear();
}

void Connection::OnPieceTaken(std::string buffer, std::optional<Response> answer) {
  sink_busy_ = false;
  passed_ = 0;
  if (state_ != State::kBody && state_ != State::kDelivering) return;
  if (answer) {
    answer->close = true;
    return Write(*std::move(answer));
  }
  const bool whole = state_ == State::kDelivering;
  if (!piece_.empty() && (whole || StreamIsFull())) {
    PassPiece();
  } else if (whole) {
    return Dispatch();
  }
  if (piece_.capacity() < buffer.capacity() && piece_.empty()) {
    buffer.clear();
    piece_ = std::move(buffer);
  }
  ChargeBody();
  if (whole) return;
  if (paused_) body_begin_ += Clock::now() - *std::exchange(paused_, std::nullopt);
  Advance();
  WaitReadable();
}

bool Connection::ChargeBody() {
  uint64_t size = request_.sink ? piece_.size() + passed_ : request_.body.size();
  server_->body_memory += size - charged_;
  charged_ = size;
  return server_->body_memory <= server_->options.max_body_memory;
}

void Connection::ReleaseBody() { server_->body_memory -= std::exchange(charged_, 0); }

Clock::time_point Connection::BodyDeadline() const {
  const ServerOptions& options = server_->options;
  uint64_t received = request_.sink ? streamed_ : request_.body.size();
  auto earned =
      std::chrono::milliseconds(received * 1000 / std::max<uint64_t>(1, options.min_body_rate));
  if (request_.sink) return body_begin_ + options.body_grace + earned;
  return body_begin_ + std::min(options.body_grace + earned, options.body_timeout);
}

void Connection::Dispatch() {
  state_ = State::kHandling;
  deadline_ = Clock::time_point::max();
  if (end_of_input_) SetDeadline(server_->options.half_close_grace);
  if (early_answer_) return Write(*std::exchange(early_answer_, std::nullopt));
  auto exchange = std::make_shared<Exchange>(
      [server = server_, connection = weak_from_this()](std::optional<Response> response) {
        asio::post(server->io, [connection, response = std::move(response)]() mutable {
          auto self = connection.lock();
          if (!self || self->state_ != State::kHandling) return;
          if (!response) {
            response = self->server_->handler.OnRefusal(
                {500, "InternalError", "the request was dropped without an answer"});
          }
          self->Write(*std::move(response));
        });
      });
  exchange_ = exchange;
  bool small = request_.body.size() <= server_->options.inline_body_bytes;
  if (small && !request_.sink && !server_->options.always_on_pool) {
    return CallHandler(server_->handler, std::move(request_), exchange);
  }
  asio::post(server_->pool,
             [&handler = server_->handler, request = std::move(request_), exchange]() mutable {
               if (!exchange->cancelled().stop_requested())
                 CallHandler(handler, std::move(request), exchange);
             });
}

// After a breach of the protocol nothing on the connection can be trusted to be a request.
void Connection::Refuse(const Refusal& refusal) {
  // Where no head was read, that of the last request is gone too (Write).
  const bool known = !request_.head.method.empty();
  Response response = known ? server_->handler.OnRefusalOf(request_.head, refusal)
                            : server_->handler.OnRefusal(refusal);
  response.close = true;
  Write(std::move(response));
}

void Connection::Write(Response response) {
  state_ = State::kWriting;
  exchange_.reset();
  request_ = {};
  ReleaseBody();
  if (response.close || server_->draining) keep_alive_ = false;
  output_head_ = SerializeHead(
      response,
      {.date = server_->Date(), .keep_alive = keep_alive_, .minor_version = minor_version_});
  output_body_ = head_only_ ? std::string() : std::move(response.body);
  output_files_ = head_only_ ? std::vector<FilePiece>() : std::move(response.files);
  files_sent_ = 0;
  output_at_ = 0;
  SetDeadline(server_->options.write_timeout);
  if (tls_) {
    if (output_body_.size() <= kReadBytes) output_head_ += std::exchange(output_body_, {});
    return SendSecurely();
  }
  std::array<asio::const_buffer, 2> buffers{asio::buffer(output_head_), asio::buffer(output_body_)};
  asio::async_write(socket_, buffers, [self = shared_from_this()](const error_code& error, size_t) {
    if (self->state_ == State::kClosed) return;
    if (error || self->output_files_.empty()) return self->OnWritten(error);
    self->SendFiles();
  });
}

// The kernel copies from its page cache to the socket. A page that it has to read from the disk is
// waited for here, with read-ahead before it, as most servers do.
void Connection::SendFiles() {
  while (files_sent_ < output_files_.size() && output_files_[files_sent_].size == 0) ++files_sent_;
  if (files_sent_ == output_files_.size()) return OnWritten({});
  FilePiece& piece = output_files_[files_sent_];
  auto offset = static_cast<off_t>(piece.offset);
  ssize_t sent = ::sendfile(socket_.native_handle(), piece.file->fd(), &offset,
                            static_cast<size_t>(std::min<uint64_t>(piece.size, kSendBytes)));
  // A file that is shorter than the answer's head said cannot be mended any more.
  if (sent == 0 || (sent < 0 && errno != EAGAIN && errno != EINTR)) return Abort();
  if (sent > 0) {
    piece.offset += static_cast<uint64_t>(sent);
    piece.size -= static_cast<uint64_t>(sent);
    SetDeadline(server_->options.write_timeout);
    if (piece.size == 0 && files_sent_ + 1 == output_files_.size()) return OnWritten({});
  }
  socket_.async_wait(asio::ip::tcp::socket::wait_write,
                     [self = shared_from_this()](const error_code& error) {
                       if (self->state_ != State::kWriting) return;
                       if (error) return self->OnWritten(error);
                       self->SendFiles();
                     });
}

void Connection::OnWritten(const error_code& error) {
  if (error) return Close();
  output_head_ = {};
  output_body_ = {};
  output_files_ = {};
  if (!keep_alive_) return Linger();
  BecomeIdle();
  Advance();
  if (state_ == State::kIdle && input_.empty()) input_ = {};  // gives its memory back
  if (end_of_input_ &&
      (state_ == State::kIdle || state_ == State::kHead || state_ == State::kBody)) {
    return OnEndOfInput();
  }
  WaitReadable();
}

void Connection::Linger() {
  if (tls_) tls_->End();
  error_code error;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  if (error || end_of_input_) return Close();
  state_ = State::kLingering;
  input_ = {};
  // Towards the end of the process every second counts.
  auto timeout = server_->options.linger_timeout;
  if (server_->draining) timeout = std::min(timeout, server_->options.drain_linger);
  SetDeadline(timeout);
  WaitReadable();
}

void Connection::CloseIfIdle(ServerOptions::Duration least) {
  if (Clock::now() - idle_since_ < least) return;
  if (state_ == State::kIdle) Linger();
  if (state_ == State::kHandshake) Close();
}

std::optional<Clock::time_point> Connection::IdleSince() const {
  return state_ == State::kIdle ? std::optional(idle_since_) : std::nullopt;
}

bool Connection::HasUnread() {
  error_code ignored;
  return socket_.available(ignored) > 0;
}

void Connection::Abort() {
  error_code ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  Close();
}

void Connection::Close() {
  if (state_ == State::kClosed) return;
  // Clients of TLS tell an end between answers from a connection that was cut.
  if (tls_ && state_ == State::kIdle) tls_->End();
  state_ = State::kClosed;
  if (auto exchange = exchange_.lock()) exchange->Cancel();
  ReleaseBody();
  timer_.cancel();
  error_code ignored;
  socket_.close(ignored);
  auto self = shared_from_this();  // the set may hold the last reference but ours
  server_->connections.erase(self);
  server_->connection_count = server_->connections.size();
  if (server_->on_connection_closed) server_->on_connection_closed();
}

void Connection::SetDeadline(ServerOptions::Duration from_now) {
  SetDeadline(Clock::now() + from_now);
}

// A timer that would fire before the deadline is left alone: when it fires, it waits on. So the
// usual request, which moves the deadline several times, touches the timer queue seldom.
void Connection::SetDeadline(Clock::time_point when) {
  deadline_ = when;
  if (timer_waits_ && timer_.expiry() <= when) return;
  timer_.expires_at(when);
  timer_waits_ = true;
  timer_.async_wait([self = shared_from_this()](const error_code& error) {
    if (error || self->state_ == State::kClosed) return;
    self->timer_waits_ = false;
    if (Clock::now() >= self->deadline_) return self->OnDeadline();
    if (self->deadline_ != Clock::time_point::max()) self->SetDeadline(self->deadline_);
  });
}

void Connection::OnDeadline() {
  deadline_ = Clock::time_point::max();
  switch (state_) {
    case State::kHead:
      return Refuse(
          {408, "RequestTimeout", "the header fields did not come within the time limit"});
    case State::kBody:
      return Refuse({408, "RequestTimeout", "the body came too slowly"});
    case State::kWriting:
      return Abort();  // its unread answer would stay in the kernel's memory
    default:
      return Close();  // idle, lingering, or gone while its request was worked on
  }
}

}  // namespace bertie::http
