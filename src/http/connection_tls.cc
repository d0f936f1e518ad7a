// What of a connection is TLS, and the way there by CONNECT.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "http/connection.h"

namespace bertie::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::string_view kEstablished = "HTTP/1.1 200 Connection established\r\n\r\n";
// What is encrypted at once of a file, and in one turn of a connection; then the others have
// theirs.
constexpr size_t kTlsFileBytes = 128 * 1024;
constexpr size_t kTurnBytes = 1024 * 1024;

}  // namespace

void Connection::BeginHandshake(const TlsIdentity& identity) {
  state_ = State::kHandshake;
  idle_since_ = std::chrono::steady_clock::now();
  SetDeadline(server_->options.handshake_timeout);
  tls_ = std::make_unique<TlsSession>(identity, socket_.native_handle());
  Handshake();
}

void Connection::Handshake() {
  const TlsStep step = tls_->Handshake();
  if (step == TlsStep::kDone) {
    BecomeIdle();
    return WaitReadable();
  }
  if (step == TlsStep::kPlain) return SayTlsIsExpected();
  if (step != TlsStep::kWantRead && step != TlsStep::kWantWrite) return Close();
  socket_.async_wait(step == TlsStep::kWantRead ? asio::ip::tcp::socket::wait_read
                                                : asio::ip::tcp::socket::wait_write,
                     [self = shared_from_this()](const error_code& error) {
                       if (self->state_ != State::kHandshake) return;
                       if (error) return self->Close();
                       self->Handshake();
                     });
}

// In plain text: the client spoke so too.
void Connection::SayTlsIsExpected() {
  tls_.reset();
  keep_alive_ = false;
  Refuse({400, "TlsExpected", "this port speaks TLS: use https:// in the URL"});
}

size_t Connection::ReadSome(char* to, size_t size, error_code& error) {
  if (!tls_) return socket_.read_some(asio::buffer(to, size), error);
  size_t got = 0;
  const TlsStep step = tls_->Read(to, size, got);
  read_wants_write_ = step == TlsStep::kWantWrite;
  if (step == TlsStep::kEnd) {
    error = asio::error::eof;
  } else if (step == TlsStep::kWantRead || step == TlsStep::kWantWrite) {
    error = asio::error::would_block;
  } else if (step != TlsStep::kDone) {
    error = asio::error::connection_reset;
  }
  return got;
}

// A few bytes, which fit in any socket's buffer unless the client reads nothing at all. False: they
// did not go out.
bool Connection::SendNow(std::string_view text) {
  if (tls_) {
    size_t put = 0;
    return tls_->Write(text.data(), text.size(), put) == TlsStep::kDone && put == text.size();
  }
  error_code error;
  return socket_.write_some(asio::buffer(text), error) == text.size() && !error;
}

// A CONNECT that the limits let in. One within the tunnel asks for a proxy behind this one.
void Connection::BeginTunnel(const RequestHead& head) {
  if (tls_) return Refuse({501, "NotImplemented", "this proxy leads to no other"});
  if (head.HasBody() || !input_.empty()) {
    return Refuse({400, "BadRequest", "CONNECT is followed by more before it was answered"});
  }
  auto identity = server_->options.connect(head.path);
  if (!identity.ok()) {
    return Write({.status = 403,
                  .content_type = "text/plain; charset=utf-8",
                  .body = identity.error().message + "\n",
                  .close = true});
  }
  request_ = {};
  if (!SendNow(kEstablished)) return Close();
  BeginHandshake(**identity);
}

// Sets output_head_ to what comes next of the answer; false at its end.
bool Connection::NextOutput() {
  while (output_at_ == output_head_.size()) {
    output_at_ = 0;
    output_head_ = std::exchange(output_body_, {});
    if (!output_head_.empty()) continue;
    if (files_sent_ == output_files_.size()) return false;
    FilePiece& piece = output_files_[files_sent_];
    if (piece.size == 0) {
      ++files_sent_;
      continue;
    }
    output_head_.resize(std::min<uint64_t>(piece.size, kTlsFileBytes));
    const ssize_t got = ::pread(piece.file->fd(), output_head_.data(), output_head_.size(),
                                static_cast<off_t>(piece.offset));
    // As in SendFiles.
    if (got <= 0) return Abort(), false;
    output_head_.resize(static_cast<size_t>(got));
    piece.offset += static_cast<uint64_t>(got);
    piece.size -= static_cast<uint64_t>(got);
  }
  return true;
}

void Connection::SendSecurely() {
  auto resume = [self = shared_from_this()](const error_code& error) {
    if (self->state_ != State::kWriting) return;
    if (error) return self->OnWritten(error);
    self->SendSecurely();
  };
  bool whole = false;
  for (size_t sent = 0; sent < kTurnBytes;) {
    if (!NextOutput()) {
      whole = true;
      break;
    }
    size_t put = 0;
    const TlsStep step =
        tls_->Write(output_head_.data() + output_at_, output_head_.size() - output_at_, put);
    if (step == TlsStep::kWantWrite) {
      return socket_.async_wait(asio::ip::tcp::socket::wait_write, std::move(resume));
    }
    if (step == TlsStep::kWantRead) {
      return socket_.async_wait(asio::ip::tcp::socket::wait_read, std::move(resume));
    }
    if (step != TlsStep::kDone) return OnWritten(asio::error::connection_reset);
    output_at_ += put;
    sent += put;
    // As without TLS: all of an answer's own bytes have one deadline, and each part of a file has.
    if (!output_files_.empty()) SetDeadline(server_->options.write_timeout);
  }
  if (state_ != State::kWriting) return;
  // By way of the queue: many answers that are there at once must not pile up on the stack.
  asio::post(server_->io, [resume = std::move(resume), self = shared_from_this(), whole] {
    if (whole && self->state_ == State::kWriting) return self->OnWritten({});
    resume({});
  });
}

}  // namespace bertie::http
