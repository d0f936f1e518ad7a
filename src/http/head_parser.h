// Reads a request's head, strictly: what two programs in a row could read in two ways is refused
// (request smuggling, RFC 9112 section 11.2), and the connection with it.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <variant>

#include "http/message.h"

namespace bertie::http {

// Looks for the end of a head in a buffer that grows. Bytes that no head may hold (a bare CR or LF,
// NUL and other control characters) are refused as soon as they arrive, and so is a head over its
// limits. One object for each head.
class HeadScanner {
 public:
  explicit HeadScanner(const Limits& limits) : limits_(limits) {}

  struct Step {
    std::optional<Refusal> refusal;
    size_t head_bytes = 0;  // to the blank line's end; 0 while more bytes are needed
  };
  // buffer: all bytes of the head so far. The work is linear in the bytes that are new.
  Step Scan(std::string_view buffer);

 private:
  Limits limits_;
  size_t scanned_ = 0;
  size_t line_start_ = 0;
  size_t lines_ = 0;
};

// head: from the request line's first byte to the blank line's end, as HeadScanner found it.
// Refused with 400 unless said otherwise: anything outside the grammar of RFC 9112 sections 3 and 5
// (blanks before a colon, folded lines); no Host or several in HTTP/1.1; Content-Length that is
// repeated, a list, signed or not decimal, or beside Transfer-Encoding; Transfer-Encoding other
// than one "chunked" (501 for a coding that exists), or in HTTP/1.0; Expect other than
// 100-continue (417); versions other than 1.x (505); CONNECT (501) unless the limits let it in.
std::variant<RequestHead, Refusal> ParseHead(std::string_view head, const Limits& limits);

// One field line without its CRLF.
std::variant<Field, Refusal> ParseFieldLine(std::string_view line);

}  // namespace bertie::http
