// Models made ready for one kind of processor: a folder with config.json, the tokenizer's files and
// compiled.safetensors, whose matrices lie as the kernels read them and are used where the file is
// mapped. The file is safetensors (formats/safetensors.h): matrices as bytes, all else as floats,
// and under __metadata__ what CompiledInfo has and how each matrix lies.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/classifier_weights.h"
#include "model/weight_files.h"
#include "text/tokenizer.h"

namespace bertie::model {

struct CompiledInfo {
  WeightType precision = WeightType::kF32;
  std::string cpu;            // the instructions it was laid out for: "avx2", ...
  std::string source_sha256;  // of the weights it was made from, in hexadecimal
  int64_t matrices = 0;       // of all layers, and how many of them
  int64_t higher = 0;         // are held in a higher precision than `precision`
};

// Writes the folder, replacing an older compiled one whole (AtomicDirectory).
Status SaveCompiled(const std::filesystem::path& dir, const ClassifierWeights& weights,
                    const CompiledInfo& info, const text::Tokenizer& tokenizer);

struct CompiledModel {
  ClassifierWeights weights;
  CompiledInfo info;
  int64_t repacked = 0;  // matrices that lay otherwise than this processor reads them
};

// kNotFound: dir holds no compiled file; kInvalidData: it is damaged or does not fit config.json.
Result<CompiledModel> LoadCompiled(const std::filesystem::path& dir, ThreadPool& pool);

// Without touching the weights.
Result<CompiledInfo> ReadCompiledInfo(const std::filesystem::path& dir);

bool IsCompiled(const std::filesystem::path& dir);

}  // namespace bertie::model
