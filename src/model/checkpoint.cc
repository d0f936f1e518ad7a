#include "model/checkpoint.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/quote.h"
#include "model/normal_generator.h"
#include "model/parameters.h"
#include "model/weight_files.h"

namespace bertie::model {
namespace {

namespace fs = std::filesystem;

bool IsClassifier(std::string_view name) { return name.starts_with("classifier."); }

bool MayBeMissing(std::string_view name) {
  return IsClassifier(name) || name.starts_with("bert.pooler.");
}

bool IsFloating(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16 || type == DType::kF64;
}

// The name ParameterSpecs has for a stored tensor: without the "module." of DataParallel, with the
// "bert." that a bare BertModel lacks, with LayerNorm's parameters named as they are since 2019.
std::string CanonicalName(std::string name) {
  if (name.starts_with("module.")) name.erase(0, 7);
  for (const std::string_view part : {"embeddings.", "encoder.", "pooler."}) {
    if (name.starts_with(part)) {
      name.insert(0, "bert.");
      break;
    }
  }
  for (const auto& [old_end, new_end] : {std::pair("LayerNorm.gamma", "LayerNorm.weight"),
                                         std::pair("LayerNorm.beta", "LayerNorm.bias")}) {
    const std::string_view ending(old_end);
    if (name.ends_with(ending)) name.replace(name.size() - ending.size(), ending.size(), new_end);
  }
  return name;
}

// Fills a Checkpoint from the tensors as stored.
class Matcher {
 public:
  Matcher(Checkpoint& checkpoint, bool labels_given)
      : checkpoint_(checkpoint), labels_given_(labels_given) {}

  Status Match(std::map<std::string, TensorView> stored) {
    for (ParameterSpec& spec : ParameterSpecs(checkpoint_.config)) {
      shapes_.emplace(spec.name, std::move(spec.shape));
    }
    std::map<std::string, std::string> stored_names;
    for (auto& [name, tensor] : stored) {
      std::string canonical = CanonicalName(name);
      const auto shape = shapes_.find(canonical);
      if (shape == shapes_.end()) {
        checkpoint_.unused.push_back(name);
        continue;
      }
      const auto [first, fresh] = stored_names.emplace(canonical, name);
      if (!fresh) {
        return Bad("tensors " + Quote(first->second) + " and " + Quote(name) + " both stand for " +
                   canonical);
      }
      BERTIE_RETURN_IF_ERROR(Take(name, canonical, shape->second, std::move(tensor)));
    }
    DropMisfitHead();
    return CollectMissing();
  }

 private:
  Error Bad(const std::string& what) const {
    return {ErrorCode::kInvalidData, checkpoint_.source.string() + ": " + what};
  }

  Status Take(const std::string& name, const std::string& canonical, const Shape& expected,
              TensorView tensor) {
    if (!IsFloating(tensor.dtype)) {
      return Bad("tensor " + Quote(name, 200) + ": found element type " + DTypeName(tensor.dtype) +
                 ", expected F32, F16, BF16 or F64");
    }
    if (tensor.shape != expected) {
      if (labels_given_ && IsClassifier(canonical)) {
        misfit_head_ = true;
        return {};
      }
      return Bad("tensor " + Quote(name, 200) + ": found shape " + ShapeString(tensor.shape) +
                 ", expected " + ShapeString(expected) + " by config.json");
    }
    checkpoint_.tensors.emplace(canonical, std::move(tensor));
    return {};
  }

  // A head for other labels is dropped whole: a bias without its weight would be no use.
  void DropMisfitHead() {
    if (!misfit_head_) return;
    checkpoint_.tensors.erase("classifier.weight");
    checkpoint_.tensors.erase("classifier.bias");
  }

  Status CollectMissing() {
    std::vector<std::string> fatal;
    for (const ParameterSpec& spec : ParameterSpecs(checkpoint_.config)) {
      if (checkpoint_.tensors.contains(spec.name)) continue;
      (MayBeMissing(spec.name) ? checkpoint_.missing : fatal).push_back(spec.name);
    }
    if (fatal.empty()) return {};
    return Bad("tensor " + Quote(fatal.front(), 200) + " is missing" +
               (fatal.size() == 1
                    ? std::string()
                    : ", and " + std::to_string(fatal.size() - 1) + " more of " +
                          std::to_string(shapes_.size()) + " that config.json asks for"));
  }

  Checkpoint& checkpoint_;
  const bool labels_given_;
  std::map<std::string, Shape> shapes_;
  bool misfit_head_ = false;
};

// What a checkpoint's tensors point into once some were made here.
struct ExtendedStorage {
  std::shared_ptr<const void> files;
  std::vector<std::vector<float>> made;
};

}  // namespace

Result<Checkpoint> LoadCheckpoint(const fs::path& model_dir, const LoadOptions& options) {
  std::error_code error;
  if (!fs::exists(model_dir, error)) {
    return Error{ErrorCode::kNotFound, model_dir.string() + ": no such model folder"};
  }
  if (!fs::is_directory(model_dir, error)) {
    return Error{ErrorCode::kInvalidArgument,
                 model_dir.string() + ": found a file, expected a model folder"};
  }
  Checkpoint checkpoint;
  BERTIE_ASSIGN_OR_RETURN(checkpoint.config, LoadConfig(model_dir / "config.json"));
  if (!options.labels.empty()) checkpoint.config.labels = options.labels;
  BERTIE_ASSIGN_OR_RETURN(StoredWeights weights, ReadWeights(model_dir));
  checkpoint.storage = std::move(weights.storage);
  checkpoint.source = std::move(weights.source);
  Matcher matcher(checkpoint, !options.labels.empty());
  BERTIE_RETURN_IF_ERROR(matcher.Match(std::move(weights.tensors)));
  return checkpoint;
}

void InitializeMissing(Checkpoint& checkpoint, uint64_t seed) {
  if (checkpoint.missing.empty()) return;
  const std::set<std::string> missing(checkpoint.missing.begin(), checkpoint.missing.end());
  auto storage = std::make_shared<ExtendedStorage>();
  storage->files = std::move(checkpoint.storage);
  for (const ParameterSpec& spec : ParameterSpecs(checkpoint.config)) {
    if (!missing.contains(spec.name)) continue;
    std::vector<float> values(static_cast<size_t>(NumElements(spec.shape)), 0.0f);
    if (!IsNoDecay(spec.name)) {
      NormalGenerator normal(seed, spec.name);
      for (float& value : values) {
        value = static_cast<float>(normal.Next() * double{checkpoint.config.initializer_range});
      }
    }
    storage->made.push_back(std::move(values));
    checkpoint.tensors[spec.name] = {
        DType::kF32, spec.shape, reinterpret_cast<const std::byte*>(storage->made.back().data())};
  }
  checkpoint.missing.clear();
  checkpoint.storage = std::move(storage);
}

}  // namespace bertie::model
