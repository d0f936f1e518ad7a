// Checks of flags' values, beside CLI11's own.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>

namespace bertie::cli {

// A number in [least, most]. CLI::Range takes "nan" too, which is neither below nor above anything.
CLI::Validator Between(double least, double most);

// A whole number of at least `least`, and at most 2^40, beyond which no count here has a meaning
// and sums could overflow.
CLI::Validator AtLeast(int64_t least);

}  // namespace bertie::cli
