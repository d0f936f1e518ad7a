// Where a user's caches are: the rules of the XDG Base Directory Specification.
#pragma once

#include <filesystem>
#include <string>

namespace bertie {

// $XDG_CACHE_HOME, else ~/.cache; /var/tmp where HOME is not set either. An empty variable counts
// as one that is not set.
std::filesystem::path CacheFolder();

// "~" and "~/..." as $HOME has them; any other path as it is.
std::filesystem::path ExpandHome(const std::string& path);

}  // namespace bertie
