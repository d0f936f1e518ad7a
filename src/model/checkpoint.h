// Model folders in the Hugging Face form, in and out.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/config.h"
#include "tensor/tensor.h"
#include "text/tokenizer.h"

namespace bertie::model {

// The weights of a BERT as found on disk, under ParameterSpecs' names.
struct Checkpoint {
  Config config;
  // Floating tensors with the shapes of ParameterSpecs(config). pooler and classifier entries may
  // be absent (see missing); all others are there.
  std::map<std::string, TensorView> tensors;
  // What the tensors point into (a file mapping, unpacked pickles); keeps it alive.
  std::shared_ptr<const void> storage;
  // Names of ParameterSpecs that the files lack: only pooler's and classifier's may be missing.
  std::vector<std::string> missing;
  // Names in the files that a sequence classifier has no use for (cls.predictions..., buffers).
  std::vector<std::string> unused;
  std::filesystem::path source;  // the file the weights came from
};

struct LoadOptions {
  // When set, the labels to classify into, in id order: replaces the checkpoint's, and a stored
  // classifier of another size counts as missing.
  std::vector<std::string> labels;
};

// Reads a model folder: config.json with model.safetensors, model.safetensors.index.json and its
// shards, pytorch_model.bin (zip or the older form) or its .index.json, in that order. Accepts
// names with and without the "bert." prefix and LayerNorm's old gamma and beta. F16, BF16 and F64
// weights are served as they are stored; CopyToFloat converts them.
Result<Checkpoint> LoadCheckpoint(const std::filesystem::path& model_dir,
                                  const LoadOptions& options = {});

// Fills what is missing as transformers does: weights from N(0, initializer_range), biases zero.
// The same seed gives the same head, whatever else is missing and whatever standard library this
// was built with. Leaves checkpoint.missing empty.
void InitializeMissing(Checkpoint& checkpoint, uint64_t seed);

struct NamedTensor {
  std::string name;
  TensorView tensor;
};

// Writes config.json, model.safetensors and the tokenizer's files into a fresh folder beside
// model_dir, syncs it, then puts it in model_dir's place: a crash or a full disk leaves the old
// folder or the new one whole. tensors in the order they are stored in.
Status SaveCheckpoint(const std::filesystem::path& model_dir, const Config& config,
                      const std::vector<NamedTensor>& tensors, const text::Tokenizer& tokenizer);

// The same files into a folder that is there, each written by itself.
Status WriteModelFiles(const std::filesystem::path& dir, const Config& config,
                       const std::vector<NamedTensor>& tensors, const text::Tokenizer& tokenizer);

// Writes pytorch_model.bin, which transformers before 4.22 knows alone, beside the folder's
// model.safetensors and with its weights.
Status SaveTorchWeights(const std::filesystem::path& model_dir);

// Packs the files of a model folder (no subfolders' names, "./"-less) as a gzip'd tar that is
// written under a temporary name and renamed.
Status SaveArchive(const std::filesystem::path& model_dir, const std::filesystem::path& tar_gz);

}  // namespace bertie::model
