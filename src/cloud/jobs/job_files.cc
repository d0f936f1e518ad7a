#include "cloud/jobs/job_files.h"

#include <algorithm>
#include <map>
#include <system_error>
#include <utility>

#include "base/directory.h"
#include "base/file.h"
#include "formats/tar.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFailure = 1024;
// On their way, in the job's folder.
constexpr char kCodeArchive[] = "sourcedir.tar.gz";
constexpr char kUploadArchive[] = "upload.tar.gz";

Failure DataFailure(const std::string& why) {
  return {"ClientError", "Data download failed: " + why};
}

// Faults of S3 are the user's; the machine's are not.
Failure AsDataFailure(const Failure& failure, const std::string& uri) {
  if (std::string_view(failure.code) == "InternalError") return failure;
  return DataFailure(uri + ": " + failure.message);
}

// What was found at a place, if all of it can be files.
Outcome<std::vector<ObjectFile>> AsFiles(Outcome<std::vector<ObjectFile>> found,
                                         const S3Uri& place) {
  if (!found.ok()) return AsDataFailure(found.error(), place.Text());
  const Done checked = CheckFilePaths(*found);
  if (!checked.ok()) return AsDataFailure(checked.error(), place.Text());
  return found;
}

}  // namespace

JobFiles::JobFiles(ObjectStore& store, const JobRequest& job, fs::path folder)
    : store_(store), job_(job), folder_(std::move(folder)) {
  for (const std::string& name : HostNames(job.instances)) {
    hosts_.push_back({static_cast<int>(hosts_.size()), name, folder_ / name / "ml"});
  }
}

Outcome<JobFiles::Files> JobFiles::FilesOf(const JobChannel& channel) const {
  auto files = AsFiles(channel.manifest ? FilesInManifest(store_, channel.source)
                                        : FilesUnder(store_, channel.source),
                       channel.source);
  if (files.ok() && files->empty()) {
    return DataFailure("No S3 objects found under S3 URL \"" + channel.source.Text() + "\"");
  }
  return files;
}

Outcome<JobFiles::Files> JobFiles::FilesOfCheckpoints() const {
  if (!job_.checkpoints) return Files();
  const S3Uri& from = job_.checkpoints->target;
  return AsFiles(FilesUnder(store_, {from.bucket, from.key.empty() ? "" : from.key + "/"}), from);
}

// The first host that needs a file gets it from the store, the others share it by a link.
Done JobFiles::FillChannel(const JobChannel& channel, const Files& files,
                           const std::function<bool()>& go_on) {
  const fs::path below = fs::path("input") / "data" / channel.name;
  for (const JobHost& host : hosts_) BERTIE_RETURN_IF_ERROR(MakeFolders(host.base / below));
  for (size_t at = 0; at < files.size() && go_on(); ++at) {
    const ObjectFile& file = files[at];
    const size_t first = channel.sharded ? at % hosts_.size() : 0;
    const fs::path target = hosts_[first].base / below;
    if (Done done = CopyToFile(store_, file, target); !done.ok()) {
      return AsDataFailure(done.error(), "s3://" + file.bucket + "/" + file.key);
    }
    for (size_t other = 1; !channel.sharded && other < hosts_.size(); ++other) {
      const fs::path link = hosts_[other].base / below / file.path;
      BERTIE_RETURN_IF_ERROR(MakeFolders(link.parent_path()));
      std::error_code error;
      fs::create_hard_link(target / file.path, link, error);
      if (error == std::errc::file_exists) continue;  // a manifest has it twice
      if (error) return FileError(error.value(), link, "make");
    }
  }
  return std::monostate();
}

Done JobFiles::FillCode() {
  const auto source = S3Uri::Parse(PlatformParameter(job_, "submit_directory"));
  if (!source) return std::monostate();
  const fs::path archive = folder_ / kCodeArchive;
  const ObjectFile file{source->bucket, source->key, 0, archive.filename().string()};
  if (Done done = CopyToFile(store_, file, folder_); !done.ok()) {
    return AsDataFailure(done.error(), source->Text());
  }
  for (const JobHost& host : hosts_) {
    if (Status status = formats::ExtractTar(archive, host.base / "code"); !status.ok()) {
      return DataFailure(source->Text() + ": " + status.error().message);
    }
  }
  std::error_code ignored;
  fs::remove(archive, ignored);
  return std::monostate();
}

Done JobFiles::FillHost(const JobHost& host, const Files& checkpoints) const {
  std::error_code error;
  fs::remove_all(host.base, error);
  if (error) return FileError(error.value(), host.base, "remove");
  for (const char* below : {"input/data", "code", "model", "output/data", "output/intermediate"}) {
    BERTIE_RETURN_IF_ERROR(MakeFolders(host.base / below));
  }
  BERTIE_RETURN_IF_ERROR(WriteJobConfig(job_, host));
  if (job_.checkpoints) BERTIE_RETURN_IF_ERROR(MakeFolders(host.base / "checkpoints"));
  for (const ObjectFile& file : checkpoints) {
    if (Done done = CopyToFile(store_, file, host.base / "checkpoints"); !done.ok()) {
      return AsDataFailure(done.error(), job_.checkpoints->target.Text());
    }
  }
  return std::monostate();
}

Done JobFiles::Prepare(const std::function<bool()>& go_on) {
  std::vector<Files> channels;
  for (const JobChannel& channel : job_.channels) {
    auto files = FilesOf(channel);
    if (!files.ok()) return files.error();
    channels.push_back(*std::move(files));
  }
  const auto checkpoints = FilesOfCheckpoints();
  if (!checkpoints.ok()) return checkpoints.error();
  for (const JobHost& host : hosts_) {
    if (Done done = FillHost(host, checkpoints.value()); !done.ok()) return done;
  }
  for (size_t at = 0; at < channels.size(); ++at) {
    if (Done done = FillChannel(job_.channels[at], channels[at], go_on); !done.ok()) return done;
    if (!go_on()) return std::monostate();
  }
  return FillCode();
}

std::string JobFiles::FailureText(int first) const {
  std::vector<JobHost> hosts = hosts_;
  std::rotate(hosts.begin(), hosts.begin() + first, hosts.end());
  for (const JobHost& host : hosts) {
    auto text = ReadFile(host.base / "output" / "failure", uint64_t{1} << 20);
    if (!text.ok() || text->empty()) continue;
    while (!text->empty() && text->back() == '\n') text->pop_back();
    return text->substr(0, kMaxFailure);
  }
  return {};
}

// Names and files, of all hosts; of one name the first's.
std::vector<std::pair<std::string, fs::path>> JobFiles::Union(const std::string& below) const {
  std::map<std::string, fs::path> files;
  for (const JobHost& host : hosts_) {
    const fs::path folder = host.base / below;
    for (const std::string& name : FilesBelow(folder)) files.emplace(name, folder / name);
  }
  return {files.begin(), files.end()};
}

Done JobFiles::PutArchive(const std::string& below, const S3Uri& target) {
  std::vector<formats::TarEntry> entries;
  for (auto& [name, path] : Union(below)) entries.push_back({name, path});
  const fs::path archive = folder_ / kUploadArchive;
  BERTIE_RETURN_IF_ERROR(formats::WriteTarGz(archive, std::move(entries)));
  Done done = CopyFromFile(store_, archive, target, "application/x-tar");
  std::error_code ignored;
  fs::remove(archive, ignored);
  return done;
}

Outcome<std::string> JobFiles::UploadModel() {
  const S3Uri target = job_.Output(job_.compress ? "model.tar.gz" : "model/");
  if (job_.compress) {
    if (Done done = PutArchive("model", target); !done.ok()) return done.error();
    return target.Text();
  }
  for (const auto& [name, path] : Union("model")) {
    const S3Uri file{target.bucket, target.key + name};
    if (Done done = CopyFromFile(store_, path, file, "application/octet-stream"); !done.ok()) {
      return done.error();
    }
  }
  return target.Text();
}

Done JobFiles::UploadOutput() {
  if (Union("output/data").empty()) return std::monostate();
  return PutArchive("output/data", job_.Output("output.tar.gz"));
}

Done JobFiles::UploadCheckpoints(bool last) {
  if (!job_.checkpoints) return std::monostate();
  const fs::path folder = hosts_.front().base / "checkpoints";
  const S3Uri& target = job_.checkpoints->target;
  for (const std::string& name : FilesBelow(folder)) {
    std::error_code error;
    const FileStamp now{fs::last_write_time(folder / name, error),
                        fs::file_size(folder / name, error)};
    if (error || uploaded_[name] == now) continue;
    if (std::exchange(seen_[name], now) != now && !last) continue;
    const S3Uri file{target.bucket, (target.key.empty() ? "" : target.key + "/") + name};
    if (Done done = CopyFromFile(store_, folder / name, file, "application/octet-stream");
        !done.ok()) {
      return done;
    }
    uploaded_[name] = now;
  }
  return std::monostate();
}

void JobFiles::RemoveBases() {
  std::error_code ignored;
  for (const JobHost& host : hosts_) fs::remove_all(host.base, ignored);
  for (const char* archive : {kCodeArchive, kUploadArchive}) fs::remove(folder_ / archive, ignored);
  RemoveAbandonedFiles(folder_);
}

}  // namespace bertie::cloud
