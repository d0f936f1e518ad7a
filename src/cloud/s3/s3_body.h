// The body of an S3 object or part on its way into a blob: in which form it comes, and what must be
// true of it.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "cloud/failure.h"
#include "cloud/s3/aws_chunked.h"
#include "cloud/s3/blob_files.h"
#include "cloud/s3/object_store.h"
#include "http/message.h"

namespace bertie::cloud {

// CRC32, CRC32C, CRC64NVME, SHA1, SHA256: the value of one stream, raw bytes.
class ChecksumStream {
 public:
  // Null for another algorithm's name.
  static std::unique_ptr<ChecksumStream> Create(std::string_view algorithm);
  virtual ~ChecksumStream() = default;
  virtual void Update(std::string_view bytes) = 0;
  virtual std::string Finish() = 0;
};

// "x-amz-checksum-crc32" for CRC32.
std::string ChecksumFieldName(std::string_view algorithm);
// The algorithm of such a name, whatever its case; empty for any other name.
std::string ChecksumAlgorithmOf(std::string_view field_name);

// What the head of a request says of its body.
struct BodyRules {
  bool chunked = false;
  AwsChunkedOptions chunks = {};
  std::optional<uint64_t> length = {};       // of the bytes themselves
  std::optional<std::string> sha256 = {};    // hexadecimal
  std::optional<std::string> md5 = {};       // raw bytes
  std::string checksum_algorithm = {};       // empty: none asked for
  std::optional<std::string> checksum = {};  // Base64; absent: it follows, or is to be computed
  bool checksum_follows = false;             // in a trailer

  // InvalidRequest, InvalidDigest or NotImplemented for what cannot be kept.
  static Outcome<BodyRules> Of(const http::RequestHead& head, const Verified& verified);
};

// MD5 of a large body costs as much time as all the rest of it; it is computed beside that, on a
// thread of its own, unless `slots` such threads run already.
class BackgroundMd5;

class S3Body {
 public:
  // computed: the algorithm whose checksum the result holds where the request names none.
  S3Body(BodyRules rules, std::unique_ptr<BlobWriter> blob, const std::string& computed,
         std::shared_ptr<std::atomic<int>> slots);
  ~S3Body();

  // The next bytes as they came.
  Done Write(std::string_view bytes);

  struct Result {
    std::string md5;  // raw bytes
    Checksum checksum;
  };
  // BadDigest, XAmzContentSHA256Mismatch or IncompleteBody when the whole is not what was said.
  Outcome<Result> Finish();

  BlobWriter& blob() { return *blob_; }

 private:
  Done Take(std::string_view bytes);

  BodyRules rules_;
  std::unique_ptr<BlobWriter> blob_;
  std::optional<AwsChunkedDecoder> decoder_;
  std::unique_ptr<BackgroundMd5> md5_;
  std::optional<Digest> sha256_;
  std::unique_ptr<ChecksumStream> checksum_;
  std::string decoded_;
};

}  // namespace bertie::cloud
