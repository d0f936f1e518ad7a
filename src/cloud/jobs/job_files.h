// The files of a training job: a folder for each of its hosts, filled from S3 and emptied to it.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cloud/jobs/job_environment.h"
#include "cloud/jobs/job_request.h"
#include "cloud/s3/object_files.h"
#include "cloud/s3/object_store.h"

namespace bertie::cloud {

class JobFiles {
 public:
  // folder: the job's own. The host's folder is its child's (cloud/processes/child_process.h) and
  // has the base folder `ml` beside the child's files.
  JobFiles(ObjectStore& store, const JobRequest& job, std::filesystem::path folder);

  const std::vector<JobHost>& hosts() const { return hosts_; }
  std::filesystem::path HostFolder(const JobHost& host) const { return folder_ / host.name; }
  std::filesystem::path Log(const JobHost& host) const { return HostFolder(host) / "log"; }

  // Base folders anew, without what was in them: the configuration, the channels, checkpoints and
  // the user's code. ClientError for what is not in S3 or cannot be used; nothing has been copied
  // where an object cannot be a file. go_on: asked now and then; false ends it, half done.
  Done Prepare(const std::function<bool()>& go_on);
  // The text of output/failure of this rank's host, or of the next one that has one.
  std::string FailureText(int rank) const;
  // model.tar.gz or model/; with several hosts all their files, of one name the first host's. The
  // URI of what was written.
  Outcome<std::string> UploadModel();
  // output.tar.gz, where a host has anything in output/data.
  Done UploadOutput();
  // The first host's checkpoints that have changed, and not since the last call, unless this is the
  // last.
  Done UploadCheckpoints(bool last);
  // All but the logs, with what killed writers left.
  void RemoveBases();

 private:
  using Files = std::vector<ObjectFile>;
  Outcome<Files> FilesOf(const JobChannel& channel) const;
  Outcome<Files> FilesOfCheckpoints() const;
  Done FillHost(const JobHost& host, const Files& checkpoints) const;
  Done FillChannel(const JobChannel& channel, const Files& files,
                   const std::function<bool()>& go_on);
  Done FillCode();
  Done PutArchive(const std::string& below, const S3Uri& target);
  std::vector<std::pair<std::string, std::filesystem::path>> Union(const std::string& below) const;

  ObjectStore& store_;
  const JobRequest& job_;
  std::filesystem::path folder_;
  std::vector<JobHost> hosts_;
  using FileStamp = std::pair<std::filesystem::file_time_type, uint64_t>;
  std::map<std::string, FileStamp> seen_, uploaded_;  // checkpoints, by name
};

}  // namespace bertie::cloud
