#include "serve/access.h"

#include <gtest/gtest.h>

namespace bertie::serve {
namespace {

int StatusOf(const AccessKeys& keys, Access access, const std::string& authorization = "") {
  http::RequestHead head;
  if (!authorization.empty()) head.fields.push_back({"authorization", authorization});
  const auto refusal = CheckAccess(keys, access, head);
  return refusal ? refusal->status : 200;
}

TEST(CheckAccess, WithoutKeysOnlyAdministrationIsClosed) {
  EXPECT_EQ(StatusOf({}, Access::kOpen), 200);
  EXPECT_EQ(StatusOf({}, Access::kKey), 200);
  EXPECT_EQ(StatusOf({}, Access::kAdmin), 403);
  EXPECT_EQ(StatusOf({}, Access::kAdmin, "Bearer x"), 403);
}

TEST(CheckAccess, EachKeyOpensWhatItIsFor) {
  const AccessKeys keys{.api = {"one", "two"}, .admin = {"root"}};
  for (const char* key : {"Bearer one", "Bearer two", "bearer  one", "Bearer root"}) {
    EXPECT_EQ(StatusOf(keys, Access::kKey, key), 200) << key;
  }
  for (const char* key : {"", "Bearer", "Bearer ", "Bearer    ", "Bearer on", "Bearer onee", "one",
                          "Basic one", "Bearer one two"}) {
    EXPECT_EQ(StatusOf(keys, Access::kKey, key), 401) << key;
    EXPECT_EQ(StatusOf(keys, Access::kOpen, key), 200) << key;
  }
  EXPECT_EQ(StatusOf(keys, Access::kAdmin, "Bearer root"), 200);
  EXPECT_EQ(StatusOf(keys, Access::kAdmin, "Bearer one"), 401);
}

TEST(CheckAccess, AnAdministratorsKeyAloneAsksForNoOther) {
  EXPECT_EQ(StatusOf({.api = {}, .admin = {"root"}}, Access::kKey), 200);
}

}  // namespace
}  // namespace bertie::serve
