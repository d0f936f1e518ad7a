// Refusals (400) of bodies that say what they may not.
#pragma once

#include <string>
#include <utility>

#include "formats/json.h"
#include "http/message.h"

namespace bertie::serve {

inline http::Refusal InvalidInput(std::string message) {
  return {400, "InvalidInput", std::move(message)};
}

// found is what is at `where` in the place of `expected`.
inline http::Refusal WrongType(const std::string& where, const formats::Json& found,
                               const std::string& expected) {
  return InvalidInput(where + " is " + formats::JsonTypeName(found) + "; expected " + expected);
}

}  // namespace bertie::serve
