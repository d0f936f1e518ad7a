// HTTP/1.1 messages (RFC 9110, RFC 9112) as a client sends and reads them, without I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "http/body_decoder.h"
#include "http/message.h"

namespace bertie::http {

struct Url {
  std::string host;  // a name or an address, without the brackets of IPv6
  uint16_t port = 80;
  std::string target = "/";  // path and query

  // "HOST:PORT" as in a Host field.
  std::string Authority() const;
};

// Reads "http://HOST[:PORT][/PATH]". kInvalidArgument, quoting it, for anything else.
Result<Url> ParseUrl(std::string_view text);

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";
  std::string content_type = {};   // no field when empty
  std::vector<Field> fields = {};  // beside Host, Content-Type and Content-Length
  std::string_view body = {};
  uint64_t more_bytes = 0;  // of the body, that whoever sends it sends after these
};

// The request line and fields with the blank line after them; the body follows.
std::string SerializeRequestHead(const std::string& authority, const ClientRequest& request);

struct ClientAnswer {
  int status = 0;
  std::vector<Field> fields;
  std::string body;

  // The value of the first field of that name, whatever its case; null when there is none.
  const std::string* Find(std::string_view name) const;
};

struct AnswerLimits {
  size_t max_head_bytes = 64 * 1024;
  uint64_t max_body_bytes = uint64_t{64} << 20;
};

// Reads one answer from bytes as they come; those before it that only inform (100 Continue) are
// left out. Errors: kInvalidData for what is no HTTP/1.x answer, kResourceExhausted for one over a
// limit, kIo for a connection that ended before the answer did. After an error the connection is
// of no more use.
class AnswerReader {
 public:
  // peer names the server in errors. head_only: the answer to HEAD, which has no body.
  AnswerReader(std::string peer, bool head_only, const AnswerLimits& limits)
      : peer_(std::move(peer)), head_only_(head_only), limits_(limits) {}

  // Takes what belongs to the answer off the front of input. True once it is whole.
  Result<bool> Feed(std::string& input);
  // The server has ended the connection, and input holds what was not taken.
  Status End(const std::string& input);

  // Whether a byte of it has come.
  bool begun() const { return begun_; }
  // When it is whole.
  bool keep_alive() const { return keep_alive_; }
  ClientAnswer Take() { return std::move(answer_); }

 private:
  enum class State { kHead, kFramed, kUntilEnd, kDone };
  Status ReadHead(std::string_view head);
  Result<bool> FeedBody(std::string& input);

  std::string peer_;
  bool head_only_;
  AnswerLimits limits_;
  State state_ = State::kHead;
  bool begun_ = false;
  bool keep_alive_ = false;
  ClientAnswer answer_;
  std::optional<BodyDecoder> decoder_;
};

}  // namespace bertie::http
