// Everything that a finished training run has to tell.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "cli/train/data.h"
#include "cli/train/job.h"
#include "cli/train/mistakes.h"
#include "model/config.h"
#include "train/evaluator.h"
#include "train/metrics.h"
#include "train/run_history.h"

namespace bertie::cli {

struct TestResult {
  train::Metrics metrics;
  Mistakes mistakes;
};

struct RunMachine {
  std::string processor;    // its name, "" where the system does not tell
  std::string system;       // "Linux 6.1.0"
  int threads = 0;          // of this rank
  int ranks = 1;            // of the run
  int64_t peak_memory = 0;  // bytes, of this process so far
};

struct TrainSummary {
  std::string name;        // the output folder's
  std::string base_model;  // a name on the Hugging Face hub where it is known, else the folder's
  TrainJob job;
  model::Config config;
  std::vector<int64_t> label_counts;  // training sentences of each label; none in a regression
  int64_t train_sentences = 0;
  train::RunHistory history;
  double seconds = 0;  // the whole run, or where it was resumed its epochs
  std::string date;    // "2025-01-31"
  RunMachine machine;
  std::optional<TestResult> test;
};

// How the model as it lies in job.out does on the test sentences: what is reported is what is
// saved, whichever epoch that came from.
Result<TestResult> TestSavedModel(const TrainJob& job, const std::vector<data::Example>& examples,
                                  const train::EncodedDataset& encoded, ThreadPool& pool);

RunMachine DescribeRunMachine(int threads);

// The name of a pretrained model for those who have other folders: "google-bert/bert-base-uncased"
// for one in Hugging Face's cache, else the last part of the path.
std::string BaseModelName(const std::string& path);

// Today, in local time.
std::string Today();

}  // namespace bertie::cli
