#include "train/checkpoint_files.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <system_error>
#include <vector>

#include "base/file.h"
#include "base/sha256.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "model/checkpoint.h"
#include "train/json_members.h"

namespace bertie::train {
namespace {

namespace fs = std::filesystem;
using formats::Json;

constexpr const char* kOptimizer = "optimizer.safetensors";
constexpr const char* kManifest = "manifest.json";
constexpr const char* kRows = "touched_rows";
constexpr int64_t kManifestFormat = 1;

TensorView FloatView(const float* data, const Shape& shape) {
  return {DType::kF32, shape, reinterpret_cast<const std::byte*>(data)};
}

// stored: the tensors of model.safetensors. A parameter that lies in no file as it is (one that was
// merged with others for the model) goes here as "value.NAME".
Status WriteOptimizer(const fs::path& dir, const AdamW& optimizer,
                      const model::ParameterStore& parameters,
                      const std::vector<model::NamedTensor>& stored) {
  std::set<const void*> stored_data;
  for (const auto& named : stored) stored_data.insert(named.tensor.data);
  std::vector<formats::SafetensorsEntry> entries;
  for (const auto& slot : parameters.slots()) {
    const float* values = parameters.values() + slot.offset;
    if (!stored_data.contains(values)) {
      entries.push_back({"value." + slot.name, FloatView(values, slot.shape)});
    }
  }
  for (const auto& slot : parameters.trained_slots()) {
    entries.push_back(
        {"moment1." + slot.name, FloatView(optimizer.moment1() + slot.offset, slot.shape)});
    entries.push_back(
        {"moment2." + slot.name, FloatView(optimizer.moment2() + slot.offset, slot.shape)});
  }
  const auto& rows = parameters.ever_touched_rows();
  entries.push_back({kRows,
                     {DType::kI32,
                      {static_cast<int64_t>(rows.size())},
                      reinterpret_cast<const std::byte*>(rows.data())}});
  return formats::WriteSafetensors(dir / kOptimizer, entries);
}

Status WriteManifest(const fs::path& dir) {
  Json files = Json::object();
  std::error_code error;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    BERTIE_ASSIGN_OR_RETURN(std::string sha, Sha256OfFile(it->path()));
    const auto bytes = it->file_size(error);
    if (error) break;
    files[it->path().filename().string()] = {{"bytes", bytes}, {"sha256", std::move(sha)}};
  }
  if (error) return FileError(error.value(), dir, "list");
  const Json manifest = {{"format", kManifestFormat}, {"files", std::move(files)}};
  return WriteFileAtomically(dir / kManifest, formats::DumpJson(manifest, 2) + "\n");
}

Status VerifyFile(const fs::path& file, const Json& expected) {
  Members members(expected, (file.parent_path() / kManifest).string());
  const int64_t bytes = members.Integer("bytes");
  const std::string sha = members.String("sha256");
  BERTIE_RETURN_IF_ERROR(members.status());
  std::error_code error;
  const auto size = fs::file_size(file, error);
  if (error) return FileError(error.value(), file, "look at");
  if (static_cast<int64_t>(size) != bytes) {
    return Error{ErrorCode::kInvalidData, file.string() + ": is " + std::to_string(size) +
                                              " bytes long, expected " + std::to_string(bytes)};
  }
  BERTIE_ASSIGN_OR_RETURN(const std::string found, Sha256OfFile(file));
  if (found != sha) {
    return Error{ErrorCode::kInvalidData,
                 file.string() + ": SHA-256 is " + found + ", expected " + sha};
  }
  return {};
}

Status CopyFloats(const formats::SafetensorsFile& file, const std::string& name, const Shape& shape,
                  const fs::path& path, float* out) {
  const auto found = file.tensors.find(name);
  if (found == file.tensors.end()) {
    return Error{ErrorCode::kInvalidData, path.string() + ": no tensor '" + name + "'"};
  }
  const TensorView& tensor = found->second;
  if (tensor.dtype != DType::kF32 || tensor.shape != shape) {
    return Error{ErrorCode::kInvalidData, path.string() + ": tensor '" + name + "' is " +
                                              DTypeName(tensor.dtype) + ShapeString(tensor.shape) +
                                              ", expected F32" + ShapeString(shape)};
  }
  std::memcpy(out, tensor.data, tensor.bytes());
  return {};
}

Status ReadTouchedRows(const formats::SafetensorsFile& file, const fs::path& path,
                       model::ParameterStore& parameters) {
  const auto found = file.tensors.find(kRows);
  if (found == file.tensors.end() || found->second.dtype != DType::kI32) {
    return Error{ErrorCode::kInvalidData,
                 path.string() + ": no tensor '" + kRows + "' of I32, expected one"};
  }
  std::vector<int32_t> rows(static_cast<size_t>(found->second.elements()));
  if (!rows.empty()) std::memcpy(rows.data(), found->second.data, found->second.bytes());
  const int64_t all = parameters.word_size() / parameters.row_size();
  for (int32_t row : rows) {
    if (row < 0 || row >= all) {
      return Error{ErrorCode::kInvalidData, path.string() + ": '" + kRows + "' names row " +
                                                std::to_string(row) + " of " + std::to_string(all)};
    }
  }
  parameters.TouchRows(rows);
  return {};
}

}  // namespace

Status WriteCheckpointFiles(const fs::path& dir, const TrainingState& run,
                            const RunIdentity& identity, const text::Tokenizer& tokenizer) {
  model::ParameterStore& parameters = run.model.parameters();
  const model::Config& config = run.model.config();
  const auto tensors = parameters.NamedTensors(config);
  BERTIE_RETURN_IF_ERROR(model::WriteModelFiles(dir, config, tensors, tokenizer));
  BERTIE_RETURN_IF_ERROR(WriteOptimizer(dir, run.optimizer, parameters, tensors));
  BERTIE_RETURN_IF_ERROR(WriteCheckpointState(dir, run, identity));
  return WriteManifest(dir);
}

Status VerifyCheckpoint(const fs::path& dir) {
  const fs::path path = dir / kManifest;
  BERTIE_ASSIGN_OR_RETURN(const Json json, ReadObject(path));
  Members members(json, path.string());
  const Json& files = members.Object("files");
  BERTIE_RETURN_IF_ERROR(members.status());
  for (const char* needed : {kStateFile, kOptimizer, "model.safetensors", "config.json"}) {
    if (!files.contains(needed)) {
      return Error{ErrorCode::kInvalidData, path.string() + ": does not list " + needed};
    }
  }
  for (const auto& [name, expected] : files.items()) {
    if (!expected.is_object() || fs::path(name).filename() != name) {
      return Error{ErrorCode::kInvalidData,
                   path.string() + ": '" + name + "' is not a file's name with its checksum"};
    }
    BERTIE_RETURN_IF_ERROR(VerifyFile(dir / name, expected));
  }
  return {};
}

Status ReadOptimizer(const fs::path& dir, const CheckpointState& state, AdamW& optimizer,
                     model::ParameterStore& parameters) {
  const fs::path path = dir / kOptimizer;
  BERTIE_ASSIGN_OR_RETURN(const auto file, formats::SafetensorsFile::Open(path));
  for (const auto& slot : parameters.slots()) {
    if (const std::string name = "value." + slot.name; file.tensors.contains(name)) {
      BERTIE_RETURN_IF_ERROR(
          CopyFloats(file, name, slot.shape, path, parameters.values() + slot.offset));
    }
  }
  for (const auto& slot : parameters.trained_slots()) {
    BERTIE_RETURN_IF_ERROR(CopyFloats(file, "moment1." + slot.name, slot.shape, path,
                                      optimizer.moment1() + slot.offset));
    BERTIE_RETURN_IF_ERROR(CopyFloats(file, "moment2." + slot.name, slot.shape, path,
                                      optimizer.moment2() + slot.offset));
  }
  BERTIE_RETURN_IF_ERROR(ReadTouchedRows(file, path, parameters));
  optimizer.set_steps(state.optimizer_steps);
  return {};
}

}  // namespace bertie::train
