#include "cloud/s3/aws_chunked.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/ascii.h"
#include "base/encoding.h"
#include "http/head_parser.h"

namespace bertie::cloud {
namespace {

constexpr size_t kMaxLine = 8 * 1024;
constexpr size_t kMaxTrailers = 20;
constexpr std::string_view kChunkSignature = ";chunk-signature=";

Failure Invalid(const std::string& what) {
  return {"InvalidRequest", "the aws-chunked body is malformed: " + what};
}

Failure Mismatch() {
  return {"SignatureDoesNotMatch",
          "The signature of a chunk does not match the one calculated from its bytes."};
}

}  // namespace

AwsChunkedDecoder::AwsChunkedDecoder(AwsChunkedOptions options)
    : options_(std::move(options)), previous_(options_.verified.signature) {}

Done AwsChunkedDecoder::Feed(std::string_view in, std::string& out) {
  while (!in.empty()) {
    if (state_ == State::kDone) {
      return Failure("IncompleteBody", "bytes follow the end of the aws-chunked body");
    }
    if (state_ == State::kData) {
      const auto take = static_cast<size_t>(std::min<uint64_t>(left_, in.size()));
      out.append(in.substr(0, take));
      if (digest_) digest_->Update(in.substr(0, take));
      in.remove_prefix(take);
      left_ -= take;
      if (left_ == 0) state_ = State::kDataEnd;
      continue;
    }
    const size_t end = in.find('\n');
    const std::string_view piece = in.substr(0, end == std::string_view::npos ? end : end + 1);
    if (line_.size() + piece.size() > kMaxLine) return Invalid("a line is too long");
    line_.append(piece);
    in.remove_prefix(piece.size());
    if (end == std::string_view::npos) break;
    if (!line_.ends_with("\r\n")) return Invalid("a line does not end in CRLF");
    line_.resize(line_.size() - 2);
    if (Done done = TakeLine(); !done.ok()) return done;
    line_.clear();
  }
  return std::monostate();
}

Done AwsChunkedDecoder::TakeLine() {
  switch (state_) {
    case State::kHead:
      return TakeHead();
    case State::kDataEnd:
      if (!line_.empty()) return Invalid("a chunk is longer than its size");
      state_ = State::kHead;
      return CheckChunk();
    default:
      return TakeTrailer();
  }
}

Done AwsChunkedDecoder::TakeHead() {
  const size_t digits = std::min(line_.find_first_not_of("0123456789abcdefABCDEF"), line_.size());
  if (digits == 0 || digits > 15) return Invalid("a chunk does not begin with its size in hex");
  left_ = std::stoull(line_.substr(0, digits), nullptr, 16);
  std::string_view rest = std::string_view(line_).substr(digits);
  if (options_.is_signed) {
    if (!rest.starts_with(kChunkSignature)) return Invalid("a chunk without its signature");
    signature_ = rest.substr(kChunkSignature.size());
    digest_.emplace(DigestKind::kSha256);
  } else if (!rest.empty() && rest[0] != ';') {
    return Invalid("something else than an extension follows a chunk's size");
  }
  last_ = left_ == 0;
  state_ = last_ ? State::kTrailer : State::kData;
  return last_ ? CheckChunk() : Done(std::monostate());
}

Done AwsChunkedDecoder::CheckChunk() {
  if (!options_.is_signed || options_.verified.signing_key.empty()) return std::monostate();
  const std::string to_sign = "AWS4-HMAC-SHA256-PAYLOAD\n" + options_.verified.timestamp + "\n" +
                              options_.verified.scope + "\n" + previous_ + "\n" +
                              std::string(kEmptySha256) + "\n" + Hex(digest_->Finish());
  digest_.reset();
  if (!SameSecret(Sign(options_.verified.signing_key, to_sign), signature_)) return Mismatch();
  previous_ = std::exchange(signature_, {});
  return std::monostate();
}

Done AwsChunkedDecoder::TakeTrailer() {
  if (line_.empty()) {
    state_ = State::kDone;
    const bool must_sign =
        options_.is_signed && options_.has_trailer && !options_.verified.signing_key.empty();
    std::string signature;
    std::erase_if(trailers_, [&](const http::Field& field) {
      if (!http::EqualsIgnoreCase(field.name, "x-amz-trailer-signature")) return false;
      signature = field.value;
      return true;
    });
    return must_sign ? CheckTrailer(signature) : Done(std::monostate());
  }
  if (!options_.has_trailer) return Invalid("fields follow it, which x-amz-content-sha256 denies");
  auto field = http::ParseFieldLine(line_);
  if (auto* refusal = std::get_if<http::Refusal>(&field)) return Invalid(refusal->message);
  if (trailers_.size() == kMaxTrailers) return Invalid("too many trailers");
  trailers_.push_back(std::get<http::Field>(std::move(field)));
  return std::monostate();
}

Done AwsChunkedDecoder::CheckTrailer(const std::string& signature) {
  std::string lines;
  for (const http::Field& field : trailers_) {
    lines += AsciiLower(field.name) + ":" + field.value + "\n";
  }
  const std::string to_sign = "AWS4-HMAC-SHA256-TRAILER\n" + options_.verified.timestamp + "\n" +
                              options_.verified.scope + "\n" + previous_ + "\n" +
                              Hex(DigestOf(DigestKind::kSha256, lines));
  if (!SameSecret(Sign(options_.verified.signing_key, to_sign), signature)) return Mismatch();
  return std::monostate();
}

}  // namespace bertie::cloud
