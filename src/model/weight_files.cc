#include "model/weight_files.h"

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "base/quote.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "formats/torch_file.h"

namespace bertie::model {
namespace {

namespace fs = std::filesystem;

// Each shard costs a mapping and a file descriptor. The largest published models have under 200.
constexpr size_t kMaxShards = 512;

enum class Form { kSafetensors, kTorch };

template <class File>
StoredWeights FromFile(File file, const fs::path& path) {
  return {std::move(file.tensors), std::move(file.storage), path};
}

Result<StoredWeights> ReadOne(const fs::path& path, Form form) {
  if (form == Form::kSafetensors) {
    BERTIE_ASSIGN_OR_RETURN(auto file, formats::SafetensorsFile::Open(path));
    return FromFile(std::move(file), path);
  }
  BERTIE_ASSIGN_OR_RETURN(auto file, formats::TorchFile::Open(path));
  return FromFile(std::move(file), path);
}

bool IsPlainName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\\') == std::string::npos && name.find('\0') == std::string::npos;
}

// The index's "weight_map": tensor name to shard.
Result<std::map<std::string, std::string>> ReadIndex(const fs::path& path) {
  BERTIE_ASSIGN_OR_RETURN(const formats::Json index, formats::ReadJsonFile(path));
  auto bad = [&](const std::string& what) {
    return Error{ErrorCode::kInvalidData, path.string() + ": " + what};
  };
  if (!index.is_object()) return bad(std::string("found ") + formats::JsonTypeName(index));
  const auto found = index.find("weight_map");
  if (found == index.end() || !found->is_object() || found->empty()) {
    return bad("expected an object weight_map of tensor names to file names");
  }
  std::map<std::string, std::string> weight_map;
  for (const auto& [tensor, file] : found->items()) {
    if (!file.is_string() || !IsPlainName(file.get_ref<const std::string&>())) {
      return bad("weight_map " + Quote(tensor) +
                 ": expected the name of a file in the same folder, found " +
                 Quote(formats::DumpJson(file)));
    }
    weight_map[tensor] = file.get<std::string>();
  }
  return weight_map;
}

Result<StoredWeights> ReadShards(const fs::path& index, Form form) {
  using Map = std::map<std::string, std::string>;
  BERTIE_ASSIGN_OR_RETURN(const Map weight_map, ReadIndex(index));
  std::map<std::string, StoredWeights> shards;
  auto storages = std::make_shared<std::vector<std::shared_ptr<const void>>>();
  StoredWeights weights;
  for (const auto& [tensor, file] : weight_map) {
    auto shard = shards.find(file);
    if (shard == shards.end()) {
      if (shards.size() == kMaxShards) {
        return Error{ErrorCode::kResourceExhausted,
                     index.string() + ": names more than " + std::to_string(kMaxShards) + " files"};
      }
      BERTIE_ASSIGN_OR_RETURN(StoredWeights read, ReadOne(index.parent_path() / file, form));
      storages->push_back(read.storage);
      shard = shards.emplace(file, std::move(read)).first;
    }
    const auto found = shard->second.tensors.find(tensor);
    if (found == shard->second.tensors.end()) {
      return Error{ErrorCode::kInvalidData,
                   shard->second.source.string() + ": tensor " + Quote(tensor) + ", which " +
                       index.filename().string() + " places there, is missing"};
    }
    weights.tensors.emplace(tensor, std::move(found->second));
    shard->second.tensors.erase(found);
  }
  weights.storage = std::move(storages);
  weights.source = index;
  return weights;
}

struct FoundWeights {
  fs::path path;
  Form form = Form::kSafetensors;
  bool index = false;  // of shards
};

// The first in ReadWeights's order.
Result<FoundWeights> FindWeights(const fs::path& model_dir) {
  std::error_code error;
  for (const auto& [name, form] : {std::pair("model.safetensors", Form::kSafetensors),
                                   std::pair("pytorch_model.bin", Form::kTorch)}) {
    const fs::path file = model_dir / name;
    if (fs::exists(file, error)) return FoundWeights{file, form, false};
    const fs::path index = model_dir / (std::string(name) + ".index.json");
    if (fs::exists(index, error)) return FoundWeights{index, form, true};
  }
  return Error{
      ErrorCode::kNotFound,
      model_dir.string() +
          ": no weights: expected model.safetensors, pytorch_model.bin, or the .index.json "
          "of one of them with its shards"};
}

}  // namespace

Result<StoredWeights> ReadWeights(const fs::path& model_dir) {
  const Result<FoundWeights> found = FindWeights(model_dir);
  if (found.ok()) {
    return found->index ? ReadShards(found->path, found->form) : ReadOne(found->path, found->form);
  }
  std::error_code error;
  if (fs::exists(model_dir / kCompiledFile, error)) {
    return Error{ErrorCode::kUnsupported,
                 model_dir.string() +
                     " is compiled: it answers, and cannot be trained, compiled or "
                     "converted; give the model it was compiled from"};
  }
  return found.error();
}

Result<std::vector<std::string>> WeightFileNames(const fs::path& model_dir) {
  std::error_code error;
  if (fs::exists(model_dir / kCompiledFile, error)) return std::vector<std::string>{kCompiledFile};
  BERTIE_ASSIGN_OR_RETURN(const FoundWeights found, FindWeights(model_dir));
  std::set<std::string> names = {found.path.filename().string()};
  if (found.index) {
    using Map = std::map<std::string, std::string>;
    BERTIE_ASSIGN_OR_RETURN(const Map shards, ReadIndex(found.path));
    for (const auto& [tensor, file] : shards) names.insert(file);
  }
  return std::vector<std::string>(names.begin(), names.end());
}

bool IsWeightFile(const std::string& name) {
  return name.ends_with(".safetensors") || name.ends_with(".index.json") ||
         (name.starts_with("pytorch_model") && name.ends_with(".bin")) || name == "tf_model.h5" ||
         name == "flax_model.msgpack" || name == "added_tokens.json";
}

}  // namespace bertie::model
