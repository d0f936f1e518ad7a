// What lies in a folder.
#pragma once

#include <filesystem>
#include <vector>

namespace bertie::cloud {

// The folders directly in a folder, by name; links to folders are none. Empty where there is none.
std::vector<std::filesystem::path> FoldersIn(const std::filesystem::path& folder);

}  // namespace bertie::cloud
