#include "serve/route_table.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace bertie::serve {
namespace {

class Listed : public Protocol {
 public:
  explicit Listed(std::vector<std::pair<std::string, std::string>> routes, std::string prefix = "")
      : routes_(std::move(routes)), prefix_(std::move(prefix)) {}

  std::vector<Route> Routes() override {
    std::vector<Route> routes;
    for (const auto& [method, pattern] : routes_) {
      routes.push_back({.pattern = pattern, .method = method, .handle = nullptr});
    }
    return routes;
  }
  http::Response Refuse(const http::Refusal&, std::string_view) const override { return {}; }
  bool Owns(std::string_view path) const override {
    return !prefix_.empty() && path.starts_with(prefix_);
  }

 private:
  std::vector<std::pair<std::string, std::string>> routes_;
  std::string prefix_;
};

class RouteTableTest : public testing::Test {
 protected:
  RouteTableTest() {
    table.Add(first);
    table.Add(second);
    table.Add(last);
  }
  std::string PatternOf(std::string_view path) const {
    const RouteMatch match = table.Find(path);
    return match.path ? match.path->pattern : "";
  }

  Listed first{{{"GET", "/ping"}, {"POST", "/invocations"}}};
  Listed second{{{"GET", "/v2/models/{model}"},
                 {"POST", "/v2/models/{model}/infer"},
                 {"POST", "/v2/models/{model}/versions/{version}/infer"},
                 {"GET", "/v2/models/stats"},
                 {"GET", "/models/{model}"},
                 {"DELETE", "/models/{model}"},
                 {"POST", "/ping"}},
                "/v2"};
  Listed last{{{"GET", "/health"}}};
  RouteTable table;
};

TEST_F(RouteTableTest, PathsMeetTheirPatterns) {
  EXPECT_EQ(PatternOf("/ping"), "/ping");
  EXPECT_EQ(PatternOf("/v2/models/a"), "/v2/models/{model}");
  EXPECT_EQ(PatternOf("/v2/models/a/infer"), "/v2/models/{model}/infer");
  for (const char* path : {"/", "/ping/", "/v2/models", "/v2/models/", "/v2/models//infer",
                           "/v2/models/a/infer/", "/v2/models/a/b/c", "ping", "", "*"}) {
    EXPECT_EQ(PatternOf(path), "") << path;
  }
}

TEST_F(RouteTableTest, ParametersAreDecoded) {
  const RouteMatch match = table.Find("/v2/models/a%2Fb%20c/versions/7/infer");
  ASSERT_NE(match.path, nullptr);
  EXPECT_EQ(match.parameters["model"], "a/b c");
  EXPECT_EQ(match.parameters["version"], "7");
  EXPECT_EQ(match.parameters["other"], "");
}

TEST_F(RouteTableTest, AWordIsMeantBeforeAParameter) {
  EXPECT_EQ(PatternOf("/v2/models/stats"), "/v2/models/stats");
}

TEST_F(RouteTableTest, MethodsOfOnePattern) {
  const RouteMatch match = table.Find("/models/a");
  ASSERT_NE(match.path, nullptr);
  EXPECT_EQ(match.path->ForMethod("DELETE")->method, "DELETE");
  EXPECT_EQ(match.path->ForMethod("HEAD")->method, "GET");
  EXPECT_EQ(match.path->ForMethod("PUT"), nullptr);
  EXPECT_EQ(match.path->Allow(), "GET, HEAD, DELETE, OPTIONS");
}

TEST_F(RouteTableTest, APatternIsTheFirstProtocols) {
  const RouteMatch match = table.Find("/ping");
  EXPECT_EQ(match.path->protocol, &first);
  EXPECT_EQ(match.path->ForMethod("POST"), nullptr);
}

TEST_F(RouteTableTest, UnknownPathsHaveAnOwner) {
  EXPECT_EQ(&table.Owner("/v2/nothing"), &second);
  EXPECT_EQ(&table.Owner("/nothing"), &last);
  EXPECT_EQ(table.Describe(first), "GET /ping, POST /invocations");
}

}  // namespace
}  // namespace bertie::serve
