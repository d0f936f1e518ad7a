#include "accelerator/upload.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

#include "base/quote.h"

namespace bertie::accelerator {
namespace {

// To find a model may mean to hash it.
constexpr std::chrono::seconds kFindTimeout{60};
constexpr int kMaxFailures = 5;
constexpr std::chrono::milliseconds kPause{200};

Status CheckStates(const RemoteModel& found, const ModelManifest& manifest) {
  bool fits = found.files.size() == manifest.files.size();
  for (size_t i = 0; fits && i < found.files.size(); ++i) {
    fits = found.files[i].name == manifest.files[i].name &&
           found.files[i].received <= manifest.files[i].size;
  }
  if (fits) return {};
  return Error{ErrorCode::kInternal,
               "the accelerator named other files than the model's; is it of this version of "
               "bertie?"};
}

}  // namespace

Result<uint64_t> UploadModel(Connection& connection, const ModelManifest& manifest,
                             const std::filesystem::path& model_dir,
                             const std::function<void(const UploadProgress&)>& on_progress) {
  UploadProgress progress;
  for (const ModelFile& file : manifest.files) progress.total += file.size;
  uint64_t sent = 0;
  uint64_t most = 0;  // that was ever there
  int failures = 0;
  while (true) {
    BERTIE_ASSIGN_OR_RETURN(RemoteModel found, connection.FindModel(manifest, kFindTimeout));
    if (found.complete) return sent;
    BERTIE_RETURN_IF_ERROR(CheckStates(found, manifest));
    progress.done = 0;
    for (const RemoteFile& file : found.files) progress.done += file.received;
    if (progress.done > most) failures = 0;
    most = std::max(most, progress.done);
    Status status;
    for (size_t i = 0; status.ok() && i < manifest.files.size(); ++i) {
      if (found.files[i].complete) continue;
      auto state =
          connection.Upload(manifest, i, model_dir, found.files[i].received, [&](uint64_t bytes) {
            sent += bytes;
            progress.done += bytes;
            on_progress(progress);
          });
      if (!state.ok()) {
        status = state.error();
      } else if (!state->complete) {
        status = Error{ErrorCode::kInvalidData,
                       Quote(manifest.files[i].name) + " did not arrive whole; does it change?"};
      }
    }
    if (status.ok()) continue;
    const ErrorCode code = status.error().code;
    if (code == ErrorCode::kCancelled || code == ErrorCode::kResourceExhausted ||
        code == ErrorCode::kIo || ++failures >= kMaxFailures) {
      return status.error();
    }
    // Perhaps another endpoint sends the same file: then it grows meanwhile.
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace bertie::accelerator
