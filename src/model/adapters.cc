#include "model/adapters.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "model/normal_generator.h"
#include "model/parameter_store.h"

namespace bertie::model {
namespace {

constexpr std::string_view kLoraA = ".lora_A.weight";

}  // namespace

std::string LoraName(const std::string& linear, char which) {
  return linear + ".lora_" + which + ".weight";
}

bool IsAdapter(const std::string& name) { return name.find(".lora_") != std::string::npos; }

// A from a normal distribution with the variance of PyTorch's Linear, 1 / (3 in); B is zero, so
// that the first step starts from the checkpoint's own function.
void ParameterStore::InitializeAdapters() {
  for (const auto& slot : slots_) {
    if (!slot.name.ends_with(kLoraA)) continue;
    NormalGenerator normal(tuning_.lora.seed, slot.name);
    const double deviation = 1 / std::sqrt(3 * static_cast<double>(slot.shape[1]));
    for (int64_t i = 0; i < slot.count; ++i) {
      values_.data()[slot.offset + i] = static_cast<float>(deviation * normal.Next());
    }
  }
}

// W + alpha / rank * B A for every W that has adapters.
void ParameterStore::MergeAdapters(Checkpoint& checkpoint) {
  const int64_t rank = tuning_.lora.rank;
  const float scale = static_cast<float>(tuning_.lora.alpha / static_cast<double>(rank));
  std::vector<const ParameterSlot*> downs;
  for (const auto& slot : slots_) {
    if (slot.name.ends_with(kLoraA)) downs.push_back(&slot);
  }
  const int64_t width = checkpoint.config.hidden_size;
  float* out = merged_.Resize(static_cast<int64_t>(downs.size()) * width * width);
  for (const ParameterSlot* down : downs) {
    const std::string linear = down->name.substr(0, down->name.size() - kLoraA.size());
    const float* a = values_.data() + down->offset;
    const float* b = values_.data() + offset(LoraName(linear, 'B'));
    const float* w = values_.data() + offset(linear + ".weight");
    std::copy(w, w + width * width, out);
    for (int64_t i = 0; i < width; ++i) {
      for (int64_t k = 0; k < rank; ++k) {
        const float factor = scale * b[i * rank + k];
        for (int64_t j = 0; j < width; ++j) out[i * width + j] += factor * a[k * width + j];
      }
    }
    checkpoint.tensors[linear + ".weight"].data = reinterpret_cast<const std::byte*>(out);
    out += width * width;
  }
}

}  // namespace bertie::model
