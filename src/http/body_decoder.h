// Takes a request's body off the wire: by length, or in chunks (RFC 9112 section 7.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace bertie::http {

// One object for each body. Memory grows with the bytes received, never with the length announced.
class BodyDecoder {
 public:
  BodyDecoder(const RequestHead& head, const Limits& limits);

  struct Step {
    size_t consumed = 0;
    bool done = false;
    std::optional<Refusal> refusal;  // then the rest of the connection has no meaning
  };
  // Appends to body what `in` holds of it. Bytes not consumed belong to the next request. Refuses
  // chunked coding outside its grammar (line ends other than CRLF, sizes that are not plain hex)
  // with 400, a body over its limit with 413, and more chunk extensions or trailers than a head
  // may hold with 431. Trailers are checked and dropped: nothing here reads one.
  Step Feed(std::string_view in, std::string& body);

 private:
  enum class State {
    kFixed,  // by length
    kSize,
    kSizeBlank,  // blanks after the size, legal before an extension only
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailer,
    kTrailerLf,
    kDone,
  };

  std::optional<Refusal> Take(char c);  // one byte of framing
  std::optional<Refusal> TakeSize(char c);
  std::optional<Refusal> TakeTrailer(char c);

  Limits limits_;
  State state_;
  uint64_t left_ = 0;      // of the body or the chunk
  uint64_t received_ = 0;  // bytes of body, to hold the sum of the chunks under the limit
  int digits_ = 0;
  size_t overhead_ = 0;  // bytes of extensions and trailers
  std::string trailer_;
};

}  // namespace bertie::http
