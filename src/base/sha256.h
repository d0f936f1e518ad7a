// SHA-256 (FIPS 180-4), to know content by.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/encoding.h"
#include "base/status.h"

namespace bertie {

class Sha256 {
 public:
  void Update(std::span<const std::byte> bytes) { digest_.Update(AsText(bytes)); }
  void Update(std::string_view text) { digest_.Update(text); }

  // 64 hexadecimal digits. Once; nothing may follow.
  std::string Finish() { return Hex(digest_.Finish()); }

 private:
  Digest digest_{DigestKind::kSha256};
};

// Whether the text has the form of Finish's: 64 digits, letters in lower case.
bool IsSha256(std::string_view text);

// Of a whole file, read in pieces. Errors name the path.
Result<std::string> Sha256OfFile(const std::filesystem::path& path);

}  // namespace bertie
