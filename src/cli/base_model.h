// Which pretrained model `bertie train` starts from.
#pragma once

#include <filesystem>
#include <string>

#include "base/status.h"

namespace bertie::cli {

// The folder of a pretrained model: $BERTIE_MODEL; else bert-base-uncased or the first other model
// under $XDG_CACHE_HOME/bertie/models (~/.cache/bertie/models); else bert-base-uncased in Hugging
// Face's cache ($HF_HOME, ~/.cache/huggingface). kNotFound, saying where it looked and how to get
// one, when there is none.
Result<std::filesystem::path> FindBaseModel();

// A folder with bert-base-uncased's vocab.txt or tokenizer.json, in those caches; "" where there is
// none.
std::filesystem::path FindUncasedVocabulary();

// A model by path or, where nothing has that path, by its name in those caches
// ("bert-base-uncased", "organisation/name"). kNotFound where it is nowhere.
Result<std::filesystem::path> FindModel(const std::string& name);

}  // namespace bertie::cli
