// A TorchScript archive, which has neither configuration nor vocabulary, as a model folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/status.h"
#include "model/script_bert.h"

namespace bertie::model {

// What an archive does not hold, from elsewhere. Ignored for other models, but for pad_to.
struct ScriptOptions {
  // vocab.txt, tokenizer.json or a folder with one of them. "": from a folder beside the archive,
  // else default_vocabulary where the archive has as many words as that.
  std::filesystem::path vocabulary;
  // Gives bert-base-uncased's folder, or "" where there is none; asked once it is needed.
  std::function<std::filesystem::path()> default_vocabulary = [] {
    return std::filesystem::path();
  };
  // Absent: as tokenizer_config.json beside the vocabulary says; without one, lower case unless the
  // vocabulary has words with capitals.
  std::optional<bool> lower_case;
  // Tokens to pad texts to where the trace takes no attention mask (text/tokenizer_spec.h); 0: as
  // it was traced. Absent: none.
  std::optional<int64_t> pad_to;
};

struct ScriptFolder {
  ScriptInfo info;
  std::string note;  // where the vocabulary is from, what padding means: for the user
};

// Writes config.json, model.safetensors and the tokenizer's files into dir, an empty folder. The
// weights go from the archive's mapping to the file. beside: folders whose vocabulary is the
// archive's own; config.json in the first of them gives the labels' names. Errors:
// ReadScriptBert's; kNotFound: no vocabulary, with how to give one; kInvalidData: one of another
// size.
Result<ScriptFolder> WriteScriptFolder(const std::filesystem::path& archive,
                                       const std::vector<std::filesystem::path>& beside,
                                       const ScriptOptions& options,
                                       const std::filesystem::path& dir);

}  // namespace bertie::model
