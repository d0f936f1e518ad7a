// The stored references of tests/golden (see its README).
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/problem_type.h"
#include "formats/safetensors.h"
#include "model/batch.h"
#include "model/checkpoint.h"

namespace bertie::model {

inline std::filesystem::path GoldenDir() {
  return std::filesystem::path(BERTIE_TESTS_DIR) / "golden";
}

class Golden {
 public:
  explicit Golden(const std::string& name) : dir_(GoldenDir() / name) {
    auto file = formats::SafetensorsFile::Open(dir_ / "reference.safetensors");
    if (!file.ok()) ADD_FAILURE() << file.error().message;
    if (file.ok()) file_ = std::move(*file);
  }

  Checkpoint LoadModel() const {
    auto checkpoint = LoadCheckpoint(dir_);
    if (!checkpoint.ok()) ADD_FAILURE() << checkpoint.error().message;
    return checkpoint.ok() ? std::move(*checkpoint) : Checkpoint();
  }

  bool Has(const std::string& name) const { return file_.tensors.contains(name); }

  std::vector<float> Floats(const std::string& name) const {
    const TensorView& view = file_.tensors.at(name);
    std::vector<float> values(static_cast<size_t>(view.elements()));
    EXPECT_TRUE(CopyToFloat(view, values.data())) << name;
    return values;
  }

  std::vector<int32_t> Ints(const std::string& name) const {
    const TensorView& view = file_.tensors.at(name);
    EXPECT_EQ(view.dtype, DType::kI32) << name;
    std::vector<int32_t> values(static_cast<size_t>(view.elements()));
    std::memcpy(values.data(), view.data, view.bytes());
    return values;
  }

  // The batch whose tensors begin with `prefix` ("" or "step.3.").
  PackedBatch Batch(const std::string& prefix = "") const {
    PackedBatch batch;
    batch.token_ids = Ints(prefix + "token_ids");
    batch.type_ids = Ints(prefix + "type_ids");
    batch.cumulative_seq_lengths = Ints(prefix + "cumulative_seq_lengths");
    return batch;
  }

 private:
  std::filesystem::path dir_;
  formats::SafetensorsFile file_;
};

// tests/golden/targets.safetensors.
class GoldenTargets {
 public:
  GoldenTargets() {
    auto file = formats::SafetensorsFile::Open(GoldenDir() / "targets.safetensors");
    if (!file.ok()) ADD_FAILURE() << file.error().message;
    if (file.ok()) file_ = std::move(*file);
  }

  std::vector<float> Floats(const std::string& name) const {
    const TensorView& view = file_.tensors.at(name);
    std::vector<float> values(static_cast<size_t>(view.elements()));
    EXPECT_TRUE(CopyToFloat(view, values.data())) << name;
    return values;
  }

 private:
  formats::SafetensorsFile file_;
};

// tiny/ as the reference's script has it: for several labels as it is, for a regression with the
// first label's row of the head alone.
inline Checkpoint CheckpointFor(ProblemType problem, Checkpoint checkpoint) {
  checkpoint.config.problem_type = ProblemTypeName(problem);
  if (problem != ProblemType::kRegression) return checkpoint;
  checkpoint.config.labels = {"LABEL_0"};
  checkpoint.tensors.at("classifier.weight").shape[0] = 1;
  checkpoint.tensors.at("classifier.bias").shape[0] = 1;
  return checkpoint;
}

}  // namespace bertie::model
