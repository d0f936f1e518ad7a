// What CloudWatch knows of training jobs: the numbers that a job's metric definitions find in its
// logs, by TrainingJobName.
#pragma once

#include <cstdint>
#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cloud/jobs/job_board.h"
#include "cloud/jobs/job_request.h"
#include "cloud/metrics/metric_source.h"
#include "cloud/settings.h"

namespace bertie::cloud {

// Reads the logs when it is asked, from where it has read to before, so that what nobody looks at
// costs nothing and a restart loses nothing. Any thread.
//
// A job of bertie's own trainer that defines no metrics has those that its lines tell of:
// train:loss, validation:loss, validation:accuracy, validation:f1.
class JobMetrics : public MetricSource {
 public:
  // folder: of the jobs. All must outlive this.
  JobMetrics(const Settings& settings, const JobBoard& board, std::filesystem::path folder)
      : settings_(settings), board_(board), folder_(std::move(folder)) {}

  std::vector<MetricId> Metrics() const override;
  std::vector<MetricSlot> Read(const MetricId& metric, const MetricSpan& span,
                               bool coarse) const override;
  const char* UnitOf(const MetricId&) const override { return "None"; }

 private:
  // One job's log, as far as it was read.
  struct Reading {
    std::string job;
    Milliseconds created = 0;  // tells it from another one of the same name
    std::vector<MetricPattern> patterns;
    std::map<std::string, uint64_t> offsets;  // by host
    std::map<std::string, std::vector<MetricSlot>> values;
  };

  std::map<std::string, std::string> DefinitionsOf(const JobRecord& record) const;
  std::shared_ptr<Reading> ReadingOf(const JobRecord& record) const;
  void ReadOn(const JobRecord& record, Reading& reading) const;

  const Settings& settings_;
  const JobBoard& board_;
  const std::filesystem::path folder_;
  mutable std::mutex mutex_;                              // guards what follows and the readings
  mutable std::list<std::shared_ptr<Reading>> readings_;  // the last one asked for first
};

}  // namespace bertie::cloud
