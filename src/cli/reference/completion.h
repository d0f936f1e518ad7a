// Scripts by which shells complete bertie's commands, flags and values. None of them starts the
// program.
#pragma once

#include <string>

#include "cli/reference/command_tree.h"

namespace bertie::cli {

std::string BashCompletion(const CommandText& program);
std::string ZshCompletion(const CommandText& program);
std::string FishCompletion(const CommandText& program);

// Words of the commands below this one.
std::vector<std::string> CommandNames(const CommandText& command);

}  // namespace bertie::cli
