// HTTP/1.1 messages (RFC 9110, RFC 9112) as this server takes and gives them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace bertie::http {

struct Field {
  std::string name;
  std::string value;  // without the blanks around it
};

struct RequestHead {
  std::string method;
  std::string path;   // undecoded, without the query; "*" in OPTIONS *; HOST:PORT in CONNECT
  std::string query;  // after the '?', undecoded
  int minor_version = 1;
  std::vector<Field> fields;

  // What the fields say of the connection and the body.
  bool keep_alive = true;
  bool chunked = false;
  uint64_t content_length = 0;  // 0 when chunked
  bool expects_continue = false;

  bool HasBody() const { return chunked || content_length > 0; }
  // The value of the first field of that name, whatever its case; null when there is none.
  const std::string* Find(std::string_view name) const;
};

class BodySink;

struct Request {
  RequestHead head;
  std::string body;
  std::shared_ptr<BodySink> sink = {};  // where the body went instead; see Handler::Admit
};

// A range of a file. The file is sent as it is: nobody may cut it short meanwhile.
struct FilePiece {
  std::shared_ptr<const OpenFile> file;
  uint64_t offset = 0;
  uint64_t size = 0;
};

struct Response {
  int status = 200;
  std::string content_type = {};   // left out of the answer when empty
  std::vector<Field> fields = {};  // beside Date, Connection, Content-Type and Content-Length
  std::string body = {};
  bool close = false;                 // end the connection after it
  std::vector<FilePiece> files = {};  // the body goes on with these, in order
  // What Content-Length says in an answer to HEAD for which no body was made.
  std::optional<uint64_t> head_length = {};

  uint64_t BodySize() const;
};

// Why a request is not served. The handler gives it the form that its clients know.
struct Refusal {
  int status = 400;
  const char* type = "BadRequest";  // one CamelCase word for each kind of fault
  std::string message;              // one line: what was found, what was expected
};

struct Limits {
  bool connect = false;                       // else CONNECT, which asks for a proxy, is 501
  size_t max_target_bytes = 8 * 1024;         // 414
  size_t max_head_bytes = 16 * 1024;          // request line and fields, or trailers: 431
  size_t max_fields = 100;                    // 431
  uint64_t max_body_bytes = 6 * 1024 * 1024;  // 413
  uint64_t max_stream_bytes = 0;              // of a body that goes to a BodySink; 413

  // The largest body of any kind.
  uint64_t MaxBytes() const;
};

// "Not Found"; "" for a status that this server never sends.
const char* ReasonPhrase(int status);

struct HeadOptions {
  std::string_view date = {};  // IMF-fixdate; no Date field when empty
  bool keep_alive = true;
  int minor_version = 1;  // the request's: 1.0 wants to be told that the connection stays
};

// The status line and fields with the blank line after them; the body follows separately.
std::string SerializeHead(const Response& response, const HeadOptions& options);

// ASCII only, as field names and tokens are.
bool EqualsIgnoreCase(std::string_view a, std::string_view b);

}  // namespace bertie::http
