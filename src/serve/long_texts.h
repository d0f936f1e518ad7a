// What becomes of texts that are longer than the limit.
#pragma once

#include <cstddef>
#include <optional>

#include "model/windows.h"

namespace bertie::serve {

enum class LongTexts {
  kCut,
  kRefuse,
  kWindows,  // read whole, in overlapping windows
};

struct LongTextOptions {
  LongTexts mode = LongTexts::kCut;
  // Of windows; stride is text::WindowOptions'.
  std::optional<size_t> stride = {};
  model::Pooling pooling = model::Pooling::kMean;

  // As a request has it that says whether texts are to be cut: windows cut nothing.
  LongTextOptions With(std::optional<bool> truncate) const {
    LongTextOptions options = *this;
    if (truncate && *truncate) options.mode = LongTexts::kCut;
    if (truncate && !*truncate && mode == LongTexts::kCut) options.mode = LongTexts::kRefuse;
    return options;
  }
};

}  // namespace bertie::serve
