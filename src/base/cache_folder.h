// Where a user's caches are: the rules of the XDG Base Directory Specification.
#pragma once

#include <filesystem>
#include <string>

namespace bertie {

// $XDG_CACHE_HOME, unless it is relative; else ~/.cache, where the home is $HOME, or the one that
// the user database has, if that is there; else PrivateCacheIn("/var/tmp"). An empty variable
// counts as one that is not set.
std::filesystem::path CacheFolder();

// parent/bertie-UID, made where it is not there yet, so that only this user can write into it.
// /nonexistent, which is never there, where that cannot be had: somebody else may have put it
// there, to have a model of theirs found in it.
std::filesystem::path PrivateCacheIn(const std::filesystem::path& parent);

// "~" and "~/..." as the home that CacheFolder has; any other path as it is.
std::filesystem::path ExpandHome(const std::string& path);

}  // namespace bertie
