// Checks of flags' values, beside CLI11's own.
#pragma once

#include <CLI/CLI.hpp>

namespace bertie::cli {

// A number in [least, most]. CLI::Range takes "nan" too, which is neither below nor above anything.
CLI::Validator Between(double least, double most);

}  // namespace bertie::cli
