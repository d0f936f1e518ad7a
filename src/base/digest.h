// Message digests of a stream: MD5 (RFC 1321), SHA-1 and SHA-256 (FIPS 180-4). The first two prove
// nothing against an attacker; S3 uses them as checksums.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace bertie {

enum class DigestKind { kMd5, kSha1, kSha256 };

// One thread at a time.
class Digest {
 public:
  explicit Digest(DigestKind kind);
  ~Digest();
  Digest(Digest&& other) noexcept;
  Digest& operator=(Digest&& other) noexcept;

  void Update(std::string_view bytes);
  // The digest as raw bytes: 16, 20 or 32. Once; nothing may follow.
  std::string Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Of one piece of text, as raw bytes.
std::string DigestOf(DigestKind kind, std::string_view bytes);

}  // namespace bertie
