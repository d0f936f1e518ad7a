// The programs of one training job: one for each of its hosts.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cloud/jobs/job_files.h"
#include "cloud/processes/child_process.h"

namespace bertie::cloud {

class JobRanks {
 public:
  JobRanks(const JobRequest& job, const Settings& settings, const JobFiles& files)
      : job_(job), settings_(settings), files_(files) {}

  // What runs in the image's place: a command of the user's, or "" for this program's trainer;
  // nullopt: nothing.
  static std::optional<std::string> ProgramFor(const std::string& image, const Settings& settings);

  // Starts all of them. After an error none runs.
  Status Start(const std::string& command);
  // Takes over those that were started before, running or ended. kNotFound where one never was.
  Status Adopt();
  // Ends what an earlier start may have left.
  void KillStrays();
  // The same in a job's folder of which nothing else is known.
  static void EndBelow(const std::filesystem::path& job_folder);

  int Living();
  // Ranks that have ended since the last call.
  std::vector<std::pair<int, ChildExit>> Ended();
  void Signal(int signal);

 private:
  Status StartOne(const JobHost& host, const std::string& command, const JobMeeting& meeting);

  const JobRequest& job_;
  const Settings& settings_;
  const JobFiles& files_;
  std::map<int, ChildProcess> running_;
};

}  // namespace bertie::cloud
