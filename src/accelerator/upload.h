// Brings a model to an accelerator that lacks it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "accelerator/connection.h"
#include "accelerator/manifest.h"
#include "base/status.h"

namespace bertie::accelerator {

struct UploadProgress {
  uint64_t done = 0;   // bytes that are there, those found there included
  uint64_t total = 0;  // of the model
};

// Sends what FindModel says is missing, from where an earlier upload broke off, until the model is
// complete there. What fails is taken up again, five times without a byte's progress at most (with
// another endpoint sending the same file, this one waits for it). Returns how many bytes were sent;
// 0: it was there.
Result<uint64_t> UploadModel(Connection& connection, const ModelManifest& manifest,
                             const std::filesystem::path& model_dir,
                             const std::function<void(const UploadProgress&)>& on_progress);

}  // namespace bertie::accelerator
