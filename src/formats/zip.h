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
  uint16_t method = 0;  // 0: stored
  bool encrypted = false;
};

// The checked directory of an archive in memory that outlives it.
//
// Only entries that are stored can be read, since torch.save stores all of a state dict; so an
// archive can never grow when it is read, and the data is used where it lies, without a copy.
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

 private:
  std::string where_;
  std::map<std::string, ZipEntry> entries_;
};

}  // namespace bertie::formats
