// The MODEL that a command was given, opened.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "model/model_source.h"

namespace CLI {
class App;
}

namespace bertie::cli {

// What a TorchScript archive lacks; other models need none of it.
struct SourceFlags {
  std::string vocabulary;
  std::string pad_to;  // "", "traced", or a number
  bool cased = false;
};

// The same flags for a process of this program.
std::vector<std::string> SourceWords(const SourceFlags& flags);

// Registers --vocab, --cased and --pad-to.
void AddSourceFlags(CLI::App& command, SourceFlags& flags);

// What ResolveModel (model_argument.h) finds under this name, opened with the vocabulary of the
// user's caches. Says on standard error what was assumed of a TorchScript archive.
Result<model::ModelSource> OpenSource(const std::string& model, const SourceFlags& flags);

}  // namespace bertie::cli
