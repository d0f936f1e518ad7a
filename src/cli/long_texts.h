// The flags that say what becomes of texts over the length limit.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <optional>
#include <string>

#include "base/status.h"
#include "serve/long_texts.h"

namespace bertie::cli {

struct LongTextFlags {
  std::string mode = "cut";
  std::optional<size_t> stride;
  std::optional<std::string> pool;
};

struct LongTextForm {
  std::string group = "Model";
  bool refuse = false;       // it is one of the choices
  bool pool = true;          // logits are there to be pooled
  bool environment = false;  // BERTIE_LONG_TEXTS, ... stand for the flags
};

// Registers --long-texts, --stride and --pool. flags must outlive the parsing.
CLI::Option* AddLongTextFlags(CLI::App& command, LongTextFlags& flags, const LongTextForm& form);

// kInvalidArgument: flags that only windows have, without them; an overlap for which windows of
// max_length tokens have no room.
Result<serve::LongTextOptions> ToLongTextOptions(const LongTextFlags& flags);
Status CheckStride(const serve::LongTextOptions& options, size_t max_length);

}  // namespace bertie::cli
