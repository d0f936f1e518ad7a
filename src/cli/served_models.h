// Which models `serve` was asked for.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"

namespace bertie::cli {

struct ServedModel {
  std::string name;   // requests' name for it
  std::string shown;  // what the user called it
  std::filesystem::path path;
};

// Each is MODEL, whose name is its file's or folder's, or NAME=MODEL. Found as every MODEL is
// (model_argument.h), and pulled where need be. Errors: ResolveModel's; kInvalidArgument for two of
// one name.
Result<std::vector<ServedModel>> ResolveServedModels(const std::vector<std::string>& arguments);

// The secrets in a file, one a line; blank lines and those that begin with # do not count. With the
// variable's, where it is set. Errors: a file without any, bytes that no header may hold.
Result<std::vector<std::string>> ReadKeys(const std::string& file, const char* variable);

}  // namespace bertie::cli
