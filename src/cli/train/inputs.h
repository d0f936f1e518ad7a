// What a training run begins with: base model, tokenizer, sentences, and where it goes on from.
#pragma once

#include <filesystem>
#include <optional>

#include "base/status.h"
#include "cli/train/data.h"
#include "cli/train/job.h"
#include "cli/train/resume.h"
#include "comm/launch.h"
#include "model/checkpoint.h"
#include "model/model_source.h"
#include "text/tokenizer.h"
#include "train/evaluator.h"

namespace bertie::cli {

struct TrainInputs {
  std::filesystem::path model_path;  // of the base model, as it was found
  std::optional<ResumePoint> point;  // of rank 0
  model::ModelSource source;
  text::Tokenizer tokenizer;
  TrainData data;
  model::Checkpoint base;  // with the head that the run begins with
  int threads = 1;
  train::EncodedDataset train;
  train::EncodedDataset test;

  // Reads and checks everything, says on stderr what it found, and fits the job to it: the length
  // to the model's positions, the batch to the ranks, the precision to the processor.
  static Result<TrainInputs> Load(TrainJob& job, const comm::Launch& launch);
};

}  // namespace bertie::cli
