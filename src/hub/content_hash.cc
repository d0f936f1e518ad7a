#include "hub/content_hash.h"

#include <algorithm>

namespace bertie::hub {
namespace {

bool IsHex(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

ContentHash::ContentHash(const std::string& etag, int64_t size) {
  if (!IsHex(etag)) return;
  if (etag.size() == 64) sha256_.emplace();
  if (etag.size() == 40) {
    sha1_.emplace();
    const std::string head = "blob " + std::to_string(size);
    sha1_->Update(std::string_view(head.c_str(), head.size() + 1));  // with the zero byte
  }
}

void ContentHash::Update(std::string_view bytes) {
  if (sha256_) sha256_->Update(bytes);
  if (sha1_) sha1_->Update(bytes);
}

std::string ContentHash::Finish() {
  if (sha256_) return sha256_->Finish();
  return sha1_ ? sha1_->Finish() : "";
}

}  // namespace bertie::hub
