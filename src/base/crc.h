// Cyclic redundancy checks of a stream, reflected, all ones at the start and inverted at the end:
// CRC-32 of ISO-HDLC (zip, PNG), CRC-32C (Castagnoli), and CRC-64/NVME.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bertie {

enum class CrcKind { kCrc32, kCrc32c, kCrc64Nvme };

class Crc {
 public:
  explicit Crc(CrcKind kind);

  void Update(std::string_view bytes);
  // Of the bytes so far; 32 bits in the lower half for the first two.
  uint64_t value() const;
  // The same, most significant byte first: 4 or 8 bytes.
  std::string Bytes() const;

 private:
  CrcKind kind_;
  uint64_t state_;
};

}  // namespace bertie
