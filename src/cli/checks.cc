#include "cli/checks.h"

#include <sstream>
#include <string>

namespace bertie::cli {

CLI::Validator Between(double least, double most) {
  std::ostringstream range;
  range << "FLOAT in [" << least << " - " << most << ']';
  const std::string name = range.str();
  return {[least, most, name](std::string& text) {
            double value = 0;
            const bool inside =
                CLI::detail::lexical_cast(text, value) && value >= least && value <= most;
            return inside ? std::string() : "Value " + text + " not in " + name;
          },
          name};
}

CLI::Validator AtLeast(int64_t least) {
  const std::string name = "INT >= " + std::to_string(least);
  return {[least, name](std::string& text) {
            int64_t value = 0;
            const bool inside = CLI::detail::lexical_cast(text, value) && value >= least &&
                                value <= int64_t{1} << 40;
            return inside ? std::string() : "Value " + text + " not in " + name;
          },
          name};
}

}  // namespace bertie::cli
