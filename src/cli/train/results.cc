#include "cli/train/results.h"

#include <algorithm>
#include <iostream>
#include <system_error>

#include "base/file.h"
#include "cli/metric_tables.h"
#include "cli/train/model_card.h"
#include "cli/train/report.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

// "model/" and "." have names too.
std::string FolderName(const std::string& folder) {
  std::error_code error;
  fs::path path = fs::absolute(folder, error).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return path.filename().string();
}

}  // namespace

Result<TrainSummary> Summarize(const FinishedRun& run, ThreadPool& pool) {
  TrainSummary summary;
  summary.name = FolderName(run.job.out);
  summary.base_model = BaseModelName(run.base_model);
  summary.job = run.job;
  summary.config = run.config;
  summary.label_counts = run.data.train.label_counts;
  summary.train_sentences = static_cast<int64_t>(run.data.train.examples.size());
  BERTIE_ASSIGN_OR_RETURN(summary.history,
                          train::ReadRunHistory(fs::path(run.job.out) / "history.jsonl"));
  double training = 0;
  for (const auto& row : summary.history.epochs) training += row.seconds;
  summary.seconds = std::max(run.seconds, training);
  summary.date = Today();
  if (!run.test.encodings.empty()) {
    BERTIE_ASSIGN_OR_RETURN(summary.test, TestSavedModel(run.job, run.data.test, run.test, pool));
  }
  summary.machine = DescribeRunMachine(run.threads);
  summary.machine.ranks = run.ranks;
  return summary;
}

void PrintTest(const TrainSummary& summary) {
  if (!summary.test) return;
  std::cout << '\n'
            << DetailTables(summary.test->metrics, summary.config.labels,
                            ReportPath(summary.job).string())
            << '\n';
}

fs::path ReportPath(const TrainJob& job) {
  return job.report.empty() ? fs::path(job.out) / "report.html" : fs::path(job.report);
}

Status SaveReport(const TrainSummary& summary) {
  return WriteFileAtomically(ReportPath(summary.job), TrainReportHtml(summary));
}

void RemoveOldReports(const TrainJob& job) {
  std::error_code ignored;
  fs::remove(ReportPath(job), ignored);
  RemoveUneditedCard(job.out);
}

}  // namespace bertie::cli
