// Where a model is read from: a folder, or an archive of one.
#pragma once

#include <filesystem>
#include <optional>

#include "base/directory.h"
#include "base/status.h"

namespace bertie::model {

// A folder is used as it is. A .tar.gz or .tgz is unpacked into a temporary folder, which goes away
// with the object, so keep it until the checkpoint and the tokenizer are loaded (a Checkpoint's
// mapping outlives the removal of its file). An archive whose config.json lies in its one top
// folder is found there.
class ModelSource {
 public:
  static Result<ModelSource> Open(const std::filesystem::path& path);

  const std::filesystem::path& dir() const { return dir_; }

 private:
  std::filesystem::path dir_;
  std::optional<TemporaryDirectory> unpacked_;
};

}  // namespace bertie::model
