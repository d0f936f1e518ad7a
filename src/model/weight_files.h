// The files of a model folder that hold weights, as they are: no name is changed here.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "tensor/tensor.h"

namespace bertie::model {

// Of a compiled model (compiled_file.h); beside it there are no other weights.
inline constexpr const char* kCompiledFile = "compiled.safetensors";

struct StoredWeights {
  std::map<std::string, TensorView> tensors;  // under the names in the files
  std::shared_ptr<const void> storage;        // what the tensors point into
  std::filesystem::path source;               // the file, or the index of a set of shards
};

// Reads the first of these that is there: model.safetensors, model.safetensors.index.json,
// pytorch_model.bin, pytorch_model.bin.index.json. An index names its shards, plain file names in
// the same folder, and every tensor it lists must be in its shard. kNotFound when none is there,
// kUnsupported when the folder is compiled.
Result<StoredWeights> ReadWeights(const std::filesystem::path& model_dir);

// The files that a folder is opened from for inference, in byte order: compiled.safetensors where
// it is there, else those that ReadWeights reads.
Result<std::vector<std::string>> WeightFileNames(const std::filesystem::path& model_dir);

// True for the names of files that a save replaces as a whole: weights in any framework's form,
// their indexes and added_tokens.json.
bool IsWeightFile(const std::string& name);

}  // namespace bertie::model
