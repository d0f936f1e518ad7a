// Files for their owner's eyes alone.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/status.h"

namespace bertie {

// WriteFileAtomically with permissions 0600, which hold before anything is in the file.
Status WritePrivateFile(const std::filesystem::path& target, std::string_view content);

}  // namespace bertie
