// Zip archives, as far as PyTorch writes them. (PKWARE's APPNOTE.TXT)
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "base/status.h"

namespace bertie::formats {

struct ZipEntry {
  // Where its bytes lie; empty where they are not as they were (compressed, encrypted).
  std::span<const std::byte> data;
  std::span<const std::byte> packed;  // the same, compressed or not
  uint64_t size = 0;                  // of the content
  uint16_t method = 0;                // 0: stored, 8: deflated
  bool encrypted = false;
};

// The checked directory of an archive in memory that outlives it.
//
// Tensors and pickles are read where they lie, without a copy: torch.save stores them, so such an
// entry never grows when it is read. TorchScript's code is deflated; ReadText inflates it.
class ZipArchive {
 public:
  // Reads the directory, in the zip64 form too. kInvalidData: records that leave the file, an entry
  // whose local header says something else than the directory, entries that overlap, a name that
  // comes twice, is absolute or has a drive, "..", a backslash or a NUL; kUnsupported: archives in
  // several parts; kResourceExhausted: more than 65,536 entries.
  static Result<ZipArchive> Parse(std::span<const std::byte> bytes, const std::string& where);

  // True for bytes that begin as a zip archive does.
  static bool Sniff(std::span<const std::byte> bytes);

  const std::map<std::string, ZipEntry>& entries() const { return entries_; }

  // An entry's content. kNotFound when there is none of that name, kUnsupported when it is
  // compressed or encrypted. Checksums are not looked at.
  Result<std::span<const std::byte>> Read(const std::string& name) const;

  // An entry's content, inflated where it is deflated (RFC 1951). kResourceExhausted when it is
  // over max_bytes, or over 200 bytes for each compressed one once it is over 1 MiB, both before
  // anything is allocated; kInvalidData when the data or the size it gives is not what the
  // directory says; else as Read.
  Result<std::string> ReadText(const std::string& name, uint64_t max_bytes) const;

 private:
  Error TooLarge(const std::string& name, uint64_t size, uint64_t limit) const;

  std::string where_;
  std::map<std::string, ZipEntry> entries_;
};

}  // namespace bertie::formats
