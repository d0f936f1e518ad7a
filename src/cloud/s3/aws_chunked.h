// Content-Encoding: aws-chunked: a body in chunks that may each be signed, with checksums after it.
// Source: "Signature calculations for the authorization header: transferring payload in multiple
// chunks" and "... including trailing headers" in Amazon S3's API reference.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "cloud/failure.h"
#include "cloud/sigv4.h"
#include "http/message.h"

namespace bertie::cloud {

struct AwsChunkedOptions {
  bool is_signed = false;    // each chunk carries a signature
  bool has_trailer = false;  // fields may follow the last chunk
  Verified verified = {};    // what signatures are checked by; not at all where it holds no key
};

class AwsChunkedDecoder {
 public:
  explicit AwsChunkedDecoder(AwsChunkedOptions options);

  // Appends the bytes that `in` holds to out. Fails with InvalidRequest for anything outside the
  // grammar, IncompleteBody for bytes after the end, SignatureDoesNotMatch for a wrong signature.
  // Bytes given out before a failure are not to be trusted.
  Done Feed(std::string_view in, std::string& out);

  bool done() const { return state_ == State::kDone; }
  const std::vector<http::Field>& trailers() const { return trailers_; }

 private:
  enum class State { kHead, kData, kDataEnd, kTrailer, kDone };

  Done TakeLine();
  Done TakeHead();
  Done TakeTrailer();
  Done CheckChunk();
  Done CheckTrailer(const std::string& signature);

  AwsChunkedOptions options_;
  State state_ = State::kHead;
  std::string line_;
  uint64_t left_ = 0;
  bool last_ = false;
  std::string signature_;  // the chunk's, as it says
  std::string previous_;   // the one before it
  std::optional<Digest> digest_;
  std::vector<http::Field> trailers_;
};

}  // namespace bertie::cloud
