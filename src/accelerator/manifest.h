// Which files make a model, and the hash that names their content.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"

namespace bertie::accelerator {

struct ModelFile {
  std::string name;  // no folder in it
  uint64_t size = 0;
  std::string sha256;  // lower-case hexadecimal
};

struct ModelManifest {
  std::vector<ModelFile> files;  // in the byte order of their names
  std::string content_hash;      // ContentHash(files)
};

// The lines "sha256 size name\n", in the order of the files.
std::string ManifestText(const std::vector<ModelFile>& files);

// SHA-256, in lower-case hexadecimal, of the files' ManifestText in the byte order of the names.
// Two folders have the same hash exactly when they hold the same files.
std::string ContentHash(std::vector<ModelFile> files);

// The files that model::OpenClassifier reads in a model folder: config.json and the weights, of a
// compiled model or a checkpoint, in the order of preference in which those are read. Tokenizer
// files are not among them, since only ids travel. Reads every file once, to hash it. Errors:
// kNotFound when there is no config.json or no weights; those of reading.
Result<ModelManifest> MakeManifest(const std::filesystem::path& model_dir);

// Whether a manifest from elsewhere can be trusted with a place on disk: names without folders,
// dots at their beginning or control bytes, none twice; at most 1000 files and 64 GiB; hashes of 64
// hexadecimal digits; and the content hash is that of the files. kInvalidData says what is wrong.
Status CheckManifest(const ModelManifest& manifest);

}  // namespace bertie::accelerator
