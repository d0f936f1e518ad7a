#include "formats/tfrecord.h"

#include <gtest/gtest.h>

#include <string>

namespace bertie::formats {
namespace {

// RFC 3720, appendix B.4 (the bytes there stand in the order of transmission).
TEST(Crc32c, PublishedValues) {
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string rising;
  for (char c = 0; c < 32; ++c) rising += c;
  EXPECT_EQ(Crc32c(rising), 0x46dd794eu);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(""), 0u);
}

TEST(FrameTfRecord, LengthChecksumPayloadChecksum) {
  const std::string record = FrameTfRecord("123456789");
  ASSERT_EQ(record.size(), 8u + 4 + 9 + 4);
  EXPECT_EQ(record.substr(0, 8), std::string("\x09\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(record.substr(12, 9), "123456789");
  // 0xe3069283 rotated right by 15, plus 0xa282ead8.
  const uint32_t masked = ((0xe3069283u >> 15) | (0xe3069283u << 17)) + 0xa282ead8u;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(static_cast<unsigned char>(record[21 + static_cast<size_t>(i)]),
              (masked >> (8 * i)) & 0xff);
  }
}

TEST(FrameTfRecord, EmptyPayload) { EXPECT_EQ(FrameTfRecord("").size(), 16u); }

}  // namespace
}  // namespace bertie::formats
