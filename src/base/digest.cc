#include "base/digest.h"

#include <openssl/evp.h>

#include <new>

namespace bertie {
namespace {

const EVP_MD* Method(DigestKind kind) {
  switch (kind) {
    case DigestKind::kMd5:
      return EVP_md5();
    case DigestKind::kSha1:
      return EVP_sha1();
    default:
      return EVP_sha256();
  }
}

}  // namespace

struct Digest::Impl {
  explicit Impl(DigestKind kind) : context(EVP_MD_CTX_new()) {
    // Besides memory, a libcrypto in FIPS mode without MD5 can refuse.
    if (context == nullptr || EVP_DigestInit_ex(context, Method(kind), nullptr) != 1) {
      EVP_MD_CTX_free(context);
      throw std::bad_alloc();
    }
  }
  ~Impl() { EVP_MD_CTX_free(context); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  EVP_MD_CTX* context;
};

Digest::Digest(DigestKind kind) : impl_(std::make_unique<Impl>(kind)) {}
Digest::~Digest() = default;
Digest::Digest(Digest&& other) noexcept = default;
Digest& Digest::operator=(Digest&& other) noexcept = default;

void Digest::Update(std::string_view bytes) {
  EVP_DigestUpdate(impl_->context, bytes.data(), bytes.size());
}

std::string Digest::Finish() {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  EVP_DigestFinal_ex(impl_->context, bytes, &length);
  return {reinterpret_cast<const char*>(bytes), length};
}

std::string DigestOf(DigestKind kind, std::string_view bytes) {
  Digest digest(kind);
  digest.Update(bytes);
  return digest.Finish();
}

}  // namespace bertie
