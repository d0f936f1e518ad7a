// Whether a run begins anew or goes on from a checkpoint.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/status.h"
#include "cli/train/job.h"
#include "model/checkpoint.h"
#include "train/checkpoint_files.h"
#include "train/trainer.h"

namespace bertie::cli {

// A checkpoint to go on from.
struct ResumePoint {
  std::filesystem::path dir;
  train::CheckpointState state;
};

// Where the job's checkpoints are written.
std::filesystem::path CheckpointFolder(const TrainJob& job);

// The job's choice between going on and beginning anew; nullopt: anew. Damaged checkpoints are
// named on stderr. kInvalidArgument, with what to type, where the output folder holds an unfinished
// run and the job has neither resume nor overwrite.
Result<std::optional<ResumePoint>> FindResumePoint(const TrainJob& job);

// What the run is made of. checkpoint holds the weights it begins with, the head among them.
train::RunIdentity IdentifyRun(const TrainJob& job, const model::Checkpoint& checkpoint,
                               const train::EncodedDataset& train,
                               const train::EncodedDataset& test, int threads, int ranks);

// kInvalidArgument, naming each item, where the run is another than the checkpoint's. What may
// change the last bits only is said on stderr.
Status CheckSameRun(const train::RunIdentity& run, const ResumePoint& point);

}  // namespace bertie::cli
