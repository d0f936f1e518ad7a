#include "model/windows.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <span>
#include <utility>

namespace bertie::model {
namespace {

// One label of one text. logits: of its first window; those of the next are `labels` further on.
float PoolLabel(const float* logits, std::span<const uint32_t> added, size_t labels,
                Pooling pooling) {
  if (pooling == Pooling::kMax) {
    float most = logits[0];
    for (size_t window = 1; window < added.size(); ++window) {
      const float logit = logits[window * labels];
      if (logit > most || std::isnan(logit)) most = logit;
    }
    return most;
  }
  double sum = 0, weights = 0;
  for (size_t window = 0; window < added.size(); ++window) {
    sum += static_cast<double>(logits[window * labels]) * added[window];
    weights += added[window];
  }
  return static_cast<float>(sum / weights);
}

}  // namespace

std::optional<Pooling> ParsePooling(std::string_view name) {
  if (name == "mean") return Pooling::kMean;
  if (name == "max") return Pooling::kMax;
  return std::nullopt;
}

void WindowedTexts::Add(text::Windows text) {
  counts.push_back(static_cast<uint32_t>(text.encodings.size()));
  std::move(text.encodings.begin(), text.encodings.end(), std::back_inserter(encodings));
  added.insert(added.end(), text.added.begin(), text.added.end());
}

std::vector<float> PoolWindows(std::vector<float> logits, const std::vector<uint32_t>& counts,
                               const std::vector<uint32_t>& added, size_t labels, Pooling pooling) {
  if (counts.size() == added.size()) return logits;
  std::vector<float> pooled;
  pooled.reserve(counts.size() * labels);
  size_t first = 0;
  for (const uint32_t count : counts) {
    const float* const row = logits.data() + first * labels;
    if (count == 1) {
      pooled.insert(pooled.end(), row, row + labels);
    } else {
      for (size_t label = 0; label < labels; ++label) {
        pooled.push_back(
            PoolLabel(row + label, std::span(added).subspan(first, count), labels, pooling));
      }
    }
    first += count;
  }
  return pooled;
}

}  // namespace bertie::model
