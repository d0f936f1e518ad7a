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
  std::string stride_name = "--stride";  // what gave it: the flag, or the variable
  std::optional<std::string> pool;
  bool no_truncate = false;
};

struct LongTextForm {
  std::string group = "Model";
  bool refuse = false;       // it is one of the choices, and has a flag of its own
  bool pool = true;          // logits are there to be pooled
  bool environment = false;  // BERTIE_LONG_TEXTS, ... stand for the flags
};

// Registers --long-texts, --stride, --pool and --no-truncate. flags must outlive the parsing.
void AddLongTextFlags(CLI::App& command, LongTextFlags& flags, const LongTextForm& form);

// Once the command line has been read: what was given on it overrules the environment, of which
// what does not apply is dropped. Throws CLI::ExcludesError where both names of refusing are given.
void SettleLongTextFlags(const CLI::App& command, LongTextFlags& flags);

// kInvalidArgument: flags that only windows have, without them; an overlap for which windows of
// max_length tokens have no room.
Result<serve::LongTextOptions> ToLongTextOptions(const LongTextFlags& flags);
Status CheckStride(const LongTextFlags& flags, size_t max_length);

}  // namespace bertie::cli
