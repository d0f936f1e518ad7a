// Long texts in overlapping windows: one answer from the logits of several.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace bertie::model {

enum class Pooling {
  kMean,  // weighed by the tokens that each window adds, so that every token counts once
  kMax,   // of each label by itself
};

// "mean" or "max".
std::optional<Pooling> ParsePooling(std::string_view name);

// The windows of several texts, laid end to end.
struct WindowedTexts {
  std::vector<text::Encoding> encodings;
  std::vector<uint32_t> counts;  // windows of each text, at least 1
  std::vector<uint32_t> added;   // of each window, as text::Windows::added

  void Add(text::Windows text);
};

// Logits [texts, labels] from those of the windows, [windows, labels], both row-major. counts and
// added are WindowedTexts'. A text in one window keeps its logits bit for bit; means are computed
// in double. A logit that is not a number makes that label of its text not a number.
std::vector<float> PoolWindows(std::vector<float> logits, const std::vector<uint32_t>& counts,
                               const std::vector<uint32_t>& added, size_t labels, Pooling pooling);

}  // namespace bertie::model
