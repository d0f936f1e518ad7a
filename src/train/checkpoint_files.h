// The files of one training checkpoint: a model folder, as any of the program's commands reads it,
// with what a run needs besides to go on.
//
//   model.safetensors, config.json, the tokenizer's files
//   optimizer.safetensors   "moment1.NAME" and "moment2.NAME" for each parameter (F32), and
//                           "touched_rows" (I32), the rows of the word embeddings ever trained;
//                           "value.NAME", a parameter that model.safetensors has not as it is
//   state.json              position, recipe
//   manifest.json           length and SHA-256 of every other file
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/status.h"
#include "model/trainable_classifier.h"
#include "text/tokenizer.h"
#include "train/adamw.h"
#include "train/checkpoint_state.h"
#include "train/trainer.h"

namespace bertie::train {

// Into an empty folder. Nothing is copied in memory: tensors are written from where they lie.
Status WriteCheckpointFiles(const std::filesystem::path& dir, const TrainingState& run,
                            const RunIdentity& identity, const text::Tokenizer& tokenizer);

// Reads every file; kInvalidData names the first one that is not as the manifest says.
Status VerifyCheckpoint(const std::filesystem::path& dir);

// Moments, step count, the store's ever-touched rows, and the values that model.safetensors lacks:
// the store was made from that file. kInvalidData when a tensor is missing or
// of another shape.
Status ReadOptimizer(const std::filesystem::path& dir, const CheckpointState& state,
                     AdamW& optimizer, model::ParameterStore& parameters);

}  // namespace bertie::train
