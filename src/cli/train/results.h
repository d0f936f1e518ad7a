// The end of a training run: tables on the terminal, the model card, the report.
#pragma once

#include <filesystem>
#include <string>

#include "base/status.h"
#include "base/thread_pool.h"
#include "cli/train/data.h"
#include "cli/train/job.h"
#include "cli/train/summary.h"
#include "model/config.h"
#include "train/evaluator.h"

namespace bertie::cli {

struct FinishedRun {
  const TrainJob& job;
  std::string base_model;  // path
  model::Config config;
  const TrainData& data;
  const train::EncodedDataset& test;  // data.test as token ids
  int threads = 0;
  int ranks = 1;
  double seconds = 0;  // of this process; a resumed run took longer
};

// Tests the model that was saved in job.out (where there is test data) and gathers the rest.
Result<TrainSummary> Summarize(const FinishedRun& run, ThreadPool& pool);

// Figures, labels and the confusion matrix, on stdout; nothing without a test.
void PrintTest(const TrainSummary& summary);

// Where the job wants its report: job.report, or job.out/report.html.
std::filesystem::path ReportPath(const TrainJob& job);

Status SaveReport(const TrainSummary& summary);

// Takes away a report and a card (where nobody edited it) of a model that has just been replaced.
void RemoveOldReports(const TrainJob& job);

}  // namespace bertie::cli
