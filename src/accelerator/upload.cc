#include "accelerator/upload.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "base/quote.h"

namespace bertie::accelerator {
namespace {

// To find a model may mean to hash it.
constexpr std::chrono::seconds kFindTimeout{60};
constexpr int kMaxFailures = 5;

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
  int failures = 0;
  int corrupt = 0;
  while (true) {
    BERTIE_ASSIGN_OR_RETURN(RemoteModel found, connection.FindModel(manifest, kFindTimeout));
    if (found.complete) return sent;
    BERTIE_RETURN_IF_ERROR(CheckStates(found, manifest));
    progress.done = 0;
    for (const RemoteFile& file : found.files) progress.done += file.received;
    const uint64_t before = sent;
    for (size_t i = 0; i < manifest.files.size(); ++i) {
      if (found.files[i].complete) continue;
      auto state =
          connection.Upload(manifest, i, model_dir, found.files[i].received, [&](uint64_t bytes) {
            sent += bytes;
            progress.done += bytes;
            on_progress(progress);
          });
      if (state.ok() && state->complete) continue;
      if (!state.ok() && state.error().code == ErrorCode::kCancelled) return state.error();
      const bool broken = !state.ok() && state.error().code == ErrorCode::kInvalidData;
      if (!state.ok() && !broken && !IsPassing(state.error())) return state.error();
      if (!state.ok() && !broken) {
        failures = sent > before ? 0 : failures + 1;
        if (failures >= kMaxFailures) return state.error();
      } else if (++corrupt >= 2) {
        return Error{ErrorCode::kInvalidData,
                     Quote(manifest.files[i].name) +
                         " did not arrive with its hash, twice; did the file change meanwhile?"};
      }
      break;  // and ask again what is there
    }
  }
}

}  // namespace bertie::accelerator
