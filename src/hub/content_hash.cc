#include "hub/content_hash.h"

#include <algorithm>

#include "base/encoding.h"

namespace bertie::hub {
namespace {

bool IsHex(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

ContentHash::ContentHash(const std::string& etag, int64_t size) {
  if (!IsHex(etag)) return;
  sha256_ = etag.size() == 64;
  if (sha256_) digest_.emplace(DigestKind::kSha256);
  if (etag.size() == 40) {
    digest_.emplace(DigestKind::kSha1);
    const std::string head = "blob " + std::to_string(size);
    digest_->Update(std::string_view(head.c_str(), head.size() + 1));  // with the zero byte
  }
}

void ContentHash::Update(std::string_view bytes) {
  if (digest_) digest_->Update(bytes);
}

std::string ContentHash::Finish() { return digest_ ? Hex(digest_->Finish()) : ""; }

}  // namespace bertie::hub
