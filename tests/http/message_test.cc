#include "http/message.h"

#include <gtest/gtest.h>

namespace bertie::http {
namespace {

TEST(SerializeHead, WritesStatusLineAndFields) {
  Response response{.content_type = "application/json", .fields = {{"X-A", "b"}}, .body = "[1]"};
  EXPECT_EQ(SerializeHead(response, {.date = "D"}),
            "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Type: application/json\r\nContent-Length: 3\r\n"
            "X-A: b\r\n\r\n");
}

TEST(SerializeHead, SaysWhatBecomesOfTheConnection) {
  Response response;
  EXPECT_NE(SerializeHead(response, {.keep_alive = false}).find("Connection: close\r\n"),
            std::string::npos);
  EXPECT_NE(SerializeHead(response, {.minor_version = 0}).find("Connection: keep-alive\r\n"),
            std::string::npos);
  EXPECT_EQ(SerializeHead(response, {}).find("Connection"), std::string::npos);
}

TEST(SerializeHead, A204HasNoLength) {
  Response response{.status = 204};
  EXPECT_EQ(SerializeHead(response, {}).find("Content-Length"), std::string::npos);
}

TEST(RequestHead, FindIgnoresCase) {
  RequestHead head;
  head.fields = {{"Content-Type", "a"}, {"content-type", "b"}};
  ASSERT_NE(head.Find("CONTENT-TYPE"), nullptr);
  EXPECT_EQ(*head.Find("CONTENT-TYPE"), "a");
  EXPECT_EQ(head.Find("Content-Typ"), nullptr);
}

}  // namespace
}  // namespace bertie::http
