#include "base/status.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

namespace bertie {
namespace {

Result<int> Half(int value) {
  if (value % 2 != 0) {
    return Error{ErrorCode::kInvalidArgument, "found " + std::to_string(value) + ", expected even"};
  }
  return value / 2;
}

Result<int> Quarter(int value) {
  BERTIE_ASSIGN_OR_RETURN(const int half, Half(value));
  BERTIE_ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}

Status CheckQuarter(int value) {
  BERTIE_RETURN_IF_ERROR(Quarter(value));
  return {};
}

TEST(Result, HoldsAValue) {
  Result<int> result = 3;
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(static_cast<bool>(result));
  EXPECT_EQ(*result, 3);
  EXPECT_EQ(result.value(), 3);
}

TEST(Result, HoldsAnError) {
  Result<std::string> result = Error{ErrorCode::kNotFound, "no such file"};
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(result.error().message, "no such file");
}

TEST(Result, MovesValuesThatCannotBeCopied) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(7);
  std::unique_ptr<int> value = *std::move(result);
  EXPECT_EQ(*value, 7);
}

TEST(Result, MacrosLeaveTheFunctionAtTheFirstError) {
  EXPECT_EQ(*Quarter(12), 3);
  EXPECT_EQ(Quarter(10).error().message, "found 5, expected even");
  EXPECT_TRUE(CheckQuarter(8).ok());
  EXPECT_EQ(CheckQuarter(7).error().message, "found 7, expected even");
}

TEST(Status, IsOkUntilGivenAnError) {
  EXPECT_TRUE(Status().ok());
  EXPECT_FALSE(Status(Error{ErrorCode::kIo, "disk full"}).ok());
}

TEST(Error, WithContextPutsItBeforeTheMessage) {
  const Error error = Error{ErrorCode::kIo, "disk full"}.WithContext("model.bin");
  EXPECT_EQ(error.code, ErrorCode::kIo);
  EXPECT_EQ(error.message, "model.bin: disk full");
}

TEST(ErrorCode, EachHasANameOfItsOwn) {
  std::set<std::string> names;
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    names.insert(ErrorCodeName(static_cast<ErrorCode>(code)));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(ErrorCode::kInternal) + 1);
  EXPECT_FALSE(names.contains("unknown"));
}

}  // namespace
}  // namespace bertie
