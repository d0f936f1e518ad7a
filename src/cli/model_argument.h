// What a command's MODEL, or train's --model, stands for.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "base/status.h"
#include "hub/pull.h"

namespace bertie::cli {

// A folder or an archive: the path itself where something has it; else a folder of that name in
// $XDG_CACHE_HOME/bertie/models (~/.cache/bertie/models); else the model of that name
// ("bert-base-uncased", "organisation/name", either with "@REVISION") in Hugging Face's cache
// (hub/settings.h); else, unless HF_HUB_OFFLINE is set, it is pulled from the hub, with progress on
// stderr. A name with a folder in it (a "/" too many, "." or "~" at its beginning, an archive's
// ending) is never asked for anywhere. What a cache has is used as it is; `bertie pull` looks
// whether there is something newer. Errors say where was looked, and what to type.
Result<std::filesystem::path> ResolveModel(const std::string& name);

// The folder of a pretrained model: $BERTIE_MODEL; else bert-base-uncased or the first other model
// in bertie's own cache; else bert-base-uncased in Hugging Face's. kNotFound, saying where it
// looked and how to get one, when there is none. Pulls nothing.
Result<std::filesystem::path> FindBaseModel();

// A folder with bert-base-uncased's vocab.txt or tokenizer.json, in those caches; "" where there is
// none. Pulls nothing.
std::filesystem::path FindUncasedVocabulary();

// $XDG_CACHE_HOME/bertie/models.
std::filesystem::path OwnModels();

// "ID@REVISION" in its two parts; the revision "main" where none is given.
struct ModelName {
  std::string id;
  std::string revision = "main";
};
ModelName ParseModelName(const std::string& name);

// hub::Pull with progress and what is waited for on stderr, and the configuration looked at before
// weights are fetched: kUnsupported for another kind of model than BERT.
Result<hub::Pulled> PullModel(const hub::Settings& settings, const ModelName& name, bool quiet);

}  // namespace bertie::cli
