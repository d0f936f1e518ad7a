// What a model's name stands for on this machine; nobody is asked.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/status.h"
#include "hub/cache.h"
#include "hub/names.h"
#include "hub/settings.h"

namespace bertie::hub {

// $XDG_CACHE_HOME/bertie/models (~/.cache/bertie/models).
std::filesystem::path OwnModels();

// Whether a folder may be a model's: it has a config.json.
bool IsModel(const std::filesystem::path& dir);

// A whole model in Hugging Face's cache. An id without an organisation may be one that the hub has
// moved under one since it was fetched.
struct InCache {
  std::optional<std::filesystem::path> dir;
  std::string incomplete;  // what a folder that is there lacks
};
InCache FindInCache(const Cache& cache, const ModelName& name);

struct LocalModel {
  std::optional<std::filesystem::path> path;  // absent: it may be pulled
  // Where it is absent:
  std::string looked;  // what a message begins with: the name, and where was looked
  Settings settings;
};

// A folder or an archive: the path itself where something has it; else a folder of that name in
// OwnModels; else the model of that name ("bert-base-uncased", "organisation/name", either with
// "@REVISION") in Hugging Face's cache, where it is taken for used. A name with a folder in it (a
// "/" too many, "." or "~" at its beginning, an archive's ending) is looked for nowhere, and
// kNotFound, as is what no hub could have; otherwise FromEnvironment's errors.
Result<LocalModel> FindLocalModel(const std::string& name);

}  // namespace bertie::hub
