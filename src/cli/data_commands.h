// The parts of `bertie data`.
#pragma once

#include <CLI/CLI.hpp>

namespace bertie::cli {

void AddDataStats(CLI::App& data, int& exit_code);

}  // namespace bertie::cli
