// TorchScript archives as torch.jit.save writes them since PyTorch 1.3: a zip with the modules in
// data.pkl, their tensors in data/, constants in constants.pkl, and the code as text in code/.
// (PyTorch: torch/csrc/jit/docs/serialization.md)
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/status.h"
#include "tensor/tensor.h"

namespace bertie::formats {

using ScriptScalar = std::variant<std::monostate, bool, int64_t, double, std::string>;

struct ScriptConstant {
  ScriptScalar scalar;
  TensorView tensor;  // where is_tensor
  bool is_tensor = false;
};

// What is in an archive. The code is text here and everywhere: nothing of an archive is executed.
struct TorchScriptFile {
  // By the path of their attributes, "bert.encoder.layer.0.attention.self.query.weight"; "" is the
  // root module.
  std::map<std::string, std::string>
      modules;                                // to the type, "__torch__.torch.nn.modules....Linear"
  std::map<std::string, TensorView> tensors;  // views into storage
  std::map<std::string, ScriptScalar> scalars;
  std::vector<ScriptConstant> constants;    // CONSTANTS.c0, ...
  std::map<std::string, std::string> code;  // by name below code/: "__torch__/torch/nn/....py"
  int64_t version = 0;                      // of the archive's form, not of PyTorch
  // Shapes of the tensors that forward was traced with, where they are stored (PyTorch 1.11 on).
  std::vector<Shape> traced_inputs;
  std::shared_ptr<const void> storage;

  // kInvalidData: the file is cut short or breaks its format, a member is missing, a tensor reaches
  // outside its storage; kUnsupported: a global that is not on the list (named), an encrypted
  // archive, an archive of before PyTorch 1.3 (model.json); kResourceExhausted: over a limit.
  static Result<TorchScriptFile> Open(const std::filesystem::path& path);

  // The same for bytes that outlive the result.
  static Result<TorchScriptFile> Parse(std::span<const std::byte> bytes, const std::string& where);

  // True for an archive of TorchScript, of whatever age; false for all else, what cannot be read
  // included.
  static bool Sniff(const std::filesystem::path& path);
};

// The PyTorch releases that write archives of that form: "1.4 or 1.5".
std::string TorchReleases(int64_t archive_version);

}  // namespace bertie::formats
