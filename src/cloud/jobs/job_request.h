// What CreateTrainingJob asks for.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cloud/failure.h"
#include "cloud/jobs/metric_pattern.h"
#include "cloud/s3/s3_uri.h"
#include "formats/json.h"

namespace bertie::cloud {

struct JobChannel {
  std::string name;
  S3Uri source;
  bool manifest = false;  // source is a list of objects
  bool sharded = false;   // each host gets some of the objects
  std::string mode;       // File, FastFile
  std::string content_type;
};

struct JobCheckpoints {
  S3Uri target;
  std::string local_path;  // as the program sees it: /opt/ml/checkpoints
};

struct JobRequest {
  std::string name;
  std::string image;
  std::vector<JobChannel> channels;
  S3Uri output;  // key without a slash at its end
  bool compress = true;
  std::string instance_type;
  int instances = 1;
  int64_t max_runtime_s = 86400;
  std::map<std::string, std::string> hyperparameters;
  std::map<std::string, std::string> environment;
  std::vector<MetricPattern> metrics;
  std::optional<JobCheckpoints> checkpoints;
  std::map<std::string, std::string> tags;

  // Where model.tar.gz comes to, or the folder "model/".
  S3Uri Output(const std::string& name) const;
};

// "algo-1" to "algo-N", by rank.
std::vector<std::string> HostNames(int64_t instances);

// The instances of a request that ParseJobRequest has taken, without reading all of it again; 0 of
// one that it would not take for them.
int64_t InstancesIn(const formats::Json& request);

// Members that are not known are left alone. ValidationException with all that is wrong.
Outcome<JobRequest> ParseJobRequest(const formats::Json& request);

}  // namespace bertie::cloud
