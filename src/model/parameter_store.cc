#include "model/parameter_store.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "kernels/elementwise.h"
#include "kernels/mixed_matmul.h"
#include "model/adapters.h"
#include "model/parameters.h"

namespace bertie::model {
namespace {

// ParameterSpecs with each layer's query, key and value weights brought together.
std::vector<ParameterSpec> StoreOrder(const Config& config) {
  std::vector<ParameterSpec> specs = ParameterSpecs(config);
  auto is_bias_of_three = [](const ParameterSpec& spec) {
    return spec.name.ends_with("self.query.bias") || spec.name.ends_with("self.key.bias");
  };
  // Within "query.weight query.bias key.weight key.bias value.weight value.bias" the biases move
  // behind value.weight, keeping their order.
  for (size_t i = 0; i < specs.size(); ++i) {
    if (!specs[i].name.ends_with("self.query.weight")) continue;
    std::stable_partition(specs.begin() + static_cast<ptrdiff_t>(i),
                          specs.begin() + static_cast<ptrdiff_t>(i + 5),
                          [&](const ParameterSpec& spec) { return !is_bias_of_three(spec); });
  }
  return specs;
}

int64_t Align(int64_t offset) { return (offset + 15) / 16 * 16; }

// Whether the parameter must follow its predecessor without a gap.
bool Joined(const std::string& name) {
  for (const char* end :
       {"self.key.weight", "self.value.weight", "self.key.bias", "self.value.bias"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

// Where the first trained parameter is named.
std::string FirstTrained(const Config& config, const TuningOptions& tuning) {
  if (tuning.lora.rank > 0 || tuning.freeze_layers.value_or(0) >= config.num_hidden_layers) {
    return "bert.pooler.dense.weight";
  }
  return LayerName(*tuning.freeze_layers) + "attention.self.query.weight";
}

}  // namespace

void ParameterStore::AddSlots(const Config& config) {
  for (auto& spec : StoreOrder(config)) {
    const int64_t count = NumElements(spec.shape);
    if (!Joined(spec.name)) size_ = Align(size_);
    slots_.push_back({spec.name, spec.shape, size_, count, IsNoDecay(spec.name)});
    size_ += count;
  }
  if (tuning_.lora.rank > 0) AddAdapterSlots(config);
  size_ = Align(size_);
  if (!tuning_.trains_all()) frozen_size_ = offset(FirstTrained(config, tuning_));
}

void ParameterStore::AddAdapterSlots(const Config& config) {
  const int64_t rank = tuning_.lora.rank;
  auto add = [&](const std::string& name, Shape shape) {
    size_ = Align(size_);
    const int64_t count = NumElements(shape);
    slots_.push_back({name, std::move(shape), size_, count, false});
    size_ += count;
  };
  for (int64_t i = tuning_.freeze_layers.value_or(0); i < config.num_hidden_layers; ++i) {
    for (const char* which : {"query", "value"}) {
      const std::string linear = LayerName(i) + "attention.self." + which;
      add(LoraName(linear, 'A'), {rank, config.hidden_size});
      add(LoraName(linear, 'B'), {config.hidden_size, rank});
    }
  }
}

Result<ParameterStore> ParameterStore::Create(const Checkpoint& checkpoint,
                                              const TuningOptions& tuning) {
  ParameterStore store;
  store.tuning_ = tuning;
  store.AddSlots(checkpoint.config);
  store.values_.Resize(store.size_);
  store.gradients_.Resize(store.size_);
  if (tuning.bf16) store.rounded_.Resize((store.size_ + 1) / 2);
  // The gaps between parameters are summed and updated with the rest: they must be zero.
  auto zero = [](float* data, int64_t count) {
    std::memset(data, 0, static_cast<size_t>(count) * sizeof(float));
  };
  zero(store.values_.data(), store.size_);
  zero(store.gradients_.data() + store.frozen_size_, store.size_ - store.frozen_size_);
  store.InitializeAdapters();
  for (const auto& slot : store.slots_) {
    if (IsAdapter(slot.name)) continue;
    auto found = checkpoint.tensors.find(slot.name);
    if (found == checkpoint.tensors.end()) {
      return Error{ErrorCode::kNotFound,
                   checkpoint.source.string() + ": no tensor '" + slot.name + "'"};
    }
    if (found->second.shape != slot.shape ||
        !CopyToFloat(found->second, store.values_.data() + slot.offset)) {
      return Error{ErrorCode::kInvalidData, checkpoint.source.string() + ": tensor '" + slot.name +
                                                "' is " + DTypeName(found->second.dtype) +
                                                ShapeString(found->second.shape) +
                                                ", expected floats " + ShapeString(slot.shape)};
    }
  }
  const auto rows = static_cast<size_t>(checkpoint.config.vocab_size);
  store.is_touched_.resize(rows);
  store.was_ever_touched_.resize(rows);
  return store;
}

uint16_t* ParameterStore::rounded() { return reinterpret_cast<uint16_t*>(rounded_.data()); }

void ParameterStore::RoundValues(ThreadPool& pool) {
  if (rounded() == nullptr || is_rounded_) return;
  constexpr int64_t kChunk = 1 << 16;
  const int64_t first = word_size();
  pool.ParallelFor((size_ - first + kChunk - 1) / kChunk, [&](int64_t task, int) {
    const int64_t from = first + task * kChunk;
    kernels::RoundRunToBF16(std::min(kChunk, size_ - from), values_.data() + from,
                            rounded() + from);
  });
  MarkRounded();
}

std::span<const ParameterSlot> ParameterStore::trained_slots() const {
  const auto first = std::find_if(slots_.begin(), slots_.end(), [&](const ParameterSlot& slot) {
    return slot.offset >= frozen_size_;
  });
  return std::span(slots_).subspan(static_cast<size_t>(first - slots_.begin()));
}

int64_t ParameterStore::offset(const std::string& name) const {
  auto found = std::find_if(slots_.begin(), slots_.end(),
                            [&](const ParameterSlot& slot) { return slot.name == name; });
  assert(found != slots_.end());
  return found->offset;
}

void ParameterStore::TouchRows(std::span<const int32_t> token_ids) {
  const size_t before = touched_.size();
  const size_t ever_before = ever_touched_.size();
  for (int32_t id : token_ids) {
    const auto row = static_cast<size_t>(id);
    if (!is_touched_[row]) {
      is_touched_[row] = true;
      touched_.push_back(id);
    }
    if (!was_ever_touched_[row]) {
      was_ever_touched_[row] = true;
      ever_touched_.push_back(id);
    }
  }
  if (touched_.size() != before) std::sort(touched_.begin(), touched_.end());
  if (ever_touched_.size() != ever_before) std::sort(ever_touched_.begin(), ever_touched_.end());
}

void ParameterStore::ZeroGradients(ThreadPool& pool) {
  for (int32_t row : touched_) {
    float* gradient = gradients_.data() + row * row_size();
    std::fill(gradient, gradient + row_size(), 0.0f);
  }
  ForgetTouchedRows();
  constexpr int64_t kChunk = 1 << 18;
  const int64_t first = dense_begin();
  pool.ParallelFor((size_ - first + kChunk - 1) / kChunk, [&](int64_t task, int) {
    float* from = gradients_.data() + first + task * kChunk;
    std::fill(from, from + std::min(kChunk, size_ - first - task * kChunk), 0.0f);
  });
}

void ParameterStore::ForgetTouchedRows() {
  for (int32_t row : touched_) is_touched_[static_cast<size_t>(row)] = false;
  touched_.clear();
}

double ParameterStore::GradientNorm(ThreadPool& pool) const {
  const int64_t first = dense_begin();
  double sum = kernels::SumOfSquares(size_ - first, gradients_.data() + first, pool);
  for (int32_t row : touched_) {
    const float* gradient = gradients_.data() + row * row_size();
    double row_sum = 0;
    for (int64_t j = 0; j < row_size(); ++j) {
      row_sum += static_cast<double>(gradient[j]) * static_cast<double>(gradient[j]);
    }
    sum += row_sum;
  }
  return std::sqrt(sum);
}

Checkpoint ParameterStore::View(const Config& config) {
  Checkpoint checkpoint;
  checkpoint.config = config;
  for (const auto& slot : slots_) {
    if (IsAdapter(slot.name)) continue;
    checkpoint.tensors[slot.name] = {
        DType::kF32, slot.shape, reinterpret_cast<const std::byte*>(values_.data() + slot.offset)};
  }
  if (tuning_.lora.rank > 0) MergeAdapters(checkpoint);
  return checkpoint;
}

std::vector<NamedTensor> ParameterStore::NamedTensors(const Config& config) {
  const Checkpoint view = View(config);
  std::vector<NamedTensor> tensors;
  for (const auto& spec : ParameterSpecs(config)) {
    tensors.push_back({spec.name, view.tensors.at(spec.name)});
  }
  return tensors;
}

}  // namespace bertie::model
