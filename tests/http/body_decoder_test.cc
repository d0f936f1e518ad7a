#include "http/body_decoder.h"

#include <gtest/gtest.h>

#include <string>

namespace bertie::http {
namespace {

RequestHead Chunked() {
  RequestHead head;
  head.chunked = true;
  return head;
}

struct Outcome {
  int status = 0;  // 200 when the body is whole, 0 when more bytes are needed
  std::string body;
  size_t consumed = 0;
};

// Feeds the bytes in pieces of that size.
Outcome Decode(const RequestHead& head, std::string_view bytes, size_t piece,
               const Limits& limits = {}) {
  BodyDecoder decoder(head, limits);
  Outcome outcome;
  std::string waiting;
  for (size_t at = 0; at < bytes.size() || at == 0; at += piece) {
    waiting += bytes.substr(std::min(at, bytes.size()), piece);
    auto step = decoder.Feed(waiting, outcome.body);
    waiting.erase(0, step.consumed);
    outcome.consumed += step.consumed;
    if (step.refusal) {
      outcome.status = step.refusal->status;
      return outcome;
    }
    if (step.done) {
      outcome.status = 200;
      return outcome;
    }
  }
  return outcome;
}

TEST(BodyDecoder, TakesALengthAndLeavesTheRest) {
  RequestHead head;
  head.content_length = 5;
  for (size_t piece : {1, 3, 100}) {
    Outcome outcome = Decode(head, "helloGET /", piece);
    EXPECT_EQ(outcome.status, 200);
    EXPECT_EQ(outcome.body, "hello");
    EXPECT_EQ(outcome.consumed, 5u);
  }
  EXPECT_EQ(Decode(head, "hell", 1).status, 0);
  EXPECT_EQ(Decode(RequestHead{}, "", 1).status, 200);
}

TEST(BodyDecoder, JoinsChunks) {
  std::string bytes =
      "5\r\nhello\r\n00A;name=\"v\"\r\n, worlds!!\r\n1 ;x\r\n.\r\n0\r\nT: v\r\n\r\nGET";
  for (size_t piece : {1, 2, 7, 1000}) {
    Outcome outcome = Decode(Chunked(), bytes, piece);
    EXPECT_EQ(outcome.status, 200) << piece;
    EXPECT_EQ(outcome.body, "hello, worlds!!.") << piece;
    EXPECT_EQ(outcome.consumed, bytes.size() - 3) << piece;
  }
}

TEST(BodyDecoder, RefusesBrokenChunks) {
  const struct {
    const char* name;
    std::string bytes;
    int status;
  } cases[] = {
      {"no size", "\r\nhello\r\n", 400},
      {"size with 0x", "0x5\r\nhello\r\n0\r\n\r\n", 400},
      {"signed size", "+5\r\nhello\r\n", 400},
      {"negative size", "-1\r\n", 400},
      {"blank before the size", " 5\r\nhello\r\n", 400},
      {"blank after the size", "5 \r\nhello\r\n0\r\n\r\n", 400},
      {"LF alone after the size", "5\nhello\r\n0\r\n\r\n", 400},
      {"CR alone after the size", "5\rhello\r\n0\r\n\r\n", 400},
      {"LF alone in an extension", "5;a\nhello\r\n0\r\n\r\n", 400},
      {"NUL in an extension", std::string("5;a\0\r\n", 6), 400},
      {"LF alone after the data", "5\r\nhello\n0\r\n\r\n", 400},
      {"data longer than its size", "4\r\nhello\r\n0\r\n\r\n", 400},
      {"LF alone after the last chunk", "0\r\n\n", 400},
      {"LF alone in a trailer", "0\r\nA: b\n\r\n", 400},
      {"trailer without a colon", "0\r\nA\r\n\r\n", 400},
      {"folded trailer", "0\r\nA: b\r\n c\r\n\r\n", 400},
      {"17 digits", "00000000000000005\r\nhello\r\n", 400},
      {"2^64 - 1", "ffffffffffffffff\r\n", 413},
      {"2^63", "8000000000000000\r\n", 413},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Decode(Chunked(), c.bytes, 1).status, c.status) << c.name;
    EXPECT_EQ(Decode(Chunked(), c.bytes, 1000).status, c.status) << c.name;
  }
}

TEST(BodyDecoder, HoldsTheSumOfTheChunksUnderTheLimit) {
  Limits limits;
  limits.max_body_bytes = 8;
  EXPECT_EQ(Decode(Chunked(), "5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n", 4, limits).status, 200);
  EXPECT_EQ(Decode(Chunked(), "5\r\nhello\r\n4\r\nabcd\r\n0\r\n\r\n", 4, limits).status, 413);
}

TEST(BodyDecoder, HoldsExtensionsAndTrailersUnderTheLimit) {
  std::string extension = "1;" + std::string(20'000, 'x') + "\r\n";
  EXPECT_EQ(Decode(Chunked(), extension, 1000).status, 431);
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "1;abc\r\nx\r\n";
  EXPECT_EQ(Decode(Chunked(), many, 1000).status, 431);
  EXPECT_EQ(Decode(Chunked(), "0\r\nA: " + std::string(20'000, 'x'), 1000).status, 431);
}

}  // namespace
}  // namespace bertie::http
