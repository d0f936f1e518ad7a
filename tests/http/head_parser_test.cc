#include "http/head_parser.h"

#include <gtest/gtest.h>

#include <string>

namespace bertie::http {
namespace {

std::variant<RequestHead, Refusal> Parse(const std::string& bytes, const Limits& limits = {}) {
  HeadScanner scanner(limits);
  HeadScanner::Step step = scanner.Scan(bytes);
  if (step.refusal) return *step.refusal;
  if (step.head_bytes == 0) return Refusal{0, "Incomplete", ""};
  return ParseHead(std::string_view(bytes).substr(0, step.head_bytes), limits);
}

int StatusOf(const std::string& bytes) {
  auto parsed = Parse(bytes);
  if (auto* refusal = std::get_if<Refusal>(&parsed)) return refusal->status;
  return 200;
}

std::string With(const std::string& fields) {
  return "POST /a HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n";
}

TEST(HeadParser, ReadsAnOrdinaryRequest) {
  auto parsed = Parse(
      "POST /invocations?x=%20 HTTP/1.1\r\nHost: localhost:8080\r\nX-Empty:\r\n"
      "content-length:  12 \r\nExpect: 100-Continue\r\n\r\nbody");
  auto* head = std::get_if<RequestHead>(&parsed);
  ASSERT_TRUE(head) << std::get<Refusal>(parsed).message;
  EXPECT_EQ(head->method, "POST");
  EXPECT_EQ(head->path, "/invocations");
  EXPECT_EQ(head->query, "x=%20");
  EXPECT_EQ(head->content_length, 12u);
  EXPECT_TRUE(head->keep_alive);
  EXPECT_TRUE(head->expects_continue);
  EXPECT_EQ(*head->Find("x-empty"), "");
  EXPECT_EQ(head->Find("absent"), nullptr);
}

TEST(HeadParser, ConnectionFieldSaysWhetherItStays) {
  const auto keeps = [](const std::string& version, const std::string& field) {
    return std::get<RequestHead>(
               Parse("GET / HTTP/" + version + "\r\nHost: h\r\n" + field + "\r\n"))
        .keep_alive;
  };
  EXPECT_TRUE(keeps("1.1", ""));
  EXPECT_FALSE(keeps("1.1", "Connection: close\r\n"));
  EXPECT_FALSE(keeps("1.1", "Connection: foo , Close\r\n"));
  EXPECT_FALSE(keeps("1.0", ""));
  EXPECT_TRUE(keeps("1.0", "Connection: Keep-Alive\r\n"));
  EXPECT_FALSE(keeps("1.0", "Connection: keep-alive, close\r\n"));
}

TEST(HeadParser, TargetForms) {
  const auto path = [](const std::string& line) {
    auto parsed = Parse(line + " HTTP/1.1\r\nHost: h\r\n\r\n");
    auto* refusal = std::get_if<Refusal>(&parsed);
    return refusal ? std::to_string(refusal->status) : std::get<RequestHead>(parsed).path;
  };
  EXPECT_EQ(path("GET /"), "/");
  EXPECT_EQ(path("GET /a?b?c"), "/a");
  EXPECT_EQ(path("GET http://example.com:80/p?q"), "/p");
  EXPECT_EQ(path("GET HTTP://[::1]"), "/");
  EXPECT_EQ(path("GET http://h?q"), "/");
  EXPECT_EQ(path("OPTIONS *"), "*");
  EXPECT_EQ(path("GET *"), "400");
  EXPECT_EQ(path("CONNECT h:80"), "501");
  for (const char* bad : {"GET a", "GET ftp://h/", "GET http:///p", "GET http://u@h/", "GET /#f",
                          "GET /a%2", "GET /a%zz", "GET /a\"b", "GET /a<b", "GET /\x80"}) {
    EXPECT_EQ(path(bad), "400") << bad;
  }
}

struct Case {
  const char* name;
  std::string bytes;
  int status;
};

// Each of these two programs could read in two ways, or breaks a MUST of the clause named.
TEST(HeadParser, RefusesWhatBreaksTheGrammar) {
  const std::string ok = "\r\nHost: h\r\n\r\n";
  const Case cases[] = {
      {"9112 2.2 LF alone ends the request line", "GET / HTTP/1.1\nHost: h\r\n\r\n", 400},
      {"9112 2.2 LF alone ends a field", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400},
      {"9112 2.2 LF alone ends the head", "GET / HTTP/1.1\r\nHost: h\r\n\n", 400},
      {"9112 2.2 bare CR in a field", With("X: a\rb\r\n"), 400},
      {"9112 2.2 bare CR in the request line", "GET /\r HTTP/1.1" + ok, 400},
      {"9112 2.2 blank before the first field", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
      {"9112 2.2 LF before the request", "\nGET / HTTP/1.1" + ok, 400},
      {"9112 3 two spaces", "GET  / HTTP/1.1" + ok, 400},
      {"9112 3 tab", "GET\t/ HTTP/1.1" + ok, 400},
      {"9112 3 space at the end", "GET / HTTP/1.1 " + ok, 400},
      {"9112 3 space in the target", "GET /a b HTTP/1.1" + ok, 400},
      {"9112 3 no target", "GET HTTP/1.1" + ok, 400},
      {"9112 3.1 blank before the method", " GET / HTTP/1.1" + ok, 400},
      {"9110 9.1 method is a token", "G(T / HTTP/1.1" + ok, 400},
      {"9112 2.3 lower-case version", "GET / http/1.1" + ok, 400},
      {"9112 2.3 version 1.10", "GET / HTTP/1.10" + ok, 400},
      {"9112 2.3 version 1", "GET / HTTP/1" + ok, 400},
      {"9110 2.5 version 2.0", "PRI * HTTP/2.0\r\n\r\n", 505},
      {"9110 2.5 version 0.9", "GET / HTTP/0.9\r\n\r\n", 505},
      {"1945 3.1 HTTP/0.9", "GET /\r\n\r\n", 400},
      {"9112 3.2 no Host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"9112 3.2 two Hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400},
      {"9112 3.2 two Hosts in one", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
      {"9112 3.2 Host with a path", "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", 400},
      {"9112 3.2 Host with a user", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400},
      {"9112 3.2 Host with a bad port", "GET / HTTP/1.1\r\nHost: h:8a\r\n\r\n", 400},
      {"9110 4.2.1 empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
      {"9112 5.1 space before the colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400},
      {"9112 5.1 tab before the colon", With("X\t: y\r\n"), 400},
      {"9112 5.1 no colon", With("X\r\n"), 400},
      {"9112 5.1 no name", With(": y\r\n"), 400},
      {"9110 5.6.2 name is a token", With("X@Y: y\r\n"), 400},
      {"9110 5.5 NUL in a value", With(std::string("X: a\0b\r\n", 8)), 400},
      {"9110 5.5 control in a value",
       With("X: a\x01"
            "b\r\n"),
       400},
      {"9110 5.5 DEL in a value",
       With("X: a\x7f"
            "b\r\n"),
       400},
      {"9112 5.2 folded line", With("X: a\r\n b\r\n"), 400},
      {"9112 5.2 folded by tab", With("X: a\r\n\tb\r\n"), 400},
      {"9112 6.2 signed length", With("Content-Length: +5\r\n"), 400},
      {"9112 6.2 negative length", With("Content-Length: -5\r\n"), 400},
      {"9112 6.2 hex length", With("Content-Length: 0x5\r\n"), 400},
      {"9112 6.2 fraction", With("Content-Length: 5.0\r\n"), 400},
      {"9112 6.2 empty length", With("Content-Length:\r\n"), 400},
      {"9112 6.2 length of 2^64+5", With("Content-Length: 18446744073709551621\r\n"), 400},
      {"9112 6.3 length as a list", With("Content-Length: 5, 5\r\n"), 400},
      {"9112 6.3 lengths that agree", With("Content-Length: 5\r\nContent-Length: 5\r\n"), 400},
      {"9112 6.3 lengths that differ", With("Content-Length: 5\r\ncontent-length: 6\r\n"), 400},
      {"9112 6.3 length and coding", With("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
       400},
      {"9112 6.1 coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"9112 6.1 chunked not last", With("Transfer-Encoding: chunked, gzip\r\n"), 400},
      {"9112 6.1 chunked twice", With("Transfer-Encoding: chunked, chunked\r\n"), 400},
      {"9112 6.1 two lines", With("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
       400},
      {"9112 6.1 unknown coding", With("Transfer-Encoding: xchunked\r\n"), 400},
      {"9112 6.1 identity", With("Transfer-Encoding: identity\r\n"), 400},
      {"9112 6.1 empty coding", With("Transfer-Encoding:\r\n"), 400},
      {"9112 6.1 quoted", With("Transfer-Encoding: \"chunked\"\r\n"), 400},
      {"9112 6.1 vertical tab",
       With("Transfer-Encoding: \x0b"
            "chunked\r\n"),
       400},
      {"9112 6.1 comma before", With("Transfer-Encoding: , chunked\r\n"), 400},
      {"9112 6.1 known coding", With("Transfer-Encoding: gzip, chunked\r\n"), 501},
      {"9110 10.1.1 other expectation", With("Expect: magic\r\n"), 417},
      {"a TLS hello", "\x16\x03\x01\x02", 400},
  };
  for (const Case& c : cases) EXPECT_EQ(StatusOf(c.bytes), c.status) << c.name;
}

TEST(HeadParser, TakesWhatTheGrammarAllows) {
  const Case cases[] = {
      {"chunked in capitals", With("Transfer-Encoding: CHUNKED\r\n"), 200},
      {"length with zeros before", With("Content-Length: 007\r\n"), 200},
      {"blanks around a value", With("X: \t y \t\r\n"), 200},
      {"bytes above ASCII in a value", With("X: \xc3\xa9\r\n"), 200},
      {"IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 200},
      {"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", 200},
      {"a later minor version", "GET / HTTP/1.9\r\nHost: h\r\n\r\n", 200},
      {"a method nobody knows", "BREW / HTTP/1.1\r\nHost: h\r\n\r\n", 200},
  };
  for (const Case& c : cases) EXPECT_EQ(StatusOf(c.bytes), c.status) << c.name;
}

TEST(HeadParser, NamesTheLimitThatWasPassed) {
  EXPECT_EQ(StatusOf("GET /" + std::string(9000, 'a')), 414);
  EXPECT_EQ(StatusOf(With("X: " + std::string(20'000, 'a'))), 431);
  std::string many;
  for (int i = 0; i < 101; ++i) many += "X: y\r\n";
  EXPECT_EQ(StatusOf(With(many)), 431);
  EXPECT_EQ(StatusOf(With("Content-Length: 6291457\r\n")), 413);
  EXPECT_EQ(StatusOf(With("Content-Length: 6291456\r\n")), 200);
}

TEST(HeadScanner, AsksForMoreUntilTheBlankLine) {
  std::string bytes = "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET";
  HeadScanner scanner({});
  for (size_t size = 0; size < bytes.size() - 3; ++size) {
    auto step = scanner.Scan(std::string_view(bytes).substr(0, size));
    ASSERT_FALSE(step.refusal) << size;
    ASSERT_EQ(step.head_bytes, 0u) << size;
  }
  EXPECT_EQ(scanner.Scan(bytes).head_bytes, bytes.size() - 3);
}

}  // namespace
}  // namespace bertie::http
