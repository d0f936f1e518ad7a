// Which files of a SageMaker job's channels are meant.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/status.h"
#include "cli/sagemaker/flags.h"

namespace bertie::cli {

struct ChannelFiles {
  std::filesystem::path train;
  std::filesystem::path test;  // "": none
};

using Channels = std::map<std::string, std::filesystem::path>;

// Training data out of the channel `training` or `train`, or the only one that is for nothing else;
// test data out of `testing`, `test`, `validation`, `valid`, `dev` or `eval`. In a channel the file
// that a hyperparameter names (a path, or a name in the channel's folder); else the only csv, tsv
// or jsonl file there; else the one called train.*, or test.* (validation.*, dev.*, eval.*).
// kNotFound or kInvalidArgument, with what is there, where no file or several are meant.
Result<ChannelFiles> FindChannelFiles(const Channels& channels, const NamedFiles& named);

// The pretrained model: what the hyperparameter says (a path, a name in the channel `model`, or one
// that ResolveModel knows); else the channel `model` (a model's files, or one folder or archive of
// them); else FindBaseModel's.
Result<std::filesystem::path> FindChannelModel(const Channels& channels, const NamedFiles& named);

}  // namespace bertie::cli
