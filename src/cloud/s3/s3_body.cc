#include "cloud/s3/s3_body.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "base/ascii.h"
#include "base/crc.h"
#include "base/digest.h"
#include "base/encoding.h"

namespace bertie::cloud {
namespace {

constexpr std::array<const char*, 5> kAlgorithms = {"CRC32", "CRC32C", "CRC64NVME", "SHA1",
                                                    "SHA256"};
constexpr std::string_view kChecksumPrefix = "x-amz-checksum-";
constexpr uint64_t kLarge = uint64_t{1} << 20;
constexpr size_t kQueued = 8;  // pieces that wait for the thread

class CrcStream : public ChecksumStream {
 public:
  explicit CrcStream(CrcKind kind) : crc_(kind) {}
  void Update(std::string_view bytes) override { crc_.Update(bytes); }
  std::string Finish() override { return crc_.Bytes(); }

 private:
  Crc crc_;
};

class ShaStream : public ChecksumStream {
 public:
  explicit ShaStream(DigestKind kind) : digest_(kind) {}
  void Update(std::string_view bytes) override { digest_.Update(bytes); }
  std::string Finish() override { return digest_.Finish(); }

 private:
  Digest digest_;
};

bool IsSha256Hex(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// x-amz-content-sha256.
Done ReadPayloadWord(const std::string& word, const Verified& verified, BodyRules& rules) {
  if (word == kUnsignedPayload) return std::monostate();
  if (IsSha256Hex(word)) {
    rules.sha256 = word;
    return std::monostate();
  }
  const bool is_signed = word.starts_with("STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
  const bool has_trailer = word.ends_with("-TRAILER");
  if (word != "STREAMING-UNSIGNED-PAYLOAD-TRAILER" &&
      word != "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" &&
      word != "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER") {
    return Failure("InvalidRequest",
                   "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING-... word of "
                   "AWS4-HMAC-SHA256, or a valid sha256 value.");
  }
  rules.chunked = true;
  rules.chunks = {.is_signed = is_signed, .has_trailer = has_trailer, .verified = verified};
  return std::monostate();
}

Done ReadChecksums(const http::RequestHead& head, BodyRules& rules) {
  for (const http::Field& field : head.fields) {
    const std::string algorithm = ChecksumAlgorithmOf(field.name);
    if (algorithm.empty()) continue;
    if (!rules.checksum_algorithm.empty()) {
      return Failure("InvalidRequest", "Expecting a single x-amz-checksum- header.");
    }
    rules.checksum_algorithm = algorithm;
    rules.checksum = field.value;
    const auto bytes = DecodeBase64(field.value);
    if (!bytes || bytes->size() != ChecksumStream::Create(algorithm)->Finish().size()) {
      return Failure("InvalidRequest", "Value for " + field.name + " header is invalid.");
    }
  }
  if (!rules.checksum_algorithm.empty()) return std::monostate();
  if (const std::string* trailer = head.Find("x-amz-trailer")) {
    rules.checksum_algorithm = ChecksumAlgorithmOf(*trailer);
    rules.checksum_follows = rules.chunks.has_trailer;
    if (rules.checksum_algorithm.empty()) {
      return Failure("InvalidRequest",
                     "The value specified in the x-amz-trailer header is not supported");
    }
  } else if (const std::string* name = head.Find("x-amz-sdk-checksum-algorithm")) {
    rules.checksum_algorithm = *name;
    if (!ChecksumStream::Create(*name)) {
      return Failure("InvalidRequest", "x-amz-sdk-checksum-algorithm names no known algorithm");
    }
  }
  return std::monostate();
}

}  // namespace

std::unique_ptr<ChecksumStream> ChecksumStream::Create(std::string_view algorithm) {
  if (algorithm == "CRC32") return std::make_unique<CrcStream>(CrcKind::kCrc32);
  if (algorithm == "CRC32C") return std::make_unique<CrcStream>(CrcKind::kCrc32c);
  if (algorithm == "CRC64NVME") return std::make_unique<CrcStream>(CrcKind::kCrc64Nvme);
  if (algorithm == "SHA1") return std::make_unique<ShaStream>(DigestKind::kSha1);
  if (algorithm == "SHA256") return std::make_unique<ShaStream>(DigestKind::kSha256);
  return nullptr;
}

std::string ChecksumFieldName(std::string_view algorithm) {
  return std::string(kChecksumPrefix) + AsciiLower(std::string(algorithm));
}

std::string ChecksumAlgorithmOf(std::string_view field_name) {
  for (const char* algorithm : kAlgorithms) {
    if (http::EqualsIgnoreCase(field_name, ChecksumFieldName(algorithm))) return algorithm;
  }
  return {};
}

Outcome<BodyRules> BodyRules::Of(const http::RequestHead& head, const Verified& verified) {
  BodyRules rules;
  if (const std::string* word = head.Find("x-amz-content-sha256")) {
    if (Done done = ReadPayloadWord(*word, verified, rules); !done.ok()) return done.error();
  }
  if (rules.chunked) {
    const std::string* length = head.Find("x-amz-decoded-content-length");
    if (length == nullptr || length->empty() || length->size() > 15 ||
        length->find_first_not_of("0123456789") != std::string::npos) {
      return Failure("MissingContentLength",
                     "You must provide the x-amz-decoded-content-length HTTP header.");
    }
    rules.length = std::stoull(*length);
  } else if (!head.chunked) {
    if (head.Find("Content-Length") == nullptr) {
      return Failure("MissingContentLength", "You must provide the Content-Length HTTP header.");
    }
    rules.length = head.content_length;
  } else {
    return Failure("MissingContentLength", "You must provide the Content-Length HTTP header.");
  }
  if (const std::string* md5 = head.Find("Content-MD5")) {
    rules.md5 = DecodeBase64(*md5);
    if (!rules.md5 || rules.md5->size() != 16) {
      return Failure("InvalidDigest", "The Content-MD5 you specified was invalid.");
    }
  }
  if (Done done = ReadChecksums(head, rules); !done.ok()) return done.error();
  return rules;
}

class BackgroundMd5 {
 public:
  explicit BackgroundMd5(std::shared_ptr<std::atomic<int>> slots) : slots_(std::move(slots)) {}
  ~BackgroundMd5() { End(); }

  // is_large: worth a thread.
  void Update(std::string_view bytes, bool is_large) {
    if (is_large && !thread_.joinable() && TakeSlot()) {
      thread_ = std::thread([this] { Run(); });
    }
    if (!thread_.joinable()) return digest_.Update(bytes);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return queue_.size() < kQueued; });
    queue_.emplace_back(bytes);
    changed_.notify_all();
  }

  std::string Finish() {
    End();
    return digest_.Finish();
  }

 private:
  bool TakeSlot() {
    if (slots_->fetch_sub(1) > 0) return has_slot_ = true;
    slots_->fetch_add(1);
    return false;
  }

  void End() {
    if (thread_.joinable()) {
      {
        std::lock_guard lock(mutex_);
        ended_ = true;
      }
      changed_.notify_all();
      thread_.join();
    }
    if (std::exchange(has_slot_, false)) slots_->fetch_add(1);
  }

  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return ended_ || !queue_.empty(); });
      if (queue_.empty()) return;
      const std::string piece = std::move(queue_.front());
      queue_.pop_front();
      changed_.notify_all();
      lock.unlock();
      digest_.Update(piece);
      lock.lock();
    }
  }

  std::shared_ptr<std::atomic<int>> slots_;
  bool has_slot_ = false;
  Digest digest_{DigestKind::kMd5};  // the thread's while it runs
  std::mutex mutex_;                 // guards queue_ and ended_
  std::condition_variable changed_;
  std::deque<std::string> queue_;
  bool ended_ = false;
  std::thread thread_;
};

S3Body::S3Body(BodyRules rules, std::unique_ptr<BlobWriter> blob, const std::string& computed,
               std::shared_ptr<std::atomic<int>> slots)
    : rules_(std::move(rules)),
      blob_(std::move(blob)),
      md5_(std::make_unique<BackgroundMd5>(std::move(slots))) {
  if (rules_.checksum_algorithm.empty()) rules_.checksum_algorithm = computed;
  if (rules_.chunked) decoder_.emplace(rules_.chunks);
  if (rules_.sha256) sha256_.emplace(DigestKind::kSha256);
  checksum_ = ChecksumStream::Create(rules_.checksum_algorithm);
}

S3Body::~S3Body() = default;

Done S3Body::Write(std::string_view bytes) {
  if (!decoder_) return Take(bytes);
  decoded_.clear();
  if (Done done = decoder_->Feed(bytes, decoded_); !done.ok()) return done;
  return Take(decoded_);
}

Done S3Body::Take(std::string_view bytes) {
  if (rules_.length && blob_->size() + bytes.size() > *rules_.length) {
    return Failure("IncompleteBody", "The body is longer than the Content-Length HTTP header said");
  }
  md5_->Update(bytes, blob_->size() >= kLarge || rules_.length.value_or(0) >= 4 * kLarge);
  if (sha256_) sha256_->Update(bytes);
  if (checksum_) checksum_->Update(bytes);
  BERTIE_RETURN_IF_ERROR(blob_->Write(bytes));
  return std::monostate();
}

Outcome<S3Body::Result> S3Body::Finish() {
  if ((decoder_ && !decoder_->done()) || (rules_.length && blob_->size() != *rules_.length)) {
    return Failure("IncompleteBody",
                   "You did not provide the number of bytes specified by the Content-Length HTTP "
                   "header");
  }
  Result result;
  result.md5 = md5_->Finish();
  if (rules_.md5 && *rules_.md5 != result.md5) {
    return Failure("BadDigest", "The Content-MD5 you specified did not match what we received.");
  }
  if (sha256_ && Hex(sha256_->Finish()) != *rules_.sha256) {
    return Failure("XAmzContentSHA256Mismatch",
                   "The provided 'x-amz-content-sha256' header does not match what was computed.");
  }
  if (!checksum_) return result;
  result.checksum = {rules_.checksum_algorithm, Base64(checksum_->Finish()), false};
  std::optional<std::string> said = rules_.checksum;
  if (decoder_) {
    for (const http::Field& field : decoder_->trailers()) {
      if (ChecksumAlgorithmOf(field.name) == rules_.checksum_algorithm) said = field.value;
    }
  }
  if (!said && rules_.checksum_follows) {
    return Failure(
        "MalformedTrailerError",
        "The request contained trailing data that was not well-formed or did not conform "
        "to our published schema.");
  }
  if (said && *said != result.checksum.value) {
    return Failure("BadDigest", "The " + rules_.checksum_algorithm +
                                    " you specified did not match the calculated checksum.");
  }
  return result;
}

}  // namespace bertie::cloud
