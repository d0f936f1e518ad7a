#include "http/body_decoder.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "http/head_parser.h"

namespace bertie::http {
namespace {

// Enough for any 64-bit size; longer ones are padding made to confuse.
constexpr int kMaxSizeDigits = 16;

Refusal BadBody(std::string message) { return {400, "BadRequest", std::move(message)}; }

Refusal TooLarge(const Limits& limits) {
  return {413, "BodyTooLarge",
          "the body is over the limit of " + std::to_string(limits.max_body_bytes) + " bytes"};
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsControlInLine(char c) {
  return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
}

}  // namespace

BodyDecoder::BodyDecoder(const RequestHead& head, const Limits& limits)
    : limits_(limits),
      state_(head.chunked ? State::kSize : State::kFixed),
      left_(head.content_length) {}

BodyDecoder::Step BodyDecoder::Feed(std::string_view in, std::string& body) {
  Step step;
  while (true) {
    if (state_ == State::kFixed || state_ == State::kData) {
      size_t take = static_cast<size_t>(std::min<uint64_t>(left_, in.size() - step.consumed));
      body.append(in, step.consumed, take);
      step.consumed += take;
      left_ -= take;
      if (left_ > 0) return step;
      state_ = state_ == State::kFixed ? State::kDone : State::kDataCr;
    }
    if (state_ == State::kDone) {
      step.done = true;
      return step;
    }
    if (step.consumed == in.size()) return step;
    if ((step.refusal = Take(in[step.consumed]))) return step;
    ++step.consumed;
  }
}

std::optional<Refusal> BodyDecoder::Take(char c) {
  switch (state_) {
    case State::kSize:
    case State::kSizeBlank:
    case State::kExtension:
    case State::kSizeLf:
      return TakeSize(c);
    case State::kDataCr:
    case State::kDataLf: {
      bool cr = state_ == State::kDataCr;
      if (c != (cr ? '\r' : '\n')) return BadBody("a chunk's data is not followed by CRLF");
      state_ = cr ? State::kDataLf : State::kSize;
      digits_ = 0;
      return std::nullopt;
    }
    default:
      return TakeTrailer(c);
  }
}

std::optional<Refusal> BodyDecoder::TakeSize(char c) {
  if (state_ == State::kSizeLf) {
    if (c != '\n') return BadBody("a CR without its LF after a chunk's size");
    if (left_ > limits_.max_body_bytes - received_) return TooLarge(limits_);
    received_ += left_;
    state_ = left_ == 0 ? State::kTrailer : State::kData;
    return std::nullopt;
  }
  if (int digit = HexValue(c); state_ == State::kSize && digit >= 0) {
    if (++digits_ > kMaxSizeDigits) return BadBody("a chunk's size has more than 16 digits");
    left_ = left_ * 16 + static_cast<uint64_t>(digit);
    return std::nullopt;
  }
  if (digits_ == 0) return BadBody("a chunk does not begin with its size in hex");
  if (c == '\r' && state_ != State::kSizeBlank) {
    state_ = State::kSizeLf;
    return std::nullopt;
  }
  if (++overhead_ > limits_.max_head_bytes) {
    return Refusal{431, "HeadersTooLarge", "the chunk extensions are over the limit"};
  }
  if (state_ != State::kExtension) {
    if (c == ';') {
      state_ = State::kExtension;
    } else if (c == ' ' || c == '\t') {
      state_ = State::kSizeBlank;
    } else {
      return BadBody("a chunk's size is followed by something else than CRLF or an extension");
    }
  } else if (IsControlInLine(c)) {
    return BadBody("a chunk extension holds a control character");
  }
  return std::nullopt;
}

std::optional<Refusal> BodyDecoder::TakeTrailer(char c) {
  if (++overhead_ > limits_.max_head_bytes) {
    return Refusal{431, "HeadersTooLarge", "the trailers are over the limit"};
  }
  if (state_ == State::kTrailer) {
    if (c == '\r') {
      state_ = State::kTrailerLf;
    } else if (IsControlInLine(c)) {
      return BadBody("a trailer holds a control character");
    } else {
      trailer_.push_back(c);
    }
    return std::nullopt;
  }
  if (c != '\n') return BadBody("a CR without its LF in a trailer");
  if (trailer_.empty()) {
    state_ = State::kDone;
    return std::nullopt;
  }
  auto field = ParseFieldLine(trailer_);
  trailer_.clear();
  state_ = State::kTrailer;
  if (auto* refusal = std::get_if<Refusal>(&field)) return std::move(*refusal);
  return std::nullopt;
}

}  // namespace bertie::http
