// Errors in the words of Amazon's services: a code that their clients know.
#pragma once

#include <cassert>
#include <string>
#include <utility>
#include <variant>

#include "base/status.h"

namespace bertie::cloud {

struct Failure {
  Failure(const char* a_code, std::string a_message)
      : code(a_code), message(std::move(a_message)) {}
  // What the machine refused: no client can mend it.
  Failure(const Error& error)  // NOLINT(google-explicit-constructor)
      : code("InternalError"), message(error.message) {}

  const char* code;  // of static lifetime
  std::string message;
};

// As Result (base/status.h), whose macros work with it.
template <class T>
class [[nodiscard]] Outcome {
 public:
  Outcome(T value) : state_(std::move(value)) {}            // NOLINT(google-explicit-constructor)
  Outcome(Failure failure) : state_(std::move(failure)) {}  // NOLINT(google-explicit-constructor)
  Outcome(const Error& error) : state_(Failure(error)) {}   // NOLINT(google-explicit-constructor)

  bool ok() const { return state_.index() == 0; }
  T& value() & { return assert(ok()), std::get<0>(state_); }
  const T& value() const& { return assert(ok()), std::get<0>(state_); }
  T&& value() && { return assert(ok()), std::get<0>(std::move(state_)); }
  const Failure& error() const { return assert(!ok()), std::get<1>(state_); }

  T* operator->() { return &value(); }
  T& operator*() & { return value(); }
  T&& operator*() && { return std::move(*this).value(); }

 private:
  std::variant<T, Failure> state_;
};

using Done = Outcome<std::monostate>;

}  // namespace bertie::cloud
