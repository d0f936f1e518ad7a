// The sentences of a training run.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "cli/train/job.h"
#include "data/dataset.h"
#include "model/config.h"
#include "text/tokenizer.h"
#include "train/evaluator.h"

namespace bertie::cli {

// The data as examples, the test part split off where no test file is named.
struct TrainData {
  data::Dataset train;              // label_counts without the test part's
  std::vector<data::Example> test;  // empty: no test
};

// Reads the job's files and says on stderr what was read. Errors are LoadDataset's.
Result<TrainData> LoadTrainData(const TrainJob& job);

// Names of the labels in config.json: numbers from 0, and a regression's one number, become
// transformers' LABEL_0, LABEL_1, ...
std::vector<std::string> ConfigLabels(const data::Dataset& dataset);

// Token ids and answers; how many sentences were cut to max_length tokens is said on stderr. what:
// "training", "test".
train::EncodedDataset EncodeForTraining(const text::Tokenizer& tokenizer,
                                        const std::vector<data::Example>& examples,
                                        const model::Config& config, int64_t max_length,
                                        const char* what);

}  // namespace bertie::cli
