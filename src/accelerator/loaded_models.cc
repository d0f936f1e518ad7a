#include "accelerator/loaded_models.h"

#include <algorithm>
#include <new>
#include <utility>

#include "accelerator/sizes.h"
#include "base/thread_pool.h"
#include "model/compiled_file.h"
#include "model/parameters.h"

namespace bertie::accelerator {
namespace {

using Clock = std::chrono::steady_clock;

double BytesPerNumber(model::WeightType precision) {
  switch (precision) {
    case model::WeightType::kI8:
      return 1;
    case model::WeightType::kBF16:
      return 2;
    default:
      return 4;
  }
}

Error Needs(uint64_t bytes, const OpenRequest& request) {
  return {ErrorCode::kResourceExhausted, "model needs " + FormatGigabytes(bytes) + ", " +
                                             request.limit_name + " has " +
                                             FormatGigabytes(request.max_memory)};
}

}  // namespace

LoadedModel::LoadedModel(std::string hash, model::OpenedModel opened,
                         std::unique_ptr<ModelStore::Pin> pin)
    : content_hash(std::move(hash)),
      files(std::move(pin)),
      classifier(std::move(opened.classifier)),
      precision(opened.precision) {}

double LoadedModel::Cost(int64_t tokens) const {
  const auto h = static_cast<double>(config().hidden_size);
  const auto inner = static_cast<double>(config().intermediate_size);
  const auto n = static_cast<double>(tokens);
  const double per_token = 4 * h * h + 2 * h * inner + 2 * n * h;
  return static_cast<double>(config().num_hidden_layers) * n * per_token / 1e6;
}

uint64_t EstimateMemory(const model::Config& config, model::WeightType precision,
                        int64_t batch_tokens) {
  double bytes = 0;
  for (const model::ParameterSpec& spec : model::ParameterSpecs(config)) {
    double numbers = 1;
    for (const auto size : spec.shape) numbers *= static_cast<double>(size);
    bytes += numbers * (spec.shape.size() > 1 ? BytesPerNumber(precision) : 4);
  }
  const auto h = static_cast<double>(config.hidden_size);
  const auto inner = static_cast<double>(config.intermediate_size);
  // Two sets of activations: a batch can be interrupted by another.
  bytes += 2 * 4 * static_cast<double>(batch_tokens) * (6 * h + inner);
  return static_cast<uint64_t>(bytes);
}

Result<ModelPtr> LoadedModels::Open(const OpenRequest& request) {
  std::lock_guard loading(loading_);
  {
    std::lock_guard lock(mutex_);
    for (Kept& kept : kept_) {
      const LoadedModel& model = *kept.model;
      if (model.content_hash != request.content_hash) continue;
      // Without a wish any will do whose files are in that precision: fp32 of a checkpoint.
      const bool as_asked = request.precision ? model.precision == *request.precision
                                              : model::IsCompiled(model.files->dir()) ||
                                                    model.precision == model::WeightType::kF32;
      if (!as_asked) continue;
      if (model.memory_bytes > request.max_memory) return Needs(model.memory_bytes, request);
      kept.used = Clock::now();
      return kept.model;
    }
  }
  try {
    BERTIE_ASSIGN_OR_RETURN(ModelPtr model, Load(request));
    std::lock_guard lock(mutex_);
    kept_.push_back({model, Clock::now()});
    return model;
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kResourceExhausted, "the accelerator has no memory for the model"};
  }
}

Result<ModelPtr> LoadedModels::Load(const OpenRequest& request) {
  BERTIE_ASSIGN_OR_RETURN(auto pin, store_.Acquire(request.content_hash));
  const std::string name = "model " + request.content_hash.substr(0, 12);
  BERTIE_ASSIGN_OR_RETURN(const model::Config config,
                          model::LoadConfig(pin->dir() / "config.json"));
  const int64_t tokens = std::max(options_.batch_tokens, config.max_position_embeddings);
  uint64_t memory =
      EstimateMemory(config, request.precision.value_or(model::WeightType::kF32), tokens);
  if (model::IsCompiled(pin->dir())) {
    // Its weights are as they are in the file.
    std::error_code error;
    memory = EstimateMemory(config, model::WeightType::kI8, tokens);
    const auto bytes = std::filesystem::file_size(pin->dir() / model::kCompiledFile, error);
    if (!error) memory = std::max<uint64_t>(memory, bytes);
  }
  if (memory > request.max_memory) return Needs(memory, request);
  ThreadPool pool(options_.threads);
  BERTIE_ASSIGN_OR_RETURN(model::OpenedModel opened,
                          model::OpenClassifier(pin->dir(), {name, request.precision, 0}, pool));
  auto model =
      std::make_shared<LoadedModel>(request.content_hash, std::move(opened), std::move(pin));
  model->memory_bytes = memory;
  return ModelPtr(std::move(model));
}

void LoadedModels::Trim(uint64_t max_unused_bytes) {
  std::vector<Kept> dropped;  // freed outside the lock
  std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  std::vector<Kept> unused;
  std::erase_if(kept_, [&](Kept& kept) {
    if (kept.model.use_count() > 1) {
      kept.used = now;
      return false;
    }
    unused.push_back(std::move(kept));
    return true;
  });
  std::sort(unused.begin(), unused.end(),
            [](const Kept& a, const Kept& b) { return a.used > b.used; });
  uint64_t bytes = 0;
  for (Kept& kept : unused) {
    bytes += kept.model->memory_bytes;
    const bool stays = bytes <= max_unused_bytes && now - kept.used < options_.keep;
    (stays ? kept_ : dropped).push_back(std::move(kept));
  }
}

std::vector<ModelPtr> LoadedModels::List() const {
  std::lock_guard lock(mutex_);
  std::vector<ModelPtr> models;
  for (const Kept& kept : kept_) models.push_back(kept.model);
  return models;
}

}  // namespace bertie::accelerator
