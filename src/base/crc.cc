#include "base/crc.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

namespace bertie {
namespace {

// tables[k][b]: what byte b does to the remainder with k more bytes after it. Eight steps at a time
// (Kounavis and Berry, "A systematic approach to building high performance software-based CRC
// generators", 2005): some 2 GB/s, where a table of single bytes reaches 0.4.
constexpr size_t kSlices = 8;
using Tables = std::array<std::array<uint64_t, 256>, kSlices>;

constexpr Tables MakeTables(uint64_t reflected_polynomial) {
  Tables tables{};
  for (uint64_t byte = 0; byte < 256; ++byte) {
    uint64_t value = byte;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value >> 1) ^ ((value & 1) != 0 ? reflected_polynomial : 0);
    }
    tables[0][byte] = value;
  }
  for (size_t k = 1; k < kSlices; ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint64_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables kCrc32Tables = MakeTables(0xedb88320);
constexpr Tables kCrc32cTables = MakeTables(0x82f63b78);
constexpr Tables kCrc64NvmeTables = MakeTables(0x9a6c9329ac4bc9b5);

const Tables& TablesOf(CrcKind kind) {
  switch (kind) {
    case CrcKind::kCrc32:
      return kCrc32Tables;
    case CrcKind::kCrc32c:
      return kCrc32cTables;
    default:
      return kCrc64NvmeTables;
  }
}

static_assert(std::endian::native == std::endian::little);

}  // namespace

Crc::Crc(CrcKind kind)
    : kind_(kind), state_(kind == CrcKind::kCrc64Nvme ? ~uint64_t{0} : 0xffffffff) {}

void Crc::Update(std::string_view bytes) {
  const Tables& tables = TablesOf(kind_);
  uint64_t state = state_;
  const char* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word;
    std::memcpy(&word, at, sizeof(word));
    word ^= state;
    state = 0;
    for (size_t k = 0; k < kSlices; ++k) state ^= tables[7 - k][word >> (8 * k) & 0xff];
  }
  for (; left > 0; ++at, --left) {
    state = (state >> 8) ^ tables[0][(state ^ static_cast<unsigned char>(*at)) & 0xff];
  }
  state_ = state;
}

uint64_t Crc::value() const {
  return kind_ == CrcKind::kCrc64Nvme ? ~state_ : ~state_ & 0xffffffff;
}

std::string Crc::Bytes() const {
  const int size = kind_ == CrcKind::kCrc64Nvme ? 8 : 4;
  std::string bytes;
  for (int i = size - 1; i >= 0; --i) bytes += static_cast<char>(value() >> (8 * i) & 0xff);
  return bytes;
}

}  // namespace bertie
