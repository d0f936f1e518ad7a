// EXPECT_ERROR(result, code, part): the result failed with this code, and its message, one line,
// holds this text.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/status.h"

namespace bertie {

template <class T>
void ExpectError(const Result<T>& result, ErrorCode code, const std::string& part) {
  ASSERT_FALSE(result.ok()) << "expected an error with: " << part;
  const Error& error = result.error();
  EXPECT_STREQ(ErrorCodeName(error.code), ErrorCodeName(code)) << error.message;
  EXPECT_NE(error.message.find(part), std::string::npos) << error.message << "\nlacks: " << part;
  EXPECT_EQ(error.message.find('\n'), std::string::npos) << error.message;
}

}  // namespace bertie

#define EXPECT_ERROR(result, code, part)         \
  do {                                           \
    SCOPED_TRACE(#result);                       \
    ::bertie::ExpectError((result), code, part); \
  } while (false)
