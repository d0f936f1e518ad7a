// A request's head and body, as they come from a socket.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>

#include "http/body_decoder.h"
#include "http/head_parser.h"

namespace {

using bertie::http::BodyDecoder;
using bertie::http::HeadScanner;
using bertie::http::Limits;
using bertie::http::Refusal;
using bertie::http::RequestHead;

void Check(bool holds) {
  if (!holds) std::abort();
}

// The length of the head when it comes in pieces of `piece` bytes; 0 while more is needed, and
// size_t(-1) when it is refused.
size_t Scan(std::string_view bytes, size_t piece, const Limits& limits) {
  HeadScanner scanner(limits);
  for (size_t size = std::min(piece, bytes.size());; size = std::min(size + piece, bytes.size())) {
    HeadScanner::Step step = scanner.Scan(bytes.substr(0, size));
    if (step.refusal) return static_cast<size_t>(-1);
    if (step.head_bytes > 0) return step.head_bytes;
    if (size == bytes.size()) return 0;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Limits limits{
      .max_target_bytes = 200, .max_head_bytes = 1000, .max_fields = 10, .max_body_bytes = 1000};
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t head_bytes = Scan(bytes, bytes.size() + 1, limits);
  // However the network cuts the bytes, the head ends at the same place.
  Check(Scan(bytes, 1, limits) == head_bytes);
  Check(Scan(bytes, 7, limits) == head_bytes);
  if (head_bytes == 0 || head_bytes == static_cast<size_t>(-1)) return 0;
  auto parsed = bertie::http::ParseHead(bytes.substr(0, head_bytes), limits);
  auto* head = std::get_if<RequestHead>(&parsed);
  if (!head) {
    Check(std::get<Refusal>(parsed).status >= 400);
    return 0;
  }
  Check(!head->path.empty() && !head->method.empty());
  Check(!(head->chunked && head->content_length > 0));
  Check(head->content_length <= limits.max_body_bytes);

  std::string body;
  BodyDecoder decoder(*head, limits);
  auto step = decoder.Feed(bytes.substr(head_bytes), body);
  Check(step.consumed <= size - head_bytes);
  Check(body.size() <= limits.max_body_bytes);
  if (step.done && !head->chunked) Check(body.size() == head->content_length);
  return 0;
}
