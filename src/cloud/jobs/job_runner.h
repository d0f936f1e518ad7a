// The life of one training job, from its data to its model.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "cloud/jobs/job_board.h"
#include "cloud/jobs/job_files.h"
#include "cloud/jobs/job_ranks.h"
#include "cloud/jobs/job_request.h"
#include "cloud/s3/object_store.h"

namespace bertie::cloud {

// What all jobs have in common.
struct JobSurroundings {
  const Settings& settings;
  ObjectStore& store;
  JobBoard& board;
  std::filesystem::path folder;  // each job has one below
  std::function<void(std::string_view)> log;
};

// Writes down on the board where the job is.
class JobRunner {
 public:
  // job: in InProgress or Stopping on the board.
  JobRunner(JobSurroundings surroundings, JobRequest job);

  // Until the job has ended. Ranks that an earlier run of the cloud started are taken over; those
  // that are lost are started again, from the beginning or from their checkpoints. Results that a
  // full disk refuses are uploaded once there is room. A request to leave leaves the ranks alone
  // and the job as it is, for the next run of the cloud.
  void Run(const std::stop_token& leave);
  // Any thread: the job is to end; called again, also without its results.
  void Stop() { ++stops_; }

 private:
  enum class Verdict { kEnded, kLost, kLeft };
  struct Watch;

  bool stopping() const { return stops_ > 0; }
  bool TakeOver(const JobRecord& record);
  bool Begin();
  Done Prepare(std::string& command);
  Verdict Supervise();
  void EndRanks(Watch& watch);
  void NoteEnded(Watch& watch);
  void ReadLogs();
  void Finish();
  void FinishFailed();
  void Upload(int stops);
  Outcome<std::string> UploadAll();
  void TellOfNoRoom(const std::string& why);
  void Fail(const Failure& failure);
  void End(const std::string& status, const std::string& secondary, const std::string& message);
  void Close(const std::function<void(JobRecord&)>& change);
  void Move(const std::string& secondary, const std::string& message);
  Done Change(const std::function<void(JobRecord&)>& change);
  void Say(const std::string& line);  // in the job's own log

  JobSurroundings around_;
  const JobRequest job_;
  JobFiles files_;
  JobRanks ranks_;
  std::atomic<int> stops_ = 0;
  std::stop_token leave_;
  bool too_long_ = false;
  std::optional<std::pair<int, ChildExit>> failed_;  // the first rank that did
  std::vector<uint64_t> read_;                       // of each host's log
};

// Names of a job's log streams, by rank: "JOB/algo-1-1700000000".
std::string JobStream(const JobRecord& record, const std::string& host);

}  // namespace bertie::cloud
