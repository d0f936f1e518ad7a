#include "comm/frames.h"

#include <gtest/gtest.h>

#include "expect_error.h"

namespace bertie::comm {
namespace {

Hello SomeHello() {
  Hello hello;
  hello.size = 4;
  hello.rank = 3;
  hello.job = "job";
  hello.nonce = RandomBytes32();
  return hello;
}

TEST(Frames, ComeOutAsTheyWentInHoweverTheyAreCut) {
  const std::string bytes = EncodeFrame(FrameType::kHello, EncodeHello(SomeHello())) +
                            EncodeFrame(FrameType::kPing) + EncodeFrame(FrameType::kRefused, "no");
  for (size_t piece : {size_t{1}, size_t{3}, bytes.size()}) {
    FrameReader reader;
    std::string types;
    for (size_t from = 0; from < bytes.size(); from += piece) {
      reader.Feed(std::string_view(bytes).substr(from, piece));
      for (;;) {
        auto frame = reader.Next();
        ASSERT_TRUE(frame.ok()) << frame.error().message;
        if (!*frame) break;
        types += static_cast<char>('0' + static_cast<int>((*frame)->type));
      }
    }
    EXPECT_EQ(types, "175");
  }
}

TEST(Frames, RefusesWhatIsNone) {
  for (std::string_view bytes :
       {std::string_view("GET / HTTP/1.1\r\n\r\n"), std::string_view("\0\0\0\0\0", 5),
        std::string_view("\1\0\0\0\0", 5), std::string_view("\1\0\0\0\x0b", 5),
        std::string_view("\xff\xff\xff\xff", 4)}) {
    FrameReader reader;
    reader.Feed(bytes);
    EXPECT_ERROR(reader.Next(), ErrorCode::kInvalidData, "no frame");
  }
}

TEST(Frames, LimitHoldsBeforeTheBodyIsThere) {
  FrameReader reader;
  reader.Feed(EncodeFrame(FrameType::kOffers, std::string(kMaxStrangerFrame, 'x')).substr(0, 5));
  EXPECT_ERROR(reader.Next(), ErrorCode::kInvalidData, "no frame");
  FrameReader wide;
  wide.set_limit(kMaxStrangerFrame + 1);
  wide.Feed(EncodeFrame(FrameType::kOffers, std::string(kMaxStrangerFrame, 'x')));
  EXPECT_TRUE(wide.Next().ok());
}

TEST(Frames, HelloRoundTrip) {
  const Hello hello = SomeHello();
  auto read = ParseHello(EncodeHello(hello));
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->rank, 3u);
  EXPECT_EQ(read->size, 4u);
  EXPECT_EQ(read->job, "job");
  EXPECT_EQ(read->nonce, hello.nonce);
}

TEST(Frames, HelloRefused) {
  const std::string good = EncodeHello(SomeHello());
  for (size_t bytes = 0; bytes < good.size(); ++bytes) {
    EXPECT_FALSE(ParseHello(good.substr(0, bytes)).ok()) << bytes;
  }
  EXPECT_ERROR(ParseHello(good + "x"), ErrorCode::kInvalidData, "no greeting");
  Hello hello = SomeHello();
  hello.rank = 4;
  EXPECT_ERROR(ParseHello(EncodeHello(hello)), ErrorCode::kInvalidData, "rank 4 of 4");
  hello.size = 1025;
  EXPECT_ERROR(ParseHello(EncodeHello(hello)), ErrorCode::kInvalidData, "2 to 1024 ranks");
}

TEST(Frames, HelloOfAnotherVersionTellsItsVersion) {
  std::string body = EncodeHello(SomeHello()).substr(0, 12);
  body += std::string("\x09\0\0\0 whatever version 9 says", 20);
  auto read = ParseHello(body);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->version, 9);
}

TEST(Frames, OffersAndLosses) {
  const std::vector<std::string> blobs = {"a", "", std::string("\0b", 2)};
  auto read = ParseOffers(EncodeOffers(blobs), 3);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, blobs);
  EXPECT_FALSE(ParseOffers(EncodeOffers(blobs), 2).ok());
  EXPECT_FALSE(ParseOffers(EncodeOffers(blobs), 4).ok());
  auto loss = ParseLoss(EncodeLoss({2, "gone\n\x1b[31m"}), 3);
  ASSERT_TRUE(loss.ok());
  EXPECT_EQ(loss->rank, 2);
  EXPECT_EQ(loss->reason, "gone??[31m");
  EXPECT_FALSE(ParseLoss(EncodeLoss({3, ""}), 3).ok());
}

TEST(Frames, ProofDependsOnEverything) {
  const Hello hello = SomeHello();
  const Digest256 challenge = RandomBytes32();
  const Digest256 proof = Proof("token", "rank", hello, challenge);
  EXPECT_NE(proof, Proof("Token", "rank", hello, challenge));
  EXPECT_NE(proof, Proof("token", "rank 0", hello, challenge));
  EXPECT_NE(proof, Proof("token", "rank", hello, RandomBytes32()));
  Hello other = hello;
  other.rank = 2;
  EXPECT_NE(proof, Proof("token", "rank", other, challenge));
}

}  // namespace
}  // namespace bertie::comm
