// What a command's MODEL, or train's --model, stands for.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "base/status.h"
#include "hub/local_model.h"
#include "hub/pull.h"

namespace bertie::cli {

// hub::FindLocalModel's path; else, unless HF_HUB_OFFLINE is set, the model of that name is pulled
// from the hub, with progress on stderr. Errors say where was looked, and what to type.
Result<std::filesystem::path> ResolveModel(const std::string& name);

// The folder of a pretrained model: $BERTIE_MODEL; else bert-base-uncased or the first other model
// in bertie's own cache; else bert-base-uncased in Hugging Face's. kNotFound, saying where it
// looked and how to get one, when there is none. Pulls nothing.
Result<std::filesystem::path> FindBaseModel();

// A folder with bert-base-uncased's vocab.txt or tokenizer.json, in those caches; "" where there is
// none. Pulls nothing.
std::filesystem::path FindUncasedVocabulary();

// hub::Pull with progress and what is waited for on stderr, and the configuration looked at before
// weights are fetched: kUnsupported for another kind of model than BERT.
Result<hub::Pulled> PullModel(const hub::Settings& settings, const hub::ModelName& name,
                              bool quiet);

}  // namespace bertie::cli
