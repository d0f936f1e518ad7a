// Whether a file is what its name in the cache says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/digest.h"

namespace bertie::hub {

// By the length of the etag: 64 digits are SHA-256 of the content, 40 are git's SHA-1 of a blob
// ("blob SIZE\0" before the content); others (of a mirror) say nothing about it.
class ContentHash {
 public:
  ContentHash(const std::string& etag, int64_t size);

  void Update(std::string_view bytes);
  // Once. "" where the etag says nothing, else the digits.
  std::string Finish();
  const char* name() const { return sha256_ ? "SHA-256" : "git's SHA-1"; }

 private:
  std::optional<Digest> digest_;
  bool sha256_ = false;
};

}  // namespace bertie::hub
