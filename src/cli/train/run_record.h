// run.json: what a training run was made of, so that it can be repeated.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/status.h"
#include "cli/commands.h"
#include "cli/train/job.h"
#include "cli/train/resume.h"
#include "formats/json.h"
#include "train/checkpoint_files.h"
#include "train/trainer.h"

namespace bertie::cli {

// The flags that a command was given, by their long names, but for those that choose between
// beginning and going on.
RunFlags GivenFlags(const CLI::App& command);

// Gives the command the flags in a run.json where it has none of its own. Errors name the file and
// the flag.
Status ApplyRunFlags(const std::filesystem::path& file, CLI::App& command);

// One run's record, in its output folder. A failed write is said on stderr: the record is no reason
// to end a run.
class RunRecord {
 public:
  // Hashes the data files. The job must outlive the object.
  RunRecord(const TrainJob& job, const std::string& base_model, const train::RunIdentity& identity,
            const std::optional<ResumePoint>& point);

  // At the run's begin.
  void Write();
  // After its end: with the SHA-256 of the saved weights.
  void WriteFinished(const train::TrainOutcome& outcome);
  // Says on stdout whether the weights are those of job.from, where there is one.
  void PrintComparison() const;

 private:
  const TrainJob& job_;
  formats::Json json_;
  std::string weights_;         // SHA-256 of the saved ones
  std::string weights_before_;  // of those of job.from; "": none
};

}  // namespace bertie::cli
