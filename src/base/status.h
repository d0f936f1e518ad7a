// Errors as values. A call that can fail for a reason the caller may meet in ordinary use (a bad
// file, a full disk, wrong input) returns Result<T>; exceptions stay inside a function.
#pragma once

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace bertie {

enum class ErrorCode {
  kInvalidArgument,    // the caller's fault: a flag, a request
  kNotFound,           // a file, a tensor, a name that is not there
  kInvalidData,        // a file's content breaks its format
  kUnsupported,        // well-formed, but not something bertie does
  kResourceExhausted,  // over a stated limit, a full queue, no memory
  kIo,                 // the operating system refused; the message has its reason
  kUnavailable,        // shutting down, or not ready yet
  kDeadlineExceeded,
  kCancelled,
  kInternal,  // a bug in bertie
};

// The code's name in lower_snake_case, for logs and JSON answers.
const char* ErrorCodeName(ErrorCode code);

// A message is one line: what was found, what was expected, where (file:line where there is one).
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;

  // The same error with "context: " before its message.
  Error WithContext(const std::string& context) const { return {code, context + ": " + message}; }
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // Both need the matching ok(); checked in debug builds.
  T& value() & { return assert(ok()), std::get<0>(state_); }
  const T& value() const& { return assert(ok()), std::get<0>(state_); }
  T&& value() && { return assert(ok()), std::get<0>(std::move(state_)); }
  const Error& error() const { return assert(!ok()), std::get<1>(state_); }

  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : failed_(true), error_(std::move(error)) {}  // NOLINT

  bool ok() const { return !failed_; }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return assert(failed_), error_; }

 private:
  bool failed_ = false;
  Error error_;
};

using Status = Result<void>;

}  // namespace bertie

#define BERTIE_CONCAT_INNER(a, b) a##b
#define BERTIE_CONCAT(a, b) BERTIE_CONCAT_INNER(a, b)

// BERTIE_RETURN_IF_ERROR(expr): leaves the function with expr's error.
#define BERTIE_RETURN_IF_ERROR(expr)                                   \
  do {                                                                 \
    if (auto bertie_status = (expr); !bertie_status.ok()) {            \
      return bertie_status.error();                                    \
    }                                                                  \
  } while (false)

// BERTIE_ASSIGN_OR_RETURN(auto x, expr): x is expr's value, or the function is left with its error.
#define BERTIE_ASSIGN_OR_RETURN(declaration, expr)                     \
  auto BERTIE_CONCAT(bertie_result_, __LINE__) = (expr);               \
  if (!BERTIE_CONCAT(bertie_result_, __LINE__).ok()) {                 \
    return BERTIE_CONCAT(bertie_result_, __LINE__).error();            \
  }                                                                    \
  declaration = std::move(BERTIE_CONCAT(bertie_result_, __LINE__)).value()
