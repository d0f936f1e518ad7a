#include "cloud/browsers.h"

#include <gtest/gtest.h>

namespace bertie::cloud {
namespace {

http::RequestHead Request(const std::string& method, const std::string& path,
                          std::vector<http::Field> fields,
                          const std::string& host = "localhost:4566") {
  http::RequestHead head;
  head.method = method;
  head.path = path;
  head.fields = std::move(fields);
  head.fields.push_back({"Host", host});
  return head;
}

int StatusOf(const http::RequestHead& head, bool checks = false, const Settings& settings = {}) {
  const auto answer = AnswerBrowser(head, settings, checks);
  return answer ? answer->status : 0;
}

const http::Field kHtml{"Accept", "text/html,application/xhtml+xml"};

TEST(AnswerBrowser, GivesBrowsersTheConsole) {
  for (const bool checks : {false, true}) {
    EXPECT_EQ(StatusOf(Request("GET", "/", {kHtml}), checks), 200);
    EXPECT_EQ(StatusOf(Request("GET", "/console", {kHtml}), checks), 200);
    EXPECT_EQ(StatusOf(Request("GET", "/ui/console/console.js", {}), checks), 200);
  }
}

TEST(AnswerBrowser, LeavesTheServicesTheirRequests) {
  EXPECT_EQ(StatusOf(Request("GET", "/", {})), 0);
  EXPECT_EQ(StatusOf(Request("GET", "/", {{"Accept", "*/*"}})), 0);
  EXPECT_EQ(StatusOf(Request("GET", "/", {kHtml, {"Authorization", "AWS4-HMAC-SHA256 ..."}})), 0);
  EXPECT_EQ(StatusOf(Request("GET", "/bucket/page.html", {kHtml})), 0);
  EXPECT_EQ(StatusOf(Request("PUT", "/console", {kHtml})), 0);
  EXPECT_EQ(StatusOf(Request("GET", "/ui/none", {})), 0);
  http::RequestHead query = Request("GET", "/", {kHtml});
  query.query = "X-Amz-Signature=1";
  EXPECT_EQ(StatusOf(query), 0);
  // Of buckets that the host names.
  EXPECT_EQ(StatusOf(Request("GET", "/", {kHtml}, "bucket.localhost:4566")), 0);
  EXPECT_EQ(StatusOf(Request("GET", "/ui/console/console.js", {}, "bucket.localhost:4566")), 0);
}

TEST(AnswerBrowser, RefusesNamesThatForeignersMayPointHere) {
  for (const char* host : {"evil.example:4566", "evil.example", "127.0.0.1.nip.io:4566",
                           "localhost.evil.example", "notlocalhost.com", "1.2.3.4.example"}) {
    EXPECT_EQ(StatusOf(Request("GET", "/bucket", {}, host)), 403) << host;
    EXPECT_EQ(StatusOf(Request("GET", "/bucket", {}, host), true), 0) << host;
  }
  for (const char* host : {"127.0.0.1:4566", "[::1]:4566", "10.0.0.3", "localhost",
                           "bucket.localhost:1", "LOCALHOST", "cloud", "host.docker.internal:4566",
                           "bucket.s3.us-west-2.amazonaws.com", "sts.amazonaws.com"}) {
    EXPECT_EQ(StatusOf(Request("GET", "/bucket", {}, host)), 0) << host;
  }
  Settings settings;
  settings.allowed_hosts = {"Box.lan"};
  settings.domain = "s3.test";
  EXPECT_EQ(StatusOf(Request("GET", "/bucket", {}, "box.LAN:80"), false, settings), 0);
  EXPECT_EQ(StatusOf(Request("GET", "/", {}, "bucket.s3.test"), false, settings), 0);
  EXPECT_EQ(StatusOf(Request("GET", "/", {}, "other.lan"), false, settings), 403);
}

TEST(AnswerBrowser, RefusesPagesOfOtherOrigins) {
  const auto from = [](const std::string& origin) {
    return Request("POST", "/bucket", {{"Origin", origin}}, "127.0.0.1:4566");
  };
  for (const char* origin :
       {"http://evil.example", "null", "http://127.0.0.1:3000", "http://localhost:4566",
        "https://127.0.0.1:4566.evil.example", "", "127.0.0.1:4566"}) {
    EXPECT_EQ(StatusOf(from(origin)), 403) << origin;
    EXPECT_EQ(StatusOf(from(origin), true), 0) << origin;
  }
  EXPECT_EQ(StatusOf(from("http://127.0.0.1:4566")), 0);
  EXPECT_EQ(StatusOf(from("https://127.0.0.1:4566")), 0);
  Settings settings;
  settings.allowed_hosts = {"app.test"};
  EXPECT_EQ(StatusOf(from("http://app.test:3000"), false, settings), 0);
}

TEST(AnswerBrowser, LetsLinksFromElsewhereInAndNothingElse) {
  const auto from = [](const std::string& site, const std::string& mode) {
    return Request("GET", "/bucket/key", {{"Sec-Fetch-Site", site}, {"Sec-Fetch-Mode", mode}});
  };
  EXPECT_EQ(StatusOf(from("cross-site", "no-cors")), 403);
  EXPECT_EQ(StatusOf(from("cross-site", "cors")), 403);
  EXPECT_EQ(StatusOf(from("cross-site", "navigate")), 0);
  EXPECT_EQ(StatusOf(from("same-origin", "cors")), 0);
  EXPECT_EQ(StatusOf(from("none", "navigate")), 0);
  EXPECT_EQ(StatusOf(from("cross-site", "cors"), true), 0);
}

TEST(AnswerBrowser, SaysNoInTheServicesForm) {
  const auto json = AnswerBrowser(
      Request("POST", "/",
              {{"Origin", "http://evil.example"}, {"X-Amz-Target", "SageMaker.ListModels"}}),
      {}, false);
  EXPECT_EQ(json->content_type, "application/x-amz-json-1.1");
  EXPECT_NE(json->body.find("AccessDeniedException"), std::string::npos);
  const auto xml = AnswerBrowser(Request("GET", "/", {}, "evil.example"), {}, false);
  EXPECT_NE(xml->body.find("<Code>AccessDenied</Code>"), std::string::npos);
  EXPECT_NE(xml->body.find("--allow-host"), std::string::npos);
}

}  // namespace
}  // namespace bertie::cloud
