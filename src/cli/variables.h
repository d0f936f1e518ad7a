// Environment variables that stand for flags (CLI11's envname).
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace bertie::cli {

// Whether the command line has the option, and not a variable alone. Once it has been read.
bool OnCommandLine(const CLI::App& command, const std::string& name);

// What is printed of a command line that cannot be used: CLI11's words, in which a value that came
// by a variable has the variable's name.
std::string DescribeUsageError(const CLI::App* app, const CLI::Error& error);

}  // namespace bertie::cli
