// Files that are part of the program: those of the pages, put there by cmake/embed.cmake.
#pragma once

#include <span>
#include <string_view>

namespace bertie::pages {

// All of static lifetime.
struct EmbeddedFile {
  std::string_view name;  // below src/pages: "shared/style.css"
  std::string_view etag;  // with its quotes; changes with the bytes
  std::string_view bytes;
};

std::span<const EmbeddedFile> EmbeddedFiles();

}  // namespace bertie::pages
