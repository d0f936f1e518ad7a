#include "base/digest.h"

#include <gtest/gtest.h>

#include "base/crc.h"
#include "base/encoding.h"

namespace bertie {
namespace {

// RFC 1321 A.5; FIPS 180-4's example "abc".
TEST(Digest, PublishedValues) {
  EXPECT_EQ(Hex(DigestOf(DigestKind::kMd5, "")), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(Hex(DigestOf(DigestKind::kMd5, "message digest")), "f96b697d7cb7938d525a2f31aaf161d0");
  EXPECT_EQ(Hex(DigestOf(DigestKind::kSha1, "abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(Hex(DigestOf(DigestKind::kSha256, "abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Digest, PiecesGiveTheWhole) {
  Digest digest(DigestKind::kMd5);
  digest.Update("message ");
  digest.Update("");
  digest.Update("digest");
  EXPECT_EQ(digest.Finish(), DigestOf(DigestKind::kMd5, "message digest"));
}

// The check values of the RevEng catalogue: of "123456789".
TEST(Crc, CheckValues) {
  const auto of = [](CrcKind kind, std::string_view text) {
    Crc crc(kind);
    crc.Update(text);
    return crc.value();
  };
  EXPECT_EQ(of(CrcKind::kCrc32, "123456789"), 0xcbf43926);
  EXPECT_EQ(of(CrcKind::kCrc32c, "123456789"), 0xe3069283);
  EXPECT_EQ(of(CrcKind::kCrc64Nvme, "123456789"), 0xae8b14860a799888);
  EXPECT_EQ(of(CrcKind::kCrc32, ""), 0u);
  EXPECT_EQ(of(CrcKind::kCrc64Nvme, ""), 0u);
}

TEST(Crc, PiecesOfAnyLengthGiveTheWhole) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += static_cast<char>(i * 37);
  for (CrcKind kind : {CrcKind::kCrc32, CrcKind::kCrc32c, CrcKind::kCrc64Nvme}) {
    Crc whole(kind);
    whole.Update(text);
    for (size_t cut = 0; cut <= text.size(); ++cut) {
      Crc pieces(kind);
      pieces.Update(std::string_view(text).substr(0, cut));
      pieces.Update(std::string_view(text).substr(cut));
      ASSERT_EQ(pieces.value(), whole.value()) << cut;
    }
  }
}

TEST(Crc, BytesAreBigEndian) {
  Crc crc(CrcKind::kCrc32);
  crc.Update("abc");
  EXPECT_EQ(Base64(crc.Bytes()), "NSRBwg==");
}

// RFC 4648 section 10.
TEST(Base64, PublishedValues) {
  const std::pair<const char*, const char*> kCases[] = {{"", ""},
                                                        {"f", "Zg=="},
                                                        {"fo", "Zm8="},
                                                        {"foo", "Zm9v"},
                                                        {"foob", "Zm9vYg=="},
                                                        {"fooba", "Zm9vYmE="},
                                                        {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : kCases) {
    EXPECT_EQ(Base64(plain), coded);
    EXPECT_EQ(DecodeBase64(coded), plain);
  }
}

TEST(Base64, RefusesWhatNoEncoderWrites) {
  for (const char* text : {"Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm=v", "=m9v", "Zm 9",
                           "Zg==Zg==", "Zm9v\n", "Zm9-"}) {
    EXPECT_EQ(DecodeBase64(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace bertie
