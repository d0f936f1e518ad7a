// Whether a model answers: its files one by one, then a sentence.
#pragma once

#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "cli/source.h"

namespace bertie::cli {

struct ModelCheck {
  struct Step {
    std::string what;  // "weights"
    std::string text;  // what was found
    bool ok = true;
  };
  std::vector<Step> steps;  // up to the first that failed

  bool ok() const { return steps.empty() || steps.back().ok; }
};

ModelCheck CheckModel(const std::string& model, const SourceFlags& source, ThreadPool& pool);

}  // namespace bertie::cli
