// What `bertie train` does once its flags are read.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/source.h"
#include "cli/train/ranks.h"
#include "data/dataset.h"
#include "model/tuning.h"
#include "train/trainer.h"

namespace bertie::cli {

// How a run is kept safe.
struct CheckpointOptions {
  bool resume = false;
  std::string resume_from;  // "": OUT's own checkpoints
  bool overwrite = false;
  int64_t steps = 0;            // between checkpoints; 0: only at epochs and by time
  double minutes = 10;          // 0: not by time
  std::optional<int64_t> keep;  // 0: none are written; unset: 2, and none after a finished run
  std::string folder;           // "": OUT/checkpoints
};

// Values by the flag's long name.
using RunFlags = std::map<std::string, std::vector<std::string>>;

struct TrainJob {
  std::string model;  // folder or archive; "" looks for one
  SourceFlags source;
  std::string train_file;
  std::string test_file;  // "": holdout, or none
  double holdout = 0.1;  // share of the training file kept for the test where there is no test file
  std::string out = "model";
  bool archive = true;
  bool pytorch_bin = false;  // also write pytorch_model.bin
  int64_t max_length = 128;
  int64_t num_labels = 0;           // 0: as many as the data has
  std::optional<double> dropout;    // unset: the checkpoint's
  std::optional<double> threshold;  // as given; trainer.threshold has it, or the default
  int threads = 0;                  // 0: all processors
  std::string class_weights;        // "", "balanced" or a file: trainer.class_weights is made of it
  data::DatasetOptions dataset;     // columns and form of both files; labels are set by the job
  model::TuningOptions tuning;
  train::TrainerOptions trainer;
  CheckpointOptions checkpoints;
  RunFlags flags;              // as given, for the run's record
  std::string from;            // a run.json that the flags were taken from; "": none
  bool events = true;          // write TensorBoard's event file
  std::string tensorboard;     // folder for it; "": a new one under out/runs
  bool reports = true;         // write report.html and README.md at the end
  std::string report;          // the page's path; "": out/report.html
  bool container_log = false;  // also print the lines that SageMaker's metric definitions look for
  RankOptions ranks;
};

// Trains, saves and reports. Returns the exit code of a run that was not an error.
Result<int> ExecuteTrainJob(TrainJob job);

// Returns the exit code; errors are reported.
int RunTrainJob(const TrainJob& job);

}  // namespace bertie::cli
