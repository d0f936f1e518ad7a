// Data and models for tests of whole training runs.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "model/golden.h"
#include "train/trainer.h"

namespace bertie::train {

// Sentences of the tiny model's vocabulary, labelled by their first word's parity: learnable.
inline EncodedDataset MakeData(int count, uint32_t seed) {
  EncodedDataset data;
  uint32_t state = seed;
  auto draw = [&](uint32_t n) {
    state = state * 1664525u + 1013904223u;
    return static_cast<int32_t>((state >> 16) % n);
  };
  for (int i = 0; i < count; ++i) {
    text::Encoding encoding;
    const int32_t first = 10 + draw(20);
    encoding.ids = {2, first};
    for (int32_t length = draw(9); length > 0; --length) encoding.ids.push_back(30 + draw(20));
    encoding.ids.push_back(3);
    encoding.type_ids.assign(encoding.ids.size(), 0);
    data.targets.labels.push_back(first % 2);
    data.encodings.push_back(encoding);
  }
  return data;
}

// The same sentences with other answers: of three labels those that the first word's remainder has
// a bit of, or the remainder.
inline EncodedDataset WithTargets(EncodedDataset data, ProblemType problem) {
  if (problem == ProblemType::kSingleLabel) return data;
  data.targets = {problem, {}, {}};
  for (const text::Encoding& encoding : data.encodings) {
    const int32_t word = encoding.ids[1];
    if (problem == ProblemType::kRegression) {
      data.targets.values.push_back(static_cast<float>(word % 7) / 3);
      continue;
    }
    for (int label = 0; label < 3; ++label) {
      data.targets.values.push_back(static_cast<float>((word >> label) & 1));
    }
  }
  return data;
}

inline std::vector<float> Weights(model::TrainableClassifier& model) {
  const float* values = model.parameters().values();
  return {values, values + model.parameters().size()};
}

// The tiny model with dropout.
inline model::Checkpoint TinyCheckpoint(const model::Golden& golden, float dropout = 0.1f) {
  model::Checkpoint checkpoint = golden.LoadModel();
  checkpoint.config.hidden_dropout_prob = dropout;
  checkpoint.config.attention_probs_dropout_prob = dropout;
  return checkpoint;
}

inline TrainerOptions SmallOptions() {
  TrainerOptions options;
  options.epochs = 3;
  options.batch_size = 16;
  options.learning_rate = 2e-3;
  return options;
}

}  // namespace bertie::train
