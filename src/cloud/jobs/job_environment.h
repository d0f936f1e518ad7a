// What a training job's programs are told: files below a base folder, variables and arguments, as
// SageMaker's training toolkit (sagemaker-training 4) has them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "cloud/jobs/job_request.h"
#include "cloud/settings.h"
#include "formats/json.h"

namespace bertie::cloud {

// One rank of a job: its host.
struct JobHost {
  int rank = 0;  // from 0
  std::string name;
  std::filesystem::path base;  // what /opt/ml is to a container
};

// Where the ranks of one run meet.
struct JobMeeting {
  uint16_t port = 0;
  std::string token;
};

using Variables = std::vector<std::pair<std::string, std::optional<std::string>>>;

// A hyperparameter of the platform's, sagemaker_NAME, as text; "" where it was not given.
std::string PlatformParameter(const JobRequest& job, const std::string& name);

// base/input/config: hyperparameters.json, resourceconfig.json, inputdataconfig.json.
Status WriteJobConfig(const JobRequest& job, const JobHost& host);

// What is set and taken away (nullopt) from this process's environment for a rank. All ranks are on
// this machine.
Variables JobVariables(const JobRequest& job, const Settings& settings, const JobHost& host,
                       const JobMeeting& meeting);
// The SM_ variables, which the toolkit sets for a user's own program.
Variables ToolkitVariables(const JobRequest& job, const JobHost& host);
// The user's hyperparameters: "--epochs", "1".
std::vector<std::string> ToolkitArguments(const JobRequest& job);

}  // namespace bertie::cloud
