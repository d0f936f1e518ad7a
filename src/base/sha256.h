// SHA-256 (FIPS 180-4), to know content by.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace bertie {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(std::span<const std::byte> bytes);
  void Update(std::string_view text) { Update(std::as_bytes(std::span(text))); }

  // 64 hexadecimal digits. Once; nothing may follow.
  std::string Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Of a whole file, read in pieces. Errors name the path.
Result<std::string> Sha256OfFile(const std::filesystem::path& path);

}  // namespace bertie
