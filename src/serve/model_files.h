// Model folders on the disk: which versions there are, whether they changed, what they weigh.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "base/status.h"

namespace bertie::serve {

// The versions at a path, by name: a model's folder or file is version "1" of itself; a folder
// that holds no model by itself has one in each of its own folders, named after it. Hidden folders
// are left out. kNotFound where there is nothing, kInvalidData where there is no version.
Result<std::map<std::string, std::filesystem::path>> FindVersions(
    const std::filesystem::path& path);

// The names of the folders in a folder that may be models'. Errors: FileError's.
Result<std::map<std::string, std::filesystem::path>> FindModels(const std::filesystem::path& dir);

// Whether a name may stand for a folder beneath another: no slash, no dot in front, not empty.
bool IsFolderName(const std::string& name);

// Names, sizes and times of a model's files: differs once one of them is written or replaced.
std::string Fingerprint(const std::filesystem::path& model);

// The size of the largest file, which has the weights: about what the model takes in memory.
int64_t WeightBytes(const std::filesystem::path& model);

}  // namespace bertie::serve
