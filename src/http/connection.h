// One client's connection: reads requests, hands them to the handler, writes the answers.
// Internal to http/, as it brings Boost.Asio with it.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "http/asio.h"
#include "http/body_decoder.h"
#include "http/handler.h"
#include "http/head_parser.h"
#include "http/message.h"
#include "http/server.h"
#include "http/tls.h"

namespace bertie::http {

class Connection;

// What the connections of a server share. Belongs to the I/O thread but for what says otherwise.
// Held by each Exchange, so that an answer that comes after the server's end finds its io_context.
struct ServerState {
  ServerState(const ServerOptions& server_options, Handler& request_handler)
      : options(server_options),
        handler(request_handler),
        io(1),
        pool(static_cast<size_t>(std::max(1, server_options.handler_threads))) {}

  void Log(std::string_view line) const {
    if (options.log) options.log(line);
  }
  // The time as an IMF-fixdate (RFC 9110 5.6.7), made once a second.
  std::string_view Date();

  const ServerOptions options;
  Handler& handler;
  boost::asio::io_context io;
  boost::asio::thread_pool pool;  // runs handlers of large requests
  bool draining = false;
  uint64_t body_memory = 0;   // bytes of bodies held by connections
  std::vector<char> scratch;  // what one read of a streamed body brings
  std::unordered_set<std::shared_ptr<Connection>> connections;
  std::atomic<size_t> connection_count{0};  // any thread
  std::function<void()> on_connection_closed;

 private:
  std::time_t date_time_ = 0;
  std::string date_;
};

// Lives on the I/O thread. With TLS it begins with the handshake, as it goes on after a CONNECT.
// State changes then go one way round: idle, head, body, delivering (the body is whole, its sink
// still takes it), handling, writing, and back to idle, or to lingering when the connection ends
// after the answer.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, std::shared_ptr<ServerState> server);

  void Start();
  // Ends the connection if it has been waiting for a request for that long.
  void CloseIfIdle(ServerOptions::Duration least);
  // Since when it has been waiting for one; no time when it is not.
  std::optional<std::chrono::steady_clock::time_point> IdleSince() const;
  // Whether bytes have come that were not read yet.
  bool HasUnread();
  // Ends it now.
  void Close();
  // Ends it now; the client sees a reset.
  void Abort();

 private:
  enum class State {
    kHandshake,
    kIdle,
    kHead,
    kBody,
    kDelivering,
    kHandling,
    kWriting,
    kLingering,
    kClosed
  };

  void BeginHandshake(const TlsIdentity& identity);
  void Handshake();
  void SayTlsIsExpected();
  void BecomeIdle();
  void WaitReadable();
  size_t ReadSome(char* to, size_t size, boost::system::error_code& error);
  bool SendNow(std::string_view text);
  void OnReadable(const boost::system::error_code& error);
  void OnEndOfInput();
  void Advance();  // does what the bytes in input_ allow
  bool AdvanceHead();
  bool AdvanceBody();
  void AdvanceStream(std::string_view in);
  bool StreamIsFull() const;
  void PassPiece();
  void OnPieceTaken(std::string buffer, std::optional<Response> answer);
  bool BeginRequest(RequestHead head);
  void BeginTunnel(const RequestHead& head);
  void Dispatch();
  void Refuse(const Refusal& refusal);
  void Write(Response response);
  void SendFiles();
  void SendSecurely();
  bool NextOutput();
  void OnWritten(const boost::system::error_code& error);
  void Linger();

  void SetDeadline(std::chrono::steady_clock::time_point when);
  void SetDeadline(ServerOptions::Duration from_now);
  void OnDeadline();
  std::chrono::steady_clock::time_point BodyDeadline() const;
  bool ChargeBody();  // false when the server holds too much already
  void ReleaseBody();

  boost::asio::ip::tcp::socket socket_;
  std::shared_ptr<ServerState> server_;
  std::unique_ptr<TlsSession> tls_;
  bool read_wants_write_ = false;  // of TLS
  boost::asio::steady_timer timer_;
  std::chrono::steady_clock::time_point deadline_;
  bool timer_waits_ = false;

  State state_ = State::kIdle;
  std::chrono::steady_clock::time_point idle_since_;
  bool read_waits_ = false;
  bool end_of_input_ = false;
  std::string input_;  // received and not yet taken
  size_t lingered_ = 0;

  // The request at hand.
  std::optional<HeadScanner> scanner_;
  std::optional<BodyDecoder> decoder_;
  Request request_;
  std::optional<Response> early_answer_;  // OnHead's, while a small body is read and dropped
  std::chrono::steady_clock::time_point body_begin_;
  uint64_t charged_ = 0;

  // Of a body with a sink.
  std::string piece_;       // decoded and not yet with the sink
  size_t passed_ = 0;       // bytes that the sink has at the moment
  bool sink_busy_ = false;  // it has a piece; the next one gathers meanwhile
  uint64_t streamed_ = 0;   // bytes of the body so far
  std::optional<std::chrono::steady_clock::time_point> paused_;  // since when nothing is read

  std::weak_ptr<Exchange> exchange_;

  // Its answer.
  bool keep_alive_ = true;
  bool head_only_ = false;
  int minor_version_ = 1;
  std::string output_head_;
  std::string output_body_;
  size_t output_at_ = 0;  // with TLS: what of output_head_, which takes the rest's place, is sent
  std::vector<FilePiece> output_files_;
  size_t files_sent_ = 0;
};

}  // namespace bertie::http
