// What `bertie train` does once its flags are read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/status.h"
#include "data/dataset.h"
#include "model/tuning.h"
#include "train/trainer.h"

namespace bertie::cli {

struct TrainJob {
  std::string model;  // folder or archive; "" looks for one
  std::string train_file;
  std::string test_file;  // "": holdout, or none
  double holdout = 0.1;  // share of the training file kept for the test where there is no test file
  std::string out = "model";
  bool archive = true;
  int64_t max_length = 128;
  int64_t num_labels = 0;         // 0: as many as the data has
  std::optional<double> dropout;  // unset: the checkpoint's
  int threads = 0;                // 0: all processors
  data::DatasetOptions dataset;   // columns and form of both files; labels are set by the job
  model::TuningOptions tuning;
  train::TrainerOptions trainer;
};

// Returns the exit code; errors are reported.
int RunTrainJob(const TrainJob& job);

}  // namespace bertie::cli
