#include "base/sha256.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <vector>

#include "base/file.h"

namespace bertie {

struct Sha256::Impl {
  // SHA-256 itself cannot fail in libcrypto; only memory can.
  Impl() : context(EVP_MD_CTX_new()) {
    if (context == nullptr || EVP_DigestInit_ex(context, EVP_sha256(), nullptr) != 1) {
      EVP_MD_CTX_free(context);
      throw std::bad_alloc();
    }
  }
  ~Impl() { EVP_MD_CTX_free(context); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  EVP_MD_CTX* context;
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {}
Sha256::~Sha256() = default;

void Sha256::Update(std::span<const std::byte> bytes) {
  EVP_DigestUpdate(impl_->context, bytes.data(), bytes.size());
}

std::string Sha256::Finish() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  EVP_DigestFinal_ex(impl_->context, digest, &length);
  std::string text;
  for (unsigned i = 0; i < length; ++i) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

Result<std::string> Sha256OfFile(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FileError(errno, path, "open");
  Sha256 sha;
  std::vector<std::byte> piece(size_t{1} << 20);
  ssize_t got = 0;
  int failed = 0;
  do {
    got = ::read(fd, piece.data(), piece.size());
    if (got > 0) sha.Update(std::span(piece).first(static_cast<size_t>(got)));
    failed = got < 0 ? errno : 0;
  } while (got > 0 || failed == EINTR);
  ::close(fd);
  if (failed != 0) return FileError(failed, path, "read");
  return sha.Finish();
}

}  // namespace bertie
