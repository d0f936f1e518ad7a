// Pages that need nothing beside them.
#pragma once

#include <string>
#include <string_view>

namespace bertie::cli {

// The text as it may stand between tags and in a quoted attribute. Invalid UTF-8 and characters
// that HTML has no place for become U+FFFD.
std::string EscapeHtml(std::string_view text);

// A whole page around the body's HTML. It takes the reader's light or dark colours, fits narrow
// screens, runs no script and is forbidden to load anything from anywhere.
std::string HtmlPage(const std::string& title, const std::string& body);

}  // namespace bertie::cli
