// Chunked bodies: the same bytes give the same body however the network cuts them.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/body_decoder.h"

namespace {

using bertie::http::BodyDecoder;

struct Outcome {
  int status = 0;  // 0: needs more, 200: whole
  size_t consumed = 0;
  std::string body;

  bool operator==(const Outcome&) const = default;
};

Outcome Decode(std::string_view bytes, size_t piece) {
  bertie::http::RequestHead head;
  head.chunked = true;
  BodyDecoder decoder(head, {.max_head_bytes = 200, .max_body_bytes = 1000});
  Outcome outcome;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    std::string_view part = bytes.substr(at, piece);
    BodyDecoder::Step step = decoder.Feed(part, outcome.body);
    outcome.consumed += step.consumed;
    if (step.refusal) {
      outcome.status = step.refusal->status;
      return outcome;
    }
    if (step.done) {
      outcome.status = 200;
      return outcome;
    }
    if (step.consumed != part.size()) std::abort();
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Outcome whole = Decode(bytes, size + 1);
  if (whole.body.size() > 1000) std::abort();
  for (size_t piece : {size_t{1}, size_t{2}, size_t{5}}) {
    if (!(Decode(bytes, piece) == whole)) std::abort();
  }
  return 0;
}
