// Which pretrained model `bertie train` starts from when it is not told.
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

}  // namespace bertie::cli
