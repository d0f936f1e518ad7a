// Characters that mean something in XML and HTML.
#pragma once

#include <string_view>

namespace bertie {

// What stands for c between tags and in an attribute in double quotes; "": c itself.
constexpr std::string_view MarkupReference(char32_t c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    default:
      return "";
  }
}

}  // namespace bertie
