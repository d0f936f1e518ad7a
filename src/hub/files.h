// Which files of a model a classifier needs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"

namespace bertie::hub {

// The form of weights that is read where a repository has several.
struct WantedFiles {
  std::vector<std::string> needed;  // config.json, the tokenizer's files, one file of weights
  std::string index;                // of shards, whose names ShardsIn reads; "" for one file
  std::vector<std::string> papers;  // README.md, LICENSE, ...: taken where they are small
  // Files that transformers looks for and that the repository lacks.
  std::vector<std::string> absent;
};

// Out of a repository's list of files. kUnsupported where weights, config.json or a vocabulary are
// missing, saying what is there instead.
Result<WantedFiles> ChooseFiles(const std::vector<std::string>& files, const std::string& id);

// The shards that an index in the Hugging Face form names. kInvalidData where one is no plain name.
Result<std::vector<std::string>> ShardsIn(const std::filesystem::path& index);

// What a model's folder lacks to be read: "config.json", "weights (model.safetensors, ...)"; "" for
// nothing.
std::string MissingIn(const std::filesystem::path& dir);

}  // namespace bertie::hub
