// Where a model is read from: a folder, an archive of one, or what torch.jit.save wrote.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/directory.h"
#include "base/status.h"
#include "model/script_folder.h"

namespace bertie::model {

enum class SourceFormat { kSafetensors, kPyTorch, kTorchScript, kCompiled };

// "safetensors", "pytorch", "torchscript", "compiled".
const char* SourceFormatName(SourceFormat format);
std::optional<SourceFormat> ParseSourceFormat(std::string_view name);

// A folder is used as it is. A .tar.gz or .tgz is unpacked into a temporary folder, which goes away
// with the object, so keep it until the checkpoint and the tokenizer are loaded (a Checkpoint's
// mapping outlives the removal of its file). An archive whose config.json lies in its one top
// folder is found there.
//
// A TorchScript archive (traced_bert.pt) by itself, or in a folder or .tar.gz that has no other
// model, is made into a temporary model folder: it must be the only .pt or .pth there, or be called
// model.pt or traced_bert.pt.
class ModelSource {
 public:
  // Errors name the path: nothing there, a file that is no model, a folder or archive without one;
  // those of WriteScriptFolder.
  static Result<ModelSource> Open(const std::filesystem::path& path,
                                  const ScriptOptions& options = {});

  const std::filesystem::path& dir() const { return dir_; }
  // Of a model folder that has weights.
  std::optional<SourceFormat> format() const;
  // Of a TorchScript archive.
  const std::optional<ScriptFolder>& script() const { return script_; }

 private:
  Status MakeFolder(const std::filesystem::path& archive,
                    const std::vector<std::filesystem::path>& beside, const ScriptOptions& options);

  std::filesystem::path dir_;
  std::optional<TemporaryDirectory> temporary_;
  std::optional<ScriptFolder> script_;
};

// In a message, the path that the user knows: `to` wherever `from` stands.
Error RenamePath(const Error& error, const std::string& from, const std::string& to);

}  // namespace bertie::model
