#include "pages/pages.h"

#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "pages/embedded.h"

namespace bertie::pages {
namespace {

http::RequestHead Head(const std::string& path, std::vector<http::Field> fields = {}) {
  http::RequestHead head;
  head.method = "GET";
  head.path = path;
  head.fields = std::move(fields);
  return head;
}

std::string FieldOf(const http::Response& response, std::string_view name) {
  for (const http::Field& field : response.fields) {
    if (field.name == name) return field.value;
  }
  return "";
}

TEST(Embedded, HoldsTheFilesAsTheyAre) {
  ASSERT_GT(EmbeddedFiles().size(), 10u);
  for (const EmbeddedFile& file : EmbeddedFiles()) {
    std::ifstream in(std::string(BERTIE_TESTS_DIR) + "/../src/pages/" + std::string(file.name),
                     std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    EXPECT_TRUE(file.bytes == text.str()) << file.name;
  }
}

TEST(Embedded, EveryFileHasATagOfItsOwn) {
  std::set<std::string_view> tags;
  for (const EmbeddedFile& file : EmbeddedFiles()) {
    EXPECT_TRUE(file.etag.starts_with('"') && file.etag.ends_with('"')) << file.etag;
    EXPECT_TRUE(tags.insert(file.etag).second) << file.name;
  }
}

TEST(AsksForHtml, IsWhatBrowsersDo) {
  EXPECT_TRUE(AsksForHtml(Head("/", {{"Accept", "text/html,application/xhtml+xml,*/*;q=0.8"}})));
  EXPECT_FALSE(AsksForHtml(Head("/", {{"Accept", "*/*"}})));
  EXPECT_FALSE(AsksForHtml(Head("/")));
  http::RequestHead post = Head("/", {{"Accept", "text/html"}});
  post.method = "POST";
  EXPECT_FALSE(AsksForHtml(post));
}

TEST(PageAnswer, IsHtmlThatMayLoadNothingFromElsewhere) {
  for (const Page page : {Page::kPlayground, Page::kConsole}) {
    const http::Response answer = PageAnswer(page, Head("/"));
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.content_type, "text/html; charset=utf-8");
    EXPECT_TRUE(answer.body.starts_with("<!DOCTYPE html>"));
    EXPECT_NE(FieldOf(answer, "Content-Security-Policy").find("default-src 'self'"),
              std::string::npos);
    EXPECT_EQ(FieldOf(answer, "X-Content-Type-Options"), "nosniff");
  }
}

TEST(PageAnswer, IsNotSentAgainWhereItIsKnown) {
  const std::string etag = FieldOf(PageAnswer(Page::kConsole, Head("/")), "ETag");
  ASSERT_FALSE(etag.empty());
  const http::Response again = PageAnswer(Page::kConsole, Head("/", {{"If-None-Match", etag}}));
  EXPECT_EQ(again.status, 304);
  EXPECT_TRUE(again.body.empty());
  EXPECT_EQ(FieldOf(again, "ETag"), etag);
  EXPECT_EQ(PageAnswer(Page::kConsole, Head("/", {{"If-None-Match", "\"other\""}})).status, 200);
}

TEST(FileAnswer, TellsTypes) {
  const auto type = [](const std::string& path) {
    const auto answer = FileAnswer(Page::kPlayground, Head(path));
    return answer ? answer->content_type : "none";
  };
  EXPECT_EQ(type("/ui/shared/style.css"), "text/css; charset=utf-8");
  EXPECT_EQ(type("/ui/shared/chart.js"), "text/javascript; charset=utf-8");
  EXPECT_EQ(type("/ui/shared/icon.svg"), "image/svg+xml");
}

TEST(FileAnswer, KnowsTheOwnPagesFilesAlone) {
  EXPECT_TRUE(FileAnswer(Page::kConsole, Head("/ui/console/console.js")));
  EXPECT_FALSE(FileAnswer(Page::kPlayground, Head("/ui/console/console.js")));
  EXPECT_FALSE(FileAnswer(Page::kConsole, Head("/ui/shared/none.js")));
  EXPECT_FALSE(FileAnswer(Page::kConsole, Head("/ui/shared/../shared/style.css")));
  EXPECT_FALSE(FileAnswer(Page::kConsole, Head("/shared/style.css")));
}

// What the pages' text names is there, and lies here.
TEST(Pages, NameNoFileThatIsMissing) {
  const std::regex link(R"re((?:src|href)="([^"#][^"]*)"|from "([^"]+)")re");
  for (const EmbeddedFile& file : EmbeddedFiles()) {
    const std::string text(file.bytes);
    const bool console = file.name.starts_with("console/");
    for (std::sregex_iterator it(text.begin(), text.end(), link), end; it != end; ++it) {
      std::string target = (*it)[1].matched ? (*it)[1] : (*it)[2];
      if (target == "/metrics") continue;
      if (target.starts_with("./")) {
        target = "/ui/" + std::string(file.name.substr(0, file.name.find('/'))) + target.substr(1);
      }
      EXPECT_TRUE(FileAnswer(console ? Page::kConsole : Page::kPlayground, Head(target)))
          << file.name << " names " << target;
    }
  }
}

}  // namespace
}  // namespace bertie::pages
