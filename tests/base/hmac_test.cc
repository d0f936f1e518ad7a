#include "base/hmac.h"

#include <gtest/gtest.h>

#include <string>

namespace bertie {
namespace {

std::string Hex(const Digest256& digest) {
  std::string text;
  for (std::byte b : digest) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[std::to_integer<int>(b) >> 4];
    text += kDigits[std::to_integer<int>(b) & 15];
  }
  return text;
}

// RFC 4231, test cases 1, 2 and 6.
TEST(Hmac, PublishedValues) {
  EXPECT_EQ(Hex(HmacSha256(std::string(20, '\x0b'), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(Hex(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(Hex(HmacSha256(std::string(131, '\xaa'),
                           "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Hmac, EmptyKeyIsAKeyOfItsOwn) {
  HmacSha256("secret", "x");
  EXPECT_EQ(Hex(HmacSha256("", "")),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(Hmac, Comparison) {
  const Digest256 a = HmacSha256("k", "m");
  Digest256 b = a;
  EXPECT_TRUE(ConstantTimeEqual(a, b));
  b[31] ^= std::byte{1};
  EXPECT_FALSE(ConstantTimeEqual(a, b));
  EXPECT_FALSE(ConstantTimeEqual(a, std::span(a).first(31)));
  EXPECT_NE(RandomBytes32(), RandomBytes32());
}

}  // namespace
}  // namespace bertie
