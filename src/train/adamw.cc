#include "train/adamw.h"

#include <cstring>

#include "kernels/elementwise.h"

namespace bertie::train {
namespace {

kernels::AdamWStep MakeStep(const AdamWOptions& options, int64_t step, float learning_rate,
                            float gradient_scale, bool no_decay) {
  return {learning_rate,
          options.beta1,
          options.beta2,
          options.eps,
          no_decay ? 0 : options.weight_decay,
          gradient_scale,
          step};
}

}  // namespace

AdamW::AdamW(const model::ParameterStore& parameters, const AdamWOptions& options)
    : options_(options), moment1_(parameters.size()), moment2_(parameters.size()) {
  const int64_t first = parameters.frozen_size();
  const size_t bytes = static_cast<size_t>(parameters.size() - first) * sizeof(float);
  std::memset(moment1_.data() + first, 0, bytes);
  std::memset(moment2_.data() + first, 0, bytes);
}

void AdamW::Step(model::ParameterStore& parameters, float learning_rate, float gradient_scale,
                 ThreadPool& pool) {
  ++step_;
  uint16_t* rounded = parameters.rounded();
  auto slots = parameters.trained_slots();
  if (parameters.trains_words()) {
    UpdateWordRows(parameters, learning_rate, gradient_scale, pool);
    slots = slots.subspan(1);
  }
  for (const auto& slot : slots) {
    kernels::AdamWUpdate(MakeStep(options_, step_, learning_rate, gradient_scale, slot.no_decay),
                         slot.count, parameters.gradients() + slot.offset,
                         parameters.values() + slot.offset, moment1_.data() + slot.offset,
                         moment2_.data() + slot.offset,
                         rounded == nullptr ? nullptr : rounded + slot.offset, pool);
  }
  parameters.MarkRounded();
  parameters.ForgetTouchedRows();
}

void AdamW::UpdateWordRows(model::ParameterStore& parameters, float learning_rate,
                           float gradient_scale, ThreadPool& pool) {
  const int64_t width = parameters.row_size();
  const auto& rows = parameters.ever_touched_rows();
  const auto step = MakeStep(options_, step_, learning_rate, gradient_scale, false);
  // A row is too short to share out: each task takes a run of them on a pool of its own thread.
  constexpr int64_t kRows = 64;
  const auto count = static_cast<int64_t>(rows.size());
  pool.ParallelFor((count + kRows - 1) / kRows, [&](int64_t task, int) {
    ThreadPool alone(1);
    for (int64_t i = task * kRows; i < std::min(count, (task + 1) * kRows); ++i) {
      const int64_t offset = rows[static_cast<size_t>(i)] * width;
      kernels::AdamWUpdate(step, width, parameters.gradients() + offset,
                           parameters.values() + offset, moment1_.data() + offset,
                           moment2_.data() + offset, nullptr, alone);
    }
  });
  if (options_.weight_decay == 0) return;
  const float keep = 1.0f - learning_rate * options_.weight_decay;
  const int64_t all = parameters.word_size() / width;
  pool.ParallelFor((all + kRows - 1) / kRows, [&](int64_t task, int) {
    for (int64_t row = task * kRows; row < std::min(all, (task + 1) * kRows); ++row) {
      if (parameters.ever_touched(row)) continue;
      float* values = parameters.values() + row * width;
      for (int64_t j = 0; j < width; ++j) values[j] *= keep;
    }
  });
}

}  // namespace bertie::train
